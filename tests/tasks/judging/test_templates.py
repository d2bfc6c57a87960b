"""The judge's prompt: ours quotes the answer; the paper's is filled as its authors' code fills it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.judging.grades import DIMENSIONS
from tasks.judging.rubric import SCHEMA, parse_rubric
from tasks.judging.templates import PAPERS_SCHEMA, mark, read_template
from tasks.schema.errors import BadPrompt
from tests.conftest import ROOT

OURS = ROOT / "tasks/prompts/judge.txt"
PAPERS = (  # in the shape of the official file, whose text is its authors'
    "Judge.\n\n<User Request>\n\n$INST$\n\n</User Request>\n\n<Response>\n\n$RESPONSE$\n\n</Response>\n\n"
    'Answer with {"Analysis": ..., "Breadth and Depth": ...}.\n'
)


def template(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.prompt"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_ours_quotes_the_answer_between_marks_that_depend_on_it() -> None:
    filled, other = read_template(OURS).fill("Write.", "Bread."), read_template(OURS).fill("Write.", "Cake.")
    assert f"<answer-{mark('Write.', 'Bread.')}>\nBread.\n</answer-{mark('Write.', 'Bread.')}>" in filled
    assert mark("Write.", "Bread.") not in other
    assert "{{" not in filled
    assert read_template(OURS).schema == SCHEMA


@given(prompt=st.text(), answer=st.text())
def test_the_papers_is_filled_as_its_authors_do_it(tmp_path_factory: pytest.TempPathFactory, prompt: str, answer: str) -> None:
    prompt, answer = prompt.replace("$", ""), answer.replace("$", "")
    filled = read_template(template(tmp_path_factory.mktemp("prompt"), PAPERS)).fill(prompt, answer)
    assert filled == PAPERS.replace("$INST$", prompt).replace("$RESPONSE$", answer)


@pytest.mark.parametrize("path", [OURS, None], ids=["ours", "the paper's"])
def test_what_looks_like_a_placeholder_in_a_text_is_that_texts(tmp_path: Path, path: Path | None) -> None:
    looks = r"$INST$ $RESPONSE$ {{prompt}} {{answer}} {{mark}} \1 \g<0>"
    filled = read_template(path or template(tmp_path, PAPERS)).fill(f"P {looks}", f"A {looks}")
    assert filled.count(f"P {looks}") == 1
    assert filled.count(f"A {looks}") == 1


def test_the_papers_schema_asks_for_the_papers_names_and_they_are_read(tmp_path: Path) -> None:
    assert read_template(template(tmp_path, PAPERS)).schema == PAPERS_SCHEMA
    assert PAPERS_SCHEMA["required"] == [
        "Analysis", "Relevance", "Accuracy", "Coherence", "Clarity", "Breadth and Depth", "Reading Experience",
    ]  # fmt: skip
    reply = "{" + ", ".join(f'"{name}": {3 if place else 0}' for place, name in enumerate(PAPERS_SCHEMA["required"])) + "}"
    assert parse_rubric(reply).model_dump() == dict.fromkeys(DIMENSIONS, 3)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Judge the text.", r"own\.prompt: no placeholder; ours are \{\{prompt\}\}, .*, the paper's \$INST\$, \$RESPONSE\$$"),
        ("{{prompt}}\n{{answer}}", r"own\.prompt: \{\{mark\}\}: missing placeholder"),
        ("{{prompt}} {{answer}} {{mark}}\n{{name}}", r"own\.prompt:2: \{\{name\}\}: unknown placeholder; known are \{\{prompt\}\}, "),
        ("Judge $RESPONSE$.", r"own\.prompt: \$INST\$: missing placeholder"),
        ("{{prompt}} {{answer}} {{mark}} $RESPONSE$", r"own\.prompt: .* are ours, \$RESPONSE\$ the paper's; use one kind"),
    ],
)
def test_a_prompt_that_cannot_be_filled_is_named_with_its_placeholder(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(BadPrompt, match=problem):
        read_template(template(tmp_path, text))


def test_a_prompt_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadPrompt, match=r"none\.txt: no such file; `longwriter eval official` fetches the paper's"):
        read_template(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("größer".encode("latin-1"))
    with pytest.raises(BadPrompt, match=r"latin\.txt: not UTF-8 at byte 2"):
        read_template(tmp_path / "latin.txt")


def test_another_prompt_has_another_digest(tmp_path: Path) -> None:
    assert read_template(OURS).digest != read_template(template(tmp_path, PAPERS)).digest


def test_a_prompt_with_a_reference_shows_it_and_is_refused_without_one() -> None:
    ours = read_template(ROOT / "tasks/prompts/judge_reference.txt")
    filled = ours.fill("Write.", "Bread.", "Cake.")
    own = mark("Write.", "Bread.", "Cake.")
    assert f"<reference-{own}>\nCake.\n</reference-{own}>" in filled
    assert f"<answer-{own}>\nBread.\n</answer-{own}>" in filled
    assert (ours.referenced, read_template(OURS).referenced, "{{" in filled) == (True, False, False)
    with pytest.raises(BadPrompt, match=r"judge.prompt: {{reference}}: not supported by this command; fix: "):
        ours.fill("Write.", "Bread.")
