"""The draw is balanced, and independent of the order of rows and their split into files."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tasks.corpus.drawing import DrawablePrompt, draw

FITS = st.lists(
    st.builds(
        DrawablePrompt,
        id=st.integers(0, 10**6).map(lambda n: f"{n:016x}"),
        language=st.sampled_from(["en", "zh"]),
        words=st.sampled_from([2_000, 3_000, 5_000, 10_000, 30_000]),
        topic=st.sampled_from(["essay", "fiction", "report"]),
    ),
    max_size=80,
    unique_by=lambda fit: fit.id,
)


@given(FITS, st.integers(1, 60), st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_draw_is_the_same_for_any_order(pool: list[DrawablePrompt], count: int, seed: int, luck: random.Random) -> None:
    mixed = [fit._replace(place=place) for place, fit in enumerate(luck.sample(pool, len(pool)))]
    assert [fit[:4] for fit in draw(pool, count=count, seed=seed)] == [fit[:4] for fit in draw(mixed, count=count, seed=seed)]


@given(FITS, st.integers(1, 60))
def test_a_smaller_draw_is_part_of_a_larger_one_and_none_takes_more_than_there_is(pool: list[DrawablePrompt], count: int) -> None:
    drawn, more = draw(pool, count=count, seed=1), draw(pool, count=count + 5, seed=1)
    assert len(drawn) == min(count, len(pool))
    assert set(drawn) <= set(more) <= set(pool)


@given(FITS, st.integers(1, 60))
def test_languages_and_their_octaves_of_length_are_balanced_as_far_as_there_are_rows(pool: list[DrawablePrompt], count: int) -> None:
    drawn = draw(pool, count=count, seed=1)
    _levelled(Counter(fit.language for fit in pool), Counter(fit.language for fit in drawn))
    for language in ("en", "zh"):
        within = [[fit.words.bit_length() for fit in fits if fit.language == language] for fits in (pool, drawn)]
        _levelled(Counter(within[0]), Counter(within[1]))


def _levelled(there: Counter[object], taken: Counter[object]) -> None:
    """No group has two more than another that has any left."""
    left = [taken[group] for group in there if taken[group] < there[group]]
    assert not left or max(taken.values(), default=0) <= min(left) + 1


def test_another_seed_draws_others() -> None:
    pool = [DrawablePrompt(f"{n:03}", "zh" if n % 3 else "en", 100 * (n % 5 + 1), "essay") for n in range(90)]
    assert draw(pool, count=30, seed=1) != draw(pool, count=30, seed=2)
    assert draw(pool, count=1000, seed=1) == pool
