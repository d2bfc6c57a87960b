"""Show in Prefect what a stage does and makes: its progress bar, and after it the scores, the decision and the report as artifacts.

An artifact that Prefect does not take is a warning: no stage fails because of it.
"""

import logging
import re
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

from tasks import store
from tasks.longbench.scorecard import read_scorecards
from tasks.schema.errors import PipelineError
from tasks.schema.settings import settings
from tasks.statistics import Interval
from tasks.tracking.approval import conditions
from tasks.tracking.client import names
from tasks.tracking.gate import Decision

if TYPE_CHECKING:
    from dvc.repo import Repo
    from prefect.client.schemas.objects import State

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
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def complete(self) -> None:
        """Send 100 as the last state of a stage that completed. After a failure the artifact stays where the bar stood."""
        if self._text:
            self._send(100.0, self._text)
            self._wait()

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


def after(repo: "Repo", name: str, work: "Callable[[], State[object]]") -> "State[object]":
    """Bring a stage up to date by `work`, and show its result; returns the state of `work`."""
    state = work()
    if state.is_completed():
        logger = get_run_logger()
        try:
            for path in _outputs(repo, name):
                _show(path)
        except (httpx.HTTPError, PrefectException, PipelineError, OSError, RuntimeError, ValueError) as error:
            logger.warning("no artifact of %s in Prefect: %s: %s", name, type(error).__name__, error)
    return state


def _outputs(repo: "Repo", name: str) -> list[Path]:
    return [path for stage in repo.stage.collect(name) for out in stage.outs if (path := Path(out.fs_path)).is_file()]


def _show(path: Path) -> None:
    """The artifact of an output that people look at; the others have none."""
    make: Callable[..., object]  # typed as if they could return coroutines; in a task they do not
    if path.name == "scorecard.json":
        make = create_table_artifact
        make(_scores(path), key="scores", description="Scores on the benchmark, 0 to 100, with 95% intervals.")
    elif path.name == "decision.json":
        make = create_markdown_artifact
        make(_decision(store.read_document(path, Decision)), key="promotion", description="What the gate decided.")
    elif path.suffix == ".html":
        make = create_link_artifact
        make(
            path.resolve().as_uri(),
            key=f"{path.stem}-page".replace("_", "-"),
            link_text=path.name,
            description=f"On {socket.gethostname()}.",
        )


def _scores(path: Path) -> list[dict[str, str]]:
    return [
        {
            "model": model,
            "S̄": _figure(card.s_bar, card.s_bar_interval),
            "S_l": _figure(card.s_l, card.s_l_interval),
            "S_q": _figure(card.s_q, card.s_q_interval),
            "unscored": str(card.unscored),
            "items": str(card.items),
            "judge": card.judge or "nobody",
        }
        for model, card in read_scorecards(path).items()
    ]


def _figure(value: float | None, interval: Interval | None) -> str:
    return "–" if value is None else f"{value:.2f}" + (f" {interval}" if interval else "")


def _decision(found: Decision) -> str:
    """The decision as Markdown, with the version's page if MLflow is a server."""
    uri = settings().tracking_uri
    page = f"[version {found.version}]({uri.rstrip('/')}/#/models/{names().model}/versions/{found.version})" if uri.is_http else ""
    becomes = "is **challenger**" if found.alias == "challenger" else "is **champion** once the stage serve has served it"
    head = f"{page or f'Version {found.version}'} ({found.model}) {becomes}."
    return "\n".join([head, "", *conditions(found)])
