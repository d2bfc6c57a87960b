"""Reads the baseline of an evaluation: another evaluation with items, which can be paired, or recorded figures, which cannot."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from pydantic import JsonValue

from tasks import store
from tasks.longbench.compare import PREFERRED, Side, read_side
from tasks.longbench.scorecard import Group, Scorecard
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import ByName, Headline

KEPT = "metrics/scores.json"  # the figures of the last run, committed to git
FIX = "give the folder of an evaluation (items.jsonl in it), a scorecard.json, or a metrics/scores.json"


class Figures(NamedTuple):
    """The mean scores of a group, 0 to 100, and its number of unscored answers. None: unknown."""

    s_l: float | None
    s_l_fixed: float | None
    s_q: float | None
    s_bar: float | None
    s_bar_fixed: float | None
    unscored: int | None


class Baseline(NamedTuple):
    """The scores to compare with, by group, and the items if there are any."""

    name: str
    groups: Mapping[str, Figures]  # overall, length bins and languages, if known
    side: Side | None  # None: no items, so nothing can be paired


def read_baseline(source: str) -> Baseline:
    """Reads a score folder or items.jsonl (with `:MODEL` if it has several models), a scorecard.json, or a metrics/scores.json.

    Raises BadInput if the source is missing or is none of these.
    """
    path = Path(source)
    if path.is_dir() and not (path / "items.jsonl").is_file() and (path / "scorecard.json").is_file():
        path = path / "scorecard.json"
    if path.suffix == ".json":
        return _kept(source, path.read_bytes() if path.is_file() else _missing(source), path)
    if not path.exists() and not Path(source.rpartition(":")[0] or source).exists():
        _missing(source)
    return of_side(read_side(source))


def of_side(side: Side) -> Baseline:
    """Returns a baseline with items."""
    return Baseline(side.name, _of_card(summarise(side.answers, judge=side.judge)), side)


def committed(revision: str) -> Baseline | None:
    """Returns the figures committed at `revision`; None if there are none. Raises BadInput if the revision does not exist."""
    if _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}") is None:
        raise BadInput(revision, "no such revision here", field="BASE", fix="fetch it: git fetch origin BRANCH")
    text = _git("show", "--end-of-options", f"{revision}:{KEPT}")
    if text is None:
        return None
    place = f"{KEPT} of {revision}"
    return _kept(place, text.encode(), Path(place))


def groups(card: Scorecard) -> dict[str, Group]:
    """Overall, length bins and languages by name."""
    return {"overall": card, **card.by_bin, **card.by_language}


def _git(*arguments: str) -> str | None:
    """The output of a git command; None if it fails."""
    found = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return found.stdout if found.returncode == 0 else None


def _missing(source: str) -> NoReturn:
    raise BadInput(source, "no such file or folder", field="BASELINE", fix=FIX)


def _kept(name: str, text: bytes, path: Path) -> Baseline:
    document = store.parse_document(text, ByName[dict[str, JsonValue]], path=path, fix=FIX).root
    if not document:
        raise BadInput(path, "no scores of any model", field="BASELINE", fix=FIX)
    model = PREFERRED if PREFERRED in document else next(iter(document))
    if len(document) > 1 and model != PREFERRED:
        raise BadInput(path, f"scores of {len(document)} models, and none is called {PREFERRED}", field="BASELINE", fix=FIX)
    if "by_bin" in document[model]:
        return Baseline(name, _of_card(store.parse(document[model], Scorecard, path=path, line=None, fix=FIX)), None)
    kept = store.parse(document[model], Headline, path=path, line=None, fix=FIX)
    return Baseline(name, {"overall": Figures(**{key: getattr(kept, key) for key in Figures._fields})}, None)


def _of_card(card: Scorecard) -> dict[str, Figures]:
    return {name: _figures(group) for name, group in groups(card).items()}


def _figures(group: Group) -> Figures:
    fixed = group.fixed
    return Figures(
        s_l=group.s_l,
        s_l_fixed=fixed.s_l if fixed else None,
        s_q=group.s_q,
        s_bar=group.s_bar,
        s_bar_fixed=fixed.s_bar if fixed else None,
        unscored=group.unscored,
    )
