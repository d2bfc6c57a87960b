"""Show a stage's progress bar in Prefect, as a progress artifact of the task run that a separate thread updates."""

import logging
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

PERCENT = re.compile(r"(\d+)%\|")  # of a tqdm bar with a known total
LAST = 10.0  # seconds that a stage waits at its end until its last state is sent


class StageArtifact:
    """A stage's progress artifact. Create it in the stage's task.

    A state is skipped while the previous one is being sent, and all states are skipped after a failure. So a stage does not fail because
    of Prefect's API, and waits for it only LAST seconds at its end.
    """

    def __init__(self, stage: str, logger: "logging.Logger | logging.LoggerAdapter[logging.Logger]") -> None:
        self._key = re.sub(r"[^a-z0-9]+", "-", f"{stage}-progress".lower()).strip("-")
        self._logger = logger
        self._context = copy_context()  # Prefect finds the task run in this context
        self._thread: ThreadPoolExecutor | None = None
        self._sent: Future[None] | None = None
        self._artifact: UUID | None = None
        self._text = ""  # the bar's newest state
        self._failed = False

    def __enter__(self) -> "StageArtifact":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """If the stage completed, send 100 as its last state."""
        if self._text and kind is None:
            self._send(100.0, self._text)
            self._wait()
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def show(self, bar: str) -> None:
        """Send a state of the bar, such as `write:  42%|████▏     | 5/12 [00:10<00:14]`. Without a known total it counts as 0%."""
        self._text = bar
        found = PERCENT.search(bar)
        if self._sent is None or self._sent.done():
            self._send(float(found[1]) if found else 0.0, bar)

    def note(self, line: str) -> None:
        """Remember a line of the stage's output if it is a state of the bar, which may be its last."""
        if PERCENT.search(line):
            self._text = line

    def _send(self, percent: float, text: str) -> None:
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._sent = self._thread.submit(self._context.run, self._put, percent, text)

    def _wait(self) -> None:
        assert self._sent
        try:
            self._sent.result(timeout=LAST)
        except TimeoutError:
            self._logger.warning("Prefect did not take the progress for %g s; the stage goes on without it", LAST)

    def _put(self, percent: float, text: str) -> None:
        if self._failed:
            return
        try:
            self._artifact = self._written(percent, text)
        except (httpx.HTTPError, PrefectException, OSError, RuntimeError, ValueError) as error:
            self._failed = True
            self._logger.warning("no progress in Prefect, the stage goes on: %s: %s", type(error).__name__, error)

    def _written(self, percent: float, text: str) -> UUID:
        update: Callable[..., object] = update_progress_artifact  # typed as if they could return coroutines; in a thread they do not
        create: Callable[..., object] = create_progress_artifact
        if self._artifact is None:
            return UUID(str(create(percent, key=self._key, description=text)))
        return UUID(str(update(self._artifact, percent, description=text)))
