"""Run dvc.yaml's stages as Prefect tasks.

The graph comes from DVC, and only DVC decides whether a stage must run. `Repo.status` finds an unchanged stage in this process (0.05 s).
Otherwise a child process runs `dvc repro --single-item`, which runs the stage or restores its outputs from the run cache. dvc.lock is the
same as after a manual `dvc repro`.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from dvc.repo import Repo
from prefect import Task, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import child, handover, preflight, publication, verified_dvc, workspace
from flows.artifacts import StageArtifact
from flows.graph import Stage, needed, readable
from flows.terminal import screen
from tasks.processes import die_with_parent
from tasks.schema import params
from tasks.schema.errors import PipelineError
from tasks.schema.redaction import redact

HINTS = re.compile(  # DVC's hints after a stage, which are not shown
    r"(Updat|Generat)ing lock file |To (track the changes with git|enable auto staging), run:|\s*git add |\s*dvc config |Use `dvc push` "
    r"|WARNING: '.*' is empty\.$"
)
BAR_SECONDS = 5.0  # between two states of a progress bar in the log and in the task run's artifact
CACHED = "Cached"
R = TypeVar("R")


class StageFailed(PipelineError):
    """A stage of the run failed. Contains the stage's own last error line and exit code."""

    def __init__(self, message: str, *, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def run(target: str | None = None, *, push: bool = False, elsewhere: bool = False) -> dict[str, str]:
    """Bring `target` and every stage that it needs up to date, by default all stages of dvc.yaml; returns {stage: state}.

    Stops at the first failing stage and raises its error. `push` sends each stage's outputs and run cache to DVC's remote, so that other
    machines can restore them, and publishes dataset and checkpoint to LONGWRITER_STORE, if it is set. `elsewhere` runs stages that have
    a work pool in dvc.yaml on that pool's workers, and restores their outputs here.
    """
    if runtime.flow_run.id and os.environ.get("PREFECT__FLOW_RUN_ID"):
        die_with_parent()  # in a worker's run: nothing may survive if the worker is killed
    states: dict[str, str] = {}
    given = params.load()  # check all keys, so that a misspelt key of a cached stage is found too
    with workspace.lock(), readable():
        publish = push and publication.wanted()
        verified_dvc.install()
        repo = Repo()
        remote = bool(repo.config["core"].get("remote"))
        stages = needed(repo, target)
        preflight.check(repo, stages, given)
        pools, commit = (handover.pools(repo), handover.demand(repo, push=push)) if elsewhere else ({}, "")
        screen().begin([stage.name for stage in stages])
        for stage in stages:
            pool = pools.get(stage.name)
            work = partial(_restored_from_elsewhere, repo, stage.name, pool, commit) if pool else None
            states[stage.name] = _run_stage(stage, work or partial(bring_up_to_date, repo, stage.name, pull=remote))
            if push and remote and not pool and states[stage.name] != CACHED:
                as_task(f"push {stage.name}", "its outputs and its run to DVC's remote", partial(_push, stage.name))()
            for words in publication.AFTER.get(stage.name, []) if publish else []:
                as_task(" ".join(words[:2]), "to the store of LONGWRITER_STORE", partial(by_child, "tasks.storage", *words))()
        if push and remote:
            as_task("push", "what an earlier run could not send", _push)()
        elif push:
            get_run_logger().warning("nothing is pushed: no DVC remote is configured (`dvc remote add --default NAME URL`)")
    return states


def _run_stage(stage: Stage, work: Callable[[], State[object]]) -> str:
    screen().stage_begins(stage)
    start = time.monotonic()
    outcome = "Stopped"
    try:
        state = as_task(stage.name, stage.desc, work)(return_state=True)
        outcome = str(state.name)
        if not state.is_completed():
            state.result()
    finally:
        screen().stage_ends(stage, outcome, time.monotonic() - start)
    return outcome


def as_task(name: str, desc: str, work: Callable[[], R]) -> Task[[], R]:
    """A Prefect task without Prefect's cache and retries, because they ignore files on disk and money spent."""

    @task(name=name, task_run_name=name, description=desc, cache_policy=NO_CACHE, persist_result=False, retries=0)
    def one() -> R:
        return work()

    return one


def _restored_from_elsewhere(repo: Repo, name: str, pool: str, commit: str) -> State[object]:
    """Bring a stage of another pool up to date: if it changed, the pool's workers run it, and DVC restores its outputs here."""
    if not _changed(repo, name):
        return Completed(name=CACHED, message="dvc: unchanged")
    _push()  # includes results that an earlier run could not send; the other machine reads its inputs there
    handover.hand_over(name, pool, commit)
    bring_up_to_date(repo, name, pull=True, may_run=False)
    return Completed(message=f"ran in the pool {pool}")


def bring_up_to_date(repo: Repo, name: str, *, pull: bool = False, may_run: bool = True) -> State[object]:
    """Bring one stage up to date: nothing if DVC finds it unchanged, else `dvc repro --single-item`. State `Cached` unless it ran.

    Raises StageFailed with the stage's own last error line, or if the stage would have to run and `may_run` is False.
    """
    if not _changed(repo, name):
        return Completed(name=CACHED, message="dvc: unchanged")
    command = [sys.executable, "-m", "flows.verified_dvc", "repro", "--single-item", *(["--pull"] if pull else []), name]
    with StageArtifact(name, get_run_logger()) as progress:
        output = _Log(progress)

        def see(piece: child.Output) -> None:
            output.see(piece)
            if not may_run and f"Running stage '{name}':" in output.heads:
                raise StageFailed(f"{name}: DVC's remote has no result of it for these inputs; it is not run here", exit_code=1)

        if child.run(command, see):
            reason = output.reason()  # some reasons begin with the stage's name
            raise StageFailed(reason if reason.startswith(f"{name}: ") else f"{name}: {reason}", exit_code=output.exit_code())
    if f"Running stage '{name}':" in output.heads:
        return Completed(message="dvc: ran")
    return Completed(name=CACHED, message="dvc: restored")


def _changed(repo: Repo, name: str) -> bool:
    with readable():
        verified_dvc.put_back(repo.stage.collect(name))
        return bool(repo.status(targets=[name]))


def _push(*names: str) -> None:
    by_child("dvc", "push", "--run-cache", *names)


def by_child(module: str, *words: str) -> None:
    """Run `python -m MODULE WORDS`, and show its bar and lines as a stage's. Raises StageFailed with its last error line."""
    with StageArtifact(words[0], get_run_logger()) as progress:
        output = _Log(progress)
        if code := child.run([sys.executable, "-m", "flows.verified_dvc" if module == "dvc" else module, *words], output.see):
            raise StageFailed(f"{module} {words[0]}: {output.reason()}", exit_code=code)


class _Log:
    """Sends a child's output to the task's logger, the screen and the task's progress, and keeps its last lines for errors."""

    def __init__(self, progress: StageArtifact) -> None:
        self._progress = progress
        self.heads: set[str] = set()
        self.last: list[str] = []
        self._logger = get_run_logger()
        self._next_bar = 0.0

    def see(self, piece: child.Output) -> None:
        if not piece.text or HINTS.match(piece.text):
            return
        piece = piece._replace(text=redact(piece.text))  # a child's output may contain secrets
        if piece.is_bar:
            screen().bar(piece.text)
            if time.monotonic() < self._next_bar:
                return
            self._next_bar = time.monotonic() + BAR_SECONDS
            self._progress.show(piece.text)
        else:
            self._progress.note(piece.text)
            self.last = [*self.last[-49:], piece.text]
            if piece.text.startswith("Running stage "):
                self.heads.add(piece.text)
            elif not piece.text.startswith("> "):
                screen().line(piece.text)
        self._logger.info("%s", piece.text)

    def reason(self) -> str:
        """The stage's own last `error: …` line; else its last other line, such as a traceback's; else DVC's error."""
        own = [line.removeprefix("error: ") for line in self.last if line.startswith("error: ")]
        dvc = [line.removeprefix("ERROR: ") for line in self.last if line.startswith("ERROR: ")]
        ran = [line for line in self.last if not line.startswith(("ERROR: ", "Running stage ", "> ")) and self.heads]
        return (own or ran or dvc or ["ended without a word"])[-1]

    def exit_code(self) -> int:
        """The stage's exit code from DVC's message (so that bad input stays 2), else 1. DVC's own exit code is always 255."""
        codes = [int(found) for line in self.last for found in re.findall(r"^ERROR: .*exited with (\d+)$", line)]
        return codes[-1] if codes else 1
