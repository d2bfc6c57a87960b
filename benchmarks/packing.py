"""Packs of 32,768 tokens from the paper's mixture, 6k long texts and 180k chats, beside TRL's packer and next-fit.

Lengths are drawn so that they add up to the mixture's 189.5 million tokens. Packs are given over the volume bound, total / context.
"""

import time
from collections.abc import Callable

import numpy as np

from tasks.sft.packing import Ints, best_fit_decreasing

CONTEXT, TOTAL = 32_768, 189_500_000


def lengths() -> Ints:
    """6,000 long ones (5,009 ± 2,933 tokens) and 180,000 chats, log-normal, scaled to the total."""
    draw = np.random.default_rng(1)
    spread = np.sqrt(np.log(1 + (2933 / 5009) ** 2))
    long = draw.lognormal(np.log(5009) - spread**2 / 2, spread, 6_000).clip(117, CONTEXT)
    chats = draw.lognormal(6.3, 1.0, 180_000).clip(16, CONTEXT)
    return np.concatenate([long, chats * (TOTAL - long.sum()) / chats.sum()]).astype(np.int64).clip(1, CONTEXT)


def next_fit(given: Ints) -> int:
    """Packs when each sample goes into the open pack, or opens the next."""
    packs, free = 0, 0
    for length in given.tolist():
        if length > free:
            packs, free = packs + 1, CONTEXT
        free -= length
    return packs


def trl(given: Ints, batch: int) -> int:
    from datasets import Dataset, disable_progress_bars
    from trl import pack_dataset

    disable_progress_bars()
    rows = Dataset.from_dict({"input_ids": [np.zeros(length, dtype=np.int32) for length in given.tolist()]})
    return len(pack_dataset(rows, CONTEXT, "bfd", {"batch_size": batch}))


def measure(name: str, pack: Callable[[], int], bound: float) -> None:
    began = time.perf_counter()
    packs = pack()
    print(f"  {name:34} {packs:7,} packs  {packs / bound:.4f} × the bound  {time.perf_counter() - began:7.2f} s")


def main() -> None:
    given = lengths()
    bound = given.sum() / CONTEXT
    print(f"packing {len(given):,} samples, {given.sum():,} tokens, at least {bound:,.1f} packs of {CONTEXT:,}")
    measure("best-fit-decreasing, by bitmap", lambda: len(best_fit_decreasing(given, CONTEXT)), bound)
    measure("next-fit (the official packer's)", lambda: next_fit(given), bound)
    measure("TRL bfd, batches of 1,000", lambda: trl(given, 1_000), bound)


if __name__ == "__main__":
    main()
