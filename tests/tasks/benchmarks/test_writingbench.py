"""WritingBench: five criteria for each query, held to an independent statement of the published aggregation."""

import json
from pathlib import Path

import pytest

from tasks.benchmarks.interface import GivenAnswer
from tasks.benchmarks.results import Graded, score_answers, sum_up
from tasks.benchmarks.writingbench import LENGTH_SUBSET, read_score
from tasks.schema.errors import BadInput, ReplyError
from tests.tasks.benchmarks import made
from tests.tasks.benchmarks.made import lines, put, writingbench_row

SCORES = {3: {"Length": 9, "Tone": 4}, 8: {"Length": 2, "Tone": 6}, 9: {"Words": 10, "Tone": 3}}  # by index and criterion
ABOUT_LENGTH = {3: ["Length"], 8: ["Length", "Tone"], 9: ["Words"]}


def published() -> tuple[float, float, float]:
    """The overall mean, length R and length C, as calculate_scores.py defines them."""
    every = [score for own in SCORES.values() for score in own.values()]
    by_query = {index: sum(own.values()) / len(own) for index, own in SCORES.items()}
    about = [SCORES[index][name] for index, names in ABOUT_LENGTH.items() for name in names]
    return sum(every) / len(every), sum(by_query[index] for index in ABOUT_LENGTH) / len(ABOUT_LENGTH), sum(about) / len(about)


def test_the_figures_are_the_published_ones(tmp_path: Path) -> None:
    suite = LENGTH_SUBSET.load(put(tmp_path, made.WRITINGBENCH))
    items = {item.id: item for item in suite.items}
    answers = [GivenAnswer(id=item.id, prompt=item.prompt, model="m", response="text") for item in suite.items]
    grades = {(str(index), "m", 0): {name: float(score) for name, score in own.items()} for index, own in SCORES.items()}
    scored = list(score_answers(suite, items, answers, Graded(grades, 6, 0)))  # type: ignore[arg-type]
    found = sum_up(LENGTH_SUBSET, suite, scored, Graded({}, 6, 0), judge="j")["m"]
    assert [figure.value for figure in found.figures.values()] == pytest.approx(published())
    assert {group: figures["score"].value for group, figures in found.by_group.items()} == {"Law": 6.5, "Arts": 5.25}


def test_each_criterion_is_a_request_of_its_own_with_the_published_prompt(tmp_path: Path) -> None:
    suite = LENGTH_SUBSET.load(put(tmp_path, made.WRITINGBENCH))
    item = suite.items[0]
    assert (item.id, item.group, item.words) == ("3", "Law", 500)
    first, second = suite.questions(item, GivenAnswer(id="3", prompt=item.prompt, model="m", response="A {text}."))
    criterion = writingbench_row(3, "Law", "Length")["checklist"][0]
    assert first.prompt == f'Query {item.prompt}, response A {{text}}., criterion {criterion}. Reply {{"score": 5, "reason": "why"}}.'
    assert (first.system, first.grades, second.grades) == ("You grade.", ("Length",), ("Tone",))
    assert suite.values(item, {}, {"Length": 8.0, "Tone": None})["score"] is None


@pytest.mark.parametrize(
    "text",
    ['{"score": 7, "reason": "x"}', '```json\n{"score": "7", "reason": "x"}\n```', '{"Score": 7.0, "reason": "x"}', '{"score": "7/10"}'],
)
def test_replies_are_read_as_they_are_meant(text: str) -> None:
    assert read_score(text, answer="Bread.", name="Tone") == {"Tone": 7.0}


@pytest.mark.parametrize(
    "text", ['{"score": 0}', '{"score": 11}', '{"score": 6.5}', '{"score": "4/5"}', '{"reason": "x"}', "7", '{"score": 7']
)
def test_a_reply_that_cannot_be_read_has_no_score(text: str) -> None:
    with pytest.raises(ReplyError):
        read_score(text, answer="Bread.", name="Tone")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({**writingbench_row(3, "Law", "Tone"), "index": "3"}, "index: not a whole number"),
        (writingbench_row(3, "Law"), "checklist: not a list of criteria with a name"),
        (writingbench_row(3, "Law", "Tone", "Tone"), "checklist: two criteria of one name"),
    ],
)
def test_a_row_that_cannot_be_scored_is_named(tmp_path: Path, row: made.Row, why: str) -> None:
    put(tmp_path, made.WRITINGBENCH | {"length_subset.jsonl": lines(row)})
    with pytest.raises(BadInput, match=f"length_subset.jsonl:1: {why}"):
        LENGTH_SUBSET.load(tmp_path)


def test_a_published_file_with_other_constants_is_named(tmp_path: Path) -> None:
    put(tmp_path, made.WRITINGBENCH | {"prompt.py": "evaluate_system = str(5)\n"})
    with pytest.raises(BadInput, match=r"prompt\.py: evaluate_system: not a literal"):
        LENGTH_SUBSET.load(tmp_path)
    put(tmp_path, {"prompt.py": json.dumps("x")})
    with pytest.raises(BadInput, match=r"prompt\.py: evaluate_system: no such constant"):
        LENGTH_SUBSET.load(tmp_path)
