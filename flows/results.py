"""The closing lines of a run: scores, pages and the MLflow store, each with the command that opens it.

Their paths come from dvc.yaml: metrics that git stores (`cache: false`), and outputs that are HTML or folders with an index.html.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from dvc.repo import Repo

from flows import checkout, graph
from tasks import store
from tasks.reporting.verdict import headline
from tasks.schema.records import ByName, Headline, Served
from tasks.schema.settings import settings
from tasks.tracking import client
from tasks.tracking.gate import Decision

REPORT = "tasks.report"  # the module of the stage report
DECISION = "decision.json"  # an output of the stage promote
SERVED = "served.json"
SHOWN = {"s_bar": "S̄", "s_l": "S_l", "s_q": "S_q", "unscored": "unscored", "items": "items"}


def summary() -> list[str]:
    """The closing lines of a run: scores, verdict, and the commands that open its pages."""
    with Repo() as repo:
        outs = [Path(out.fs_path) for stage in repo.index.stages for out in stage.outs]
        kept = [Path(out.fs_path) for stage in repo.index.stages for out in stage.outs if out.is_metric and not out.use_cache]
        found, modified = pages(repo), _modified(repo)
    lines = [line for path in kept if path.is_file() for line in _scores(store.read_document(path, ByName[Headline]).root)]
    lines += _verdict(outs)
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    width = max([len("mlflow"), *(len(name) for name, _ in found)])
    lines += [f"{name:<{width}}  {opener} {_near(page)}" for name, page in reversed(found)]
    if found:
        lines.append(f"{'mlflow':<{width}}  {_tracking()}")
    if modified:
        lines += ["", f"{'git':<{width}}  this run changed {', '.join(modified)}; keep them by:", f"{'':<{width}}  {_commit(modified)}"]
    return lines


def _modified(repo: Repo) -> list[str]:
    """Tracked files with changes of the kind that a run makes; none outside a git repository."""
    try:
        return sorted(set(checkout.changed(Path(repo.root_dir))) & graph.written(repo))
    except checkout.CheckoutError:
        return []


def _commit(files: Sequence[str]) -> str:
    """The command that commits these files and nothing else."""
    return shlex.join(["git", "commit", "-m", "Record a run", "--", *files])


def pages(repo: Repo) -> list[tuple[str, Path]]:
    """(stage, file) of the pages that stages have made, in the order of dvc.yaml."""
    return [(stage.name, page) for stage in repo.index.stages for out in stage.outs for page in _page(Path(out.fs_path))]


def partial_report(repo: Repo) -> Path | None:
    """A report of an incomplete run, written below settings.home from what its stages have made; None if they have made nothing. Paths are
    those of the command of the stage report in dvc.yaml."""
    stage = next((one for one in repo.index.stages if one.name == "report"), None)
    words = shlex.split(str(stage.cmd)) if stage else []
    if REPORT not in words:
        return None
    data, _, plots, *_ = map(Path, words[words.index(REPORT) + 1 :])
    if not any(data.glob("*/metrics.json")):
        return None
    from tasks.reporting.page import write_page
    from tasks.reporting.sources import gather

    page = settings().home.resolve() / "report.html"
    store.private_folder(page.parent)
    write_page(page, gather(data, plots))
    return page


def _page(out: Path) -> Iterator[Path]:
    for path in (out, out / "index.html"):
        if path.suffix == ".html" and path.is_file():
            yield path


def _scores(scores: Mapping[str, Headline]) -> Iterator[str]:
    """Lines of a table with one model per row; a missing value is a dash."""
    yield f"{'':<9} " + "".join(f"{title:>10}" for title in SHOWN.values())
    for model, values in scores.items():
        yield f"{model:<9} " + "".join(f"{_value(getattr(values, key)):>10}" for key in SHOWN)
    yield ""


def _verdict(outs: Iterable[Path]) -> Iterator[str]:
    """Was the model promoted, and why?"""
    found = {out.name: out for out in outs if out.is_file()}
    if DECISION in found:
        served = store.read_document(found[SERVED], Served) if SERVED in found else None
        yield headline(store.read_document(found[DECISION], Decision), served).sentence
        yield ""


def _value(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _near(path: Path) -> str:
    """A path relative to the working directory if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _tracking() -> str:
    uri = client.shown_uri()
    if not uri.startswith("sqlite:"):
        return uri
    return f"{_near(Path(sys.executable).parent)}{os.sep}mlflow ui --backend-store-uri {uri.replace(f'{Path.cwd()}{os.sep}', '')}"
