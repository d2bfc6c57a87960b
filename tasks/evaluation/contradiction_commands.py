"""The commands `longwriter eval contradictions`, `contradiction-exam` and `positions`."""

from pathlib import Path
from typing import Annotated

import typer

from tasks.evaluation.judge_options import Answers, Cap, CardJson, Cards, Estimate, Format, ReportJson, Texts, limit_from, say, show_or_cost
from tasks.judging.contradiction_card import EXAMS, ContradictionCard
from tasks.judging.contradictions import CONTEXT, PART
from tasks.stage import one_line_errors

Part = Annotated[int, typer.Option(min=100, help="words of a part; each part is judged with everything before it as evidence")]
Context = Annotated[int, typer.Option(min=4_096, help="tokens of the judge's context; a longer evidence is shown in windows")]


def contradictions(
    source: Texts,
    part: Part = PART,
    context: Context = CONTEXT,
    format: Format = None,
    cap: Cap = "",
    estimate: Estimate = False,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="folder for contradictions.json and parts.jsonl")] = None,
    listed: Annotated[int, typer.Option("--list", min=0, help="contradictions that are printed with both quotes")] = 5,
    as_json: ReportJson = False,
) -> None:
    """Find contradictions of texts with themselves: five classes, both places quoted, errors per 10,000 words.

    The cost is printed before the first call. An interrupted command goes on where it ended; nothing is paid twice.
    """
    from tasks.evaluation.contradictions import ContradictionOptions
    from tasks.evaluation.contradictions import contradictions as judged
    from tasks.evaluation.display_contradictions import show_report
    from tasks.evaluation.evaluate import params_here

    with one_line_errors():
        options = ContradictionOptions(part, context, format, limit_from(cap), estimate, out)
        found = judged(source, params=params_here(), options=options, say=say)
        show_or_cost(found.report, found.cost, lambda report: show_report(report, found.parts, listed=listed), as_json=as_json)


def positions(
    source: Texts,
    part: Annotated[int, typer.Option(min=50, help="words of a part")] = 1_000,
    format: Format = None,
    cap: Cap = "",
    estimate: Estimate = False,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="folder for positions.json and verdicts.jsonl")] = None,
    as_json: ReportJson = False,
) -> None:
    """Grade the parts of long texts one by one, by place in the text: where does quality fall?

    The cost is printed before the first call. An interrupted command goes on where it ended; nothing is paid twice.
    """
    from tasks.evaluation.display_contradictions import show_positions
    from tasks.evaluation.evaluate import params_here
    from tasks.evaluation.positions import PositionOptions
    from tasks.evaluation.positions import positions as graded

    with one_line_errors():
        options = PositionOptions(part, format, limit_from(cap), estimate, out)
        found = graded(source, params=params_here(), options=options, say=say)
        show_or_cost(found.report, found.cost, show_positions, as_json=as_json)


def contradiction_exam(
    answers: Answers = None,
    texts: Annotated[int, typer.Option(min=6, help="answers that get contradictions")] = 50,
    part: Part = PART,
    context: Context = CONTEXT,
    format: Format = None,
    cap: Cap = "",
    estimate: Estimate = False,
    out: Cards = EXAMS,
    as_json: CardJson = False,
) -> None:
    """Examine the judge of contradictions: plant some of each class at known distances, and see which it reports.

    The cost is printed before the first call. An interrupted exam goes on where it ended; nothing is paid twice.
    """
    from tasks.evaluation.contradictions import ContradictionOptions
    from tasks.evaluation.contradictions import contradiction_exam as examined
    from tasks.evaluation.display_contradictions import show_card
    from tasks.evaluation.evaluate import params_here

    with one_line_errors():
        options = ContradictionOptions(part, context, format, limit_from(cap), estimate, out, texts)
        found = examined(answers, params=params_here(), options=options, say=say)

        def show(card: ContradictionCard) -> None:
            show_card(card)
            print(f"The card is {found.path}")

        show_or_cost(found.card, found.cost, show, as_json=as_json)
