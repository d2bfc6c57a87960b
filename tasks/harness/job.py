"""The files between the stage and the child process: the job of a measurement of general ability, and its result."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.schema.records import Record

# Environment variables with the credentials and the query of a URL, which are written to no file.
AUTHORIZATION, QUERY = "HARNESS_AUTHORIZATION", "HARNESS_QUERY"
JOB, RESULT, ERROR = "job.json", "result.json", "error.txt"  # files in the measurement's folder


class Unmeasurable(Exception):
    """Why a task cannot be measured, as a message. `code` is the exit code: 2 if params name something that cannot be used."""

    def __init__(self, problem: str, *, code: int = 1):
        self.code = code
        super().__init__(problem)


class HarnessJob(BaseModel):
    """One measurement. The endpoint's key is not part of it: it is passed in the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str, ...]  # names or YAML files
    files: tuple[Path, ...]  # YAML and data files of the tasks that are files
    local: bool  # all tasks are files, and all their data is in files
    url: str  # ends in /v1
    model: str  # the model's name at the endpoint
    checkpoint: Path  # folder with the tokenizer and context, for tasks that score given answers
    limit: int | None
    fewshot: int | None
    concurrency: int
    retries: int
    patience: float  # seconds that the endpoint may refuse all requests
    timeout: float  # seconds per request
    folder: Path


class Refused(Record):
    """A question without an answer: the endpoint refused it, and answered others. It is in no score."""

    task: str
    question: int  # its index in the task's data, from 0
    reason: str


class Score(Record):
    """A task's main metric with its details. The mappings of a group have an entry per task."""

    task: str
    metric: str
    filter: str  # extracts the answer from the text; none: the text unchanged
    value: float  # 0 to 1
    stderr: float | None
    questions: int  # answered
    limit: int | None  # most questions per task
    fewshot: dict[str, int]  # few-shot examples per question, by task
    versions: dict[str, str | int | float | None]  # versions of the tasks, as their authors number them
    results: dict[str, dict[str, object]]  # all metrics as reported by the harness
    refused: tuple[Refused, ...] = ()


class Measurement(Record):
    """All scores of a measurement."""

    scores: tuple[Score, ...]
    version: str  # of lm-evaluation-harness
    sources: dict[str, str]  # SHA-256 of the task files and their data files
