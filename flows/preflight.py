"""Checks before a run changes anything: missing inputs, sources without files, misplaced stand-ins, base model, endpoints."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from dvc.stage import Stage as DvcStage

from flows import graph
from flows.graph import Stage
from tasks import doctor
from tasks.agentwrite.context import pieces_of, turn_of
from tasks.judging.templates import read_template
from tasks.models.local import is_local
from tasks.prompts import located
from tasks.schema import standins
from tasks.schema.checks import problems
from tasks.schema.errors import BadInput, BadPrompt, NotReady
from tasks.schema.params import Params
from tasks.schema.settings import Role, settings
from tasks.training.base_checks import base

MADE_BY = {
    "official": "`longwriter eval official` fetches it",
    "recorded": "`longwriter run --profile NAME --teacher recorded --answers PATH` copies them there",
}  # folders of data/raw and the commands that fill them


def check(repo: Repo, stages: Sequence[Stage], params: Params) -> None:
    """Raises NotReady with all problems at once. A refused run changes no output."""
    names = {stage.name for stage in stages}
    found = [
        *_outside(Path(repo.root_dir), params),
        *_missing_inputs(repo, names),
        *_prompts(names, params),
        *(_sources(params) if "collect" in names else []),
        *_mixed_in(names, params),
        *standins.misplaced(params, settings()),
    ]
    found += [problem for problem in _foreseen(repo, names, params, ask=not found) if problem not in found]
    if found:
        raise NotReady(found)


def _foreseen(repo: Repo, names: set[str], params: Params, *, ask: bool) -> list[str]:
    """Problems at which the stages that will run would stop.

    These are a base model that cannot be trained, endpoints that are missing or reply unsuitably, and a spend cap without prices. Nothing
    is checked if no such stage would run, or if the rehearsal answers all roles. Without `ask` (the run is refused already), no endpoint
    gets a request and nothing is downloaded.
    """
    own = settings()
    if params.base.model == standins.TINY and not any(own.url(role) or not _built_in(params, role) for role in doctor.roles(params)):
        return []
    changes = graph.changes(repo)
    sections = {key for stage in repo.index.stages if _runs(stage.addressing, names, changes) for key in _sections(stage)}
    wanted = [role for role in doctor.roles(params) if f"models.{role}" in sections]
    found = problems([*(base(params, fetch=ask) if "base" in sections else []), *doctor.endpoints(params, own, wanted)])
    return found or (problems(doctor.answers(params, own, wanted)) if ask else [])


def _built_in(params: Params, role: Role) -> bool:
    """Whether the pipeline itself serves this role, so that the user needs no endpoint."""
    model = getattr(params.models, role)
    return role == "candidate" or standins.is_stand_in(model) or is_local(model.name)


def _runs(name: str, names: set[str], changes: Mapping[str, Sequence[graph.StaleReason]]) -> bool:
    return name in names and bool(changes.get(name, [name]))


def _sections(stage: DvcStage) -> Iterator[str]:
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency):
            yield from map(str, dep.params)


def _missing_inputs(repo: Repo, names: set[str]) -> Iterator[str]:
    """One line for each missing file that a stage reads and no stage makes."""
    index = repo.index
    made = [Path(out.fs_path) for stage in index.stages for out in stage.outs]
    seen: set[Path] = set()
    for stage in index.stages:
        for dep in stage.deps if stage.addressing in names else []:
            path = Path(dep.fs_path)
            if dep.is_in_repo and path not in seen and not path.exists() and not any(_within(path, out) for out in made):
                seen.add(path)
                fix = next((words for folder, words in MADE_BY.items() if folder in path.parts), "put it there, or correct params.yaml")
                yield f"{path.relative_to(repo.root_dir)}: no such file, and the stage {stage.addressing} reads it; fix: {fix}"


def _within(path: Path, out: Path) -> bool:
    return path == out or out in path.parents or path in out.parents


def _outside(root: Path, params: Params) -> Iterator[str]:
    """One line for each data path outside the checkout, because DVC could not restore it on another machine."""
    paths = {
        "benchmark": params.benchmark,
        "collect.folder": params.collect.folder,
        "write.prompt": params.write.prompt,
        "write.next_prompt": params.write.next_prompt,
        "judge.prompt": params.judge.prompt,
        "build_pairs.prompt": params.build_pairs.prompt,
        "study.texts": params.study.texts,
        "study.ruler": params.study.ruler,
    }
    for key, path in paths.items():
        if not (root / path).resolve().is_relative_to(root.resolve()):
            yield f"{key}: {path} is outside of the checkout; copy it into data/raw and name it there"


def _prompts(names: set[str], params: Params) -> Iterator[str]:
    """One line for each prompt file of a stage with a missing or unknown placeholder; a missing file is a missing input."""
    readers: dict[str, tuple[str, Callable[[Path], object]]] = {
        "write.prompt": (params.write.prompt, lambda path: pieces_of(path, instruction="", plan="")),
        "write.next_prompt": (params.write.next_prompt, turn_of),
        "build_pairs.prompt": (params.build_pairs.prompt, read_template),
        "judge.prompt": (params.judge.prompt, read_template),
    }
    for key, (prompt, read) in readers.items():
        path = located(Path(prompt))
        if key.partition(".")[0] in names and path.exists():
            try:
                read(path)
            except BadPrompt as error:
                yield f"{key}: {error}"


def _mixed_in(names: set[str], params: Params) -> Iterator[str]:
    """One line for each local source of general data without a file, because the stages before it are paid for."""
    from tasks.sources.files import files_of

    chats, pairs = params.assemble.general, params.build_pairs.general
    for stage, sources, ratio in (("assemble", chats.sources, chats.ratio), ("build_pairs", pairs.sources, pairs.ratio)):
        for entry in sources if stage in names and ratio else []:
            try:
                _ = files_of(entry, Path(params.collect.folder)) if entry.place == "local" else []
            except BadInput as error:
                yield str(error)


def _sources(params: Params) -> Iterator[str]:
    """One line for each local source of collect without a file, and for each source that collect would refuse."""
    from tasks.sources.files import files_of
    from tasks.sources.forecast import refusals

    folder = Path(params.collect.folder)
    missing = False
    for entry in [*params.collect.sources, *params.collect.decontaminate]:
        if entry.place == "local":
            try:
                files_of(entry, folder)
            except BadInput as error:
                missing = True
                yield str(error)
    if not missing:
        yield from refusals(params)
