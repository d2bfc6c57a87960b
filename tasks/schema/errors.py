"""The errors that the pipeline raises on purpose. Each message is one line: where, what is wrong, how to fix it.

A `PipelineError` that reaches a command line is printed as that line, without a traceback, and ends the process with its `exit_code`. Any
other exception is a defect of the pipeline and keeps its traceback.
"""

from collections.abc import Sequence
from pathlib import Path


class PipelineError(Exception):
    """The run cannot continue, for a reason that the user can act on."""

    exit_code = 1


class BadInput(PipelineError):
    """A file that was given, or written by an earlier stage, is not valid.

    Rendered as `file:line: field: problem; fix: FIX`; unknown parts are left out.
    """

    exit_code = 2

    def __init__(self, path: Path | str, problem: str, *, line: int | None = None, field: str | None = None, fix: str | None = None):
        self.path, self.problem, self.line, self.field, self.fix = str(path), problem, line, field, fix
        where = str(path) if line is None else f"{path}:{line}"
        message = ": ".join(part for part in (where, field, problem) if part)
        super().__init__(f"{message}; fix: {fix}" if fix else message)

    def __reduce__(self) -> tuple[object, ...]:
        """Keeps all fields when the error is pickled, as it comes from another process."""
        return _again, (type(self), self.path, self.problem, self.line, self.field, self.fix)


def _again(kind: type[BadInput], path: str, problem: str, line: int | None, field: str | None, fix: str | None) -> BadInput:
    return kind(path, problem, line=line, field=field, fix=fix)


class SourceError(PipelineError):
    """The rows of a source cannot be read: it is gone, changed during reading, or its store refuses. Names the file and the place in it."""


class BadParams(BadInput):
    """params.yaml has an unknown key, a value out of range, or a section that conflicts with another one."""


class BadSettings(PipelineError):
    """An environment setting is missing or malformed. The message never has the value, which may be a secret."""

    exit_code = 2


class NotReady(PipelineError):
    """A run was refused before it started anything. `problems` has every problem with its fix."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        several = "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
        super().__init__(problems[0] if len(problems) == 1 else f"{len(problems)} problems, nothing was started: {several}")


class BadPrompt(PipelineError):
    """The placeholders of a prompt file do not match the values to fill in."""

    exit_code = 2


class EndpointError(PipelineError):
    """An endpoint gave no reply: it refused, the key is wrong, or it is overloaded beyond patience."""


class ReplyError(PipelineError):
    """An endpoint replied, but not in the required form, also when asked again. Callers turn it into a Reject."""


class Unanswered(ReplyError):
    """An endpoint that answers other requests did not answer this one in all its tries."""


class SecretInReply(Unanswered):
    """A reply that contains a key or password of this workspace. It is paid for, recorded with the secret masked, and never used."""


class SpendCapReached(PipelineError):
    """The next call could cost more than the spend cap allows. Paid replies are kept; with a higher cap the run resumes."""


class ServerError(PipelineError):
    """A server that the pipeline starts did not come up, or died."""


class StorageError(PipelineError):
    """The object store refused, was not reachable, or an object does not match its manifest. The message never has a credential."""


class GateFailed(PipelineError):
    """A gate of params.yaml did not pass: the data contract, or a stage's maximum share of rejects."""


class TrainingFailed(PipelineError):
    """Training cannot continue: the loss is not finite, or the launcher died."""


class WorkspaceBusy(PipelineError):
    """Another run has locked this workspace."""
