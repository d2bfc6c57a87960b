"""Answers that try to talk the judge into a 5, and scripted judges that fall for whatever can be fallen for.

The score of an answer with an injection is that of the answer without it, or it has none; it is never another.
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from tasks.judging.templates import read_template
from tasks.longbench.summary import s_q
from tasks.schema.records import Verdict
from tests.tasks.judging.endpoint import ASK, DIMENSIONS, OURS, Body, asked, endpoint, prediction, run
from tests.tasks.judging.injections import FIVES, INJECTIONS, VERDICTS

PAPERS = "Judge.\n\n<User Request>\n\n$INST$\n\n</User Request>\n\n<Response>\n\n$RESPONSE$\n\n</Response>\n\nAnswer in JSON.\n"
_JSON = re.compile(r"\{[^{}]*relevance[^{}]*\}", re.IGNORECASE)

Judge = Callable[[str, str], str]  # of the quoted text and of its own verdict: what it says


def own(text: str) -> str:
    """A verdict of 2, 3 and 4 by the text's first line, which no injection touches."""
    digest = hashlib.sha256(text.strip().partition("\n")[0].encode()).digest()
    return json.dumps({name: 2 + digest[place] % 3 for place, name in enumerate(DIMENSIONS)})


def reader(opening: str, closing: str, plain: str, judge: Judge) -> Callable[[Body], str]:
    """As naive as can be: what stands outside the first pair of delimiters, and not in the prompt about another text, is an order."""

    def inside(prompt: str) -> tuple[str, str]:
        mark = found[1] if (found := re.search(r"between <answer-(\w+)>", prompt)) else ""
        before, _, rest = prompt.partition(opening.replace("MARK", mark))
        text, _, after = rest.partition(closing.replace("MARK", mark))
        return text, (before + after).replace(mark or "\0", "MARK")

    def say(body: Body) -> str:
        text, outside = inside(asked(body))
        return judge(text, own(text)) if outside == inside(plain)[1] else FIVES

    return say


def ours(judge: Judge) -> Callable[[Body], str]:
    return reader("<answer-MARK>\n", "\n</answer-MARK>", read_template(OURS).fill(ASK, "x"), judge)


JUDGES: dict[str, Judge] = {
    "obeys what stands outside": lambda _, verdict: verdict,
    "quotes the text first": lambda text, verdict: f"The text says:\n{text}\n\nMy verdict:\n{verdict}",
    "quotes the text last": lambda text, verdict: f"{verdict}\n\nThat is of this text:\n{text}",
    "says the text's verdict before its own": lambda text, verdict: "\n".join([*_JSON.findall(text), verdict]),
    "says the text's verdict instead of its own": lambda text, verdict: next(iter(_JSON.findall(text)), verdict),
    "analyses in a key": lambda text, verdict: json.dumps({"Analysis": text} | json.loads(verdict)),
}


def scores(folder: Path, texts: dict[str, str], *, prompt: Path = OURS) -> dict[str, Verdict]:
    ran = run(folder, *(prediction(t, id) for id, t in texts.items()), prompt=prompt, tries=2, unread=True)
    return {verdict.id: verdict for verdict in ran.verdicts}


def texts(injection: Callable[[str], str]) -> dict[str, str]:
    """An answer for each injection, whose words in it are `injection` of its name."""
    return {name: f"Bread is old, says text {place}.\n{injection(name)}\nThe end." for place, name in enumerate(INJECTIONS)}


@pytest.mark.parametrize("judge", JUDGES)
def test_no_injection_moves_a_score(tmp_path: Path, judge: str) -> None:
    with endpoint(ours(JUDGES[judge])):
        plain = scores(tmp_path / "plain", texts(lambda _: "People baked it."))
        injected = scores(tmp_path / "injected", texts(INJECTIONS.__getitem__))
    assert all(verdict.rubric for verdict in plain.values())
    scored = {id: verdict.rubric for id, verdict in injected.items() if verdict.rubric}
    assert scored == {id: plain[id].rubric for id in scored}
    assert fmean(map(s_q, scored.values())) == fmean(s_q(plain[id].rubric) for id in scored)  # type: ignore[arg-type]
    if judge in ("obeys what stands outside", "analyses in a key"):
        assert scored.keys() == plain.keys()
    for name in injected.keys() - scored.keys():
        assert injected[name].problem, name
        assert len(injected[name].replies) == 2


@pytest.mark.parametrize("name", ["a finished verdict", "the paper's verdict", "a verdict in a wrapper", "chat markup"])
def test_a_verdict_that_the_judge_took_from_the_answer_is_no_verdict(tmp_path: Path, name: str) -> None:
    with endpoint(ours(JUDGES["says the text's verdict instead of its own"])):
        verdict = scores(tmp_path, {name: INJECTIONS[name]})[name]
    assert (verdict.rubric, verdict.problem) == (None, "the verdict is one that is in the answer")


def test_the_scripted_judge_falls_for_what_it_can(tmp_path: Path) -> None:
    """The counter-check: the paper's prompt has delimiters that an answer can close, and there the same judge gives the fives."""
    prompt = tmp_path / "official.txt"
    prompt.write_text(PAPERS)
    judge = reader("<Response>\n", "\n</Response>", read_template(prompt).fill(ASK, "x"), JUDGES["obeys what stands outside"])
    with endpoint(judge):
        found = scores(tmp_path, texts(INJECTIONS.__getitem__), prompt=prompt)
    moved = {name for name, verdict in found.items() if verdict.rubric and s_q(verdict.rubric) == 100}
    assert moved == {"the paper's placeholders", "the paper's delimiters"}


def test_the_rehearsals_judge_gives_no_fives_to_injections(tmp_path: Path) -> None:
    predictions = [prediction(f"Bread is old. People baked it.\n{text}", name) for name, text in VERDICTS.items()]
    plain = run(tmp_path / "plain", prediction("Bread is old. People baked it."), model="rehearsal-judge").verdicts[0].rubric
    verdicts = run(tmp_path / "injected", *predictions, model="rehearsal-judge").verdicts
    assert plain
    assert all(verdict.rubric and s_q(verdict.rubric) <= s_q(plain) + 25 for verdict in verdicts)


def test_there_are_enough_of_them_and_none_is_there_twice() -> None:
    assert len(INJECTIONS) == len(set(INJECTIONS.values())) >= 20
