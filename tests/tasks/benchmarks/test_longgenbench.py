"""LongGenBench: completion and STIC, held to an independent statement of the published script."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.benchmarks.interface import GivenAnswer
from tasks.benchmarks.longgenbench import SHORT, entries_of, holds, read_answer
from tasks.benchmarks.results import Graded, score_answers, sum_up
from tasks.schema.errors import BadInput, ReplyError
from tests.tasks.benchmarks.made import DIARY, DIARY_ANSWER, put


def published(row: dict[str, Any], answer: str) -> tuple[float, dict[str, int]]:
    """Completion, and the number of checks of each kind with an entry, as eval.py and inference.py compute them."""
    blocks: dict[int, str] = {}
    for block in (row["prefix"] + answer.split("*** finished")[0]).split("#*#"):
        if (match := re.search(rf"{row['type']} (\d+)", block)) and int(match.group(1)) not in blocks:
            blocks[int(match.group(1))] = block
    wanted = set(range(1, row["number"] + 1))
    seen = {kind: sum(int(key) in blocks for key in row[f"checks_{kind}"]) for kind in ("once", "range", "periodic")}
    return 100 * len(wanted & set(blocks)) / len(wanted), seen


def test_completion_and_the_entries_are_the_published_ones(tmp_path: Path) -> None:
    suite = SHORT.load(put(tmp_path, {"Dataset_short.json": json.dumps([DIARY])}))
    (item,) = suite.items
    assert (item.id, item.group, item.words) == ("0", "Week", 600)
    answer = GivenAnswer(id="0", prompt=item.prompt, model="m", response=DIARY_ANSWER)
    values = suite.rule(item, answer)
    completion, seen = published(DIARY, DIARY_ANSWER)
    assert values["completion"] == completion == 75.0
    assert {kind: values[f"{kind}_seen"] for kind in seen} == seen
    found = sum_up(SHORT, suite, list(score_answers(suite, {"0": item}, [answer], Graded({}, 0, 0))), Graded({}, 0, 0), judge=None)["m"]
    shares = {name: figure.value for name, figure in found.figures.items()}
    # once: 1 of 1 entries that exist, of 2 in all; range: 1 of 2; periodic: 1 of 1
    assert shares == {"completion": 75.0, "stic_1_by_rule": pytest.approx(100 * 2.5 / 3), "stic_2_by_rule": pytest.approx(100 * 2.0 / 3)}


def test_the_judge_is_asked_about_each_entry_that_exists(tmp_path: Path) -> None:
    suite = SHORT.load(put(tmp_path, {"Dataset_short.json": json.dumps([DIARY])}))
    (item,) = suite.items
    answer = GivenAnswer(id="0", prompt=item.prompt, model="m", response=DIARY_ANSWER)
    questions = suite.questions(item, answer)
    assert [question.name for question in questions] == ["once 2", "range 1", "range 2", "periodic 3"]
    assert "My father had his birthday." in questions[0].prompt
    grades = {("0", "m", 0): {"once 2": 1.0, "range 1": 1.0, "range 2": None, "periodic 3": 0.0}}
    scored = list(score_answers(suite, {"0": item}, [answer], Graded(grades, 4, 1)))
    found = sum_up(SHORT, suite, scored, Graded({}, 4, 1), judge="j")["m"]
    assert (found.unscored, found.figures["stic_1_judged"].unscored) == (1, 1)
    assert found.figures["stic_1_judged"].value is None  # no item has all of its checks read
    grades["0", "m", 0]["range 2"] = 0.0
    scored = list(score_answers(suite, {"0": item}, [answer], Graded(grades, 4, 0)))
    judged = sum_up(SHORT, suite, scored, Graded({}, 4, 0), judge="j")["m"].figures
    # once: 1 of 1, of 2 in all; range: 1 of 2; periodic: 0 of 1
    assert judged["stic_1_judged"].value == pytest.approx(100 * 1.5 / 3)
    assert judged["stic_2_judged"].value == pytest.approx(100 * 1.0 / 3)


def test_an_answer_may_repeat_the_first_heading() -> None:
    repeated = "#*# Week 1 (January): We skied.\n#*# Week 2: Snow."
    assert entries_of(repeated, "Week", "#*# Week 1 (January):") == {1: " Week 1 (January): We skied.\n", 2: " Week 2: Snow."}


@pytest.mark.parametrize(
    ("block", "event", "held"),
    [
        ("A small coffee bar and a shop.", "coffee shop", True),
        ("We drank coffee.", "coffee shop", False),
        ("The boutiques open.", "boutique", True),
        ("I lost my way.", "husband (yourself) birthday", False),
        ("", "lake", False),
    ],
)
def test_the_rule_wants_half_of_the_words(block: str, event: str, held: bool) -> None:
    assert holds(block, event) is held


@pytest.mark.parametrize(("text", "value"), [("Yes", 1.0), ("no.", 0.0), ("**Yes**, it does", 1.0), ("<think>yes?</think>No", 0.0)])
def test_yes_and_no_are_read(text: str, value: float) -> None:
    assert read_answer(text, name="a") == {"a": value}


@pytest.mark.parametrize("text", ["", "Eyes", "Not sure", "It is not there, yes"])
def test_any_other_reply_is_unscored(text: str) -> None:
    with pytest.raises(ReplyError, match="neither yes nor no"):
        read_answer(text, name="a")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"number": 0}, "number: task 0: not a positive whole number"),
        ({"prefix": None}, "prefix: task 0: not a text"),
        ({"checks_once": {"x": "y"}}, "checks_once: task 0: not an object of events"),
    ],
)
def test_a_task_that_cannot_be_scored_is_named(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    put(tmp_path, {"Dataset_short.json": json.dumps([DIARY | change])})
    with pytest.raises(BadInput, match=why):
        SHORT.load(tmp_path)
