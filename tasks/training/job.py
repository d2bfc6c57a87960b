"""The files that a stage and its training processes exchange: the job, the history, the resolved configuration.

A job names the method (kind of rows and loss), the optimization, the base weights and where the training runs. The training's identity
is everything except `name`, `where`, `resume`, `bar` and the paths; the content of rows and tokenizer is part of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tasks.schema.params import Base, Model, Optimization, Reinforce, Tiny
from tasks.schema.records import Record
from tasks.schema.settings import Attention, Rollouts, Settings
from tasks.schema.urls import Url

JOB, HISTORY, ERROR = "job.json", "history.jsonl", "error.txt"  # in a job's scratch folder
RESOLVED, MACHINE = "resolved.json", "machine.json"


class _JobRecord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sft(_JobRecord):
    """Supervised fine-tuning on packs, as tasks.training.packing writes them."""

    kind: Literal["sft"] = "sft"
    weighting: Literal["token", "sequence"]
    tiny: Tiny  # the shapes of the base model `tiny`


class Dpo(_JobRecord):
    """Direct preference optimisation on pairs, as tasks.training.pair_tokens encodes them. Both policy and reference begin as the base."""

    kind: Literal["dpo"] = "dpo"
    loss: Literal["sigmoid", "sigmoid_norm"]
    beta: float
    sft_weight: float  # weight of the SFT loss on the chosen answers
    reference: str  # digest of the base weights, because the folder's name does not identify them

    @property
    def losses(self) -> dict[str, float]:
        """TRL's names of the losses that are added, with their weights."""
        return {self.loss: 1.0} | ({"sft": self.sft_weight} if self.sft_weight else {})


class Grpo(_JobRecord):
    """Reinforcement by GRPO on prompts, as tasks.training.reward_prompts writes them. The policy begins as the base."""

    kind: Literal["grpo"] = "grpo"
    reinforce: Reinforce
    judge: Model | None  # models.reward_judge
    reference: str  # digest of the base weights, because the folder's name does not identify them


class Resolved(Record):
    """resolved.json: the resolved configuration that the result depends on. The same on every machine and after a resume."""

    arguments: dict[str, JsonValue]  # of the trainer
    model: dict[str, JsonValue]  # the model's config
    parameters: int
    trained: int  # parameters that the training changes


class Machine(Record):
    """The hardware of a training. It only changes the speed, so no stage output contains it."""

    device: str
    matrix_rate: float  # FLOP/s of all devices together
    distributed: str
    world: int  # processes
    attention: str | None


Method = Annotated[Sft | Dpo | Grpo, Field(discriminator="kind")]  # trainer.py has a builder for each


class Where(_JobRecord):
    """Where a training runs. These values may change its speed, never its result."""

    processes: int  # on each machine
    machines: int
    threads: int  # of each process; train_all divides those of the settings among the processes that run at once
    micro_batch: int
    sequence_parallel: int
    attention: Attention
    liger: bool
    rollouts: Rollouts
    rollouts_url: Url
    rollouts_memory: float
    checkpoints: int
    keep_checkpoints: int

    @property
    def world(self) -> int:
        return self.processes * self.machines

    @property
    def replicas(self) -> int:
        """Data-parallel replicas: processes, or sequence-parallel groups of processes, that each train on their own rows."""
        return self.world // self.sequence_parallel


class TrainingJob(_JobRecord):
    """One training. `scratch` contains its checkpoints until all trainings of the stage are done. Paths are absolute."""

    name: str
    method: Method
    rows: Path  # an Arrow dataset: packs for SFT
    tokenizer: Path
    base: Base
    optimization: Optimization
    seed: int
    steps: int
    out: Path
    scratch: Path
    where: Where
    resume: Path | None = None  # the checkpoint to resume from
    bar: bool = False  # draws a progress bar; only one of the trainings that run at once does

    @property
    def accumulation(self) -> int:
        """Micro-batches of a process per optimizer step."""
        return self.optimization.global_batch // (self.where.replicas * self.where.micro_batch)


class KeptStep(_JobRecord):
    """One optimizer step, with numbers over the whole global batch: what a stage's output keeps."""

    model_config = ConfigDict(frozen=True, extra="allow")  # a method's own numbers, such as DPO's margins

    model: str
    step: int
    epoch: float
    loss: float  # nats per target token
    learning_rate: float
    grad_norm: float  # before clipping


class TrainingStep(KeptStep):
    """A step with the figures that depend on the machine. They go to MLflow and the log, never into a stage's output."""

    tokens_per_second: float  # over all processes, prompt tokens included
    mfu: float  # share of the devices' matrix rate (0 to 1), which is measured when the training begins
    memory_gib: float  # peak memory of the first process so far, on its device

    def result(self) -> KeptStep:
        """The step without the figures that depend on the machine."""
        return KeptStep.model_validate(self.model_dump(exclude=set(TrainingStep.model_fields) - set(KeptStep.model_fields)))

    def numbers(self) -> dict[str, float]:
        """Metrics for tracking, as {`student/loss`: value}."""
        return {f"{self.model}/{name}": value for name, value in self.model_dump(exclude={"model", "step"}).items()}


def where(settings: Settings) -> Where:
    """The settings that a training process needs."""
    return Where.model_validate({name: getattr(settings, name) for name in Where.model_fields})


def trainings_at_once(jobs: Sequence[TrainingJob], settings: Settings) -> int:
    """How many of the jobs run at the same time; at least 1."""
    return max(1, min(settings.trainings, len(jobs)))


def optimization_of(section: Optimization) -> Optimization:
    """The optimization fields of a stage's params section, without the stage's other fields."""
    return Optimization.model_validate({name: getattr(section, name) for name in Optimization.model_fields})
