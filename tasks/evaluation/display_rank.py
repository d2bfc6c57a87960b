"""Prints a ranking as a table."""

from tasks.evaluation.display import terminal
from tasks.evaluation.rank import Ranking

STOPPED = {
    "settled": "The ranks are settled: every two neighbours differ clearly, all of them together at 95%.",
    "budget": "The budget is used up: neighbours with the same range of ranks are not told apart. More --budget goes on from here.",
    "no prompt left": "No prompt is left: neighbours with the same range of ranks are not told apart by these prompts.",
}


def show_ranking(found: Ranking) -> None:
    """Prints strengths with intervals, ranges of ranks, the cost, and why the comparisons ended."""
    from rich.markup import escape
    from rich.table import Table

    console = terminal()
    caption = "strength: log-odds of winning a duel against the mean model, Bradley–Terry, with intervals of 95% for all models together"
    table = Table(title=escape(f"ranking by {found.judge}"), title_justify="left", caption=caption, caption_justify="left")
    table.add_column("rank", justify="right")
    table.add_column("model")
    for name in ("ranks left open", "strength", "Elo", "duels", "won", "lost"):
        table.add_column(name, justify="right")
    for row in found.models:
        ranks = str(row.best) if row.best == row.worst else f"{row.best} to {row.worst}"
        strength = f"{row.strength:+.2f} [{row.interval.low:+.2f}, {row.interval.high:+.2f}]"
        table.add_row(str(row.rank), escape(row.model), ranks, strength, f"{row.elo:.0f}", str(row.duels), str(row.wins), str(row.losses))
    console.print(table)
    if found.first_place is not None:
        of = found.first_place_interval
        console.print(
            f"The text in the first place won {found.first_place:.0%} of the comparisons"
            + (f", 95% {of.low:.0%} to {of.high:.0%}" if of else "")
            + ": 50% is no bias."
        )
    dollars = "" if found.dollars is None else f", ${found.dollars:,.2f}"
    console.print(
        f"{found.duels} duels on {found.prompts} prompts, {found.contradictions} with orders that disagree, {found.unread} not readable; "
        f"{found.calls} calls paid now{dollars}; all pairs would need {found.all_pairs}."
    )
    console.print(STOPPED[found.stopped])
