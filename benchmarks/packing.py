"""Compare packing with TRL's packer and next-fit: packs of 32,768 tokens from the paper's mixture of 6k long texts and 180k chats.

Run by `make bench`. Lengths are drawn so that they add up to the mixture's 189.5 million tokens. The number of packs is divided by the
volume bound, total tokens / context. The last rows also write token ids and labels to disk, each in its own process, and show seconds
and peak memory divided by the size of the data.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import most_memory
from tasks.training.conversations import Tokens
from tasks.training.packing import Ints, Samples, best_fit_decreasing, write_packs

CONTEXT, TOTAL, AT_ONCE = 32_768, 189_500_000, 1_000


def lengths() -> Ints:
    """Lengths in tokens: 6,000 long texts (5,009 ± 2,933) and 180,000 chats, both log-normal; chats are scaled to the total."""
    draw = np.random.default_rng(1)
    spread = np.sqrt(np.log(1 + (2933 / 5009) ** 2))
    long = draw.lognormal(np.log(5009) - spread**2 / 2, spread, 6_000).clip(117, CONTEXT)
    chats = draw.lognormal(6.3, 1.0, 180_000).clip(16, CONTEXT)
    return np.concatenate([long, chats * (TOTAL - long.sum()) / chats.sum()]).astype(np.int64).clip(1, CONTEXT)


def next_fit(given: Ints) -> int:
    """Number of packs if each sample goes into the current pack, or begins the next."""
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
    print(f"  {name:34} {packs:7,} packs  {packs / bound:.4f} × the bound  {time.perf_counter() - began:7.2f} s", flush=True)


def batches(given: Ints) -> Iterator[list[Tokens]]:
    """Random tokens and labels with the given lengths, in batches of AT_ONCE."""
    draw = np.random.default_rng(2)
    for start in range(0, len(given), AT_ONCE):
        rows = [draw.integers(4, 128_000, length, dtype=np.int32) for length in given[start : start + AT_ONCE]]
        yield [Tokens(row, row) for row in rows]


def pack_to_disk(given: Ints, folder: Path) -> int:
    samples = Samples(folder / "samples.arrow")
    for rows in batches(given):
        samples.add([str(len(samples.lengths) + place) for place in range(len(rows))], rows)
    return write_packs(samples, samples.close(), range(len(given)), folder / "packs", context=CONTEXT).packs


def trl_to_disk(given: Ints, folder: Path) -> int:
    """Pack as SFTTrainer does: rows in an Arrow file, packed by `map` in batches of 1,000."""
    from datasets import Dataset, Features, List, Value, disable_progress_bars
    from trl import pack_dataset

    def rows() -> Iterator[dict[str, Any]]:
        for batch in batches(given):
            yield from ({"input_ids": row.input_ids, "labels": row.labels} for row in batch)

    disable_progress_bars()
    features = Features({name: List(Value("int32")) for name in ("input_ids", "labels")})
    return len(pack_dataset(Dataset.from_generator(rows, features=features, cache_dir=str(folder)), CONTEXT, "bfd"))


TO_DISK = {"ours": pack_to_disk, "TRL": trl_to_disk}


def to_disk(name: str, bound: float) -> None:
    """Run one of TO_DISK in a child process. The data are ids and labels, 8 bytes per token."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.packing", name], stdout=subprocess.PIPE, text=True, check=True)
    packs, seconds, memory = map(float, done.stdout.split()[-3:])
    shown = f"{packs / bound:.4f} × the bound  {seconds:7.2f} s  {memory / (8 * TOTAL):.2f} × the data in memory"
    print(f"  {f'{name}, ids and labels to disk':34} {packs:7,.0f} packs  {shown}", flush=True)


def work(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        packs = TO_DISK[name](lengths(), Path(folder))
        print(packs, time.perf_counter() - began, most_memory())


def main() -> None:
    given = lengths()
    bound = given.sum() / CONTEXT
    print(f"packing {len(given):,} samples, {given.sum():,} tokens, at least {bound:,.1f} packs of {CONTEXT:,}")
    measure("best-fit-decreasing, by bitmap", lambda: len(best_fit_decreasing(given, CONTEXT)), bound)
    measure("next-fit (the official packer's)", lambda: next_fit(given), bound)
    measure("TRL bfd, batches of 1,000", lambda: trl(given, 1_000), bound)
    measure("TRL bfd, one batch", lambda: trl(given, len(given)), bound)
    for name in TO_DISK:
        to_disk(name, bound)


if __name__ == "__main__":
    work(sys.argv[1]) if len(sys.argv) > 1 else main()
