"""What a measurement of general ability is told, and what it tells: the files between the stage and the process that measures."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.schema.records import Record

AUTHORIZATION, QUERY = "HARNESS_AUTHORIZATION", "HARNESS_QUERY"  # variables: of a URL with credentials, which stand in no file
JOB, RESULT, ERROR = "job.json", "result.json", "error.txt"  # in the measurement's folder


class Unmeasurable(Exception):
    """Why a task cannot be measured, for a person. `code` is the exit code: 2 where params name what cannot be used."""

    def __init__(self, problem: str, *, code: int = 1):
        self.code = code
        super().__init__(problem)


class Job(BaseModel):
    """One measurement. The endpoint's key is not in it: it comes through the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str, ...]  # names, or YAML files
    files: tuple[Path, ...]  # of the tasks that are files: their YAML and their data
    local: bool  # there are no other tasks, and all their data is in files
    url: str  # ends in /v1
    model: str  # as the endpoint calls it
    checkpoint: Path  # a folder, for the tokenizer and the context of tasks that weigh given answers
    limit: int | None
    fewshot: int | None
    concurrency: int
    retries: int
    patience: float  # seconds that the endpoint may refuse everybody
    timeout: float  # seconds that a request may take
    folder: Path


class Score(Record):
    """A task's main metric, and what it stands on. In the mappings a group has each of its tasks."""

    task: str
    metric: str
    filter: str  # that took the answer out of the text; none: the text as it is
    value: float  # 0 to 1
    stderr: float | None
    questions: int
    limit: int | None  # questions per task at the most
    fewshot: dict[str, int]  # examples before each question
    versions: dict[str, str | int | float | None]  # of the tasks, as their authors count them
    results: dict[str, dict[str, Any]]  # every metric as the harness reports it


class Result(Record):
    scores: tuple[Score, ...]
    version: str  # of lm-evaluation-harness
    sources: dict[str, str]  # SHA-256 of the tasks that are files, and of their data
