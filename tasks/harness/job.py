"""What a measurement of general ability is told, and what it tells: the files between the stage and the process that measures."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.schema.records import Record

JOB, RESULT, ERROR = "job.json", "result.json", "error.txt"  # in the measurement's folder


class Job(BaseModel):
    """One measurement. The endpoint's key is not in it: it comes through the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str, ...]  # names, or YAML files
    url: str  # ends in /v1
    model: str  # as the endpoint calls it
    tokenizer: Path  # a checkpoint's folder, for tasks that need token boundaries
    limit: int | None
    fewshot: int | None
    concurrency: int
    retries: int
    folder: Path


class Score(Record):
    """A task's main metric: the first that its results name."""

    task: str
    metric: str
    value: float  # 0 to 1
    stderr: float | None
    questions: int
    fewshot: int | None


class Result(Record):
    scores: tuple[Score, ...]
    version: str  # of lm-evaluation-harness
    sources: dict[str, str]  # SHA-256 of the tasks that are files, and of their data
