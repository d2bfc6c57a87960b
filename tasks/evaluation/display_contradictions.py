"""Prints contradictions, the card of the judge that finds them, and grades by position, as tables."""

from collections.abc import Sequence

from tasks.evaluation.display import terminal
from tasks.evaluation.positions import PositionReport
from tasks.judging.contradiction_card import ContradictionCard, ContradictionReport, PlantedFigures, Rate
from tasks.judging.contradictions import KINDS
from tasks.judging.grades import DIMENSIONS
from tasks.schema.records import JudgedPart

QUOTED = 160  # characters of a quote


def show_report(report: ContradictionReport, parts: Sequence[JudgedPart], *, listed: int) -> None:
    """Prints errors per 10,000 words by model and class, what is unscored, and the first `listed` contradictions with their quotes."""
    from rich.markup import escape
    from rich.table import Table

    console = terminal()
    caption = "contradictions per 10,000 words, mean over the texts, with its 95% interval over topics"
    table = Table(title=escape(f"contradictions by {report.judge}"), title_justify="left", caption=caption, caption_justify="left")
    table.add_column("model")
    for name in ("texts", "words", "found", "per 10,000 words", *KINDS, "free of them"):
        table.add_column(name, justify="right")
    for model, found in report.models.items():
        kinds = [f"{found.by_kind[kind].density:.2f}" if found.scored else "-" for kind in KINDS]
        mean = "-" if found.density is None else f"{found.density:.2f} {found.interval or ''}".rstrip()
        free = "-" if found.free is None else f"{found.free:.0%}"
        table.add_row(escape(model), str(found.scored), f"{found.words:,}", str(found.count), mean, *kinds, free)
    console.print(table)
    for model, found in report.models.items():
        if found.unscored:
            lost = f"{found.unread} of {found.parts} parts could not be read"
            console.print(f"{model}: {found.unscored} of {found.texts} texts are unscored: {lost}.", markup=False)
        if found.empty:
            console.print(f"{model}: {found.empty} texts without words are left out.", markup=False)
        if found.count:
            tenths = " ".join(map(str, found.by_position))
            console.print(f"{model}: by tenth of the text {tenths}; median distance {found.distance:,.0f} words.", markup=False)
    console.print(f"The judge's card is {report.exam}." if report.exam else "The judge is not examined: longwriter eval contradiction-exam")
    for where, one in [(part, one) for part in parts for one in part.found or ()][:listed]:
        console.print(f"\n{where.model}, {where.id}: {one.kind}, {one.distance:,} words apart: {one.why[:QUOTED]}", markup=False)
        for quote in (one.earlier, one.later):
            console.print(f"  characters {quote.start:,} to {quote.end:,}: {' '.join(quote.text.split())[:QUOTED]}", markup=False)


def show_card(card: ContradictionCard) -> None:
    """Prints recall and precision by class and distance, and what they leave out."""
    from rich.markup import escape
    from rich.table import Table

    console = terminal()
    caption = "recall: reported of the planted; precision: planted of the reported; without own: reports of the unplanted answers left out"
    table = Table(title=escape(f"contradiction exam of {card.judge}"), title_justify="left", caption=caption, caption_justify="left")
    table.add_column("contradictions")
    for name in ("planted", "recall", "reported", "precision", "without own"):
        table.add_column(name, justify="right")
    for name, found in {"all": card.total, **card.by_kind, **card.by_distance}.items():
        table.add_row(name, *_row(found))
    console.print(table)
    console.print(f"Class named rightly: {_rate(card.kind_named)} of the planted contradictions that were reported.", markup=False)
    own = "-" if card.own_density is None else f"{card.own_density:.2f}"
    console.print(
        f"Answers without plants: {card.own} reports, {own} per 10,000 words: contradictions of their own, or inventions of the judge."
    )
    lost = f"{card.unread} of {card.parts} parts could not be read, which leaves out {card.unread_plants} plants"
    console.print(f"{lost}; {card.refused} of {card.calls} replies were refused.")


def show_positions(report: PositionReport) -> None:
    """Prints the grades of the parts by the fifth of the text in which they are."""
    from rich.markup import escape
    from rich.table import Table

    console = terminal()
    caption = f"parts of about {report.part:,} words; mean grades 1 to 5; S_q 0 to 100 with its 95% interval over topics"
    for model, places in report.models.items():
        table = Table(title=escape(f"{model} by {report.judge}"), title_justify="left", caption=caption, caption_justify="left")
        table.add_column("place")
        for name in ("parts", "unread", "S_q", *DIMENSIONS):
            table.add_column(name, justify="right")
        for row in places:
            mean = "-" if row.s_q is None else f"{row.s_q:.1f} {row.interval or ''}".rstrip()
            grades = [f"{row.dimensions[name]:.2f}" if row.dimensions else "-" for name in DIMENSIONS]
            table.add_row(row.place, str(row.parts), str(row.unread), mean, *grades)
        console.print(table)
    if report.short:
        console.print(f"{report.short} texts have a single part and are left out.")


def _row(found: PlantedFigures) -> list[str]:
    recall, precision = found.recall, found.precision
    return [str(recall.of), _rate(recall), str(precision.of), _rate(precision), _rate(found.precision_without_own)]


def _rate(found: Rate) -> str:
    around = f" [{found.interval.low:.0%}, {found.interval.high:.0%}]" if found.interval else ""
    return "-" if found.share is None else f"{found.share:.0%}{around}"
