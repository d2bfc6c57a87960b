"""Which answer is chosen, which is rejected, and when there is no pair."""

import random
from collections.abc import Sequence

import pytest

from tasks.longbench.benchmark import BenchmarkPrompt, item_of
from tasks.schema.records import Pair, Prediction, Reason, Reject, Rubric
from tasks.training.pair_choice import Rated, choose, rate

ITEM = item_of(BenchmarkPrompt("Write 100 words about bread.", 100))


def answer(words: int, *, sample: int = 0, quality: int | None = 3, ended: bool = True) -> Rated:
    """An answer of so many words; `quality` is its grade in all six dimensions."""
    rubric = None if quality is None else Rubric(**dict.fromkeys(Rubric.model_fields, quality))
    return rate(prediction(words, sample=sample, ended=ended), rubric)


def prediction(words: int, *, sample: int = 0, ended: bool = True) -> Prediction:
    text = " ".join(["bread"] * words)
    return Prediction(
        item=ITEM, model="student", sample=sample, response=text, finish_reason="stop" if ended else "length", tokens=words, seconds=1.0
    )


def pair_of(rated: Sequence[Rated], *, seed: int = 1, margin: float = 0.0) -> Pair:
    found = choose(prediction(1), rated, seed=seed, margin=margin)
    assert isinstance(found, Pair)
    return found


def reason_of(rated: Sequence[Rated], *, margin: float = 0.0) -> Reason:
    found = choose(prediction(1), rated, seed=1, margin=margin)
    assert isinstance(found, Reject)
    assert found.id == ITEM.id
    return found.reason


def test_the_score_is_the_mean_of_length_and_quality() -> None:
    assert answer(50, quality=3).score == (50 + 50) / 2
    assert answer(100, quality=5).score == 100
    assert answer(0, quality=1).score == 0


def test_the_best_is_chosen_and_a_worse_one_rejected() -> None:
    rated = [answer(60, sample=0), answer(100, sample=1), answer(80, sample=2), answer(300, sample=3)]
    for seed in range(20):
        pair = pair_of(rated, seed=seed)
        assert pair.chosen.words == 100
        assert pair.rejected.words in (60, 80, 300)
    assert {pair_of(rated, seed=seed).rejected.words for seed in range(20)} == {60, 80, 300}, "the rejected one is a random other"


def test_quality_outweighs_a_small_miss_of_length() -> None:
    assert pair_of([answer(100, sample=0, quality=2), answer(90, sample=1, quality=5)]).chosen.words == 90


def test_the_choice_knows_no_order() -> None:
    rated = [answer(words, sample=number) for number, words in enumerate((60, 100, 80, 300, 100, 70))]
    for seed in range(20):
        shuffled = random.Random(seed).sample(rated, len(rated))
        assert pair_of(shuffled, seed=seed) == pair_of(rated, seed=seed)


def test_answers_that_score_alike_are_no_preference() -> None:
    assert reason_of([answer(80, sample=number) for number in range(4)]) is Reason.TIED
    pair = pair_of([answer(80, sample=0), answer(80, sample=1), answer(50, sample=2)])
    assert (pair.chosen.words, pair.rejected.words) == (80, 50), "of two best ones neither is the rejected one"


def test_a_difference_within_the_margin_is_none() -> None:
    rated = [answer(100, sample=0), answer(97, sample=1)]
    assert pair_of(rated).rejected.words == 97
    assert reason_of(rated, margin=5.0) is Reason.TIED


def test_an_answer_without_a_verdict_takes_no_part() -> None:
    rated = [answer(100, sample=0, quality=None), answer(60, sample=1), answer(80, sample=2)]
    pair = pair_of(rated)
    assert (pair.chosen.words, pair.rejected.words) == (80, 60)
    assert reason_of([answer(100, quality=None), answer(80, sample=1)]) is Reason.UNSCORED


def test_a_cut_answer_may_be_rejected_and_is_never_chosen() -> None:
    pair = pair_of([answer(100, sample=0, ended=False), answer(80, sample=1), answer(400, sample=2, ended=False)])
    assert (pair.chosen.words, pair.rejected.words) == (80, 400)
    assert (pair.chosen.ended, pair.rejected.ended) == (True, False)
    assert reason_of([answer(100, sample=0, ended=False), answer(80, sample=1, ended=False)]) is Reason.TRUNCATED


@pytest.mark.parametrize("margin", [0.0, 10.0])
def test_in_every_pair_the_chosen_answer_is_better_by_more_than_the_margin(margin: float) -> None:
    luck = random.Random(7)
    for seed in range(200):
        rated = [answer(luck.randint(0, 300), sample=number, quality=luck.choice([1, 3, 5])) for number in range(4)]
        found = choose(prediction(1), rated, seed=seed, margin=margin)
        if isinstance(found, Pair):
            chosen, rejected = ((side.s_l or 0) + (side.s_q or 0) for side in (found.chosen, found.rejected))
            assert chosen / 2 - rejected / 2 > margin
