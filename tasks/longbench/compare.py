"""Two evaluations side by side: is A better than B, worse, or can this many items not tell?

Items are matched by their ids, never by order, and the difference is taken item by item: most of what makes one prompt easy
and another hard cancels out. The verdict of a row needs both a 95% interval that leaves 0 out and p ≤ 0.05 by the sign-flip
test, which is Holm-corrected over all rows of bins and languages; the three overall rows are one question asked three ways and
are not corrected. The paper's table has no items, so that there the mean of A stands against a figure, and within the gap
that reruns show nothing is told. Several answers to one prompt count as one, by their mean.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import Literal, NamedTuple

from tasks import store
from tasks.longbench.intervals import LEVEL, Interval, holm, intervals, sign_flip
from tasks.longbench.published import ITEMS, RERUN_GAP, Published, is_papers, published
from tasks.longbench.samples import Mode, PromptScores, by_prompt
from tasks.longbench.scorecard import BINS, OVER, bin_of
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import ByName, External, Record, ScoredItem

Outcome = Literal["better", "worse", "cannot tell"]
Measure = Literal["s_l", "s_q", "s_bar"]
PAPER, CARD = "paper:", "scorecard.json"
PREFERRED = "student"  # where a file holds several models and none is named: the candidate


class Side(NamedTuple):
    """One model's scores."""

    name: str
    answers: Sequence[ScoredItem]
    judge: str | None = None  # None: not known

    @property
    def model(self) -> str:
        return self.answers[0].model

    def scores(self, mode: Mode) -> dict[str, PromptScores]:
        """By prompt. Raises BadInput where fixed mode has no text to count."""
        found = {prompt.id: prompt for prompt in by_prompt(self.answers, mode=mode)}
        if any(prompt.s_l is None for prompt in found.values()):
            raise BadInput(
                self.name, "no scores in fixed mode", field="fixed", mend="score the predictions again, or compare in paper mode"
            )
        return found


class Row(Record):
    """One measure over one group: A minus B, in points."""

    group: str  # overall, a bin or a language
    measure: Measure
    items: int  # pairs that the difference is over; those of S_l for S̄, of A alone against the paper
    a: float
    b: float
    difference: float
    interval: Interval | None  # of the difference, at 95%; None: a single pair
    p: float | None  # None: against the paper
    p_holm: float | None  # corrected; None: this row is not
    verdict: Outcome


class Comparison(Record):
    a: str
    b: str
    mode: Mode
    verdict: Outcome  # of S̄ overall; of S_l where nothing is scored on both sides
    items: int  # in common
    unscored: int  # of them, on one side or on both
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


class _Judge(External):
    """What is read of a scorecard."""

    judge: str | None = None


def compare(a: str, b: str, *, mode: Mode = "paper") -> Comparison:
    """Compare `FILE[:MODEL]` or a score folder with another, or with `paper:MODEL`. Raises BadInput where that cannot be done."""
    if a.startswith(PAPER):
        raise BadInput(a, "a published model has no items to stand for A", mend="give it as B")
    if b.startswith(PAPER) and mode == "fixed":
        raise BadInput(b, "the paper's scores are its own mode's", mend="compare in paper mode")
    side = read_side(a)
    return against_paper(side, published(b.removeprefix(PAPER))) if b.startswith(PAPER) else paired(side, read_side(b), mode=mode)


def read_side(source: str) -> Side:
    """`data/score`, `data/score:control`, `…/items.jsonl:control` or the scorecard.json beside it.

    Raises BadInput if it is not there, or holds an item twice.
    """
    path, model = place(source, "items.jsonl")
    items = store.read_list(path, ScoredItem)
    model = model_of(path, [item.model for item in items], model)
    found: dict[tuple[str, int], ScoredItem] = {}
    for line, item in enumerate(items, 1):
        key = (item.id, item.sample)
        if item.model == model and key in found:
            raise BadInput(path, f"{item.id} by {model} is there twice", line=line, field="id", mend="run score again")
        if item.model == model:
            found[key] = item
    return Side(f"{path}:{model}", list(found.values()), _judge(path.with_name(CARD), model))


def paired(a: Side, b: Side, *, mode: Mode = "paper") -> Comparison:
    """Prompt by prompt over those that both have. Raises BadInput if they have none in common, or an id asks for two lengths."""
    of_a, of_b = a.scores(mode), b.scores(mode)
    common = [identity for identity in of_a if identity in of_b]
    if not common:
        raise BadInput(b.name, f"no item in common with {a.name}", mend="compare evaluations of the same benchmark")
    pairs = [(of_a[identity], of_b[identity]) for identity in common]
    for one, other in pairs:
        if one.asked != other.asked:
            raise BadInput(b.name, f"{one.id} asks for {other.asked} words, and for {one.asked} in {a.name}", mend="score both again")
    overall = _paired_rows("overall", pairs)
    rows = [*overall, *_corrected(list(chain.from_iterable(_paired_rows(name, group) for name, group in _groups(pairs).items())))]
    return Comparison(
        a=a.name,
        b=b.name,
        mode=mode,
        verdict=overall[-1].verdict,
        items=len(common),
        unscored=sum(one.s_q is None or other.s_q is None for one, other in pairs),
        only_a=tuple(identity for identity in of_a if identity not in of_b),
        only_b=tuple(identity for identity in of_b if identity not in of_a),
        rows=tuple(rows),
        notes=tuple(_notes(a, b, corrected=len(rows) - len(overall))),
    )


def against_paper(side: Side, row: Published) -> Comparison:
    """A's means against published figures.

    "Cannot tell" while a figure is within the interval, widened by the gap between reruns, and always where A answered other prompts.
    """
    card, same = summarise(side.answers), is_papers({item.id for item in side.answers})
    rows: list[Row] = []
    for measure in ("s_l", "s_q", "s_bar"):
        value, interval, figure = getattr(card, measure), getattr(card, f"{measure}_interval"), getattr(row, measure).value
        if value is not None:
            apart = Interval(low=interval.low - figure, high=interval.high - figure) if interval else None
            told = _outcome(apart, margin=RERUN_GAP) if same else "cannot tell"
            number = _scored(side) if measure == "s_q" else card.items
            found = {"items": number, "a": value, "b": figure, "difference": value - figure, "interval": apart}
            rows.append(Row(group="overall", measure=measure, p=None, p_holm=None, verdict=told, **found))
    return Comparison(
        a=side.name,
        b=f"{PAPER}{row.model}",
        mode="paper",
        verdict=rows[-1].verdict,
        items=card.items,
        unscored=card.unscored,
        only_a=(),
        only_b=(),
        rows=tuple(rows),
        notes=tuple(_paper_notes(side, row, same=same)),
    )


def _scored(side: Side) -> int:
    return sum(prompt.s_q is not None for prompt in side.scores("paper").values())


def place(source: str, file: str) -> tuple[Path, str]:
    """The file of that name in an evaluation, and the model, empty if none is named. A path that exists as it stands names no model."""
    whole, (before, colon, after) = Path(source), source.rpartition(":")
    path, model = (whole, "") if whole.exists() or not colon else (Path(before), after)
    if path.name == CARD:
        path = path.parent
    return (path / file if path.is_dir() else path), model


def model_of(path: Path, found: Sequence[str], wanted: str) -> str:
    """Which of a file's models is meant. Raises BadInput where that cannot be told, or there is no such model."""
    models = sorted(set(found))
    if not wanted and len(models) == 1:
        return models[0]
    if (wanted or PREFERRED) in models:
        return wanted or PREFERRED
    problem = f"no items of {wanted}" if wanted else f"items of {len(models)} models"
    raise BadInput(path, problem, field="model", mend=f"name one of {', '.join(models)}, such as {path}:{models[0]}")


def _judge(scorecard: Path, model: str) -> str | None:
    card = store.read_document(scorecard, ByName[_Judge]).root.get(model) if scorecard.is_file() else None
    return card.judge if card else None


Pairs = Sequence[tuple[PromptScores, PromptScores]]


def _paired_rows(group: str, pairs: Pairs) -> list[Row]:
    """A row per measure, uncorrected; S_q and S̄ only where a pair is scored on both sides."""
    lengths = [(one.s_l, other.s_l) for one, other in pairs if one.s_l is not None and other.s_l is not None]
    length = [one - other for one, other in lengths]
    quality = [one.s_q - other.s_q if one.s_q is not None and other.s_q is not None else None for one, other in pairs]
    scored = [(one.s_q, other.s_q) for one, other in pairs if one.s_q is not None and other.s_q is not None]
    found = intervals(length, quality)
    p = dict(zip(("s_l", "s_q", "s_bar"), sign_flip(length, quality), strict=True))
    a, b = mean(one for one, _ in lengths), mean(other for _, other in lengths)
    rows = [_row(group, "s_l", len(pairs), a, b, found.s_l, p["s_l"])]
    if scored:
        a_q, b_q = mean(one for one, _ in scored), mean(other for _, other in scored)
        rows.append(_row(group, "s_q", len(scored), a_q, b_q, found.s_q, p["s_q"]))
        rows.append(_row(group, "s_bar", len(pairs), (a + a_q) / 2, (b + b_q) / 2, found.s_bar, p["s_bar"]))
    return rows


def _row(group: str, measure: Measure, items: int, a: float, b: float, interval: Interval | None, p: float | None) -> Row:
    told = _outcome(interval) if p is not None and p <= 1 - LEVEL + 1e-12 else "cannot tell"
    return Row(group=group, measure=measure, items=items, a=a, b=b, difference=a - b, interval=interval, p=p, p_holm=None, verdict=told)


def _outcome(interval: Interval | None, *, margin: float = 0.0) -> Outcome:
    if interval is None or (interval.low <= margin and interval.high >= -margin):
        return "cannot tell"
    return "better" if interval.low > margin else "worse"


def _corrected(rows: Sequence[Row]) -> list[Row]:
    adjusted = holm([1.0 if row.p is None else row.p for row in rows])
    return [
        row.model_copy(update={"p_holm": p, "verdict": row.verdict if p <= 1 - LEVEL + 1e-12 else "cannot tell"})
        for row, p in zip(rows, adjusted, strict=True)
    ]


def _groups(pairs: Pairs) -> dict[str, Pairs]:
    """By bin, shortest first, and by language; a group of all items would say what the overall rows say, and is left out."""
    keys: list[Callable[[PromptScores], str]] = [lambda item: bin_of(item.asked), lambda item: item.language]
    names = [*(name for _, name in BINS), OVER, "en", "zh"]
    found = {name: [pair for pair in pairs if any(key(pair[0]) == name for key in keys)] for name in names}
    return {name: group for name, group in found.items() if group and len(group) < len(pairs)}


def _notes(a: Side, b: Side, *, corrected: int) -> list[str]:
    notes = (
        [f"verdicts of bins and languages are Holm-corrected over {corrected} rows, those of the overall rows are not"] if corrected else []
    )
    if a.judge and b.judge and a.judge != b.judge:
        notes.append(f"the judges differ, S_q and S̄ do not compare: A {a.judge}; B {b.judge}")
    return notes


def _paper_notes(side: Side, row: Published, *, same: bool) -> list[str]:
    marks = {name: getattr(row, key).certainty for key, name in (("s_l", "S_l"), ("s_q", "S_q"), ("s_bar", "S̄"))}
    certain = "; ".join(f"{name} {mark}" for name, mark in marks.items())
    notes = [
        "the paper publishes no items: no pairing, and one mean against a figure that has an interval of its own",
        f"reruns of one model differ by 3 to 4 points: within {RERUN_GAP:g} points of the interval nothing is told",
        f"certainty of the published figures: {certain} (secondary: read where others quote the paper; recalled: from memory, check it)",
        f"the paper's judge is gpt-4o-2024-05-13; A's is {side.judge or 'not known'}",
    ]
    if not same:
        notes.append(f"A did not answer the {ITEMS} prompts of the paper: the figures do not measure the same, and nothing is told")
    return notes
