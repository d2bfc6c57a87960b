"""Start a stage: `python -m tasks.<stage> INPUT… OUTPUT`, as in dvc.yaml.

The positional parameters of a stage's `run` are paths in the order of the command; the last is the output folder. The keyword-only
parameters are sections of params.yaml: `plan`, `seed`, `benchmark`, and `judge_model` for `models.judge`. The stage's last line gives
them to `run`, and a contract test compares it with dvc.yaml. `run` returns its metrics, which become `metrics.json` in the output folder.

The output folder replaces the old one only when it is complete. A PipelineError is one line and its exit code; Ctrl-C exits with 130,
SIGTERM with 143. The process ends with its parent, so that no model calls continue.
"""

import asyncio
import errno
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tasks import stage_times, store
from tasks.processes import die_with_parent
from tasks.schema.errors import BadInput, GateFailed, PipelineError
from tasks.schema.params import Params, load
from tasks.schema.records import Reason, Reject
from tasks.schema.redaction import excepthook, redact

# Errors that are caused by a given path, not by a defect of this program.
OF_A_PATH = {
    errno.EACCES,
    errno.EBUSY,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
}
Metrics = Mapping[str, Any]
R = TypeVar("R")


def main(names: str, bound: Callable[[Params], Callable[..., Metrics]]) -> None:
    """Run a stage from the command line. `names` are those of its arguments; `bound` gives its `run` the sections of params.yaml.

    Exits with a message and code on an error.
    """
    usage = f"usage: python -m {_module()} {names}"
    if sys.argv[1:] == ["--help"]:
        print(usage, sys.modules["__main__"].__doc__ or "", sep="\n\n")
        return
    if len(sys.argv) - 1 != len(names.split()) or any(argument.startswith("-") for argument in sys.argv[1:]):
        fail(usage, code=2)
    die_with_parent()
    began = time.monotonic()
    with one_line_errors():
        *inputs, output = map(Path, sys.argv[1:])
        run = bound(load())
        with store.replacing(output) as scratch:
            scratch.mkdir()
            metrics = run(*inputs, scratch)
            store.write_json(scratch / "metrics.json", dict(metrics))
        _record_time(output, time.monotonic() - began)
        print(
            f"{output}: " + ", ".join(f"{name} {_shown(value)}" for name, value in metrics.items() if not isinstance(value, dict | list)),
            flush=True,
        )


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else sys.argv[0]


def _record_time(output: Path, seconds: float) -> None:
    """The output is complete already: a time that cannot be stored must not fail the stage, which may have trained for days."""
    try:
        stage_times.record(output, seconds=seconds, at=time.time())
    except OSError as error:
        print(f"the stage's time was not recorded: {error}", file=sys.stderr, flush=True)


def whole_number(argument: Path) -> int:
    """An argument of a command as a whole number. Raises BadInput if it is none."""
    if not str(argument).isdecimal():
        raise BadInput(argument, "not a whole number", fix="correct the command in dvc.yaml")
    return int(str(argument))


class one_line_errors:
    """Turn errors that a user can correct into one line on standard error and an exit code. Defects keep their traceback."""

    def __enter__(self) -> None:
        if sys.flags.optimize > 1:
            fail("PYTHONOPTIMIZE: 2 (or -OO) removes texts that libraries need to start; fix: unset it, or set it to 1", code=2)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        sys.excepthook = excepthook

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        fail_if_known(error)


def fail_if_known(error: BaseException | None) -> None:
    """End the process with one line if a user can correct the error. Returns for any other error, and for None."""
    if isinstance(error, PipelineError):
        fail(str(error), code=error.exit_code)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        fail(f"{error.filename or 'disk'}: {os.strerror(error.errno)}; free some space and run again, what is done is kept", code=1)
    if isinstance(error, OSError) and error.filename and error.errno == errno.EROFS:
        fail(f"{error.filename}: the file system is read-only; fix: work in a folder that can be written", code=2)
    if isinstance(error, OSError) and error.filename and error.errno in OF_A_PATH:
        fail(f"{error.filename}: {error.strerror}; check the path and who may use it", code=2)
    if isinstance(error, KeyboardInterrupt):
        fail("interrupted; run again to go on from here", code=130)


def run_async(work: Coroutine[object, object, R]) -> R:
    """`asyncio.run` in which SIGTERM cancels like Ctrl-C, so that running requests can finish and be stored. Then exits with 143."""
    terminated = False

    async def cancellable() -> R:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            assert task
            task.cancel()

        with suppress(NotImplementedError):  # Windows sends no SIGTERM
            loop.add_signal_handler(signal.SIGTERM, terminate)
        return await work

    before = signal.getsignal(signal.SIGTERM)
    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        if terminated:
            sys.exit(143)
        raise
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # the loop would leave the default handler, which removes no scratch files


def fail(message: str, *, code: int) -> NoReturn:
    print("error: " + " ".join(redact(message).splitlines()), file=sys.stderr, flush=True)
    sys.exit(code)


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def split(results: Sequence[R | Reject]) -> tuple[list[R], list[Reject]]:
    """(results, rejects)."""
    return [r for r in results if not isinstance(r, Reject)], [r for r in results if isinstance(r, Reject)]


def check_reject_rate(rejects: Iterable[Reject], *, of: int, at_most: float) -> None:
    """Raises GateFailed if more than the share `at_most` (0 to 1) was rejected, with the most frequent reason and an example."""
    reasons, examples = Counter[Reason](), dict[Reason, Reject]()
    for reject in rejects:
        reasons[reject.reason] += 1
        examples.setdefault(reject.reason, reject)
    if reasons.total() > at_most * of:
        reason, count = reasons.most_common(1)[0]
        example = examples[reason]
        raise GateFailed(
            f"{example.stage}: {reasons.total()} of {of} records rejected, params allow {at_most:.1%}; {count} for {reason}, "
            f"such as {example.source}: {example.detail}"
        )
