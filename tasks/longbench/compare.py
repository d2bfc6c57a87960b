"""Compares two evaluations: is A better than B, worse, or is the number of items too small to decide?

Items are paired by id and prompt, never by order. The difference is taken item by item, which cancels the difficulty of a prompt. Several
answers to one prompt count as one, by their mean. Prompts of one topic are flipped together. A verdict needs a 95% interval without 0 and
p ≤ 0.05 by the sign-flip test. p is Holm-corrected over all rows of length bins and languages. The three overall rows are not corrected:
they measure one question in three ways. The interval of S_q and S̄ contains the intervals with the unscored answers of A at 0 and those of B
at 100, and the reverse: unscored answers widen it. The noise of the judge and of sampling is part of the spread between prompts, so every
interval includes it. The paper publishes no items: A's mean is compared with the published figure, and a difference within the gap between
reruns gives no verdict.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import ceil
from pathlib import Path
from statistics import NormalDist, mean
from typing import Literal, NamedTuple

from tasks import store
from tasks.longbench.noise import Noise, noise_of, remedies
from tasks.longbench.published import ITEMS, RERUN_GAP, PublishedScores, is_papers
from tasks.longbench.samples import Mode, PromptScores, by_prompt
from tasks.longbench.scorecard import BINS, OVER, bin_of
from tasks.longbench.steadiness import SteadinessDifference, prompt_lengths, steadiness_differences
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput
from tasks.schema.records import ByName, External, Record, ScoredItem
from tasks.statistics import FEWEST, LEVEL, Interval, Tested, holm, hull, intervals
from tasks.statistics import paired as tested

Outcome = Literal["better", "worse", "cannot tell"]
Measure = Literal["s_l", "s_q", "s_bar"]
LEAST = 0.5  # points; smaller differences matter to nobody, and would need thousands of topics
PAPER, CARD = "paper:", "scorecard.json"
PREFERRED = "student"  # the default when a file has several models and none is named: the candidate model
POWER = 1 + NormalDist().inv_cdf(0.8) / NormalDist().inv_cdf(0.5 + LEVEL / 2)  # half a 95% interval times this is found in 80% of cases


class Side(NamedTuple):
    """One model's scores."""

    name: str
    answers: Sequence[ScoredItem]
    judge: str | None = None  # None: unknown

    @property
    def model(self) -> str:
        return self.answers[0].model

    def scores(self, mode: Mode) -> dict[str, PromptScores]:
        """Mean scores per prompt id. Raises BadInput if the items have no scores in this mode."""
        found = {prompt.id: prompt for prompt in by_prompt(self.answers, mode=mode)}
        if any(prompt.s_l is None for prompt in found.values()):
            problem = f"no scores in {mode.replace('_', ' ')} mode" if mode != "without_loops" else "no scores without loops"
            raise BadInput(self.name, problem, field="fixed", fix="score the predictions again, or compare in paper mode")
        return found


class MeasureDifference(Record):
    """One measure over one group of items: A minus B, in points (0 to 100)."""

    group: str  # overall, a length bin or a language
    measure: Measure
    items: int  # number of pairs; for S̄ those of S_l; against the paper the items of A
    a: float
    b: float
    difference: float
    interval: Interval | None  # of the difference, at 95%, unscored answers included; None: too few topics, or no difference anywhere
    p: float | None  # None: against the paper
    p_holm: float | None  # Holm-corrected; None: this row is not corrected
    verdict: Outcome
    detectable: float | None = None  # points: a true difference of this size is detected in 80% of such comparisons; None: no interval
    scored_interval: Interval | None = None  # of the scored answers alone; None: equal to `interval`


class Comparison(Record):
    """The result of comparing A with B. Differences are A minus B."""

    a: str
    b: str
    mode: Mode
    verdict: Outcome  # of S̄ overall; of S_l if no pair is scored on both sides
    items: int  # common to both
    topics: int  # prompts that differ only in requested length are one topic; without known topics each item is one
    unscored: int  # common items that are unscored on at least one side
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    rows: tuple[MeasureDifference, ...]
    notes: tuple[str, ...]
    noise: Noise | None = None  # parts of the noise in the overall difference; None: too few pairs
    steadiness: tuple[SteadinessDifference, ...] = ()  # of lengths; empty: no prompt has several answers on both sides. Not corrected


class _Judge(External):
    """The field of a scorecard that is read here."""

    judge: str | None = None


def read_side(source: str, *, texts: bool = True) -> Side:
    """Reads one model's scored items. `source`: `data/score`, `data/score:control`, `…/items.jsonl:control`, or the scorecard.json beside
    it.

    Without `texts` the text measurements are dropped, which are most of a file. Raises BadInput if the file is missing or repeats an item.
    """
    path, model = place(source, "items.jsonl")
    models = {str(row.data["model"]) for row in store.rows(path) if row.data and "model" in row.data}
    if not models:
        problem = "no row has the field model, so this is not a file of scored items"
        raise BadInput(path, problem, field="model", fix="give a folder with items.jsonl, such as data/score")
    model = model_of(path, list(models), model)
    found: dict[tuple[str, int], tuple[int, ScoredItem]] = {}
    for line, item in _items(path, texts=texts):
        key = (item.id, item.sample)
        if item.model == model and key in found:
            sample = f", sample {item.sample}," if item.sample else ""
            problem = f"{item.id} by {model}{sample} is there twice, first in line {found[key][0]}"
            raise BadInput(path, problem, line=line, field="id", fix="remove the line, or run the score stage again")
        if item.model == model:
            found[key] = line, item
    return Side(f"{path}:{model}", [item for _, item in found.values()], _judge(path.with_name(CARD), model))


def paired(a: Side, b: Side, *, mode: Mode = "paper") -> Comparison:
    """Compares prompt by prompt over the common prompts. Raises BadInput if there is none, or if one id has two prompts or two lengths."""
    of_a, of_b = a.scores(mode), b.scores(mode)
    common = [identity for identity in of_a if identity in of_b]
    if not common:
        raise BadInput(b.name, f"no item in common with {a.name}", fix="compare evaluations of the same benchmark")
    pairs = [(of_a[identity], of_b[identity]) for identity in common]
    _check_same(a, b, pairs)
    overall = [told.row for told in _paired_rows("overall", pairs)]
    rows = [*overall, *_corrected(list(chain.from_iterable(_paired_rows(name, group) for name, group in _groups(pairs).items())))]
    topics = len({_topic(one, other) for one, other in pairs})
    return Comparison(
        a=a.name,
        b=b.name,
        mode=mode,
        verdict=overall[-1].verdict,
        items=len(common),
        topics=topics,
        unscored=sum(one.s_q is None or other.s_q is None for one, other in pairs),
        only_a=tuple(identity for identity in of_a if identity not in of_b),
        only_b=tuple(identity for identity in of_b if identity not in of_a),
        rows=tuple(rows),
        notes=(*_notes(a, b, corrected=len(rows) - len(overall)), *_pair_notes(pairs, rows, topics=topics), *_answer_notes(a, b)),
        noise=noise_of(pairs),
        steadiness=tuple(steadiness_differences(a.answers, b.answers, mode=mode)),
    )


def against_paper(side: Side, row: PublishedScores) -> Comparison:
    """Compares A's means with published figures.

    The verdict is "cannot tell" if the figure is within the interval widened by the gap between reruns, or if A answered other prompts.
    """
    card, same = summarise(side.answers), is_papers({item.id for item in side.answers})
    rows: list[MeasureDifference] = []
    for measure in ("s_l", "s_q", "s_bar"):
        value, interval, figure = getattr(card, measure), getattr(card, f"{measure}_interval"), getattr(row, measure).value
        if value is not None:
            scored = _minus(interval, figure)
            apart = _with_bounds(scored, _at_bounds(side, measure, figure))
            told = _outcome(apart, margin=RERUN_GAP) if same else "cannot tell"
            number = _scored(side) if measure == "s_q" else card.items
            found = {"items": number, "a": value, "b": figure, "difference": value - figure, "interval": apart}
            found["scored_interval"] = scored if apart != scored else None
            rows.append(MeasureDifference(group="overall", measure=measure, p=None, p_holm=None, verdict=told, **found))
    return Comparison(
        a=side.name,
        b=f"{PAPER}{row.model}",
        mode="paper",
        verdict=rows[-1].verdict,
        items=card.items,
        topics=card.topics or card.items,
        unscored=card.unscored,
        only_a=(),
        only_b=(),
        rows=tuple(rows),
        notes=tuple(_paper_notes(side, row, same=same)),
    )


def _minus(interval: Interval | None, figure: float) -> Interval | None:
    return Interval(low=interval.low - figure, high=interval.high - figure) if interval else None


def _with_bounds(scored: Interval | None, bounds: Sequence[Interval | None]) -> Interval | None:
    """The interval of the scored answers, widened to the intervals with the unscored answers at each bound. A bound without an interval has
    no difference anywhere: it is 0.
    """
    return hull([scored, *(one or Interval(low=0.0, high=0.0) for one in bounds)]) if scored else None


def _at_bounds(side: Side, measure: str, figure: float) -> list[Interval | None]:
    """A's S_q or S̄ minus the figure with all unscored answers at 0, and with all at 100. Empty if none is unscored."""
    prompts = by_prompt(side.answers, mode="paper")
    if measure == "s_l" or not any(prompt.unscored for prompt in prompts):
        return []
    lengths, clusters = [prompt.s_l or 0.0 for prompt in prompts], [prompt.cluster for prompt in prompts]
    ends = ([prompt.s_q_least for prompt in prompts], [prompt.s_q_most for prompt in prompts])
    found = [getattr(intervals(lengths, end, clusters), measure) for end in ends]
    return [_minus(interval, figure) for interval in found]


def _check_same(a: Side, b: Side, pairs: "Pairs") -> None:
    """Raises BadInput if one id has two different prompts or two different lengths."""
    others = [one.id for one, other in pairs if one.prompt and other.prompt and one.prompt != other.prompt]
    if others:
        problem = f"another prompt than in {a.name} under the id of {len(others)} of {len(pairs)} items, such as {others[0]}"
        raise BadInput(b.name, problem, field="prompt", fix="compare evaluations of the same benchmark")
    for one, other in pairs:
        if one.asked != other.asked:
            raise BadInput(b.name, f"{one.id} asks for {other.asked} words, and for {one.asked} in {a.name}", fix="score both again")


def _topic(one: PromptScores, other: PromptScores) -> str:
    return one.cluster if one.topic else other.cluster


def _scored(side: Side) -> int:
    return sum(prompt.s_q is not None for prompt in side.scores("paper").values())


def place(source: str, file: str) -> tuple[Path, str]:
    """Splits a source into the file of that name in an evaluation and the model (empty if none). An existing path names no model."""
    whole, (before, colon, after) = Path(source), source.rpartition(":")
    path, model = (whole, "") if whole.exists() or not colon else (Path(before), after)
    if path.name == CARD:
        path = path.parent
    return (path / file if path.is_dir() else path), model


def model_of(path: Path, found: Sequence[str], wanted: str) -> str:
    """Returns the model that is meant. Raises BadInput if several models match, or if the wanted one is missing."""
    models = sorted(set(found))
    if not wanted and len(models) == 1:
        return models[0]
    if (wanted or PREFERRED) in models:
        return wanted or PREFERRED
    problem = f"no items of {wanted}" if wanted else f"items of {len(models)} models"
    raise BadInput(path, problem, field="model", fix=f"name one of {', '.join(models)}, such as {path}:{models[0]}")


def _items(path: Path, *, texts: bool) -> Iterator[tuple[int, ScoredItem]]:
    """Yields every item with its line number. Raises BadInput at the first line that is no scored item."""
    for row in store.rows(path):
        if row.data is None:
            raise BadInput(path, row.problem or "", line=row.line, fix="correct or remove the line")
        if not texts:
            for field in ("degeneration", "adherence"):
                row.data.pop(field, None)
        yield row.line, store.parse(row.data, ScoredItem, path=path, line=row.line)


def _judge(scorecard: Path, model: str) -> str | None:
    card = store.read_document(scorecard, ByName[_Judge]).root.get(model) if scorecard.is_file() else None
    return card.judge if card else None


Pairs = Sequence[tuple[PromptScores, PromptScores]]


class _VerdictRow(NamedTuple):
    """A row, and the largest p of its verdict: as scored, and with the unscored answers at both bounds."""

    row: MeasureDifference
    p: float


def _paired_rows(group: str, pairs: Pairs) -> list[_VerdictRow]:
    """A row per measure, uncorrected. S_q and S̄ have a row only if a pair is scored on both sides."""
    lengths = [(one.s_l, other.s_l) for one, other in pairs if one.s_l is not None and other.s_l is not None]
    length = [one - other for one, other in lengths]
    quality = [one.s_q - other.s_q if one.s_q is not None and other.s_q is not None else None for one, other in pairs]
    scored = [(one.s_q, other.s_q) for one, other in pairs if one.s_q is not None and other.s_q is not None]
    topics = [_topic(one, other) for one, other in pairs]
    found = tested(length, quality, topics)
    a, b = mean(one for one, _ in lengths), mean(other for _, other in lengths)
    rows = [_row(group, "s_l", len(pairs), a, b, [found.s_l])]
    if scored and found.s_q and found.s_bar:
        bounds = [tested(length, ends, topics) for ends in _bounds(pairs)]
        a_q, b_q = mean(one for one, _ in scored), mean(other for _, other in scored)
        rows.append(_row(group, "s_q", len(scored), a_q, b_q, [found.s_q, *(one.s_q for one in bounds if one.s_q)]))
        both = [found.s_bar, *(one.s_bar for one in bounds if one.s_bar)]
        rows.append(_row(group, "s_bar", len(pairs), (a + a_q) / 2, (b + b_q) / 2, both))
    return rows


def _bounds(pairs: Pairs) -> list[list[float]]:
    """Differences in S_q with the unscored answers at their worst and at their best for A. Empty if none is unscored."""
    if not any(one.unscored or other.unscored for one, other in pairs):
        return []
    worst = [one.s_q_least - other.s_q_most for one, other in pairs]
    return [worst, [one.s_q_most - other.s_q_least for one, other in pairs]]


def _row(group: str, measure: Measure, items: int, a: float, b: float, found: Sequence[Tested]) -> _VerdictRow:
    """`found` is the test of the scored answers, then the tests with the unscored answers at each bound."""
    first, bounds = found[0], found[1:]
    interval = _with_bounds(first.interval, [one.interval for one in bounds])
    told = _outcome(interval) if all(_significant(one.p) for one in found) else "cannot tell"
    row = MeasureDifference(
        group=group,
        measure=measure,
        items=items,
        a=a,
        b=b,
        difference=a - b,
        interval=interval,
        p=first.p,
        p_holm=None,
        verdict=told,
        detectable=POWER * _half(first.interval) + _half(interval) - _half(first.interval) if interval and first.interval else None,
        scored_interval=first.interval if interval != first.interval else None,
    )
    return _VerdictRow(row, max(one.p for one in found))


def _half(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def _significant(p: float) -> bool:
    return p <= 1 - LEVEL + 1e-12


def _outcome(interval: Interval | None, *, margin: float = 0.0) -> Outcome:
    if interval is None or (interval.low <= margin and interval.high >= -margin):
        return "cannot tell"
    return "better" if interval.low > margin else "worse"


def _corrected(found: Sequence[_VerdictRow]) -> list[MeasureDifference]:
    adjusted = holm([told.p for told in found])
    return [
        told.row.model_copy(update={"p_holm": p, "verdict": told.row.verdict if _significant(p) else "cannot tell"})
        for told, p in zip(found, adjusted, strict=True)
    ]


def _groups(pairs: Pairs) -> dict[str, Pairs]:
    """Pairs by length bin (shortest first) and by language. A group that contains all items is left out: it equals the overall rows."""
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


def _pair_notes(pairs: Pairs, rows: Sequence[MeasureDifference], *, topics: int) -> list[str]:
    notes = []
    if topics < len(pairs):
        notes.append(f"prompts that differ by their asked length alone count as one topic: {topics} topics")
    if topics < FEWEST:
        notes.append(f"{topics} topics are too few to tell anything: at least {FEWEST} are needed")
    if not all(one.prompt and other.prompt for one, other in pairs):
        notes.append("items without a digest of their prompt are paired by id alone, and topics are not known; score them again")
    if unclear := _more_topics(rows, noise_of(pairs), topics=topics):
        notes.append(unclear)
    undone = [row for row in rows if row.group == "overall" and row.verdict == "cannot tell" and row.scored_interval]
    if any(row.p is not None and _significant(row.p) and _outcome(row.scored_interval) != "cannot tell" for row in undone):
        notes.append("with the unscored answers at 0 or at 100 points the overall difference could be none: nothing is told")
    return notes


def _more_topics(rows: Sequence[MeasureDifference], noise: Noise | None, *, topics: int) -> str | None:
    """How large a difference this comparison detects, and how many topics its own difference needs. None: the verdict is clear."""
    last = [row for row in rows if row.group == "overall"][-1]
    if last.verdict != "cannot tell" or last.detectable is None or topics < FEWEST:
        return None
    said = f"{topics} topics detect a difference of {last.detectable:.1f} points in 80% of comparisons"
    if abs(last.difference) < LEAST or not last.interval:
        return said
    sampled = _half(last.scored_interval or last.interval)
    unscored = _half(last.interval) - sampled  # more topics do not reduce this part
    if unscored >= abs(last.difference):
        return f"{said}; its unscored answers alone allow a difference of {unscored:.1f} points: score them first"
    ratio = (POWER * sampled / (abs(last.difference) - unscored)) ** 2
    if (needed := ceil(topics * ratio)) <= topics:
        return said
    more = remedies(noise, ratio) if noise else None
    return f"{said}; to detect {abs(last.difference):.1f} points, about {needed:,} topics are needed" + (f"; {more}" if more else "")


def _answer_notes(a: Side, b: Side) -> list[str]:
    """A note if the sides have different numbers of answers to a prompt: their steadiness is compared over equally many."""
    theirs = {prompt.id: len(prompt.words) for prompt in prompt_lengths(b.answers)}
    fewer = [prompt.id for prompt in prompt_lengths(a.answers) if theirs.get(prompt.id, len(prompt.words)) != len(prompt.words)]
    if not fewer:
        return []
    return [f"{len(fewer)} prompts have more answers on one side: steadiness is compared over the first answers, equally many of each side"]


def _paper_notes(side: Side, row: PublishedScores, *, same: bool) -> list[str]:
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
