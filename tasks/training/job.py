"""What a training is config, and what it tells: the files between a stage and the processes that train.

A job says which method trains (what the rows are and what the loss is), by which optimization, from which weights, and where it runs.
Everything but `name`, the paths and `where` is part of the training's identity.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tasks.schema.params import Base, Optimization, Tiny
from tasks.schema.records import Record
from tasks.schema.settings import Attention, Settings

JOB, HISTORY, ERROR = "job.json", "history.jsonl", "error.txt"  # in a job's scratch folder
RESOLVED, MACHINE = "resolved.json", "machine.json"


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sft(_Told):
    """Supervised fine-tuning on packs, as tasks.training.packing writes them."""

    kind: Literal["sft"] = "sft"
    weighting: Literal["token", "sequence"]
    tiny: Tiny  # what the base model `tiny` is made like


class Dpo(_Told):
    """Direct preference optimisation on pairs, as tasks.training.pair_tokens encodes them, from and against the base weights."""

    kind: Literal["dpo"] = "dpo"
    beta: float
    sft_weight: float  # of the chosen answers' own loss
    reference: str  # digest of the base weights: the folder's name says nothing of them


class Resolved(Record):
    """What a job became, as far as its result depends on it: resolved.json. The same on every machine, and after every kill."""

    arguments: dict[str, JsonValue]  # the trainer's
    model: dict[str, JsonValue]  # its config
    parameters: int
    trained: int  # parameters that the training changes


class Machine(Record):
    """What a training ran on. It changes the speed, so it is in no output of a stage."""

    device: str
    matrix_rate: float  # floating point operations a second of all devices
    distributed: str
    world: int  # processes
    attention: str | None


Method = Annotated[Sft | Dpo, Field(discriminator="kind")]  # each has its builder in trainer.py


class Where(_Told):
    """Circumstance: it may change the speed of a training, never what it learns."""

    processes: int  # on each machine
    machines: int
    threads: int  # of a process
    micro_batch: int
    sequence_parallel: int
    attention: Attention
    liger: bool
    checkpoints: int
    keep_checkpoints: int

    @property
    def world(self) -> int:
        return self.processes * self.machines

    @property
    def replicas(self) -> int:
        """Processes, or groups of them, that each see rows of their own."""
        return self.world // self.sequence_parallel


class Job(_Told):
    """One training; `scratch` holds its checkpoints until all trainings of the stage are done. Paths are absolute."""

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
    resume: Path | None = None  # the checkpoint to go on from
    bar: bool = False  # of trainings that run at once, one draws

    @property
    def accumulation(self) -> int:
        """Micro-batches of a process per optimizer step."""
        return self.optimization.global_batch // (self.where.replicas * self.where.micro_batch)


class Point(_Told):
    """One optimizer step, its numbers taken over the whole global batch."""

    model_config = ConfigDict(frozen=True, extra="allow")  # a method's own numbers, such as DPO's margins

    model: str
    step: int
    epoch: float
    loss: float  # nats per target token
    learning_rate: float
    grad_norm: float  # before clipping
    tokens_per_second: float  # over all processes, prompt tokens included
    mfu: float  # share of the devices' matrix rate, as it was measured when the training began
    memory_gib: float  # the most that the first process held so far, on its device

    def numbers(self) -> dict[str, float]:
        """For a run's page: `student/loss` and so on."""
        return {f"{self.model}/{name}": value for name, value in self.model_dump(exclude={"model", "step"}).items()}


def where(settings: Settings) -> Where:
    """The settings that a training process needs; the threads are shared among trainings that run at once."""
    own = {name: getattr(settings, name) for name in Where.model_fields if name != "threads"}
    return Where(threads=max(1, settings.threads // settings.trainings), **own)


def optimization_of(section: Optimization) -> Optimization:
    """The optimization in a stage's params section, without what belongs to the stage alone."""
    return Optimization.model_validate({name: getattr(section, name) for name in Optimization.model_fields})
