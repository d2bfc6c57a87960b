"""LIFEBench: the length score, held to an independent statement of the published formula."""

import math
from pathlib import Path

import pytest

from tasks.benchmarks.interface import GivenAnswer
from tasks.benchmarks.lifebench import LITE, count_words, length_score
from tasks.benchmarks.results import Graded, score_answers, sum_up
from tasks.schema.errors import BadInput
from tests.tasks.benchmarks.made import LENGTH_TASK, lines, put

NONE = Graded({}, 0, 0)


@pytest.mark.parametrize("method", ["equal to", "at most", "at least"])
@pytest.mark.parametrize("written", [0, 1, 50, 97, 100, 103, 150, 400])
def test_the_score_is_the_published_one(written: int, method: str) -> None:
    share = written / 100 - 1
    expected = {"at most": share < 0, "at least": share > 0}.get(method, False)
    assert length_score(100, written, method) == pytest.approx(100 if expected else 100 * math.e ** (5 * min(share, 0) - 2 * max(share, 0)))


def test_known_values() -> None:
    assert [round(length_score(100, written), 2) for written in (50, 90, 100, 110, 200)] == [8.21, 60.65, 100.0, 81.87, 13.53]


@pytest.mark.parametrize(
    ("text", "words"),
    [("It's a well-known day.", 4), ("使用GPT4模型", 4), ("GPT4 H2O", 2), ("", 0), ("café", 0), ("a_b", 0), ("  x\n\ny ", 2)],
)
def test_words_are_counted_as_the_authors_script_counts_them(text: str, words: int) -> None:
    assert count_words(text) == words


def test_each_task_is_asked_at_ten_lengths_with_three_control_methods(tmp_path: Path) -> None:
    chinese = {**LENGTH_TASK, "id": 2, "lang": "cn", "task": "字数{word_count_type}{word_count}。"}
    suite = LITE.load(put(tmp_path, {"data_lite.jsonl": lines(LENGTH_TASK, chinese)}))
    assert len(suite.items) == 60
    assert {item.group for item in suite.items} == {"equal to", "at most", "at least"}
    assert (suite.items[0].prompt, suite.items[0].words, suite.items[0].id) == ("Use equal to 16 words.", 16, "0:equal to:16")
    assert suite.items[40].prompt == "字数至多有16。"
    row = {"index": 1, "control_method": "at least", "length_constraint": 512, "response": "x"}
    assert suite.identify(row) == "1:at least:512"


def test_the_figure_is_the_mean_over_lengths_and_short_refusals_are_unscored(tmp_path: Path) -> None:
    suite = LITE.load(
        put(tmp_path, {"data_lite.jsonl": lines(LENGTH_TASK, LENGTH_TASK | {"id": 2, "task": "Other: {word_count_type} {word_count}."})})
    )
    items = {item.id: item for item in suite.items}
    written = {"0:equal to:16": 16, "1:equal to:16": 8, "0:equal to:32": 32, "1:equal to:32": 1}
    answers = [GivenAnswer(id=name, prompt=items[name].prompt, model="m", response="word " * count) for name, count in written.items()]
    scored = list(score_answers(suite, items, answers, NONE))
    found = sum_up(LITE, suite, scored, NONE, judge=None)["m"]
    score = found.figures["length_score"]
    half = 100 * math.exp(-2.5)
    assert score.value == pytest.approx(((100 + half) / 2 + 100) / 2)  # the refusal is in no mean
    assert (score.items, score.unscored, found.answered, found.items) == (3, 1, 4, 60)
    assert score.bounds is not None
    assert (score.bounds.low, score.bounds.high) == (
        pytest.approx(((100 + half) / 2 + 50) / 2),
        pytest.approx(((100 + half) / 2 + 100) / 2),
    )
    assert found.figures["length_deviation"].value == pytest.approx((25 + 0) / 2)


def test_a_task_without_a_place_for_the_length_is_named(tmp_path: Path) -> None:
    put(tmp_path, {"data_lite.jsonl": lines(LENGTH_TASK, LENGTH_TASK | {"task": "Write."})})
    with pytest.raises(BadInput, match=r"data_lite\.jsonl:2: task: no {word_count} in it"):
        LITE.load(tmp_path)
