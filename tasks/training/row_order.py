"""Decide which rows each optimizer step trains on, from the seed alone. Processes and accumulation do not change the order.

Shuffled passes over the rows are concatenated, and a batch may contain rows of two passes. So every step has a full global batch, and
no row is dropped or repeated to fill a rank. Every rank knows the batch of any step.
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
    """Optimizer steps to read each row `epochs` times. The next pass fills up the last batch."""
    return math.ceil(epochs * rows / global_batch)
