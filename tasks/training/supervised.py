"""SFT by TRL's SFTTrainer over packed rows. Only the training process imports this module.

The default loss is the mean over all target tokens of the global batch (paper, section 4: sequence means under-weight long answers).
Packs have no padding. Positions restart at each sample, so packed samples never attend to each other.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from tasks.schema.params import Adapter
from tasks.training import weights
from tasks.training.arguments import arguments
from tasks.training.job import Sft, TrainingJob
from tasks.training.memory import adapter_parameters
from tasks.training.packing import FILE, Ints, lengths_of, longest
from tasks.training.row_order import order
from tasks.training.shapes import Shapes
from tasks.training.watch import Costs, Watched, callbacks, resumed_at

Batch = Mapping[str, torch.Tensor]


class Supervised(Watched, SFTTrainer):
    """SFTTrainer with the token-mean loss, or LongAlign's loss (arXiv 2401.18058, section 3.2): the mean of the sequences' means."""

    def contents(self, row: int) -> list[str]:
        return list(Dataset.from_file(str(self._job.rows / FILE))[row]["ids"])

    def __init__(self, *args: Any, job: TrainingJob, **kwargs: Any) -> None:
        super().__init__(*args, job=job, **kwargs)
        if job.where.sequence_parallel > 1:
            from deepspeed.comm import init_distributed

            init_distributed(auto_mpi_discovery=False, verbose=False)  # Ulysses needs it before DeepSpeed starts; uses an existing group
            self.loss_is_scaled_for_ga = True  # compute_loss divides by the global batch already

    def compute_loss(
        self, model: PreTrainedModel, inputs: Batch, return_outputs: bool = False, num_items_in_batch: torch.Tensor | None = None
    ) -> Any:
        if self._job.where.sequence_parallel > 1:  # transformers' own loss is the mean of the rows' means
            outputs = model(**inputs, fused_lm_head=True)  # this process's slice of a row
            loss = -outputs.log_probs.sum() / num_items_in_batch * self.accelerator.num_processes
            return (loss, outputs) if return_outputs else loss
        if _weighting(self._job) == "token":
            return super().compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)
        outputs = model(**inputs, fused_lm_head=True)
        weights = sequence_weights(inputs["labels"], inputs["position_ids"])
        # DDP averages gradients over the processes, but num_items_in_batch counts all processes; so multiply.
        loss = -(outputs.log_probs * weights).sum() / num_items_in_batch * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> torch.Tensor:
        """The loss's denominator: target tokens, or sequences with a target, of the whole global batch."""
        if self._job.where.sequence_parallel > 1:  # each process has its own slice of a row, so no target is counted twice
            targets = torch.stack([(batch["shift_labels"] != -100).sum() for batch in batch_samples]).sum().to(device)
            return self.accelerator.gather(targets).sum()
        if _weighting(self._job) == "token":
            return super()._get_num_items_in_batch(batch_samples, device)
        weights = [sequence_weights(batch["labels"], batch["position_ids"]) for batch in batch_samples]
        sequences = torch.stack([weight.sum() for weight in weights]).sum().round().to(device)
        return self.accelerator.gather(sequences).sum()


def _weighting(job: TrainingJob) -> str:
    assert isinstance(job.method, Sft)
    return job.method.weighting


def sequence_weights(labels: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
    """Weights of the shifted labels, shape (rows, tokens - 1): 1 / targets of the sequence for a target, 0 elsewhere.

    A sequence begins where the positions restart. The weights of each sequence sum to one.
    """
    target = labels[:, 1:] != -100
    sequence = (position_ids == 0).flatten().cumsum(0).view_as(position_ids)[:, 1:]
    counts = torch.bincount(sequence[target], minlength=int(sequence.max()) + 1)
    return target / counts[sequence].clamp(min=1)


def build(job: TrainingJob, tokenizer: PreTrainedTokenizerBase) -> Supervised:
    assert isinstance(job.method, Sft)
    rows = Dataset.from_file(str(job.rows / FILE)).select_columns(["input_ids", "labels", "seq_lengths"]).with_format("numpy")
    model = weights.load(job, tokenizer, tiny=job.method.tiny)
    chosen = order(len(rows), steps=job.steps, global_batch=job.optimization.global_batch, seed=job.seed)
    if job.where.sequence_parallel > 1:  # DeepSpeed's sequence-parallel loader cannot skip trained rows
        chosen = chosen[resumed_at(job.resume) * job.optimization.global_batch :]
    return Supervised(
        job=job,
        costs=costs(job.rows, Shapes.of(model.config), job.optimization.adapter),
        model=model,
        args=SFTConfig(**arguments(job), dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=rows.select(chosen),
        processing_class=tokenizer,
        data_collator=_collator(job, tokenizer),
        callbacks=callbacks(job),
        peft_config=weights.lora(job.optimization.adapter),
    )


def _collator(job: TrainingJob, tokenizer: PreTrainedTokenizerBase) -> Callable[[list[dict[str, object]]], dict[str, object]]:
    """A collator that joins a micro-batch into one row.

    With sequence parallelism it pads all rows to one length, a multiple of the processes.
    """
    size = job.where.sequence_parallel
    if size == 1:
        return DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id, padding_free=True)
    length = math.ceil(longest(job.rows) / size) * size  # gloo gathers tensors of equal length only
    whole = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id, padding_free=True, pad_to_multiple_of=length)

    def cut(rows: list[dict[str, object]]) -> dict[str, object]:
        batch = whole(rows)
        return {name: batch[name] for name in ("input_ids", "labels", "position_ids")}  # without the row's seq_lengths

    return cut


def costs(packs: Path, shapes: Shapes, adapter: Adapter | None) -> Costs:
    """Tokens and FLOPs of every pack."""
    lengths, borders = lengths_of(packs)
    flops = shapes.flops(lengths.astype(np.float64), adapter=adapter_parameters(shapes, adapter))
    return Costs(rows=len(borders) - 1, tokens=_sums(lengths.astype(np.float64), borders), flops=_sums(flops, borders))


def _sums(values: npt.NDArray[np.float64], borders: Ints) -> npt.NDArray[np.float64]:
    return np.diff(np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])[borders])
