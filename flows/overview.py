"""The commands that show a checkout or select its profile, and run no stage: `longwriter status`, `stages`, `report`, `use`."""

import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from tasks.schema.errors import BadInput
from tasks.stage import one_line_errors

if TYPE_CHECKING:
    from flows.graph import StaleReason

Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
SHOWN = 3  # names of one kind per line; --json prints all


def status(as_json: Json = False) -> None:
    """Show which stages are up to date, which would run, and why: params, code, data, outputs or an earlier stage. Runs nothing."""
    with one_line_errors():
        from dvc.repo import Repo

        from flows import graph

        with graph.readable(), Repo() as repo:
            found = graph.changes(repo)
    if as_json:
        rows = [{"stage": name, "up_to_date": not why, "why": [change._asdict() for change in why]} for name, why in found.items()]
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    width = max(map(len, found))
    for name, why in found.items():
        print(f"{name:<{width}}  {'stale' if why else 'up to date':<10}  {_grouped(why)}".rstrip())
    stale = sum(1 for why in found.values() if why)
    print(f"{stale} of {len(found)} stages are stale; `longwriter run` restores or runs them" if stale else "every stage is up to date")


def _grouped(why: "list[StaleReason]") -> str:
    """Changes grouped by kind: their names, or their number if there are more than SHOWN."""
    kinds: dict[str, list[str]] = {}
    for change in why:
        kinds.setdefault(change.kind, []).append(change.what)
    return "; ".join(f"{kind}: {', '.join(what) if len(what) <= SHOWN else f'{len(what)} changed'}" for kind, what in kinds.items())


def stages(as_json: Json = False) -> None:
    """List the stages in the order in which they run, with their descriptions and the stages that they read from."""
    with one_line_errors():
        from dvc.repo import Repo

        from flows import graph

        with graph.readable(), Repo() as repo:
            listed, above = graph.needed(repo), graph.needs(repo)
    if as_json:
        rows = [{"stage": stage.name, "description": stage.desc, "reads_from": above[stage.name]} for stage in listed]
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    width = max(len(stage.name) for stage in listed)
    for stage in listed:
        names = above[stage.name]
        reads = f"  (reads {', '.join(names) if len(names) <= SHOWN else f'{len(names)} stages'})" if names else ""
        print(f"{stage.number:>2}  {stage.name:<{width}}  {stage.desc}{reads}")


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
    profile: Annotated[str, typer.Argument(help="a file of profiles/, without .yaml")],
    force: Annotated[bool, typer.Option("--force", help="also over edits of params.yaml, which is kept as params.yaml.bak")] = False,
) -> None:
    """Copy a profile to params.yaml."""
    with one_line_errors():
        from flows import profiles

        profiles.use(profile, force=force)
    print(f"params.yaml is profiles/{profile}.yaml now; `longwriter estimate` and `longwriter run` use it")
