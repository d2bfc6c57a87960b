"""How a stage is started: `python -m tasks.<stage> INPUT… OUTPUT`, as dvc.yaml writes it.

A stage's `run` says by its signature what it needs. Positional parameters are paths, in the order of the command; the
last one is the output folder, and one annotated as a whole number is one, such as an arm's cap in the length-limit study.
Keyword-only parameters are sections of params.yaml: `plan`, `seed`, `benchmark`, and `judge_model` for `models.judge`. `run`
returns its metrics, and they become `metrics.json` in the output folder.

The output folder is built beside its place and swapped in when whole. An error made for people is one line and its
exit code; Ctrl-C is 130, SIGTERM 143, and the process dies with whoever started it, so that nothing goes on calling.
"""

import asyncio
import errno
import inspect
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tasks import store
from tasks.processes import die_with_parent
from tasks.schema.errors import BadInput, GateFailed, PipelineError
from tasks.schema.params import Params, load
from tasks.schema.records import Reason, Reject
from tasks.schema.redaction import excepthook, redact

# Errors that say something about a path that was given, and nothing about this program.
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


def main(run: Callable[..., Metrics], argv: list[str] | None = None) -> None:
    """The command line of a stage. Exits the process unless all went well."""
    argv = sys.argv[1:] if argv is None else argv
    names = [p.name for p in inspect.signature(run).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    if len(argv) != len(names):
        fail(f"usage: python -m {run.__module__} {' '.join(name.upper() for name in names)}", code=2)
    die_with_parent()
    with one_line_errors():
        *inputs, output = arguments(run, argv)
        given = sections(run, load())
        with store.replacing(output) as scratch:
            scratch.mkdir()
            metrics = run(*inputs, scratch, **given)
            store.write_json(scratch / "metrics.json", dict(metrics))
        print(
            f"{output}: " + ", ".join(f"{name} {_shown(value)}" for name, value in metrics.items() if not isinstance(value, dict | list)),
            flush=True,
        )


def arguments(run: Callable[..., Metrics], argv: Sequence[str]) -> list[Any]:
    """Paths, and whole numbers where `run` is annotated so. Raises BadInput for what is no whole number."""
    kinds = [p.annotation for p in inspect.signature(run).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    return [_whole(text) if kind is int else Path(text) for kind, text in zip(kinds, argv, strict=True)]


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise BadInput(text, "not a whole number", fix="correct the command in dvc.yaml")
    return int(text)


def sections(run: Callable[..., Any], params: Params) -> dict[str, Any]:
    """The params that `run` asks for by its keyword-only parameters."""
    names = [p.name for p in inspect.signature(run).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {name: _section(params, name) for name in names}


def dotted(name: str) -> str:
    """A keyword-only parameter's key in params.yaml: `judge_model` is `models.judge`."""
    return f"models.{name.removesuffix('_model')}" if name.endswith("_model") else name.rstrip("_")


def _section(params: Params, name: str) -> Any:
    if name.endswith("_model"):
        return getattr(params.models, name.removesuffix("_model"))
    return getattr(params, name)


class one_line_errors:
    """Turns errors that a person can correct into one line on standard error and an exit code; leaves defects their traceback."""

    def __enter__(self) -> None:
        if sys.flags.optimize > 1:
            fail("PYTHONOPTIMIZE: 2 (or -OO) removes texts that libraries need to start; fix: unset it, or set it to 1", code=2)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        sys.excepthook = excepthook

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, PipelineError):
            fail(str(error), code=error.exit_code)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            fail(f"{error.filename or 'disk'}: {os.strerror(error.errno)}; free some space and run again, what is done is kept", code=1)
        if isinstance(error, OSError) and error.filename and error.errno in OF_A_PATH:
            fail(f"{error.filename}: {error.strerror}; check the path and who may use it", code=2)
        if isinstance(error, KeyboardInterrupt):
            fail("interrupted; run again to go on from here", code=130)


def run_async(work: Coroutine[Any, Any, R]) -> R:
    """`asyncio.run` in which SIGTERM cancels, as Ctrl-C does, so that answers under way are waited for and kept. Exits 143 then."""
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
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # the loop leaves the default behind, which removes no scratch files


def fail(message: str, *, code: int) -> NoReturn:
    print("error: " + " ".join(redact(message).splitlines()), file=sys.stderr, flush=True)
    sys.exit(code)


def _shown(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def split(results: Sequence[R | Reject]) -> tuple[list[R], list[Reject]]:
    """What a stage made, and what it set aside."""
    return [r for r in results if not isinstance(r, Reject)], [r for r in results if isinstance(r, Reject)]


def check_reject_rate(rejects: Iterable[Reject], *, of: int, at_most: float) -> None:
    """Raises GateFailed when more than the share `at_most` was set aside, with the commonest reason and an example."""
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
