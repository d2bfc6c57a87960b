"""Formats a scorecard and its difference from a baseline as Markdown for a pull request.

If both have items, the difference is paired by prompt, and an arrow shows the verdict of compare.py. If the baseline has only figures, the
difference is a subtraction without an arrow.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tasks.evaluation.baseline import Baseline, Figures, groups
from tasks.evaluation.display import MEASURES
from tasks.longbench.compare import Comparison, Measure, MeasureDifference, Side, paired
from tasks.longbench.samples import Mode
from tasks.longbench.scorecard import Group, Scorecard
from tasks.statistics import Interval

MARKER = "<!-- longwriter: evaluation -->"  # identifies the comment to update
ARROWS = {"better": "▲", "worse": "▼", "cannot tell": "○"}
LEGEND = "In each cell: the score with its 95% interval, and below it the difference to the baseline."
_CREDENTIALS = re.compile(r"//[^/\s@]*@")
COLUMNS: tuple[tuple[Measure, Mode], ...] = (("s_l", "paper"), ("s_l", "fixed"), ("s_q", "paper"), ("s_bar", "paper"), ("s_bar", "fixed"))
HEADER = ("", "prompts", "S_l paper", "S_l fixed", "S_q", "S̄ paper", "S̄ fixed", "unscored")


class Condition(NamedTuple):
    """One condition of the gate: its name, the observed and required values as text, and whether it passed."""

    name: str
    text: str
    passed: bool


Found = Mapping[Mode, Comparison]
_Score = tuple[float | None, Interval | None]


def compared(side: Side, baseline: Baseline | None) -> Found:
    """The paired comparison in each mode that both sides have; empty if the baseline has no items. Raises BadInput as `paired`."""
    if baseline is None or baseline.side is None:
        return {}
    both = all(item.fixed for item in (*side.answers, *baseline.side.answers))
    modes: tuple[Mode, ...] = ("paper", "fixed") if both else ("paper",)
    return {mode: paired(side, baseline.side, mode=mode) for mode in modes}


def page(title: str, parts: Iterable[str]) -> str:
    """The complete comment: hidden marker, title, parts."""
    return "\n\n".join([MARKER, f"### {title}", *parts]) + "\n"


def difference(card: Scorecard, baseline: Baseline | None, found: Found) -> str:
    """The overall verdict; tables for all prompts, by length bin and by language; and remarks on how to read them."""
    tables = [_table(card, names, baseline, found) for names in (["overall"], list(card.by_bin), list(card.by_language)) if names]
    return "\n\n".join([*_told(baseline, found), *tables, *_remarks(card, baseline, found)])


def gate(conditions: Sequence[Condition]) -> str:
    """The gate as a table with one row per condition."""
    failing = [condition.name for condition in conditions if not condition.passed]
    verdict = f"**The gate fails**: {', '.join(failing)}." if failing else "**The gate holds.**"
    rows = [f"| {'✓' if condition.passed else '✗'} | {_plain(condition.text)} |" for condition in conditions]
    return "\n".join([verdict, "", "| | axis |", "|---|---|", *rows])


def code(text: str) -> str:
    """Text from outside as inline code: not interpreted as Markdown, and without the password of a URL."""
    return "`" + " ".join(_CREDENTIALS.sub("//", text).replace("`", "'").split()) + "`"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _told(baseline: Baseline | None, found: Found) -> list[str]:
    if baseline is None:
        return ["No baseline: the scores stand alone."]
    if not found:
        return [f"Against {code(baseline.name)}, figures without items: differences are plain, whether they are noise cannot be told."]
    lines = [f"- {mode} mode: {_sentence(comparison)}" for mode, comparison in found.items()]
    return [f"Against {code(baseline.name)}, prompt by prompt:", "\n".join(lines)]


def _sentence(comparison: Comparison) -> str:
    row = [row for row in comparison.rows if row.group == "overall"][-1]
    interval = f", 95% interval {row.interval}" if row.interval else ""
    p = f", p {row.p:.4f}" if row.p is not None else ""
    return (
        f"{ARROWS[comparison.verdict]} **{comparison.verdict}**, {MEASURES[row.measure]} {row.difference:+z.2f} points{interval}{p}, "
        f"over {comparison.items} prompts"
    )


def _table(card: Scorecard, names: Sequence[str], baseline: Baseline | None, found: Found) -> str:
    lines = [_line(HEADER), _line(["---", *["---:"] * (len(HEADER) - 1)])]
    return "\n".join(lines + [_line(_cells(name, card, baseline, found)) for name in names])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(name: str, card: Scorecard, baseline: Baseline | None, found: Found) -> list[str]:
    """The cells of one group. A group with all prompts uses the overall comparison, because it has no paired rows of its own."""
    group = groups(card)[name]
    answers = "" if group.items == group.answers else f"<br>{group.answers} answers"
    paired_as = "overall" if group.items == card.items else name
    rows = {(mode, row.measure): row for mode, one in found.items() for row in one.rows if row.group == paired_as}
    before = baseline.groups.get(name) if baseline else None
    scores = [_cell(_score(group, measure, mode), rows.get((mode, measure)), _earlier(before, measure, mode)) for measure, mode in COLUMNS]
    return [name, f"{group.items}{answers}", *scores, _unscored(group, before)]


def _cell(score: _Score, row: MeasureDifference | None, earlier: float | None) -> str:
    value, interval = score
    if value is None:
        return "–"
    seen = f"{value:.2f} {interval or ''}".rstrip()
    if row:
        return f"{seen}<br>{ARROWS[row.verdict]} {row.difference:+z.2f} {row.interval or ''}".rstrip()
    return seen if earlier is None else f"{seen}<br>{value - earlier:+z.2f}"


def _score(group: Group, measure: Measure, mode: Mode) -> _Score:
    if mode == "paper" or measure == "s_q":
        return getattr(group, measure), getattr(group, f"{measure}_interval")
    return (getattr(group.fixed, measure), getattr(group.fixed, f"{measure}_interval")) if group.fixed else (None, None)


def _earlier(before: Figures | None, measure: Measure, mode: Mode) -> float | None:
    return getattr(before, measure if mode == "paper" or measure == "s_q" else f"{measure}_fixed", None)


def _unscored(group: Group, before: Figures | None) -> str:
    changed = group.unscored - before.unscored if before and before.unscored is not None else 0
    return f"{group.unscored} of {group.answers}" + (f"<br>{changed:+d}" if changed else "")


def _remarks(card: Scorecard, baseline: Baseline | None, found: Found) -> list[str]:
    lines = [LEGEND if baseline else "In each cell: the score with its 95% interval."]
    if found:
        lines.append(", ".join(f"{arrow} {verdict}" for verdict, arrow in ARROWS.items()) + ".")
    lines.append("Paper: the official word count, every length as exactly. Fixed: words and lengths as they are meant.")
    if bounds := card.s_q_bounds:
        lines.append(f"Unscored answers count in S_l alone: S_q is {bounds.low:.1f} if each had 0, {bounds.high:.1f} if each had 100.")
    lines += _steadiness(card, found)
    lines.append(f"Judge: {code(card.judge)}, {_exam(card)}." if card.judge else "No judge has seen these answers.")
    return ["\n".join(f"- {line}" for line in [*lines, *_unpaired(found)])]


def _exam(card: Scorecard) -> str:
    if card.exam is None:
        return "not examined"
    misled = f"misled by {', '.join(card.exam.misled_by)}" if card.exam.misled_by else "misled by nothing"
    return f"examined (card {card.exam.digest}): {misled}"


def _steadiness(card: Scorecard, found: Found) -> list[str]:
    """A line on the lengths of several answers to one prompt, with the verdict on LVC; empty if there is one answer to each."""
    if card.steadiness is None or card.steadiness.lvc is None:
        return []
    interval = card.steadiness.lvc_interval
    seen = f"{card.steadiness.lvc:.1%}" + (f" [{interval.low:.1%}, {interval.high:.1%}]" if interval else "")
    rows = found["paper"].steadiness if "paper" in found else ()
    told = next((f"; {ARROWS[row.verdict]} {100 * row.difference:+z.1f} points of LVC" for row in rows if row.measure == "lvc"), "")
    return [f"Lengths of several answers to one prompt vary by {seen} (LVC), MLA {card.steadiness.mla:.1f}{told}."]


def _unpaired(found: Found) -> list[str]:
    comparison = found.get("paper")
    if comparison is None:
        return []
    sides = (("the baseline", comparison.only_b), ("this evaluation", comparison.only_a))
    missing = [f"{len(ids)} prompts only in {where}, not compared" for where, ids in sides if ids]
    return [*missing, *map(_plain, comparison.notes)]
