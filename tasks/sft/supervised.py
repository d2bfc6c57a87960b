"""SFT by TRL's SFTTrainer over packed rows. Imported in the process that trains only.

The loss is the mean over all target tokens of the global batch (the paper, section 4: sequence means under-weight long answers).
Packs are padding-free with positions that restart, so that packed samples never attend to each other.
"""

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from tasks.sft import weights
from tasks.sft.arguments import arguments
from tasks.sft.job import Job
from tasks.sft.order import order
from tasks.sft.packing import FILE, Ints, lengths_of
from tasks.sft.shapes import Shapes
from tasks.sft.watch import Costs, Watched, callbacks


class Supervised(Watched, SFTTrainer):
    """SFTTrainer whose loss is watched."""

    def contents(self, row: int) -> list[str]:
        return list(Dataset.from_file(str(self._job.rows / FILE))[row]["ids"])


def build(job: Job, tokenizer: Any) -> Supervised:
    rows = Dataset.from_file(str(job.rows / FILE)).select_columns(["input_ids", "labels", "seq_lengths"]).with_format("numpy")
    model = weights.load(job, tokenizer, tiny=job.method.tiny)
    return Supervised(
        job=job,
        costs=costs(job.rows, Shapes.of(model.config)),
        model=model,
        args=SFTConfig(**arguments(job), dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=rows.select(order(len(rows), steps=job.steps, global_batch=job.optimization.global_batch, seed=job.seed)),
        processing_class=tokenizer,
        data_collator=DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id, padding_free=True),
        callbacks=callbacks(job),
    )


def costs(packs: Path, shapes: Shapes) -> Costs:
    """Tokens and FLOPs of every pack."""
    lengths, borders = lengths_of(packs)
    return Costs(rows=len(borders) - 1, tokens=_sums(lengths, borders), flops=_sums(shapes.flops(lengths.astype(np.float64)), borders))


def _sums(values: Any, borders: Ints) -> Any:
    return np.diff(np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])[borders])
