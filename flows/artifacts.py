"""A stage's bar in Prefect: a progress artifact of the task run, kept up to date by a thread of its own."""

import logging
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import Any
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

PERCENT = re.compile(r"(\d+)%\|")  # tqdm's, of a bar whose end is known
LAST = 10.0  # seconds that the end of a stage waits, at the most, for its last state


class Progress:
    """Made within the stage's task. A state is left out while the one before is still on its way, and all of them after one failed:
    a stage never waits for Prefect's API, nor fails because of it."""

    def __init__(self, stage: str, logger: "logging.Logger | logging.LoggerAdapter[Any]") -> None:
        self._key = re.sub(r"[^a-z0-9]+", "-", f"{stage}-progress".lower()).strip("-")
        self._logger = logger
        self._context = copy_context()  # in which Prefect finds the task run
        self._thread: ThreadPoolExecutor | None = None
        self._sent: Future[None] | None = None
        self._artifact: UUID | None = None
        self._text = ""  # the bar's newest state
        self._failed = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """The last state of a stage that completed is 100."""
        if self._text and kind is None:
            self._send(100.0, self._text)
            self._wait()
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def show(self, bar: str) -> None:
        """A state of the bar, such as `write:  42%|████▏     | 5/12 [00:10<00:14]`. One whose end is not known stands at 0."""
        self._text = bar
        found = PERCENT.search(bar)
        if self._sent is None or self._sent.done():
            self._send(float(found[1]) if found else 0.0, bar)

    def note(self, line: str) -> None:
        """A line of the stage's, which may be the bar's last state."""
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
        update: Callable[..., Any] = update_progress_artifact  # typed as if they might give coroutines: they do not in a thread
        create: Callable[..., Any] = create_progress_artifact
        if self._artifact is None:
            return UUID(str(create(percent, key=self._key, description=text)))
        return UUID(str(update(self._artifact, percent, description=text)))
