"""The judge that trains: a ring of comparisons in both orders, each paid once; what cannot be read is not scored."""

import json
from itertools import combinations
from pathlib import Path

import pytest

from tasks.rewards.interface import AnswerGroup, WrittenAnswer
from tasks.rewards.ranking import RANKING, open_jury, pairs_of
from tasks.schema.params import Model
from tasks.schema.records import BenchmarkItem
from tests.tasks.judging.endpoint import Body, asked, endpoint

JUDGE = Model(name="some-judge", revision="1", temperature=0.0, max_tokens=64)
ITEM = BenchmarkItem(id="a", prompt="Write 40 words about bread.", type="training", length=40, language="en")
GROUP = AnswerGroup(ITEM, tuple(WrittenAnswer(f"A text of quality {number}.", 6, ended=True) for number in range(4)))


@pytest.fixture(autouse=True)
def own_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_HOME", str(tmp_path / "home"))


def better(body: Body) -> str:
    """The judge prefers the higher number."""
    first, second = (int(text.partition(".")[0]) for text in asked(body).split("A text of quality ")[1:3])
    return json.dumps({"winner": "first" if first > second else "second"})


def test_every_answer_meets_its_next_opponents_and_nobody_meets_twice() -> None:
    assert pairs_of(4, 1) == [(0, 1), (0, 3), (1, 2), (2, 3)]
    assert pairs_of(5, 2) == pairs_of(5, 9) == list(combinations(range(5), 2))
    assert pairs_of(2, 3) == [(0, 1)]


def test_the_better_answer_wins_in_both_orders_and_a_second_time_nothing_is_paid() -> None:
    with endpoint(better, "reward_judge") as seen:
        for _ in range(2):
            with open_jury(JUDGE, opponents=2, tries=2) as jury:
                assert jury.score(RANKING, [GROUP]) == [[0.0, 1 / 3, 2 / 3, 1.0]]
        assert len(seen) == 12, "six pairs, in both orders, paid once"


def test_a_judge_that_prefers_the_first_place_moves_nobody() -> None:
    with endpoint(lambda _: '{"winner": "first"}', "reward_judge"), open_jury(JUDGE, opponents=1, tries=1) as jury:
        assert jury.score(RANKING, [GROUP, GROUP]) == [[0.5] * 4] * 2


def test_an_answer_without_a_readable_comparison_is_not_scored() -> None:
    def about_the_last_nothing(body: Body) -> str:
        return "no idea" if "quality 3" in asked(body) else better(body)

    with endpoint(about_the_last_nothing, "reward_judge"), open_jury(JUDGE, opponents=2, tries=1) as jury:
        assert jury.score(RANKING, [GROUP]) == [[0.0, 0.5, 1.0, None]]
        assert jury.judge
        assert "no JSON object" in jury.judge.problem
