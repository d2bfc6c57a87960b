"""Prints the card of a judge's exam as tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tasks.evaluation.display import terminal
from tasks.judging.exam_card import ExamCard, GradeAgreement
from tasks.judging.plants import MEANINGS, Plant
from tasks.statistics import Interval
from tasks.tracking.gate import Axis

if TYPE_CHECKING:
    from rich.table import Table


def show_exam(card: ExamCard, axes: Sequence[Axis]) -> None:
    """Prints the biases with their intervals, the order, the repeats, the agreement with people, the gate's bounds, and the result."""
    from rich.markup import escape
    from rich.table import Table

    console = terminal()
    caption = "bias: points of S_q with the plant minus without it, with its 95% interval over the topics"
    table = Table(title=escape(f"exam of {card.judge}"), title_justify="left", caption=caption, caption_justify="left")
    for name in ("plant", "what it is", "a sound judge"):
        table.add_column(name)
    for name in ("pairs", "S_q without", "S_q with", "bias", "result"):
        table.add_column(name, justify="right")
    for row in card.plants:
        meaning = MEANINGS[Plant(row.plant)] if row.plant in set(Plant) else ""
        does = "lowers the grade" if row.must == "lower" else "does not raise it"
        own = [_number(row.base), _number(row.planted), f"{_number(row.bias, '+')} {row.interval or ''}".rstrip()]
        table.add_row(row.plant, meaning, does, str(row.pairs), *own, row.outcome)
    console.print(table)
    for row in card.plants:
        if row.over_second is not None:
            of = f" {row.over_second_interval}" if row.over_second_interval else ""
            console.print(f"{row.plant}: {row.over_second:+.1f}{of} points more than the second judge gives them.", markup=False)
    _show_order(card)
    _show_repeats(card)
    if card.human:
        graded = card.human
        console.print(
            f"People's grades of {graded.rows} answers ({graded.file}), {graded.unread} without a readable verdict.", markup=False
        )
        console.print(_agreements("by dimension", graded.by_dimension))
        console.print(_agreements("by length of the answer, S_q", graded.by_length))
    for axis in axes:
        console.print(f"promote.judge_exam: {axis}", markup=False)
    if misled := card.misled_by:
        console.print(f"[bold]The judge fails[/bold]: misled by {', '.join(misled)}.")
    else:
        unclear = [row.plant for row in card.plants if row.outcome == "cannot tell"]
        more = f" Too few answers to tell: {', '.join(unclear)}." if unclear else ""
        console.print(f"[bold]Nothing misled the judge.[/bold]{more}")


def _show_order(card: ExamCard) -> None:
    if (order := card.order) is None:
        return
    console = terminal()
    if order.first_place is None:
        console.print(f"Comparisons: {order.comparisons}, {order.unread} of them not readable, none with a winner.")
        return
    of = f", 95% {order.interval.low:.0%} to {order.interval.high:.0%}" if order.interval else ""
    console.print(
        f"Order: the first text won {order.first_place:.0%} of the comparisons with a winner{of}; 50% is no bias: {order.outcome}."
    )
    pairs = f"the padded text won {order.padded_wins} pairs, the answer {order.base_wins}, in {order.contradictions} the orders disagree"
    console.print(f"Padding in comparisons: {pairs}: {order.length_outcome}.")


def _show_repeats(card: ExamCard) -> None:
    console, found = terminal(), card.repeats
    if found.deviation is not None and found.identical is not None:
        console.print(
            f"Repeats: an answer's S_q has a standard deviation of {found.deviation:.1f} points; "
            f"{found.identical:.0%} of {found.answers} answers have equal grades in all repeats."
        )
    around = f", 95% {card.read_interval.low:.0%} to {card.read_interval.high:.0%}" if card.read_interval else ""
    console.print(f"Read: {card.read:.1%} of {card.replies} verdicts and comparisons{around}.")


def _agreements(title: str, found: Mapping[str, GradeAgreement]) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("answers", "Spearman", "kappa (quadratic weights)"):
        table.add_column(name, justify="right")
    for name, row in found.items():
        table.add_row(name, str(row.answers), _share(row.spearman, row.spearman_interval), _share(row.kappa, row.kappa_interval))
    return table


def _share(value: float | None, interval: Interval | None) -> str:
    around = f" [{interval.low:.2f}, {interval.high:.2f}]" if interval else ""
    return "-" if value is None else f"{value:.2f}{around}"


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.1f}"
