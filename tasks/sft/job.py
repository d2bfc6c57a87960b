"""What a training is told, and what it tells: the two files between the stage and the process that trains."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.schema.params import Base, Train

JOB, HISTORY, ERROR = "job.json", "history.jsonl", "error.txt"  # in a job's scratch folder


class Job(BaseModel):
    """One training; `scratch` holds its checkpoints until all trainings of the stage are done. Paths are absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    packs: Path
    tokenizer: Path
    out: Path
    scratch: Path
    base: Base
    train: Train
    seed: int
    steps: int
    processes: int
    threads: int
    bar: bool  # of trainings that run at once, one draws


class Point(BaseModel):
    """One logged step: averages since the step logged before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    step: int
    epoch: float
    loss: float  # nats per target token
    learning_rate: float
    grad_norm: float  # before clipping
    tokens_per_second: float  # of the process's training so far, prompt tokens included
