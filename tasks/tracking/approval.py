"""The page for a person who approves a promotion, and the tags that record the approval."""

from tasks.longbench.scorecard import Scorecard
from tasks.statistics import Interval
from tasks.tracking import alias_moves
from tasks.tracking.gate import Decision


def page(card: Scorecard, decision: Decision) -> str:
    """Markdown: the decision, the main scores, and the gate's conditions."""
    name = f"Version {decision.version}" if decision.version.isdecimal() else "The new version"
    against = f", against version {decision.champion_before}" if decision.champion_before else ", the first to be champion"
    verdict = f"{name} would be **{decision.alias}**" + (against if decision.alias == "champion" else "")
    scores = [("S̄", card.s_bar, card.s_bar_interval), ("S_l", card.s_l, card.s_l_interval), ("S_q", card.s_q, card.s_q_interval)]
    lines = [
        f"{verdict}.",
        "",
        "| score | | 95% |",
        "|---|---|---|",
        *(f"| {score} | {_figure(value)} | {_interval(interval)} |" for score, value, interval in scores),
        "",
        f"{card.items} prompts, {card.answers} answers, {card.unscored} unscored; judge: {_plain(card.judge or 'nobody')}.",
        "",
        *conditions(decision),
    ]
    return "\n".join(lines)


def conditions(decision: Decision) -> list[str]:
    """The gate's conditions as the lines of a Markdown table."""
    rows = [f"| {axis.name} | {_plain(axis.seen)} | {axis.limit} | {'holds' if axis.passed else '**fails**'} |" for axis in decision.axes]
    return ["| axis | value | bound | |", "|---|---|---|---|", *rows]


def approved(by: str, note: str) -> dict[str, str]:
    """Returns the tags of a version that a person approved."""
    return {"approved_by": " ".join(by.split()), "approval_note": " ".join(note.split()), "approved": alias_moves.now()}


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _interval(interval: Interval | None) -> str:
    return "–" if interval is None else str(interval)


def _plain(text: str) -> str:
    """Escapes external text for a table cell."""
    return " ".join(text.replace("|", "\\|").split())
