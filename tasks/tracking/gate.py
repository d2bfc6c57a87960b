"""The promotion gate: the conditions on a checkpoint's scores, alone and against the champion."""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from tasks.longbench.compare import Comparison, MeasureDifference
from tasks.longbench.scorecard import FixedScores, JudgeExam, Scorecard
from tasks.schema.params import JudgeExamBounds, Promote
from tasks.schema.records import Record
from tasks.statistics import Interval

GAIN, WORST, UNSCORED, REPETITION, GENERAL = "gain_over_champion", "worst_group", "unscored", "repetition", "general."
VARIATION = "length_variation"
JUDGE_BIAS, JUDGE_DROP, JUDGE_ORDER = "judge_bias", "judge_drop", "judge_order_bias"
JUDGE_DEVIATION, JUDGE_READ = "judge_deviation", "judge_read"
UNJUDGED = "no answer is scored; see the judge's problems in data/judge"
DIRECTIONS = dict.fromkeys((WORST, UNSCORED, REPETITION, VARIATION, JUDGE_BIAS, JUDGE_ORDER, JUDGE_DEVIATION), "at most") | {GAIN: "above"}
# All other conditions: at least.


class Axis(Record):
    """One condition. Without a value it fails, and `note` says why."""

    name: str
    value: float | None
    bound: float
    passed: bool
    interval: Interval | None = None  # 95% interval of the value; if present, its lower end is compared with the bound
    note: str | None = None

    @property
    def seen(self) -> str:
        """The value as text: `71.20`, `0.50%`, `+1.20 [0.30, 2.10]`, `3.10 lost in [0,500)`, `is missing (why)`."""
        if self.value is None:
            return "is missing" + (f" ({self.note})" if self.note else "")
        interval = f" [{self.interval.low:z.2f}, {self.interval.high:z.2f}]" if self.interval else ""
        return f"{self.value:{'+' if self.name == GAIN else ''}z{self._unit}}{interval}" + (f" {self.note}" if self.note else "")

    @property
    def limit(self) -> str:
        """The bound as text: `at least 60.00`, `at most 2.00%`, `above 0.00`."""
        return f"{DIRECTIONS.get(self.name, 'at least')} {self.bound:{self._unit}}"

    def __str__(self) -> str:
        """One line: `s_l 71.20, at least 60.00: holds`."""
        return f"{self.name} {self.seen}, {self.limit}: {'holds' if self.passed else 'fails'}"

    @property
    def _unit(self) -> str:
        return ".2%" if self.name in (UNSCORED, REPETITION, VARIATION, JUDGE_ORDER, JUDGE_READ) or self.name.startswith(GENERAL) else ".2f"


class Decision(Record):
    """The decision on a checkpoint, with its reason. Run ids and versions are strings, because stores use different types."""

    version: str
    model: str  # its name among the candidate models: student, aligned or reinforced
    alias: Literal["champion", "challenger"]
    passed: bool
    axes: tuple[Axis, ...]
    reason: str
    champion_before: str | None  # the version it was compared with: the champion before it
    training_run: str
    evaluation_run: str


class Promoted(Record):
    """The result of a decision without scores. It is the same for the same version of the same registry, whatever its scores."""

    version: str
    alias: Literal["champion", "challenger"]
    training_run: str
    registry: str  # the registry's identity: a decision is true in this registry alone
    candidate_since: str  # when it passed the gate; a later decision is another one, so that the stage serve runs again; empty: it did not
    checkpoint_digest: str  # of the registered files (tasks/tracking/checkpoint.py)


class Contest(NamedTuple):
    """A candidate model against the champion, over the prompts that both answered."""

    champion: str  # the champion's version
    comparison: Comparison | None
    problem: str | None = None  # why there is no comparison, and how to correct it
    unmatched: tuple[str, ...] = ()  # length bins and languages in which the candidate model answered none of the champion's prompts


def weigh(card: Scorecard, *, general: Mapping[str, float | None], contest: Contest | None, promote: Promote) -> tuple[Axis, ...]:
    """Returns every condition of the gate. Those against a champion exist only with a `contest`. Shares are 0 to 1."""
    scores: Scorecard | FixedScores | None = card if promote.mode == "paper" else card.fixed
    length, both = (scores.s_l, scores.s_bar) if scores else (None, None)
    note = None if scores else "nothing is scored in fixed mode; fix: run the stage score again"
    unscored = card.unscored / card.answers if card.answers else None
    axes = [
        *(
            []
            if promote.min_s_bar is None
            else [_at_least("s_bar", both, promote.min_s_bar, note or UNJUDGED, note=_unscored(card, length))]
        ),
        _at_least("s_l", length, promote.min_s_l, note),
        *([] if judgeless(card, promote) else [_at_most(UNSCORED, unscored, promote.max_unscored, "there is no answer")]),
        _at_most(
            REPETITION, card.degeneration.repetition if card.degeneration else None, promote.max_repetition, "the texts were not read"
        ),
    ]
    if promote.max_length_variation is not None:
        axes.append(_variation(card, promote.max_length_variation))
    if not judgeless(card, promote):
        axes += exam_axes(card.exam, promote.judge_exam)
    for task, floor in promote.min_general.items():
        axes.append(
            _at_least(
                f"{GENERAL}{task}",
                general.get(task),
                floor,
                "not measured; add it to evaluate_general.tasks and run the stage evaluate_general",
            )
        )
    return (*axes, *_against(contest, promote)) if contest else tuple(axes)


def _quality(card: Scorecard, length: float | None, both: float | None, promote: Promote, missing: str) -> list[Axis]:
    """The condition on S̄, if there is one."""
    if promote.min_s_bar is None:
        return []
    return [_at_least("s_bar", both, promote.min_s_bar, missing, note=_unscored(card, length))]


def _unscored(card: Scorecard, length: float | None) -> str | None:
    """What S̄ would be with the unscored answers at both bounds; None if every answer is scored."""
    if card.s_q_bounds is None or length is None:
        return None
    low, high = ((length + quality) / 2 for quality in (card.s_q_bounds.low, card.s_q_bounds.high))
    return f"({low:.2f} to {high:.2f} with the {card.unscored} unscored answers at 0 and at 100)"


def exam_axes(found: JudgeExam | None, bounds: JudgeExamBounds | None) -> list[Axis]:
    """The conditions on the judge's exam, one for each bound that is set. Without an exam they fail."""
    if bounds is None:
        return []
    missing = "the judge is not examined; run `longwriter eval judge-exam`, then the stage score"
    unmeasured = f"the exam, card {found.digest}, has no such figure; examine the judge again with more answers" if found else missing
    card = f"card {found.digest}" if found else None
    axes: list[Axis] = []
    if bounds.max_bias is not None:
        note = f"by {found.biased_by}, {card}" if found else None
        axes.append(_at_most(JUDGE_BIAS, found.bias if found else None, bounds.max_bias, unmeasured, note=note))
    if bounds.min_drop is not None:
        note = f"by {found.unnoticed}, {card}" if found else None
        axes.append(_at_least(JUDGE_DROP, found.drop if found else None, bounds.min_drop, unmeasured, note=note))
    if bounds.max_order_bias is not None:
        axes.append(_at_most(JUDGE_ORDER, found.order if found else None, bounds.max_order_bias, unmeasured, note=card))
    if bounds.max_deviation is not None:
        axes.append(_at_most(JUDGE_DEVIATION, found.deviation if found else None, bounds.max_deviation, unmeasured, note=card))
    if bounds.min_read is not None:
        axes.append(_at_least(JUDGE_READ, found.read if found else None, bounds.min_read, unmeasured, note=card))
    return axes


def _variation(card: Scorecard, bound: float) -> Axis:
    """LVC, the mean variation of the lengths of several answers to one prompt."""
    found = card.steadiness
    note = None
    if found and found.lvc_interval:
        low, high = found.lvc_interval.low, found.lvc_interval.high
        note = f"over {found.prompts} prompts, 95% interval {low:.2%} to {high:.2%}"
    missing = "no prompt has several answers; set predict.samples to 2 or more and run the stage predict again"
    return _at_most(VARIATION, found.lvc if found else None, bound, missing, note=note)


def judgeless(card: Scorecard, promote: Promote) -> bool:
    """Did no judge see the answers, as params want it? Then neither S̄ nor what is unscored is an axis."""
    return card.judge is None and promote.min_s_bar is None


def decide(
    card: Scorecard,
    version: str,
    *,
    model: str,
    is_champion: bool,
    contest: Contest | None,
    general: Mapping[str, float | None],
    promote: Promote,
    training_run: str,
    evaluation_run: str,
    blocked: str | None = None,
) -> Decision:
    """Decides on a version by the gate. The current champion is compared with its predecessor and is replaced only by another version.

    A decision for champion comes true when the stage serve has served the version. `blocked` says when and why the version was rolled back
    or could not be served. A blocked version cannot become champion until it is allowed again.
    """
    axes = weigh(card, general=general, contest=contest, promote=promote)
    passed = all(axis.passed for axis in axes)
    verdict = "all axes hold" if passed else "not all axes hold"
    if judgeless(card, promote):
        verdict += " (there is no judge: S_q is unscored, S̄ does not exist, and quality is no axis)"
    if is_champion and not passed:
        verdict += ", and it stays champion until another version takes its place"
    elif blocked and not is_champion:
        verdict += f", and it is blocked since {blocked} (`longwriter models allow {version}` lets it in again)"
    return Decision(
        version=version,
        model=model,
        alias="champion" if is_champion or (passed and not blocked) else "challenger",
        passed=passed,
        axes=axes,
        reason=f"{verdict}: " + "; ".join(map(str, axes)),
        champion_before=contest.champion if contest else None,
        training_run=training_run,
        evaluation_run=evaluation_run,
    )


def _against(contest: Contest, promote: Promote) -> tuple[Axis, ...]:
    """The conditions against the champion: a significant gain, and no group with a large loss."""
    found = contest.comparison
    if found is None:
        bounds = ((GAIN, promote.min_gain_over_champion), (WORST, promote.max_group_loss))
        return tuple(Axis(name=name, value=None, bound=bound, passed=False, note=contest.problem) for name, bound in bounds)
    measure = "s_l" if promote.min_s_bar is None else "s_bar"
    return _gain(found, promote.min_gain_over_champion, measure), _worst_group(found, contest.unmatched, promote.max_group_loss)


def _gain(found: Comparison, bound: float, measure: str) -> Axis:
    row = next((row for row in found.rows if (row.group, row.measure) == ("overall", measure)), None)
    partly = f"over {found.items} of {found.items + len(found.only_b)} prompts" if found.only_b else None
    if row is None or row.interval is None or not _finite(row.difference, row.interval.low, row.interval.high):
        note = (
            "no prompt is scored on both sides"
            if row is None
            else "no interval: too few topics are scored on both sides, or all scores are equal"
        )
        return Axis(name=GAIN, value=None, bound=bound, passed=False, note=f"{note}, {partly}" if partly else note)
    return Axis(name=GAIN, value=row.difference, bound=bound, passed=row.interval.low > bound, interval=row.interval, note=partly)


def _worst_group(found: Comparison, unmatched: tuple[str, ...], bound: float) -> Axis:
    """The largest loss over length bins and languages; the overall loss if there is only one bin and one language."""
    if unmatched:
        note = f"no prompt of {', '.join(unmatched)} is answered on both sides; evaluate on the champion's benchmark"
        return Axis(name=WORST, value=None, bound=bound, passed=False, note=note)
    rows = [row for row in found.rows if row.group != "overall"] or list(found.rows)
    chosen: dict[str, MeasureDifference] = {row.group: row for row in rows if row.measure == "s_l"}
    chosen |= {row.group: row for row in rows if row.measure == "s_bar"}
    worst = min(chosen.values(), key=lambda row: row.difference if _finite(row.difference) else -math.inf)
    loss = 0.0 - worst.difference
    note = f"lost in {worst.group}" if loss >= 0 else f"lost: {worst.group} gained least"
    note += " (S_l: nothing is scored on both sides)" if worst.measure == "s_l" else ""
    return _at_most(WORST, loss, bound, f"the difference in {worst.group} is no number", note=note)


def _at_least(name: str, value: float | None, bound: float, missing: str | None, *, note: str | None = None) -> Axis:
    if value is None or not _finite(value):
        return Axis(name=name, value=None, bound=bound, passed=False, note=missing)
    return Axis(name=name, value=value, bound=bound, passed=value >= bound, note=note)


def _at_most(name: str, value: float | None, bound: float, missing: str | None, *, note: str | None = None) -> Axis:
    if value is None or not _finite(value):
        return Axis(name=name, value=None, bound=bound, passed=False, note=missing)
    return Axis(name=name, value=value, bound=bound, passed=value <= bound, note=note)


def _finite(*values: float) -> bool:
    return all(map(math.isfinite, values))
