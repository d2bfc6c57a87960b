"""Record every training step's numbers, write checkpoints, and stop a training at a bad loss or gradient.

A mixin for TRL trainers: `class Supervised(Watched, SFTTrainer)`. Only the training process imports this module.
"""

import json
import re
import time
from collections import deque
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import broadcast_object_list, gather_object
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks import progress, store
from tasks.schema.errors import TrainingFailed
from tasks.training import checkpoint_sync, checkpoints
from tasks.training.job import HISTORY, Machine, Resolved, TrainingJob, TrainingStep
from tasks.training.row_order import order

CIRCUMSTANCE = re.compile(  # arguments of place, speed, display and storage, secrets, paths: not part of a result
    r"^(per_device_|gradient_accumulation_steps|use_cpu|activation_|gradient_checkpointing|dataloader_|save_|local_rank|ddp_|fsdp|deepspeed"
    r"|parallelism_config|accelerator_config|use_liger|liger_|vllm_|use_vllm|steps_per_generation|num_completions_to_print|ds3_|log|disable_tqdm|resume_|run_name|report_to|project|hub_|push_to_hub|trackio_"
    r"|ignore_data_skip|debug|torch_compile|torch_empty_cache|skip_memory)|(token|_dir)$"
)
RECENT = 32  # steps in the median that a new loss is compared with


class Costs(NamedTuple):
    """Tokens and FLOPs of each row of the dataset, shape (rows,), in the dataset's order."""

    rows: int
    tokens: npt.NDArray[np.float64]
    flops: npt.NDArray[np.float64]  # forward and backward pass


class Watched(Trainer):
    """A trainer that appends every step's numbers to the job's history.

    A loss or gradient that is not finite, or a loss that jumps, raises TrainingFailed at its step and names the rows of the batch.
    Nothing is saved after that step.
    """

    def __init__(self, *args: Any, job: TrainingJob, costs: Costs, each_step: int | None = None, **kwargs: Any) -> None:
        """`each_step`: rows that a step reads; None: the global batch."""
        super().__init__(*args, **kwargs)
        self._job, self._costs = job, costs
        self._each_step = each_step or job.optimization.global_batch
        self._order = order(costs.rows, steps=job.steps, global_batch=self._each_step, seed=job.seed)
        self._losses: list[torch.Tensor] = []  # of this step's micro-batches, on this process
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._rate = matrix_rate(self.args.device, _computed_in(job)) * job.where.world
        self._since = time.perf_counter()
        if self.is_world_process_zero():
            forget_after(job.scratch / HISTORY, step=resumed_at(job.resume))

    def training_step(self, *args: object, **kwargs: object) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self._losses.append(loss)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            self._note(logs)
        super().log(logs, start_time)

    def _save_checkpoint(self, *args: object, **kwargs: object) -> None:
        """Raises TrainingFailed if the disk has no room, before anything is written: a partial checkpoint would fill the disk."""
        told = [checkpoints.shortage(self._job.scratch, expected=_states(self.model)) if self.is_world_process_zero() else None]
        if problem := (broadcast_object_list(told) if self._job.where.world > 1 else told)[0]:
            raise TrainingFailed(f"train {self._job.name}: step {self.state.global_step}: {problem}; free some")
        super()._save_checkpoint(*args, **kwargs)

    def resolved(self) -> Resolved:
        """The trainer's arguments and the model's config, without paths and without arguments that do not change the result."""
        arguments = {name: value for name, value in self.args.to_dict().items() if not CIRCUMSTANCE.search(name)}
        model = {name: value for name, value in self.model.config.to_dict().items() if name != "_name_or_path"}
        parameters = list(self.model.parameters())
        return Resolved(
            arguments=json.loads(json.dumps(arguments, default=str)),
            model=json.loads(json.dumps(model, default=str)),
            parameters=sum(parameter.numel() for parameter in parameters),
            trained=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        )

    def machine(self) -> Machine:
        """The hardware that the job runs on."""
        return Machine(
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            matrix_rate=self._rate,
            distributed=str(self.accelerator.distributed_type),
            world=self._job.where.world,
            attention=self.model.config._attn_implementation,
        )

    def own_numbers(self) -> dict[str, float]:
        """The method's numbers beside the loss, over the step's global batch. Methods override it."""
        return {}

    def _note(self, logs: dict[str, float]) -> None:
        step = self.state.global_step
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        tokens, flops = self.work_of(step)
        point = TrainingStep(
            model=self._job.name,
            step=step,
            epoch=step * self._each_step / self._costs.rows,
            loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            grad_norm=logs["grad_norm"],
            tokens_per_second=tokens / seconds,
            mfu=flops / seconds / self._rate,
            memory_gib=held(self.args.device),
            **self.own_numbers(),
        )
        if self.is_world_process_zero():
            with (self._job.scratch / HISTORY).open("ab") as file:
                file.write(point.model_dump_json().encode() + b"\n")
        self._check(point)
        self._losses.clear()
        self._recent.append(point.loss)

    def rows_of(self, step: int) -> npt.NDArray[np.int64]:
        """Row indices that a step reads, shape (each_step,). Steps count from 1."""
        return self._order[(step - 1) * self._each_step : step * self._each_step]

    def work_of(self, step: int) -> tuple[float, float]:
        """Tokens and FLOPs of a step. A method with rows that do not tell them overrides it."""
        rows = self.rows_of(step)
        return float(self._costs.tokens[rows].sum()), float(self._costs.flops[rows].sum())

    def _check(self, point: TrainingStep) -> None:
        """Raises TrainingFailed for a bad step. Every process has the same numbers, so all of them stop."""
        usual = median(self._recent) if self._recent else point.loss
        finite = np.isfinite(point.loss) and np.isfinite(point.grad_norm)
        if finite and point.loss <= usual + self._job.optimization.max_loss_jump:
            return
        rows = self._guilty() if not np.isfinite(point.loss) else self.rows_of(point.step).tolist()
        what = f"loss {point.loss:g}, gradient norm {point.grad_norm:g}"
        problem = f"{what}: not finite" if not finite else f"{what}: over {usual:.3g}, the usual loss, by more than max_loss_jump"
        fix = "look at these rows; if they are sound, lower learning_rate"
        raise TrainingFailed(f"train {self._job.name}: step {point.step}: {problem}; batch: {self._named(rows)}; fix: {fix}")

    def _guilty(self) -> list[int]:
        """Rows of this step's micro-batches with a loss that is not finite, on all processes; all rows of the step if there are none."""
        if self._each_step != self._job.optimization.global_batch:  # micro-batches are no rows
            return list(map(int, self.rows_of(self.state.global_step)))
        job, mine = self._job, [torch.isfinite(loss).all().item() for loss in self._losses[-self._job.accumulation :]]
        finite = gather_object(mine) if job.where.world > 1 else mine
        rows = self.rows_of(self.state.global_step).reshape(job.accumulation, job.where.replicas, job.where.micro_batch)
        if job.where.sequence_parallel > 1:
            return list(map(int, rows.ravel()))
        by_place = np.array(finite).reshape(job.where.world, job.accumulation).T
        return list(map(int, rows[~by_place].ravel() if not by_place.all() else rows.ravel()))

    def _named(self, rows: list[int]) -> str:
        """Rows of the training's dataset with the ids of their contents, for a message."""
        return _few([f"row {row} ({_few(self.contents(row))})" for row in rows])

    def contents(self, row: int) -> list[str]:
        """The ids of the samples or the pair in a row of the job's dataset. Each method implements it."""
        raise NotImplementedError


def _states(model: PreTrainedModel) -> float:
    """Bytes of the trained weights and Adam's two moments, in float32. `ds_numel` is a ZeRO-3 parameter's size over all processes."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return 12.0 * sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in trained)


def _few(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def resumed_at(checkpoint: Path | None) -> int:
    """Steps done before a resume; 0 without a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def forget_after(history: Path, *, step: int) -> None:
    """Remove steps after `step` from the history, because they will be trained again. Lines must be valid (launch.cut_history)."""
    if not history.exists():
        return
    lines = [line for line in history.read_bytes().split(b"\n")[:-1] if TrainingStep.model_validate_json(line).step <= step]
    with store.replacing(history) as scratch:
        scratch.write_bytes(b"".join(line + b"\n" for line in lines))


def _computed_in(job: TrainingJob) -> torch.dtype:
    """The dtype of the matrix products. Weights may be stored in float32 and computed in bf16."""
    return torch.bfloat16 if job.optimization.precision == "bf16" else torch.float32


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of large matrix products on this device, measured by this call. MFU is a share of this rate."""
    width = 8192 if device.type == "cuda" else 768
    factor = torch.ones(width, width, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(5 if device.type == "cuda" else 3):
        _wait(device)
        began = time.perf_counter()
        torch.mm(factor, factor)
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2.0 * width**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def held(device: torch.device) -> float:
    """Peak memory of this process in GiB: on its GPU, or in main memory without one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**30
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def callbacks(job: TrainingJob) -> list[TrainerCallback]:
    """The callbacks that seal checkpoints and, if the job asks for it, draw the progress bar."""
    return [Keep(job), *([TrainingBar(job)] if job.bar else [])]


class Keep(TrainerCallback):
    """Seal each checkpoint after all processes have written it, upload it, and remove old checkpoints."""

    def __init__(self, job: TrainingJob) -> None:
        self._job = job

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        from accelerate import PartialState

        processes = PartialState()
        processes.wait_for_everyone()
        if processes.is_main_process:
            folder = self._job.scratch / f"checkpoint-{state.global_step}"
            checkpoints.seal(folder, world=self._job.where.world)
            checkpoint_sync.send(folder, warn=lambda what: progress.say(f"warning: train {self._job.name}: {what}"))
            checkpoints.prune(self._job.scratch, keep=self._job.where.keep_checkpoints)


class TrainingBar(TrainerCallback):
    """A progress bar: steps done, their rate, the time left, and the loss."""

    def __init__(self, job: TrainingJob) -> None:
        self._label = f"train {job.name}"

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.bar = progress.bar(total=state.max_steps, unit="step", label=self._label if state.is_world_process_zero else None)
        self.bar.update(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **_: object
    ) -> None:
        if logs and "loss" in logs:
            self.bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.bar.close()
