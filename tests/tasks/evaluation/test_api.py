"""The evaluator in Python: its examples run, its results are typed and frozen, and it says what the command says."""

import doctest
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.evaluation import Scores, api, compare, score
from tasks.evaluation.__main__ import app
from tasks.longbench.compare import Comparison
from tasks.schema.errors import BadInput

ROWS = [
    {"prompt": f"Write {words} words on {topic}.", "response": "Rivers carry sand to the sea. " * (words // 7), "length": words}
    for words in (70, 140)
    for topic in ("rivers", "deltas", "dunes")
]


def written(path: Path, rows: list[dict[str, object]] = ROWS) -> Path:  # type: ignore[assignment]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["score", "compare"])
def test_the_example_of_the_documentation_runs(name: str) -> None:
    example = doctest.DocTestFinder().find(getattr(api, name), name, globs={})[0]
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_rows_in_memory_score_as_their_file_does(tmp_path: Path) -> None:
    of_file, of_rows = score(written(tmp_path / "rows")), score(ROWS)
    assert of_rows == of_file
    assert score(str(tmp_path / "rows")) == of_file


def test_python_and_the_command_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "answers.jsonl")
    app(["score", str(path), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == score(path).card.model_dump(mode="json", exclude={"ruler"})


def test_results_cannot_be_changed() -> None:
    scores = score(ROWS)
    with pytest.raises(ValidationError):
        scores.left_out = ()  # type: ignore[misc]
    with pytest.raises(ValidationError):
        scores.card.s_l = 100.0  # type: ignore[misc]


def test_of_several_models_one_has_to_be_named(tmp_path: Path) -> None:
    for model in ("long", "short"):
        (tmp_path / model).mkdir()
        written(tmp_path / model / "answers.jsonl")
    scores = score(tmp_path)
    assert list(scores.cards) == ["long", "short"]
    with pytest.raises(BadInput, match=r"2 models answered: long, short; fix: name one"):
        _ = scores.card
    with pytest.raises(BadInput, match="there are long, short"):
        scores.of("other")
    assert {item.model for item in scores.of("short").items} == {"short"}
    found = compare(scores.of("long"), scores.of("short"))
    assert isinstance(found, Comparison)
    assert (found.verdict, found.items) == ("cannot tell", 6)


def test_a_side_may_be_a_file_a_result_or_a_row_of_the_papers_table(tmp_path: Path) -> None:
    scores = score(ROWS)
    items = tmp_path / "items.jsonl"
    items.write_text("".join(item.model_dump_json() + "\n" for item in scores.items))
    assert compare(items, scores).verdict == "cannot tell"
    assert compare(str(items), str(items), mode="fixed").items == 6
    assert compare(scores, "paper:LongWriter-9B").verdict == "cannot tell"  # other prompts
    with pytest.raises(BadInput, match="give it as B"):
        compare("paper:LongWriter-9B", scores)


def test_a_row_that_does_not_fit_is_named_by_its_line() -> None:
    with pytest.raises(BadInput, match=r":2: length: missing field"):
        score([ROWS[0], {"prompt": "Write.", "response": "Yes."}])
    assert isinstance(score([{"prompt": "Write.", "response": "Yes."}], length=10), Scores)
