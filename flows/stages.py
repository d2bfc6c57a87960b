"""Run dvc.yaml's stages as Prefect tasks.

The graph comes from DVC, and only DVC decides whether a stage must run. `Repo.status` finds an unchanged stage in this process (0.05 s).
Otherwise a child process runs `dvc repro --single-item`, which runs the stage or restores its outputs from the run cache. dvc.lock is the
same as after a manual `dvc repro`.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from dvc.repo import Repo
from prefect import Task, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelled, Completed

from flows import artifacts, child, ending, graph, handover, outside, preflight, publication, verified_dvc, workspace
from flows.artifacts import StageArtifact
from flows.graph import Stage, needed, readable
from flows.terminal import screen
from tasks.processes import die_with_parent
from tasks.schema import params
from tasks.schema.errors import PipelineError
from tasks.schema.redaction import redact
from tasks.schema.urls import Url

HINTS = re.compile(  # DVC's hints after a stage, which are not shown
    r"(Updat|Generat)ing lock file |To (track the changes with git|enable auto staging), run:|\s*git add |\s*dvc config |Use `dvc push` "
    r"|WARNING: '.*' is empty\.$"
)
BAR_SECONDS = 5.0  # between two states of a progress bar in the log and in the task run's artifact
R = TypeVar("R")
COMPLETED = "Completed"  # it ran
CACHED, RESTORED = "Cached", "Restored"  # unchanged; fetched from a cache
FETCHED = "fetched from DVC's remote"  # verified_dvc's line if a stage's outputs came from there


class StageFailed(PipelineError):
    """A stage of the run failed. Contains the stage's own last error line and exit code."""

    def __init__(self, message: str, *, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def run(target: str | None = None, *, push: bool = False, elsewhere: bool = False, alone: bool = False) -> dict[str, str]:
    """Bring `target` and every stage that it needs up to date, by default all stages of dvc.yaml; returns {stage: state}.

    Stops at the first failing stage and raises its error. `push` sends each stage's outputs and run cache to DVC's remote, so that other
    machines can restore them, and publishes dataset and checkpoint to LONGWRITER_STORE, if it is set. `elsewhere` runs stages that have
    a work pool in dvc.yaml on that pool's workers, and restores their outputs here. With `alone`, only the target's results are published:
    another flow handed the target over, and publishes those of the earlier stages.
    """
    if runtime.flow_run.id and os.environ.get("PREFECT__FLOW_RUN_ID"):
        die_with_parent()  # in a worker's run: nothing may survive if the worker is killed
    states: dict[str, str] = {}
    given = params.load()  # check all keys, so that a misspelt key of a cached stage is found too
    with workspace.lock(), readable():
        publish = push and publication.wanted()
        verified_dvc.install()
        verified_dvc.see_study(target)
        repo = Repo()
        remote = _remote(repo)
        stages = needed(repo, target)
        preflight.check(repo, stages, given)
        pools, commit = (graph.pools(repo), handover.demand(repo, push=push)) if elsewhere else ({}, "")
        screen().begin([stage.name for stage in stages])
        _forget_untrue(repo, stages)
        pulled = _pulled(repo, stages, remote) if remote else {}
        for stage in stages:
            pool = pools.get(stage.name)
            work = partial(bring_up_to_date, repo, stage.name, remote=remote, pulled=pulled.get(stage.name, ""))
            if pool:
                work = partial(_restored_from_elsewhere, repo, stage.name, pool, commit, remote, pulled=pulled.get(stage.name, ""))
            with _followed(stage.name if publish else ""):
                states[stage.name] = _run_stage(stage, partial(artifacts.after, repo, stage.name, work), list(states))
            if push and remote and not pool and states[stage.name] == COMPLETED:
                as_task(f"push {stage.name}", "its outputs and its run to DVC's remote", partial(_push, stage.name))()
            for words in publication.AFTER.get(stage.name, []) if publish and (not alone or stage.name == target) else []:
                as_task(" ".join(words[:2]), "to the store of LONGWRITER_STORE", partial(by_child, "tasks.storage", *words))()
        if push and remote:
            as_task("push", "what an earlier run could not send", _push)()
        elif push:
            get_run_logger().warning("nothing is pushed: no DVC remote is configured (`dvc remote add --default NAME URL`)")
    return states


def _remote(repo: Repo) -> str:
    """`NAME (URL)` of DVC's default remote; empty if there is none."""
    name = repo.config["core"].get("remote")
    return f"{name} ({Url(str(repo.config['remote'].get(name, {}).get('url', '')))})" if name else ""


def _forget_untrue(repo: Repo, stages: Sequence[Stage]) -> None:
    for line in outside.forget(repo, {stage.name for stage in stages}):
        screen().line(line)
        get_run_logger().info("%s", line)


def _pulled(repo: Repo, stages: Sequence[Stage], remote: str) -> dict[str, str]:
    """The stages of the recorded run with missing outputs, which one `dvc pull` fetched together, and where they came from.

    A remote that does not answer or lacks some is no error here: each stage is then looked up, or run, by itself.
    """
    wanted = graph.missing(repo)
    names = [stage.name for stage in stages if stage.name in wanted]
    if not names:
        return {}
    pull = as_task("pull", f"outputs of {len(names)} stages, from DVC's remote {remote}", partial(_pull, names, remote))
    state = pull(return_state=True)
    if not state.is_completed():
        get_run_logger().warning("the outputs could not be pulled together: %s; each stage is looked up by itself", state.message)
        return {}
    return dict.fromkeys(names, state.result())


def _pull(names: Sequence[str], remote: str) -> str:
    """Fetch the outputs of stages with DVC's run cache; where they came from. Raises StageFailed."""
    output, code = _dvc("pull", "--run-cache", "--allow-missing", *names, shown="pull")
    if code:
        raise StageFailed(f"dvc pull: {output.reason()}", exit_code=code)
    return _place(remote, fetched=any(re.search(r"\b[1-9]\d* files? fetched", line) for line in output.last))


@contextmanager
def _followed(stage: str) -> Iterator[None]:
    """If `stage` fails after it moved aliases in the registry, the store's aliases follow: a champion that fell is offered nowhere."""
    try:
        yield
    except StageFailed:
        for words in publication.AFTER_FAILURE.get(stage, []):
            try:
                as_task(" ".join(words), "to the store of LONGWRITER_STORE", partial(by_child, "tasks.storage", *words))()
            except StageFailed as error:
                get_run_logger().error("the store's aliases may be outdated: %s; run `longwriter store follow`", error)
        raise


def _run_stage(stage: Stage, work: Callable[[], State[object]], finished: Sequence[str]) -> str:
    screen().stage_begins(stage)
    start = time.monotonic()
    outcome = "Stopped"
    stops: list[BaseException] = []

    def guarded() -> State[object]:
        """Ends the task's run as cancelled, with the reason, where Prefect would call a signal a crash."""
        try:
            return work()
        except (TerminationSignal, KeyboardInterrupt) as stop:
            stops.append(stop)
            return Cancelled(message=ending.why(stop, stage.name, finished))

    try:
        state = as_task(stage.name, stage.desc, guarded)(return_state=True)
        outcome = str(state.name)
        if stops:
            get_run_logger().warning("%s", state.message)
            raise stops[0]
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


def _restored_from_elsewhere(repo: Repo, name: str, pool: str, commit: str, remote: str, *, pulled: str) -> State[object]:
    """Bring a stage of another pool up to date: from a cache if possible; else the pool's workers run it, and DVC restores it here."""
    if not _changed(repo, name):
        return _unchanged(pulled)
    if found := _restored(repo, name, remote):
        return found
    _push()  # includes results that an earlier run could not send; the other machine reads its inputs there
    ran = handover.hand_over(name, pool, commit)
    if not _restored(repo, name, remote):
        raise StageFailed(f"{name}: DVC's remote has no result of it for these inputs; it is not run here", exit_code=1)
    return Completed(message=f"ran in the pool {pool}") if ran else Completed(name=RESTORED, message=f"by a worker of the pool {pool}")


def bring_up_to_date(repo: Repo, name: str, *, remote: str = "", pulled: str = "") -> State[object]:
    """Bring one stage up to date: nothing if DVC finds it unchanged, else `dvc repro --single-item`.

    The state is `Completed` if the stage ran, `Restored` if its outputs came from a cache, `Cached` if nothing had to be done. Raises
    StageFailed with the stage's own last error line.
    """
    if not _changed(repo, name):
        return _unchanged(pulled)
    output, code = _dvc("repro", "--single-item", *(["--pull"] if remote else []), name)
    if code:
        reason = output.reason()  # some reasons begin with the stage's name
        raise StageFailed(reason if reason.startswith(f"{name}: ") else f"{name}: {reason}", exit_code=output.exit_code())
    if f"Running stage '{name}':" in output.heads:
        return Completed(message="dvc: ran")
    return _from(output, remote)


def _restored(repo: Repo, name: str, remote: str) -> State[object] | None:
    """Restore a stage from this machine's cache or DVC's remote without ever running it; None if neither has its result."""
    output, code = _dvc("restore", name)
    if code == verified_dvc.NOWHERE:
        return None
    if code:
        raise StageFailed(f"{name}: {output.reason()}", exit_code=1)
    return _from(output, remote)


def _dvc(*words: str, shown: str = "") -> "tuple[_Log, int]":
    """Run a command of verified_dvc; its output and exit code. Its progress has the name `shown`, by default the last word, the stage."""
    return _watched("flows.verified_dvc", *words, shown=shown or words[-1])


def _watched(module: str, *words: str, shown: str) -> "tuple[_Log, int]":
    """Run `python -m MODULE WORDS` with its progress under the name `shown`; its output and exit code."""
    with StageArtifact(shown, get_run_logger()) as progress:
        output = _Log(progress)
        code = child.run([sys.executable, "-m", module, *words], output.see)
        if not code:
            progress.complete()
    return output, code


def _unchanged(pulled: str) -> State[object]:
    """The state of a stage that DVC finds unchanged; `pulled` is where this run fetched its outputs from."""
    return Completed(name=RESTORED, message=f"from {pulled}") if pulled else Completed(name=CACHED, message="dvc: unchanged")


def _from(output: "_Log", remote: str) -> State[object]:
    """The state of a restored stage, with the place that its outputs came from."""
    return Completed(name=RESTORED, message=f"from {_place(remote, fetched=output.fetched)}")


def _place(remote: str, *, fetched: bool) -> str:
    return f"DVC's remote {remote}" if fetched else "the DVC cache of this machine"


def _changed(repo: Repo, name: str) -> bool:
    with readable():
        verified_dvc.put_back(repo.stage.collect(name))
        return bool(repo.status(targets=[name]))


def _push(*names: str) -> None:
    by_child("dvc", "push", "--run-cache", *names)


def by_child(module: str, *words: str) -> None:
    """Run `python -m MODULE WORDS`, and show its bar and lines as a stage's. Raises StageFailed with its last error line."""
    output, code = _watched("flows.verified_dvc" if module == "dvc" else module, *words, shown=words[0])
    if code:
        raise StageFailed(f"{module} {words[0]}: {output.reason()}", exit_code=code)


class _Log:
    """Sends a child's output to the task's logger, the screen and the task's progress, and keeps its last lines for errors."""

    def __init__(self, progress: StageArtifact) -> None:
        self._progress = progress
        self.heads: set[str] = set()
        self.fetched = False  # outputs came from DVC's remote
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
            self.fetched = self.fetched or piece.text.startswith(FETCHED)
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
        return (own or ran or dvc or ["ended without any output"])[-1]

    def exit_code(self) -> int:
        """The stage's exit code from DVC's message (so that bad input stays 2), else 1. DVC's own exit code is always 255."""
        codes = [int(found) for line in self.last for found in re.findall(r"^ERROR: .*exited with (\d+)$", line)]
        return codes[-1] if codes else 1
