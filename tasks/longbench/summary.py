"""From scored items to a scorecard: S_l, S_q and S̄ overall, by length bin, by language and by type (paper, section 4.1)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean

from tasks import store
from tasks.longbench.degeneration import PARTS, degeneration
from tasks.longbench.intervals import Interval, intervals
from tasks.longbench.length import count_words, s_l
from tasks.longbench.ruler import Ceiling, Point, Reach, ceiling, reach
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, Degeneration, Record, Rubric, ScoredItem

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
    s_l_interval: Interval | None = None  # 95%, by the bootstrap over items; None: one item alone has none
    s_q_interval: Interval | None = None
    s_bar_interval: Interval | None = None
    s_q_bounds: Interval | None = None  # S_q if all unscored items had 0, and if all had 100; None: none is unscored, or none is scored


class Decay(Record):
    """Degeneration over a model's answers, of all as far as the texts were at hand; means over answers, from 0 to 1."""

    items: int
    repetition: float
    looped: float
    with_loop: float  # share of the answers
    unfinished: float
    switched: float  # share of the answers that change their script
    repetition_by_part: tuple[float, ...]  # by tenths of the text, first to last, over the answers that are long enough
    looped_by_part: tuple[float, ...]
    other_script_by_part: tuple[float, ...]


class Scorecard(Group):
    """All scores of one model. Groups that hold no item are left out."""

    by_bin: dict[str, Group]  # of the asked length
    by_language: dict[str, Group]
    by_type: dict[str, Group]
    ruler: tuple[Point, ...]  # by asked length
    judge: str | None  # who gave S_q; None: nobody
    by_asked: tuple[Reach, ...] = ()  # the ruler, summed up for each asked length
    ceiling: Ceiling | None = None
    degeneration: Decay | None = None  # None: the texts were not at hand


def s_q(rubric: Rubric) -> float:
    """The quality score, 0 to 100: the mean over the six dimensions d (each 1 to 5) of (d − 1) · 25 (paper, section 4.1)."""
    return mean((score - 1) * 25 for score in rubric.model_dump().values())


def score_item(item: BenchmarkItem, model: str, response: str, rubric: Rubric | None, *, finish_reason: str = "") -> ScoredItem:
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
        degeneration=degeneration(response, finish_reason=finish_reason),
    )


def bin_of(asked: int) -> str:
    """The paper's length bin of an asked length; the last one is closed, and what asks for more is `over 20000`."""
    return next((name for bound, name in BINS if asked < bound), OVER)


def summarise(items: Sequence[ScoredItem], *, judge: str | None = None) -> Scorecard:
    """The scorecard of one model's items. Raises ValueError if there is none: a mean over nothing is no score."""
    order = [name for _, name in BINS] + [OVER]
    points = tuple(Point(asked=asked, written=written) for asked, written in sorted((item.asked, item.written) for item in items))
    return Scorecard(
        judge=judge,
        **dict(_group(items)),
        by_bin=dict(sorted(_groups(items, lambda item: bin_of(item.asked)).items(), key=lambda entry: order.index(entry[0]))),
        by_language=_groups(items, lambda item: item.language),
        by_type=_groups([item for item in items if item.type], lambda item: item.type),
        ruler=points,
        by_asked=tuple(reach(points)),
        ceiling=ceiling(points),
        degeneration=_decay([item.degeneration for item in items if item.degeneration]),
    )


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
    both, unscored = None if judged is None else (length + judged) / 2, len(items) - len(quality)
    found = intervals([item.s_l for item in items], [item.s_q for item in items])
    return Group(
        items=len(items),
        s_l=length,
        s_q=judged,
        s_bar=both,
        unscored=unscored,
        s_l_interval=found.s_l,
        s_q_interval=found.s_q,
        s_bar_interval=found.s_bar,
        s_q_bounds=_bounds(sum(quality), unscored=unscored, of=len(items)) if quality and unscored else None,
    )


def _bounds(scored: float, *, unscored: int, of: int) -> Interval:
    return Interval(low=scored / of, high=(scored + 100 * unscored) / of)


def _decay(found: Sequence[Degeneration]) -> Decay | None:
    if not found:
        return None
    return Decay(
        items=len(found),
        repetition=mean(one.repetition for one in found),
        looped=mean(one.looped for one in found),
        with_loop=mean(one.looped > 0 for one in found),
        unfinished=mean(one.unfinished for one in found),
        switched=mean(one.switches > 0 for one in found),
        repetition_by_part=_by_part([one.repetition_by_part for one in found]),
        looped_by_part=_by_part([one.looped_by_part for one in found]),
        other_script_by_part=_by_part([one.other_script_by_part for one in found]),
    )


def _by_part(found: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    parts = [one for one in found if len(one) == PARTS]
    return tuple(mean(part) for part in zip(*parts, strict=True))


def flat(cards: Mapping[str, Scorecard]) -> dict[str, float | int]:
    """The overall scores as metrics: `student_s_l`, `student_s_bar_low`, `student_repetition`, ...; what is unscored has no metric."""
    return {f"{model}_{name}": value for model, card in cards.items() for name, value in _figures(card) if value is not None}


def _figures(card: Scorecard) -> Iterator[tuple[str, float | int | None]]:
    for name in ("items", "s_l", "s_q", "s_bar", "unscored"):
        yield name, getattr(card, name)
    for name in ("s_l", "s_q", "s_bar"):
        if interval := getattr(card, f"{name}_interval"):
            yield f"{name}_low", interval.low
            yield f"{name}_high", interval.high
    if card.ceiling:
        yield "longest", card.ceiling.longest
        yield "ceiling", card.ceiling.asked
    if card.degeneration:
        for name in ("repetition", "looped", "unfinished", "switched"):
            yield name, getattr(card.degeneration, name)
