from pathlib import Path

import pytest

from tasks import store
from tasks.longbench.summary import bin_of, mean_s_l, reach, read_scorecards, s_q, score_item, summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, Language, Rubric, ScoredItem


def rubric(*scores: int) -> Rubric:
    return Rubric(**dict(zip(Rubric.model_fields, scores, strict=True)))


def item(asked: int, written: int, rubric: Rubric | None = None, *, language: Language = "en", type: str = "News") -> ScoredItem:
    own = BenchmarkItem(id=f"{asked}", prompt="p", type=type, length=asked, language=language)
    return score_item(own, "student", "word " * written, rubric)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (1, "[0,500)"),
        (499, "[0,500)"),
        (500, "[500,2000)"),
        (1999, "[500,2000)"),
        (2000, "[2000,4000)"),
        (3999, "[2000,4000)"),
        (4000, "[4000,20000]"),
        (20000, "[4000,20000]"),
        (20001, "over 20000"),
        (30000, "over 20000"),
    ],
)
def test_bins_are_the_papers_with_the_last_one_closed(asked: int, name: str) -> None:
    assert bin_of(asked) == name


def test_the_quality_score_spans_0_to_100() -> None:
    assert s_q(rubric(1, 1, 1, 1, 1, 1)) == 0
    assert s_q(rubric(5, 5, 5, 5, 5, 5)) == 100
    assert s_q(rubric(1, 2, 3, 4, 5, 5)) == pytest.approx((0 + 25 + 50 + 75 + 100 + 100) / 6)


def test_unscored_items_are_counted_and_imputed_nowhere() -> None:
    card = summarise([item(100, 100, rubric(5, 5, 5, 5, 5, 5)), item(100, 50), item(600, 600)])
    assert (card.items, card.unscored) == (3, 2)
    assert card.s_l == pytest.approx(250 / 3)
    assert card.s_q == 100
    assert card.s_bar == pytest.approx((250 / 3 + 100) / 2)
    assert (card.by_bin["[0,500)"].unscored, card.by_bin["[500,2000)"].s_q, card.by_bin["[500,2000)"].s_bar) == (1, None, None)


def test_groups_hold_every_item_once_and_stand_in_the_order_of_their_bins() -> None:
    items = [item(n, n, language="zh" if n % 2 else "en", type="小说" if n > 999 else "") for n in (30000, 15, 20000, 3000, 1001, 7)]
    card = summarise(items)
    assert list(card.by_bin) == ["[0,500)", "[500,2000)", "[2000,4000)", "[4000,20000]", "over 20000"]
    assert sum(group.items for group in card.by_bin.values()) == sum(group.items for group in card.by_language.values()) == 6
    assert {name: group.items for name, group in card.by_type.items()} == {"小说": 4}


def test_the_ruler_has_mean_and_longest_answer_per_asked_length() -> None:
    card = summarise([item(200, 150), item(100, 90), item(100, 110)])
    assert [(point.asked, point.written) for point in card.ruler] == [(100, 90), (100, 110), (200, 150)]
    assert [(r.asked, r.items, r.mean, r.longest) for r in reach(card.ruler)] == [(100, 2, 100, 110), (200, 1, 150, 150)]


def test_no_items_have_no_score() -> None:
    with pytest.raises(ValueError, match="no items"):
        summarise([])
    assert mean_s_l([item(100, 100)], over=100) is None
    assert mean_s_l([item(100, 100), item(101, 0)], over=100) == 0


def test_scorecards_come_back_as_they_were_written(tmp_path: Path) -> None:
    card = summarise([item(100, 100, rubric(1, 2, 3, 4, 5, 5)), item(500, 1)])
    store.write_json(tmp_path / "scorecard.json", {"student": card.model_dump(mode="json")})
    assert read_scorecards(tmp_path / "scorecard.json") == {"student": card}


def test_a_scorecard_that_is_none_is_named(tmp_path: Path) -> None:
    store.write_json(tmp_path / "scorecard.json", {"student": {"items": 1}})
    with pytest.raises(BadInput, match=r"scorecard\.json: s_l: missing field"):
        read_scorecards(tmp_path / "scorecard.json")
