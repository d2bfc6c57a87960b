from pathlib import Path

import pytest

from tasks import store
from tasks.longbench.scorecard import bin_of, flat, read_scorecards
from tasks.longbench.summary import mean_s_l, s_q, score_item, summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, Language, Rubric, ScoredItem
from tasks.statistics import intervals


def rubric(*scores: int) -> Rubric:
    return Rubric(**dict(zip(Rubric.model_fields, scores, strict=True)))


def item(asked: int, written: int, rubric: Rubric | None = None, *, language: Language = "en", type: str = "News") -> ScoredItem:
    own = BenchmarkItem(id=f"{asked}-{written}", prompt=f"On {written} things", type=type, length=asked, language=language)
    return score_item(own, "student", "word " * written, s_q(rubric) if rubric else None)


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


def test_every_mean_has_an_interval_around_it_and_a_single_item_has_none() -> None:
    card = summarise(
        [item(100, written, rubric(*scores)) for written, scores in zip((100, 90, 60, 50), [(3,) * 6, (4,) * 6] * 2, strict=True)]
    )
    for group in (card, card.by_bin["[0,500)"], card.by_language["en"], card.by_type["News"]):
        for name in ("s_l", "s_q", "s_bar"):
            interval = getattr(group, f"{name}_interval")
            assert interval.low < getattr(group, name) < interval.high
    assert summarise([item(100, 100, rubric(5, 5, 5, 5, 5, 5))]).s_bar_interval is None


def test_the_bounds_of_the_quality_hold_whatever_the_unscored_items_would_have_got() -> None:
    card = summarise([item(100, 100, rubric(3, 3, 3, 3, 3, 3)), item(200, 200, rubric(5, 5, 5, 5, 5, 5)), item(300, 300), item(400, 400)])
    assert card.s_q == 75
    assert card.s_q_bounds is not None
    assert (card.s_q_bounds.low, card.s_q_bounds.high) == (150 / 4, 350 / 4)
    assert summarise([item(100, 100, rubric(3, 3, 3, 3, 3, 3))]).s_q_bounds is None  # nothing is unscored
    assert summarise([item(100, 100)]).s_q_bounds is None  # nobody has judged: no S_q to bound


def test_the_ruler_and_the_ceiling_are_on_the_card() -> None:
    card = summarise([item(asked, min(asked, 200)) for asked in (100, 200, 400, 800)])
    assert [(one.asked, one.mean) for one in card.by_asked] == [(100, 100), (200, 200), (400, 200), (800, 200)]
    assert card.ceiling is not None
    assert (card.ceiling.longest, card.ceiling.asked) == (200, 200)


def test_degeneration_is_averaged_over_the_answers_whose_text_was_at_hand() -> None:
    looping, fine = (
        item(100, 100),
        score_item(
            BenchmarkItem(id="f", prompt="p", type="", length=20, language="en"),
            "student",
            "One two three four five, six seven eight nine ten.",
            None,
        ),
    )
    unseen = item(300, 300).model_copy(update={"degeneration": None})
    decay = summarise([looping, fine, unseen]).degeneration
    assert decay is not None
    assert (decay.items, decay.with_loop, decay.unfinished) == (2, 0.5, 0.5)
    assert decay.looped == pytest.approx(0.99 / 2)
    assert len(decay.looped_by_part) == 10
    assert summarise([unseen]).degeneration is None
    assert "student_repetition" not in flat({"student": summarise([unseen])})


def test_both_modes_stand_side_by_side_and_share_nothing_but_the_quality() -> None:
    asked = BenchmarkItem(id="a", prompt="Write at least 100 words about naïve cafés.", type="", length=100, language="en")
    text = "naïve café " * 90
    card = summarise([score_item(asked, "student", text, 50.0), score_item(asked.model_copy(update={"id": "b"}), "student", text, 50.0)])
    assert card.fixed is not None
    assert (card.s_l, card.fixed.s_l) == (0, 100)  # no word of these is one to the official count; 180 are well over "at least 100"
    assert (card.s_bar, card.fixed.s_bar) == (25, 75)
    assert dict.fromkeys(("fixed",), card.by_language["en"].fixed is not None) == {"fixed": True}
    assert (flat({"m": card})["m_s_l_fixed"], flat({"m": card})["m_s_bar_fixed"]) == (100, 75)
    unseen = [one.model_copy(update={"fixed": None}) for one in (item(100, 100), item(200, 200))]
    assert summarise(unseen).fixed is None


def test_several_answers_to_a_prompt_are_one_observation() -> None:
    drawn = [(asked, sample, 0 if sample else asked) for asked in (100, 200) for sample in range(4)]
    answers = [
        item(asked, words).model_copy(update={"id": str(asked), "topic": str(asked), "sample": sample}) for asked, sample, words in drawn
    ]
    card, single = summarise(answers), summarise([item(100, 100), item(200, 200)])
    assert (card.items, card.answers, card.unscored, card.s_l) == (2, 8, 8, 25)
    assert card.s_l_interval is not None
    of_two = intervals([25, 25], [None, None]).s_l
    assert card.s_l_interval == of_two, "of two prompts, not of eight answers"
    assert (single.items, single.answers) == (2, 2)


def test_prompts_of_one_topic_are_one_observation() -> None:
    prompts = [(topic, asked) for topic in ("tea", "rivers", "bread") for asked in (100, 200, 400, 800)]
    asked_for = [BenchmarkItem(id=f"{t}{n}", prompt=f"A {n}-word essay on {t}", type="", length=n, language="en") for t, n in prompts]
    card = summarise([score_item(own, "student", "word " * 100, None) for own in asked_for])
    apart = summarise([score_item(own, "student", "word " * 100, None).model_copy(update={"topic": own.id}) for own in asked_for])
    assert (card.items, card.topics, apart.topics) == (12, 3, 12)
    assert card.s_l_interval
    assert apart.s_l_interval
    assert card.s_l_interval.low < apart.s_l_interval.low < card.s_l < apart.s_l_interval.high < card.s_l_interval.high
    assert card.by_bin["[500,2000)"].topics == 3


def test_an_answer_that_is_unscored_beside_a_scored_one_is_in_the_bounds() -> None:
    scored = item(100, 100, rubric(5, 5, 5, 5, 5, 5))
    card = summarise([scored, item(100, 100).model_copy(update={"sample": 1}), item(200, 200, rubric(3, 3, 3, 3, 3, 3))])
    assert (card.s_q, card.unscored) == ((100 + 50) / 2, 1)
    assert card.s_q_bounds is not None
    assert (card.s_q_bounds.low, card.s_q_bounds.high) == ((50 + 50) / 2, (100 + 50) / 2)


def test_an_answer_that_hit_the_token_limit_is_unfinished() -> None:
    own = BenchmarkItem(id="f", prompt="p", type="", length=20, language="en")
    found = [score_item(own, "student", "It ends.", None, finish_reason=reason).degeneration for reason in ("stop", "length")]
    assert [one.unfinished for one in found if one] == [False, True]


def test_the_metrics_name_intervals_ruler_and_degeneration() -> None:
    metrics = flat({"student": summarise([item(100, 100, rubric(3, 3, 3, 3, 3, 3)), item(800, 90)])})
    assert metrics["student_longest"] == 100
    assert metrics["student_ceiling"] == 100
    assert metrics["student_s_l_low"] <= metrics["student_s_l"] <= metrics["student_s_l_high"]
    assert metrics["student_unfinished"] == 1
    assert "student_s_q_low" not in metrics  # one scored item


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
    with pytest.raises(BadInput, match=r"scorecard\.json: student\.answers: missing field"):
        read_scorecards(tmp_path / "scorecard.json")


def answer(length: int, written: int, sample: int) -> ScoredItem:
    prompt = f"Write {length} words about salt."
    own = BenchmarkItem(id=f"i{length}", prompt=prompt, type="", length=length, language="en")
    return score_item(own, "student", " ".join(f"w{number}" for number in range(written)), None, sample=sample)


def test_steadiness_is_that_of_several_answers_to_one_prompt() -> None:
    found = summarise([answer(100, written, sample) for sample, written in enumerate((80, 120))]).steadiness
    assert found is not None
    assert (found.prompts, found.answers, found.lvc, found.mla) == (1, 2, 0.2, 100)
    two = summarise(
        [*(answer(100, 50, sample) for sample in range(2)), *(answer(200, 500, sample) for sample in range(2)), answer(300, 1, 0)]
    )
    assert two.steadiness is not None
    assert (two.steadiness.prompts, two.steadiness.lvc, two.steadiness.mla) == (2, 0, 25)


def test_one_answer_to_each_prompt_says_nothing_of_steadiness() -> None:
    assert summarise([answer(100, 100, 0), answer(200, 100, 0)]).steadiness is None


def test_empty_answers_have_a_mean_and_no_relative_deviation() -> None:
    found = summarise([answer(100, 0, 0), answer(100, 0, 1)]).steadiness
    assert found is not None
    assert (found.lvc, found.mla) == (None, 0)


def test_a_loop_that_is_as_long_as_asked_has_no_score_without_loops() -> None:
    own = BenchmarkItem(id="a", prompt="Write 800 words about salt.", type="", length=800, language="en")
    found = score_item(own, "base", "It was the only thing that he knew and that he ever wanted. " * 62, None)
    card = summarise([found])
    assert card.s_l > 90
    assert card.fixed is not None
    assert card.fixed.s_l > 90
    assert card.fixed.s_l_without_loops == 0
    assert (card.by_asked[0].mean_without_loops, card.by_asked[0].s_l_without_loops) == (13, 0)
