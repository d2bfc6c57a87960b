"""Which rows each optimizer step trains on: a function of the seed alone, whatever the number of processes and the accumulation.

Passes over the rows, each shuffled anew, follow one another without a seam, so that every step has a whole global batch: no row is
dropped or read twice to even out the ranks. Because the order is known, so is the batch of any step, on every rank.
"""

import math

import numpy as np
import numpy.typing as npt


def order(rows: int, *, steps: int, global_batch: int, seed: int) -> npt.NDArray[np.int64]:
    """The rows of all steps, shape (steps × global_batch,); step s, from 0, trains on order[s·global_batch : (s+1)·global_batch]."""
    needed = steps * global_batch
    passes = math.ceil(needed / rows)
    return np.concatenate([np.random.default_rng((seed, number)).permutation(rows) for number in range(passes)])[:needed]


def steps_of(rows: int, *, epochs: float, global_batch: int) -> int:
    """Optimizer steps until each row was read `epochs` times; the last batch is filled up from a further pass."""
    return math.ceil(epochs * rows / global_batch)
