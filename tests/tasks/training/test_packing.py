import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.schema.errors import BadInput
from tasks.training.conversations import IGNORED, Tokens
from tasks.training.packing import best_fit_decreasing, count_packs, lengths_of, read_packs
from tests.tasks.training.packs import write

CONTEXT = 64


def sample(length: int, start: int) -> Tokens:
    ids = np.arange(start, start + length, dtype=np.int32)
    return Tokens(ids, np.concatenate([[IGNORED], ids[1:]]).astype(np.int32))


@pytest.mark.parametrize("lengths", [[2], [1], [CONTEXT], [CONTEXT, 2, 3], [40, 30, 20, 10, 5, 60] * 5, [3] * 500])
def test_every_sample_is_in_exactly_one_pack_and_whole(tmp_path: Path, lengths: list[int]) -> None:
    samples = [sample(length, 1000 * number) for number, length in enumerate(lengths)]
    packed = write(samples, tmp_path / "packs", context=CONTEXT)
    found = []
    for pack in read_packs(tmp_path / "packs"):
        start = 0
        for name, length in zip(pack["ids"], pack["seq_lengths"], strict=True):
            found.append((name, pack["input_ids"][start : start + length], pack["labels"][start : start + length]))
            start += length
        assert start == len(pack["input_ids"]) <= CONTEXT
    assert sorted(found) == sorted((f"s{n}", s.input_ids.tolist(), s.labels.tolist()) for n, s in enumerate(samples))
    assert packed.tokens == sum(lengths)
    assert packed.targets == sum(lengths) - len(lengths)
    flat, borders = lengths_of(tmp_path / "packs")
    assert sorted(flat) == sorted(lengths)
    assert len(borders) == packed.packs + 1 == count_packs(tmp_path / "packs") + 1


@given(st.lists(st.integers(1, CONTEXT), max_size=200))
def test_nothing_is_lost_split_or_put_where_it_does_not_fit(lengths: list[int]) -> None:
    packs = best_fit_decreasing(lengths, CONTEXT)
    assert sorted(place for pack in packs for place in pack) == list(range(len(lengths)))
    assert all(0 < sum(lengths[place] for place in pack) <= CONTEXT for pack in packs)


@given(st.lists(st.integers(1, CONTEXT), min_size=1, max_size=60))
def test_each_goes_into_the_fullest_pack_that_has_room(lengths: list[int]) -> None:
    """Against the definition, bin by bin."""
    free: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [space for space in free if space >= length]
        if fitting:
            free[free.index(min(fitting))] -= length
        else:
            free.append(CONTEXT - length)
    packs = best_fit_decreasing(lengths, CONTEXT)
    assert sorted(CONTEXT - sum(lengths[place] for place in pack) for pack in packs) == sorted(free)


@pytest.mark.parametrize("lengths", [[0], [CONTEXT + 1], [3, 0, 5]])
def test_a_length_that_no_pack_can_hold_is_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="in packs of 64"):
        best_fit_decreasing(lengths, CONTEXT)


def test_a_long_form_mixture_comes_within_a_two_thousandth_of_its_volume() -> None:
    """1/60 of the paper's mixture: long answers and general chats, 32,768 tokens a pack."""
    draw = random.Random(1)
    long = [min(32_000, int(draw.lognormvariate(8.5, 0.5))) for _ in range(100)]
    lengths = long + [int(draw.expovariate(1 / 880)) + 20 for _ in range(3000)]
    packs = best_fit_decreasing(lengths, 32_768)
    assert len(packs) <= -(-sum(lengths) // 32_768) * 1.0005 + 1


def test_no_packs_are_one_line_before_anything_starts(tmp_path: Path) -> None:
    write([], tmp_path / "packs", context=CONTEXT)
    with pytest.raises(BadInput, match="no packs in it"):
        count_packs(tmp_path / "packs")
