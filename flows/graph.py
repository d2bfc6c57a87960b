"""Read dvc.yaml's graph from DVC: the stages in order, and why each would run. Does not import Prefect."""

import os
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dvc.config import ConfigError
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.stage import Stage as DvcStage
from dvc.utils.serialize import ParseError
from dvc_data.hashfile.cache import DiskError

from flows.verified_dvc import SITE_CACHE, keep_private
from tasks.schema.errors import BadInput, WorkspaceBusy

GRAPH = "dvc.yaml"
FILES = re.compile(r"[\w./-]*(?:dvc\.lock|dvc\.yaml|params\.yaml)")  # file names in DVC's messages
POOL = "pool"  # the key in a stage's `meta`
MISSING = " missing"  # ends the reason of an output that is not there
CODE = (".py", ".txt", ".j2", ".css")  # suffixes of dependencies that are code, not data


class Stage(NamedTuple):
    """A stage, and its number (from 1) among the `total` stages of a run."""

    name: str
    desc: str
    number: int
    total: int


class StaleReason(NamedTuple):
    """Why a stage has to run: `kind` is params, code, data, output, command, stage or registry; `what` names it."""

    kind: str
    what: str


class readable:
    """Turn DVC's errors into the pipeline's errors: one line without a traceback."""

    def __enter__(self) -> None:
        keep_private()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, LockError):
            raise WorkspaceBusy("another DVC command runs in this workspace; wait for it, then run again") from None
        if isinstance(error, ParseError) and (mark := getattr(error.__cause__, "problem_mark", None)):
            problem = f"not YAML: {getattr(error.__cause__, 'problem', '')}"
            raise BadInput(error.path, problem, line=mark.line + 1, fix=_fix_of(error.path)) from None
        if isinstance(error, ConfigError):
            raise BadInput(".dvc/config", " ".join(str(error).split()), fix=_fix_of(".dvc/config")) from None
        if isinstance(error, DvcException):
            problem = " ".join(str(error).split())
            file = os.path.relpath(next(iter(FILES.findall(problem)), GRAPH))
            raise BadInput(file, problem, fix=_fix_of(file)) from None
        if isinstance(error, sqlite3.DatabaseError | DiskError):
            fix = f"remove it; DVC computes it again: `rm -r {SITE_CACHE}`"
            raise BadInput(SITE_CACHE, f"DVC's list of known digests is damaged ({error})", fix=fix) from None


def _fix_of(file: str) -> str:
    """The fix for a damaged file of the project."""
    if file.endswith(("dvc.lock", ".dvc/config")):
        return f"take the committed one, `git checkout -- {file}`"
    return f"correct it, or take the committed one, `git checkout -- {file}`"


def needed(repo: Repo, target: str | None = None) -> list[Stage]:
    """The stages to bring up to date, in the order of dvc.yaml as far as dependencies allow. Raises BadInput for an unknown target.

    Without a target: the stages of ./dvc.yaml, as `dvc repro` does. Stages of study/dvc.yaml run only if they are named.
    """
    runnable = [stage for stage in _order(repo, target) if stage.cmd]  # stages without a command are data of `dvc add` or `dvc import`
    return [Stage(stage.addressing, stage.desc or "", number, len(runnable)) for number, stage in enumerate(runnable, start=1)]


def needs(repo: Repo) -> dict[str, list[str]]:
    """{stage: the stages that it reads from}, in the order of dvc.yaml."""
    index = repo.index
    place = {stage: number for number, stage in enumerate(index.stages)}
    return {
        stage.addressing: [need.addressing for need in sorted(index.graph.successors(stage), key=place.__getitem__) if need.cmd]
        for stage in index.stages
    }


def pools(repo: Repo) -> dict[str, str]:
    """{stage: work pool} of the stages with `meta: {pool: gpu}` in dvc.yaml."""
    found = {stage.addressing: (getattr(stage, "meta", None) or {}).get(POOL) for stage in repo.index.stages}
    return {name: str(pool) for name, pool in found.items() if pool}


def written(repo: Repo) -> set[str]:
    """The files that a run writes and git may track: lock files, and outputs that DVC does not cache. Relative to the checkout."""
    locks = {stage.path.removesuffix(".yaml") + ".lock" for stage in repo.index.stages if stage.cmd}
    kept = {out.fs_path for stage in repo.index.stages for out in stage.outs if not out.use_cache}
    return {Path(path).resolve().relative_to(Path(repo.root_dir).resolve()).as_posix() for path in locks | kept}


def changes(repo: Repo) -> dict[str, list[StaleReason]]:
    """Why each stage of dvc.yaml would run, in the order of a run; an empty list for a stage that is up to date."""
    with readable():
        found = repo.status()
        above, made_by = needs(repo), {out.def_path: stage.addressing for stage in repo.index.stages for out in stage.outs}
        stale: dict[str, list[StaleReason]] = {}
        for stage in needed(repo):
            behind = [need for need in above[stage.name] if stale.get(need)]
            own = [change for entry in found.get(stage.name, []) for change in _changes(entry)]
            own = [change for change in own if not (change.kind == "data" and made_by.get(change.what.split(" ")[0]) in behind)]
            stale[stage.name] = own + [StaleReason("stage", need) for need in behind]
    return stale


def missing(repo: Repo) -> set[str]:
    """The stages of dvc.yaml that only lack outputs: with them, they and all stages before them would be up to date as dvc.lock says."""
    found: set[str] = set()
    behind: set[str] = set()  # they need nothing but such stages
    for name, why in changes(repo).items():
        outputs = [one for one in why if one.kind == "output" and one.what.endswith(MISSING)]
        if why and all(one in outputs or (one.kind == "stage" and one.what in behind) for one in why):
            behind.add(name)
            found |= {name} if outputs else set()
    return found


def _order(repo: Repo, target: str | None) -> list[DvcStage]:
    index = repo.index
    place = {stage: number for number, stage in enumerate(index.stages)}
    order: dict[DvcStage, None] = {}

    def visit(stage: DvcStage) -> None:
        if stage not in order:
            for need in sorted(index.graph.successors(stage), key=place.__getitem__):  # DVC's edges point to what a stage needs
                visit(need)
            order[stage] = None

    ends = [stage for stage in place if (stage.addressing == target if target else stage.path_in_repo == GRAPH)]
    if not ends:
        problem = f"no stage {target}" if target else "no stages in it"
        raise BadInput(GRAPH, problem, fix="`longwriter stages` lists them" if target else _fix_of(GRAPH))
    for end in ends:
        visit(end)
    return list(order)


def _changes(entry: str | Mapping[str, Mapping[str, object]]) -> list[StaleReason]:
    """The changes in one entry of DVC's status of a stage: `changed command`, or changed dependencies or outputs."""
    if isinstance(entry, str):
        return [StaleReason("command", entry.removeprefix("changed "))]
    found: list[StaleReason] = []
    for path, state in [*entry.get("changed deps", {}).items(), *entry.get("changed outs", {}).items()]:
        if isinstance(state, dict):
            found += [StaleReason("params", key) for key in state]
        elif path in entry.get("changed outs", ()):
            found.append(StaleReason("output", f"{path}{MISSING}" if _is_missing(path, state) else f"{path} {state}"))
        else:
            found.append(StaleReason("code" if _is_code(path) else "data", path if state == "modified" else f"{path} {state}"))
    return found


def _is_missing(path: str, state: object) -> bool:
    """Whether an output is not in the workspace; DVC says `not in cache` if the cache lacks it too."""
    return state == "deleted" or (state == "not in cache" and not Path(path).exists())


def _is_code(path: str) -> bool:
    return path.startswith("tasks/") and (Path(path).suffix in ("", *CODE))
