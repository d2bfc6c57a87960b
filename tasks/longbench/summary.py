"""From scored items to a scorecard: S_l, S_q and S̄ overall, by length bin, by language and by type (paper, section 4.1)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from tasks import store
from tasks.longbench.length import count_words, s_l
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, Record, Rubric, ScoredItem

# Upper bounds in words, each open but the last of the paper's: one of its items asks for 20,000. LongWrite-Ruler asks for 30,000.
BINS = ((500, "[0,500)"), (2000, "[500,2000)"), (4000, "[2000,4000)"), (20001, "[4000,20000]"))
OVER = "over 20000"


class Group(Record):
    """The scores of some items, 0 to 100. Unscored items count in S_l and never in S_q: they are shown, not imputed."""

    items: int
    s_l: float  # mean S_l over all items
    s_q: float | None  # mean S_q over the scored items; None: none was scored
    s_bar: float | None  # S̄ = (S_l + S_q) / 2; None where S_q is
    unscored: int  # items without a readable verdict, or not judged at all


class Point(Record):
    """One answer on the ruler, in words."""

    asked: int
    written: int


class Scorecard(Group):
    """All scores of one model. Groups that hold no item are left out."""

    by_bin: dict[str, Group]  # of the asked length
    by_language: dict[str, Group]
    by_type: dict[str, Group]
    ruler: tuple[Point, ...]  # by asked length
    judge: str | None  # who gave S_q; None: nobody


class Reach(Record):
    """How far a model's answers reach for one asked length, in words."""

    asked: int
    items: int
    mean: float
    longest: int


def s_q(rubric: Rubric) -> float:
    """The quality score, 0 to 100: the mean over the six dimensions d (each 1 to 5) of (d − 1) · 25 (paper, section 4.1)."""
    return mean((score - 1) * 25 for score in rubric.model_dump().values())


def score_item(item: BenchmarkItem, model: str, response: str, rubric: Rubric | None) -> ScoredItem:
    """One answer, scored. An empty answer has S_l 0; without a rubric S_q is None."""
    written = count_words(response)
    return ScoredItem(
        id=item.id,
        model=model,
        type=item.type,
        language=item.language,
        asked=item.length,
        written=written,
        s_l=s_l(item.length, written),
        s_q=s_q(rubric) if rubric else None,
    )


def bin_of(asked: int) -> str:
    """The paper's length bin of an asked length; the last one is closed, and what asks for more is `over 20000`."""
    return next((name for bound, name in BINS if asked < bound), OVER)


def summarise(items: Sequence[ScoredItem], *, judge: str | None = None) -> Scorecard:
    """The scorecard of one model's items. Raises ValueError if there is none: a mean over nothing is no score."""
    order = [name for _, name in BINS] + [OVER]
    return Scorecard(
        judge=judge,
        **dict(_group(items)),
        by_bin=dict(sorted(_groups(items, lambda item: bin_of(item.asked)).items(), key=lambda entry: order.index(entry[0]))),
        by_language=_groups(items, lambda item: item.language),
        by_type=_groups([item for item in items if item.type], lambda item: item.type),
        ruler=tuple(Point(asked=asked, written=written) for asked, written in sorted((item.asked, item.written) for item in items)),
    )


def reach(points: Iterable[Point]) -> list[Reach]:
    """Mean and longest answer per asked length, shortest ask first."""
    by_asked: dict[int, list[int]] = {}
    for point in points:
        by_asked.setdefault(point.asked, []).append(point.written)
    return [Reach(asked=asked, items=len(found), mean=mean(found), longest=max(found)) for asked, found in sorted(by_asked.items())]


def mean_s_l(items: Iterable[ScoredItem], *, over: float) -> float | None:
    """Mean S_l of the items that ask for more than `over` words; None if none does."""
    found = [item.s_l for item in items if item.asked > over]
    return mean(found) if found else None


def read_scorecards(path: Path) -> dict[str, Scorecard]:
    """scorecard.json: a scorecard per model. Raises BadInput that names the field that does not fit."""
    document = store.read_json(path)
    if not isinstance(document, dict) or not document:
        raise BadInput(path, "not an object of scorecards by model", mend="run the stage score again")
    return {model: store.parse(card, Scorecard, path=path, line=None) for model, card in document.items()}


def _groups(items: Iterable[ScoredItem], key: Callable[[ScoredItem], str]) -> dict[str, Group]:
    members: dict[str, list[ScoredItem]] = {}
    for item in items:
        members.setdefault(key(item), []).append(item)
    return {name: _group(members[name]) for name in sorted(members)}


def _group(items: Sequence[ScoredItem]) -> Group:
    if not items:
        raise ValueError("no items to summarise")
    quality = [item.s_q for item in items if item.s_q is not None]
    length, judged = mean(item.s_l for item in items), mean(quality) if quality else None
    both = None if judged is None else (length + judged) / 2
    return Group(items=len(items), s_l=length, s_q=judged, s_bar=both, unscored=len(items) - len(quality))


def flat(cards: Mapping[str, Scorecard]) -> dict[str, float | int]:
    """The overall scores as metrics: `student_s_l`, `student_s_q`, ...; what is unscored has no metric."""
    names = ("items", "s_l", "s_q", "s_bar", "unscored")
    return {f"{model}_{name}": getattr(card, name) for model, card in cards.items() for name in names if getattr(card, name) is not None}
