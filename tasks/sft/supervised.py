"""SFT by TRL's SFTTrainer over packed rows. Imported in the process that trains only.

The loss is the mean over all target tokens of the global batch (the paper, section 4: sequence means under-weight long answers).
Packs are padding-free with positions that restart, so that packed samples never attend to each other.
"""

from typing import Any

import numpy as np
from datasets import Dataset, load_from_disk
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from tasks.sft import weights
from tasks.sft.arguments import arguments
from tasks.sft.job import Job
from tasks.sft.order import order
from tasks.sft.shapes import Shapes
from tasks.sft.watch import Costs, Watched, callbacks


class Supervised(Watched, SFTTrainer):
    """SFTTrainer whose loss is watched."""


def build(job: Job, tokenizer: Any) -> Supervised:
    rows = load_from_disk(str(job.rows))
    model = weights.load(job, tokenizer, tiny=job.method.tiny)
    return Supervised(
        job=job,
        costs=_costs(rows, Shapes.of(model.config)),
        model=model,
        args=SFTConfig(**arguments(job), dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=rows.select(order(len(rows), steps=job.steps, global_batch=job.optimization.global_batch, seed=job.seed)),
        processing_class=tokenizer,
        data_collator=DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id, padding_free=True),
        callbacks=callbacks(job),
    )


def _costs(rows: Dataset, shapes: Shapes) -> Costs:
    """Tokens and FLOPs of every row."""
    lengths = rows.data.column("seq_lengths").combine_chunks()
    flat, borders = lengths.values.to_numpy().astype(np.float64), lengths.offsets.to_numpy()
    flops = shapes.flops(flat)
    return Costs(rows=len(rows), tokens=_sums(flat, borders), flops=_sums(flops, borders))


def _sums(values: "np.typing.NDArray[np.float64]", borders: "np.typing.NDArray[np.int64]") -> "np.typing.NDArray[np.float64]":
    return np.diff(np.concatenate([[0.0], np.cumsum(values)])[borders])
