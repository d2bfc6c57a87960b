from pathlib import Path

import pytest
from datasets import load_from_disk

from tasks.sft.packing import write_packs
from tasks.sft.tokenizer import IGNORED, Tokens

CONTEXT = 64


def sample(length: int, start: int) -> Tokens:
    ids = list(range(start, start + length))
    return Tokens(ids, [IGNORED, *ids[1:]])


@pytest.mark.parametrize("lengths", [[2], [CONTEXT], [CONTEXT, 2, 3], [40, 30, 20, 10, 5, 60] * 5, [3] * 500])
def test_every_sample_is_in_exactly_one_pack_and_whole(tmp_path: Path, lengths: list[int]) -> None:
    samples = [sample(length, 1000 * number) for number, length in enumerate(lengths)]
    packed = write_packs(samples, tmp_path / "packs", context=CONTEXT)
    found = []
    for pack in load_from_disk(str(tmp_path / "packs")):
        start = 0
        for length in pack["seq_lengths"]:
            found.append((pack["input_ids"][start : start + length], pack["labels"][start : start + length]))
            start += length
        assert start == len(pack["input_ids"]) <= CONTEXT
    assert sorted(found) == sorted((s.input_ids, s.labels) for s in samples)
    assert packed.tokens == sum(lengths)
    assert packed.targets == sum(lengths) - len(lengths)


def test_packs_are_nearly_full_where_the_lengths_allow_it(tmp_path: Path) -> None:
    lengths = [length for length in range(4, 61) for _ in range(10)]
    packed = write_packs([sample(length, 0) for length in lengths], tmp_path / "packs", context=CONTEXT)
    assert packed.fill > 0.98
