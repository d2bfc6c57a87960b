"""Prints scorecards and comparisons as terminal tables."""

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tasks.evaluation.nll import Nll
from tasks.judging.pairwise import Tally
from tasks.judging.reliability import Reliability
from tasks.longbench.compare import Comparison, MeasureDifference
from tasks.longbench.ruler import tried_lengths
from tasks.longbench.scorecard import BINS, OVER, Decay, Following, Group, Scorecard, Steadiness
from tasks.longbench.steadiness import SteadinessDifference
from tasks.schema.finish import Finish
from tasks.statistics import Interval

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tasks.benchmarks.differences import BenchmarkComparison
    from tasks.benchmarks.interface import Card
    from tasks.benchmarks.results import BenchmarkFigure, BenchmarkScores

RULER_LINES = 20  # most requested lengths for which the ruler table is shown
COLUMNS = 8  # most requested lengths that have a column each in the table of models
LISTED = 5  # most ids of unpaired items to print; --json has all
LOOPED = 0.05  # share of words in loops above which written lengths do not show the model's reach
WIDTH = 160  # columns, if the output is no terminal
ENDINGS: dict[str, str] = {
    Finish.ENDED: " by themselves",
    Finish.CUT: " at max_tokens",
    Finish.FILTERED: " by the endpoint's content filter",
    Finish.TOOLS: " called",
    Finish.UNKNOWN: " (no finish reason that is known)",
}
ENDED = {
    "cut_by_limit": "cut by the token limit",
    "broken_off": "broken off",
    "offers_to_continue": "with an offer to continue",
    "declined": "with less than was asked, as they say",
}
PAPERS = ("en", "zh")  # languages for which the paper's word count works
MEASURES = {"s_l": "S_l", "s_q": "S_q", "s_bar": "S̄"}
STEADINESS = {"lsd": "LSD, words (lower is steadier)", "lvc": "LVC, % (lower is steadier)", "mla": "MLA, 0 to 100 (higher is nearer)"}


def show_scorecard(card: Scorecard, *, title: str) -> None:
    """Prints scores with 95% intervals, the ruler, and degeneration of the answers."""
    console = terminal()
    console.print(_scores(card, title=title))
    if card.s_q is None:
        why = "no verdict of the judge could be read" if card.judge else "no judge has seen these outputs"
        console.print(f"S_q and S̄ are empty: {why}. S_l is the length score alone.")
    if bounds := card.s_q_bounds:
        console.print(f"{card.unscored} unscored: S_q is {bounds.low:.1f} if all of them had 0, and {bounds.high:.1f} if all had 100.")
    if others := [name for name in card.by_language if name not in PAPERS]:
        console.print(f"The paper's count knows words of English and Chinese alone: of {', '.join(others)} read S_l fixed, not S_l paper.")
    if len(card.by_asked) <= RULER_LINES:
        console.print(_ruler(card))
    console.print(_ceiling(card))
    if card.reasoned:
        console.print(f"{card.reasoned} answers have thoughts before them; they are kept in `reasoning`, and are in no count and no score.")
    if card.judge:
        console.print(_exam(card), markup=False)
    if found := card.stripped:
        script = f"S_l paper would be {found.s_l:.2f} there"
        console.print(f"In {found.answers} answers the thoughts stood in the text: the paper's script counts them as text, {script}.")
    if card.ended_by:
        endings = (f"{count} {reason}{ENDINGS.get(reason, '')}" for reason, count in card.ended_by.items())
        console.print(f"How the answers ended: {', '.join(endings)}.", markup=False)
    if card.fixed and card.fixed.s_l_without_loops is not None:
        score = _cell(card.fixed.s_l_without_loops, card.fixed.s_l_without_loops_interval)
        console.print(f"S_l without loops {score}: fixed mode, of the words outside loops and repeated passages.")
    if card.degeneration:
        console.print(_decay(card.degeneration))
    if card.steadiness:
        console.print(_steadiness(card.steadiness))
    if card.adherence:
        console.print(_following(card.adherence))


def show_judge(found: Reliability) -> None:
    """Prints the judge and how reliable its scores are."""
    console = terminal()
    console.print(f"Judge: {found.judge}.", markup=False)
    if found.unread:
        console.print(f"{found.unread} of its {found.verdicts} verdicts could not be read; the replies and why: verdicts.jsonl.")
    if found.deviation is not None and found.identical is not None:
        icc = "" if found.icc is None else f", {found.icc:.0%} of the variance lies between answers"
        if found.icc is not None and found.icc <= 0:
            icc = ", as much as between answers: the judge does not tell these answers apart"
        console.print(f"From repeat to repeat an answer's S_q has a standard deviation of {found.deviation:.1f} points{icc};")
        console.print(f"{found.identical:.0%} of {found.repeated} answers have the same grades in all repeats.")
    if found.agreement:
        alike, kappa = found.agreement.overall, found.agreement.overall.kappa
        pooled = found.agreement.kappa_pooled
        weighted = (
            "" if kappa is None else f", kappa {kappa:.2f} (mean over the dimensions; {'-' if pooled is None else f'{pooled:.2f}'} pooled)"
        )
        apart = f"{alike.bias:+.1f} points on average, {alike.mean_absolute:.1f} apart{weighted}"
        console.print(f"Second judge: {found.agreement.second_judge}, on {found.agreement.answers} answers: {apart}.", markup=False)


def show_benchmark(found: "Mapping[str, BenchmarkScores]") -> None:
    """Prints each model's figures on a benchmark, overall and by group, with intervals, unscored items and bounds."""
    from rich.markup import escape
    from rich.table import Table

    console = terminal()
    for model, scores in found.items():
        table = Table(title=escape(f"{model}: {scores.benchmark}"), title_justify="left")
        table.add_column("")
        names = list(scores.figures)
        for name in ("items", *names):
            table.add_column(escape(name), justify="right")
        rows = {"overall": scores.figures, **scores.by_group}
        for place, (group, figures) in enumerate(rows.items()):
            items = max((figure.items + figure.unscored for figure in figures.values()), default=0)
            cells = [_figure(figures[name]) if name in figures else "" for name in names]
            table.add_row(escape(group), str(items), *cells, end_section=place == 0)
        console.print(table)
        for name, figure in scores.figures.items():
            if figure.unscored:
                ends = (
                    f": {figure.bounds.low:.2f} if all were the lowest, {figure.bounds.high:.2f} if all were the highest"
                    if figure.bounds
                    else ""
                )
                console.print(f"{name}: {figure.unscored} items are unscored{ends}.", markup=False)
        if scores.answered < scores.items:
            console.print(f"{scores.answered} of {scores.items} items have an answer; the others are in no figure.")
        judge = (
            f"Judge: {scores.judge}; {scores.unread} of {scores.verdicts} verdicts could not be read." if scores.judge else "Not judged."
        )
        console.print(judge, markup=False)


def show_benchmark_comparison(found: "BenchmarkComparison") -> None:
    """Prints the differences measure by measure, notes, and the verdict on the headline in the last line."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{found.benchmark}: A minus B"), title_justify="left")
    table.add_column("")
    for name in ("items", "A", "B", "difference", "95% interval", "p", "verdict"):
        table.add_column(name, justify="right")
    for row in found.rows:
        scores = (str(row.items), f"{row.a:.2f}", f"{row.b:.2f}", f"{row.difference:+.2f}")
        table.add_row(escape(row.measure), *scores, "-" if row.interval is None else str(row.interval), f"{row.p:.4f}", row.verdict)
    console = terminal()
    console.print(table)
    for row in found.rows:
        if row.unscored:
            console.print(f"{row.measure}: {row.unscored} items are unscored on one side or both, and not compared", markup=False)
    for note in found.notes:
        console.print(note, markup=False)
    console.print(f"A {escape(found.a)} against B {escape(found.b)}: [bold]{found.verdict}[/bold]")


def _figure(figure: "BenchmarkFigure") -> str:
    return "-" if figure.value is None else f"{figure.value:.2f} {figure.interval or ''}".rstrip()


def show_cards(cards: "Iterable[Card]") -> None:
    """Prints one line for each benchmark."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="benchmarks: `longwriter eval benchmarks NAME` shows a card", title_justify="left")
    for name in ("name", "measures", "judge of its authors", "licence"):
        table.add_column(name)
    for card in cards:
        table.add_row(*map(escape, (card.name, card.measures, card.judge, card.licence)))
    terminal().print(table)


def show_card(card: "Card") -> None:
    """Prints the whole card of a benchmark."""
    console = terminal()
    source = f"https://github.com/{card.repository} at {card.revision[:12]}" if card.repository else "-"
    rows = {"measures": card.measures, "authors' judge": card.judge, "licence": card.licence, "terms": card.terms}
    for name, text in {"name": f"{card.name} ({card.title})", **rows, "paper": card.paper, "source": source}.items():
        console.print(f"{name + ':':16}{text}", markup=False)
    for title, lines in (("known faults", card.faults), ("different here", card.differences)):
        for line in lines:
            console.print(f"{title + ':':16}{line}", markup=False)
    for one in card.published:
        told = f"{one.model} {one.measure} {one.value:g}, judge {one.judge} ({one.source}, {one.certainty})"
        console.print(f"{'published:':16}{told}", markup=False)
    if len({one.judge for one in card.published}) > 1:
        console.print("Figures of different judges are not comparable.")


def show_duels(found: Tally, *, only_one: int) -> None:
    """Prints wins, the test result, and the judge's position bias."""
    console = terminal()
    console.print(f"{found.duels} duels, each judged in both orders.", markup=False)
    for name, wins in ((found.a, found.a_wins), (found.b, found.b_wins), ("ties", found.ties)):
        console.print(f"{wins:6}  {name}", markup=False)
    console.print(f"{found.contradictions:6}  contradictions: the orders disagree, nobody's win")
    console.print(f"{found.unread:6}  not readable in one order or both")
    if only_one:
        console.print(f"{only_one} answers have no partner on the other side and are left out.")
    if found.first_place is not None:
        of = found.first_place_interval
        share = f"{found.first_place:.0%} of the comparisons" + (f", 95% {of.low:.0%} to {of.high:.0%}" if of else "")
        console.print(f"The text in the first place won {share}: 50% is no bias.")
    rate, of = found.win_rate, found.win_rate_interval
    if rate is None:
        return console.print("cannot tell: nobody won a duel")
    around = f", 95% {of.low:.0%} to {of.high:.0%}" if of else ""
    tested = "" if found.p is None else f", p {found.p:.4f} over {found.topics} topics"
    console.print(f"A won {rate:.0%} of the duels that somebody won{around}{tested}: [bold]{found.verdict}[/bold]")


def show_models(cards: Mapping[str, Scorecard], *, title: str, remark: str | None) -> None:
    """Prints S_l of several models' recorded answers, overall and by requested length; by length bin if there are many lengths."""
    from rich.markup import escape
    from rich.table import Table

    lengths = {reach.asked for card in cards.values() for reach in card.by_asked}
    by_length = len(lengths) <= COLUMNS
    scores = {name: _by_asked(card) if by_length else {key: one.s_l for key, one in card.by_bin.items()} for name, card in cards.items()}
    known = list(map(str, sorted(lengths))) if by_length else [*(name for _, name in BINS), OVER]
    columns = [name for name in known if any(name in own for own in scores.values())]
    table = Table(title=escape(title), title_justify="left", caption="S_l paper by asked length", caption_justify="left")
    table.add_column("")
    for name in ("answers", "S_l paper", "S_l fixed", *columns):
        table.add_column(escape(name), justify="right")
    for name, card in cards.items():
        own = [f"{scores[name][column]:.2f}" if column in scores[name] else "-" for column in columns]
        table.add_row(escape(name), str(card.answers), *_cells(card)[2:4], *own)
    console = terminal()
    console.print(table)
    if remark:
        console.print(remark, markup=False)


def _by_asked(card: Scorecard) -> dict[str, float]:
    return {str(reach.asked): reach.s_l for reach in card.by_asked}


def show_comparison(found: Comparison) -> None:
    """Prints the differences row by row, notes, and the verdict on the last line."""
    from rich.markup import escape

    console = terminal()
    console.print(_differences(found.rows))
    for name, missing in (("A", found.only_a), ("B", found.only_b)):
        if missing:
            more = ", …" if len(missing) > LISTED else ""
            console.print(f"{len(missing)} items only in {name}, not compared: {escape(', '.join(missing[:LISTED]))}{more}")
    if found.unscored:
        console.print(f"{found.unscored} of {found.items} items are unscored: they count in S_l, not in S_q")
    if found.steadiness:
        console.print(_steadier(found.steadiness))
    if found.noise:
        parts = [("the judge's repeats", found.noise.judge), ("sampling the answers", found.noise.answers)]
        if known := [f"{share:.0%} by {what}" for what, share in parts if share is not None]:
            console.print(f"The variance of the difference in {MEASURES[found.noise.measure]} overall: {', '.join(known)}.")
    for note in found.notes:
        console.print(escape(note))
    console.print(f"A {escape(found.a)} against B {escape(found.b)}, {found.items} items, {found.mode} mode: [bold]{found.verdict}[/bold]")


def show_nll(found: Nll) -> None:
    """Prints the curve, then how much of the answers was read."""
    from rich.table import Table

    table = Table(title=f"cumulative NLL under {found.reader}", title_justify="left")
    for name in ("position, tokens", "NLL, nats a token", "answers that reach it"):
        table.add_column(name, justify="right")
    for point in found.points:
        table.add_row(str(point.position), f"{point.nll:.3f}", str(point.answers))
    console = terminal()
    console.print(table)
    if found.by_part:
        console.print("by tenth of the text: " + ", ".join(f"{part:.3f}" for part in found.by_part))
    left = f"; {found.cut} are longer than the context and read as far as it goes, {found.left_out} left out"
    console.print(f"{found.answers} answers, {found.tokens:,} tokens, context {found.context:,}: {found.nll:.3f}{left}")


def terminal() -> "Console":
    """The console that tables are printed on: as wide as the terminal, or WIDTH columns."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def _scores(card: Scorecard, *, title: str) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    caption = "with 95% intervals over the items; paper: its word count, lengths as exactly; fixed: words and lengths as they are meant"
    table = Table(title=escape(title), title_justify="left", caption=caption, caption_justify="left")
    table.add_column("")
    for name in ("items", "answers", "S_l paper", "S_l fixed", "S_q", "S̄ paper", "S̄ fixed", "unscored"):
        table.add_column(name, justify="right")
    judged = card.judge is not None
    table.add_row("overall", *_cells(card, judged=judged), end_section=True)
    groups: tuple[Mapping[str, Group], ...] = (card.by_bin, card.by_language, card.by_type)
    for group in groups:
        for place, (name, scores) in enumerate(group.items(), 1):
            table.add_row(escape(name), *_cells(scores, judged=judged), end_section=place == len(group))
    return table


def _cells(group: Group, *, judged: bool = True) -> list[str]:
    fixed = group.fixed
    scores = (
        _cell(group.s_l, group.s_l_interval),
        _cell(fixed.s_l, fixed.s_l_interval) if fixed else "-",
        _cell(group.s_q, group.s_q_interval),
        _cell(group.s_bar, group.s_bar_interval),
        _cell(fixed.s_bar, fixed.s_bar_interval) if fixed else "-",
    )
    return [str(group.items), str(group.answers), *scores, str(group.unscored) if judged else "not judged"]


def _cell(value: float | None, interval: Interval | None) -> str:
    return "-" if value is None else f"{value:.2f} {interval or ''}".rstrip()


def _ruler(card: Scorecard) -> "Table":
    from rich.table import Table

    table = Table(title="asked and written, in words", title_justify="left")
    for name in ("asked", "answers", "mean written", "longest", "S_l paper", "without loops", "S_l without loops"):
        table.add_column(name, justify="right")
    for point in card.by_asked:
        once = ("-", "-")
        if point.mean_without_loops is not None and point.s_l_without_loops is not None:
            once = (f"{point.mean_without_loops:.0f}", f"{point.s_l_without_loops:.2f}")
        table.add_row(str(point.asked), str(point.items), f"{point.mean:.0f}", str(point.longest), f"{point.s_l:.2f}", *once)
    return table


def _ceiling(card: Scorecard) -> str:
    if not card.ceiling:
        return ""
    longest = f"The longest answer has {card.ceiling.longest} words"
    if card.degeneration and card.degeneration.looped > LOOPED:
        return f"{longest}; {card.degeneration.looped:.0%} of all words are in loops, so lengths do not show how far the model reaches."
    if card.ceiling.asked is None:
        return f"{longest}; " + (
            "they grow with what is asked." if tried_lengths(card.ruler) else "one length, or near, was asked: no ceiling to see."
        )
    return f"{longest}; from {card.ceiling.asked} asked words on the answers stop growing, at {card.ceiling.mean:.0f} on average."


def _causes(decay: Decay) -> str:
    """How incomplete answers end."""
    causes = [f"{ENDED[cause]} {share:.1%}" for cause, share in decay.endings.items() if cause != "ended"]
    return f" ({', '.join(causes)})" if causes else ""


def _decay(decay: Decay) -> str:
    repeated = f"Repeated 4-grams {decay.repetition:.1%}{_tenths(decay.repetition_by_part)}"
    looped = f"words in loops {decay.looped:.1%}{_tenths(decay.looped_by_part)}"
    answers = (
        f"Answers with a loop {decay.with_loop:.1%}, not whole {decay.unfinished:.1%}{_causes(decay)}, "
        f"that change their script {decay.switched:.1%}."
    )
    return f"{repeated}; {looped}.\n{answers}"


def _exam(card: Scorecard) -> str:
    found = card.exam
    if found is None:
        return "The judge is not examined: `longwriter eval judge-exam` shows what misleads it."
    misled = f"misled by {', '.join(found.misled_by)}" if found.misled_by else "nothing misled it"
    return f"The judge's exam, card {found.digest}: {misled}."


def _steadiness(found: Steadiness) -> str:
    lvc = "-" if found.lvc is None else f"{found.lvc:.1%}"
    if found.lvc_interval:
        lvc += f" [{found.lvc_interval.low:.1%}, {found.lvc_interval.high:.1%}]"
    lsd = "" if found.lsd is None else f"LSD {found.lsd:.0f} {_words_interval(found.lsd_interval)}words, ".replace("  ", " ")
    return (
        f"Lengths of {found.answers} answers to {found.prompts} prompts: {lsd}LVC {lvc} (standard deviation ÷ mean), "
        f"MLA {_cell(found.mla, found.mla_interval)} (mean length against the requested one, 0 to 100)."
    )


def _words_interval(interval: Interval | None) -> str:
    return f"[{interval.low:.0f}, {interval.high:.0f}] " if interval else ""


def _following(found: Following) -> str:
    return (
        f"Plans of {found.answers} answers: {found.covered:.1%} of their steps are in the text, {found.ordered:.1%} of those in order; "
        f"S_l of the steps {found.s_l:.1f}."
    )


def _tenths(parts: tuple[float, ...]) -> str:
    return f" (first tenth {parts[0]:.1%}, last {parts[-1]:.1%})" if parts else ""


def _steadier(rows: tuple[SteadinessDifference, ...]) -> "Table":
    from rich.table import Table

    table = Table(title="steadiness of the lengths, A minus B", title_justify="left")
    table.add_column("")
    for name in ("prompts", "A", "B", "difference", "95% interval", "p", "verdict"):
        table.add_column(name, justify="right")
    for row in rows:
        factor = 100 if row.measure == "lvc" else 1
        scores = [f"{factor * value:.1f}" for value in (row.a, row.b)]
        interval = f"[{factor * row.interval.low:.1f}, {factor * row.interval.high:.1f}]" if row.interval else "-"
        shown = (*scores, f"{factor * row.difference:+.1f}", interval, f"{row.p:.4f}", row.verdict)
        table.add_row(STEADINESS[row.measure], str(row.prompts), *shown)
    return table


def _differences(rows: tuple[MeasureDifference, ...]) -> "Table":
    from rich.table import Table

    table = Table(title="A minus B, in points", title_justify="left")
    table.add_column("")
    table.add_column("")
    for name in ("items", "A", "B", "difference", "95% interval", "p", "verdict"):
        table.add_column(name, justify="right")
    for place, row in enumerate(rows):
        last = place + 1 == len(rows) or rows[place + 1].group != row.group
        p = row.p if row.p_holm is None else row.p_holm
        scores = (f"{row.a:.2f}", f"{row.b:.2f}", f"{row.difference:+.2f}")
        shown = ("-" if row.interval is None else str(row.interval), "-" if p is None else f"{p:.4f}")
        table.add_row(row.group, MEASURES[row.measure], str(row.items), *scores, *shown, row.verdict, end_section=last)
    return table
