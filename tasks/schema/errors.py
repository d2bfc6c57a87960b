"""Every error that the pipeline raises on purpose. Each one is a single line for a person: where, what, how to fix it.

A `PipelineError` that reaches a command line is printed as that line, without a traceback, and ends the process with
its `exit_code`. Anything else is a defect of the pipeline and keeps its traceback.
"""

from collections.abc import Sequence
from pathlib import Path


class PipelineError(Exception):
    """The run cannot go on for a reason that the user can act on."""

    exit_code = 1


class BadInput(PipelineError):
    """A file that was given, or written by an earlier stage, is not what it has to be.

    Rendered as `file:line: field: problem; fix: FIX`, leaving out what is not known.
    """

    exit_code = 2

    def __init__(self, path: Path | str, problem: str, *, line: int | None = None, field: str | None = None, fix: str | None = None):
        self.path, self.problem, self.line, self.field, self.fix = str(path), problem, line, field, fix
        where = str(path) if line is None else f"{path}:{line}"
        message = ": ".join(part for part in (where, field, problem) if part)
        super().__init__(f"{message}; fix: {fix}" if fix else message)

    def __reduce__(self) -> tuple[object, ...]:
        """So that it comes whole out of another process."""
        return _again, (type(self), self.path, self.problem, self.line, self.field, self.fix)


def _again(kind: type[BadInput], path: str, problem: str, line: int | None, field: str | None, fix: str | None) -> BadInput:
    return kind(path, problem, line=line, field=field, fix=fix)


class SourceError(PipelineError):
    """Rows of a source cannot be had: it vanished, changed while it was read, or its store refuses. Names the file and the place in it."""


class BadParams(BadInput):
    """params.yaml has an unknown key, a value out of range, or a section that does not fit the others."""


class BadSettings(PipelineError):
    """An environment setting is missing or malformed. Never carries the value: it may be a secret."""

    exit_code = 2


class NotReady(PipelineError):
    """A run was refused before it started anything. Carries every problem, each with its fix."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        several = "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
        super().__init__(problems[0] if len(problems) == 1 else f"{len(problems)} problems, nothing was started: {several}")


class BadPrompt(PipelineError):
    """A prompt file and the values it is filled with do not name the same placeholders."""

    exit_code = 2


class EndpointError(PipelineError):
    """An endpoint could not give an answer: refused, unauthorised, overloaded beyond the retries."""


class ReplyError(PipelineError):
    """An endpoint answered, but not with what was asked for, also when asked again. Callers turn it into a Reject."""


class Unanswered(ReplyError):
    """An endpoint that answers others did not answer this one request, in all its tries."""


class SecretInReply(Unanswered):
    """A reply that repeats a key or password of this workspace. It is paid for and kept, the secret masked, and never used."""


class SpendCapReached(PipelineError):
    """The next call could cost more than settings allow. What was paid for is kept; a higher cap goes on from there."""


class ServerError(PipelineError):
    """A server that the pipeline starts itself did not come up, or died."""


class StorageError(PipelineError):
    """The object store refused, could not be reached, or holds something else than its manifest says. Never carries a credential."""


class GateFailed(PipelineError):
    """A gate in params.yaml did not pass: the data contract, or a stage's declared reject rate."""


class TrainingFailed(PipelineError):
    """Training cannot go on: a loss that is not finite, or a launcher that died."""


class WorkspaceBusy(PipelineError):
    """Another run holds this workspace."""
