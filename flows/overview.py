"""The commands that show a checkout or select its profile, and run no stage: `longwriter status`, `stages`, `report`, `use`."""

import shutil
import sys
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from tasks.schema.errors import BadInput, EndpointError
from tasks.stage import one_line_errors

if TYPE_CHECKING:
    from dvc.repo import Repo

    from flows.graph import Stage, StaleReason

Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
SHOWN = 3  # names of one kind per line; --json prints all


def status(as_json: Json = False) -> None:
    """Show which stages are up to date, which would run, and why: a change, the model registry or an earlier stage. Runs nothing."""
    with one_line_errors():
        from dvc.repo import Repo

        from flows import graph

        with graph.readable(), Repo() as repo:
            found = graph.changes(repo)
            for stage, contradiction in _outside(repo).items():
                found[stage] = [*found.get(stage, []), graph.StaleReason("registry", contradiction)]
    if as_json:
        rows = [{"stage": name, "up_to_date": not why, "why": [change._asdict() for change in why]} for name, why in found.items()]
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    width = max(map(len, found))
    for name, why in found.items():
        print(f"{name:<{width}}  {'stale' if why else 'up to date':<10}  {_grouped(why)}".rstrip())
    stale = sum(1 for why in found.values() if why)
    print(f"{stale} of {len(found)} stages are stale; `longwriter run` restores or runs them" if stale else "every stage is up to date")


def _outside(repo: "Repo") -> dict[str, str]:
    """{stage: why its result is not true in the model registry}; a registry that does not answer is such a reason."""
    from flows import outside

    try:
        return {one.stage: one.why for one in outside.untrue(repo)}
    except EndpointError as error:
        return {stage.addressing: str(error) for stage in repo.index.stages if outside.is_outside(stage)}


def _grouped(why: "list[StaleReason]") -> str:
    """Changes grouped by kind: their names, or their number if there are more than SHOWN."""
    kinds: dict[str, list[str]] = {}
    for change in why:
        kinds.setdefault(change.kind, []).append(change.what)
    return "; ".join(f"{kind}: {', '.join(what) if len(what) <= SHOWN else f'{len(what)} changed'}" for kind, what in kinds.items())


def stages(as_json: Json = False) -> None:
    """Show the graph: each stage in the order in which they run, after which stages it runs, and what it does."""
    with one_line_errors():
        from dvc.repo import Repo

        from flows import graph

        with graph.readable(), Repo() as repo:
            listed, above, pools = graph.needed(repo), graph.needs(repo), graph.pools(repo)
    if as_json:
        rows = [{"stage": stage.name, "description": stage.desc, "reads_from": above[stage.name]} for stage in listed]
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    for line in _drawn(listed, above, pools, columns=shutil.get_terminal_size().columns):
        print(line)


def _drawn(listed: "Sequence[Stage]", above: Mapping[str, list[str]], pools: Mapping[str, str], *, columns: int) -> Iterator[str]:
    """The graph, a line per stage within the terminal's width. A stage that another one on the line already needs is left out."""
    needs = {stage.name: _direct(above[stage.name], above) for stage in listed}
    names = {stage.name: f"{stage.name} [{pools[stage.name]}]" if stage.name in pools else stage.name for stage in listed}
    first, second = max(map(len, names.values())), max(len(", ".join(one)) for one in needs.values())
    yield f"{'':>2}  {'stage':<{first}}  {'after':<{second}}  what it does"[:columns]
    for stage in listed:
        line = f"{stage.number:>2}  {names[stage.name]:<{first}}  {', '.join(needs[stage.name]):<{second}}  {stage.desc}".rstrip()
        yield line if len(line) <= columns else f"{line[: columns - 1]}…"
    if pools:
        yield f"{'':>2}  [{', '.join(sorted(set(pools.values())))}]: work pool of the stage; --json has everything a stage reads"[:columns]


def _direct(names: Sequence[str], above: Mapping[str, list[str]]) -> list[str]:
    """These stages without those that another of them needs."""
    behind: set[str] = set()
    todo = [need for name in names for need in above.get(name, [])]
    while todo:
        name = todo.pop()
        if name not in behind:
            behind.add(name)
            todo += above.get(name, [])
    return [name for name in names if name not in behind]


def report(
    open_it: Annotated[bool, typer.Option("--open", help="open it in the browser")] = False,
    as_json: Json = False,
) -> None:
    """Show the path of the last run's report. Before a run is complete, write one from what there is, which names what is missing."""
    with one_line_errors():
        from dvc.repo import Repo

        from flows import graph, results

        with graph.readable(), Repo() as repo:
            made = dict(results.pages(repo))
            if "report" not in made and (partial := results.partial_report(repo)):
                made["report"] = partial
                print("the run is not complete: this report shows what there is", file=sys.stderr, flush=True)
        if "report" not in made:
            raise BadInput("report", "there is none yet", fix="`longwriter run` makes it")
    page = made["report"]
    print(orjson.dumps({name: str(path) for name, path in made.items()}).decode() if as_json else page)
    if open_it:
        webbrowser.open(page.as_uri())


def use(
    profile: Annotated[str, typer.Argument(help="a file in profiles/, without .yaml")],
    force: Annotated[bool, typer.Option("--force", help="replace an edited params.yaml; the old one is kept as params.yaml.bak")] = False,
) -> None:
    """Copy a profile to params.yaml."""
    with one_line_errors():
        from flows import profiles

        profiles.use(profile, force=force)
    print(f"params.yaml is profiles/{profile}.yaml now; `longwriter estimate` and `longwriter run` use it")
