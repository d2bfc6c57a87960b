"""The commands `longwriter eval contradictions`, `contradiction-exam` and `positions`."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.endpoints.allowance import SpendLimit, limit_of
from tasks.judging.contradiction_card import EXAMS
from tasks.judging.contradictions import CONTEXT, PART
from tasks.stage import one_line_errors

Part = Annotated[int, typer.Option(min=100, help="words of a part; each part is judged with everything before it as evidence")]
Context = Annotated[int, typer.Option(min=4_096, help="tokens of the judge's context; a longer evidence is shown in windows")]
Format = Annotated[str | None, typer.Option(help="format of the rows: longbench-write, hellobench, writingbench, lifebench")]
Cap = Annotated[str, typer.Option(help="stop before it costs more: 400 (calls) or '$2.50'", metavar="LIMIT")]
Estimate = Annotated[bool, typer.Option("--estimate", help="print the cost and stop")]


def contradictions(
    source: Annotated[
        Path,
        typer.Argument(help="texts: an evaluation's folder, drafts.jsonl, a file as for `score`, or a .txt or .md file"),
    ],
    part: Part = PART,
    context: Context = CONTEXT,
    format: Format = None,
    cap: Cap = "",
    estimate: Estimate = False,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="folder for contradictions.json and parts.jsonl")] = None,
    listed: Annotated[int, typer.Option("--list", min=0, help="contradictions that are printed with both quotes")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="the report as one JSON object, on the last line")] = False,
) -> None:
    """Find contradictions of texts with themselves: five classes, both places quoted, errors per 10,000 words.

    The cost is printed before the first call. An interrupted command goes on where it ended; nothing is paid twice.
    """
    from tasks.evaluation.contradictions import ContradictionOptions
    from tasks.evaluation.contradictions import contradictions as judged
    from tasks.evaluation.display_contradictions import show_report
    from tasks.evaluation.evaluate import params_here

    with one_line_errors():
        limit = limit_of(cap, "--cap") if cap else SpendLimit()
        found = judged(source, params=params_here(), options=ContradictionOptions(part, context, format, limit, estimate, out), say=_say)
        if found.report is None:
            print(orjson.dumps(found.cost._asdict()).decode() if as_json else str(found.cost))
        elif as_json:
            print(orjson.dumps(found.report.model_dump(mode="json")).decode(), flush=True)
        else:
            show_report(found.report, found.parts, listed=listed)


def positions(
    source: Annotated[
        Path,
        typer.Argument(help="texts: an evaluation's folder, drafts.jsonl, a file as for `score`, or a .txt or .md file"),
    ],
    part: Annotated[int, typer.Option(min=50, help="words of a part")] = 1_000,
    format: Format = None,
    cap: Cap = "",
    estimate: Estimate = False,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="folder for positions.json and verdicts.jsonl")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the report as one JSON object, on the last line")] = False,
) -> None:
    """Grade the parts of long texts one by one, by place in the text: where does quality fall?

    The cost is printed before the first call. An interrupted command goes on where it ended; nothing is paid twice.
    """
    from tasks.evaluation.display_contradictions import show_positions
    from tasks.evaluation.evaluate import params_here
    from tasks.evaluation.positions import PositionOptions
    from tasks.evaluation.positions import positions as graded

    with one_line_errors():
        limit = limit_of(cap, "--cap") if cap else SpendLimit()
        found = graded(source, params=params_here(), options=PositionOptions(part, format, limit, estimate, out), say=_say)
        if found.report is None:
            print(orjson.dumps(found.cost._asdict()).decode() if as_json else str(found.cost))
        elif as_json:
            print(orjson.dumps(found.report.model_dump(mode="json")).decode(), flush=True)
        else:
            show_positions(found.report)


def contradiction_exam(
    answers: Annotated[
        Path | None,
        typer.Argument(
            help="recorded answers: an evaluation's folder, or a file as for `score`; default: data/predict/predictions.jsonl, or else the"
            " rehearsal's prose on the benchmark's prompts"
        ),
    ] = None,
    texts: Annotated[int, typer.Option(min=6, help="answers that get contradictions")] = 50,
    part: Part = PART,
    context: Context = CONTEXT,
    format: Format = None,
    cap: Cap = "",
    estimate: Estimate = False,
    out: Annotated[Path, typer.Option(file_okay=False, help="folder of the cards, one file per judge")] = EXAMS,
    as_json: Annotated[bool, typer.Option("--json", help="the card as one JSON object, on the last line")] = False,
) -> None:
    """Examine the judge of contradictions: plant some of each class at known distances, and see which it reports.

    The cost is printed before the first call. An interrupted exam goes on where it ended; nothing is paid twice.
    """
    from tasks.evaluation.contradictions import ContradictionOptions
    from tasks.evaluation.contradictions import contradiction_exam as examined
    from tasks.evaluation.display_contradictions import show_card
    from tasks.evaluation.evaluate import params_here

    with one_line_errors():
        limit = limit_of(cap, "--cap") if cap else SpendLimit()
        options = ContradictionOptions(part, context, format, limit, estimate, out, texts)
        found = examined(answers, params=params_here(), options=options, say=_say)
        if found.card is None:
            print(orjson.dumps(found.cost._asdict()).decode() if as_json else str(found.cost))
        elif as_json:
            print(orjson.dumps(found.card.model_dump(mode="json")).decode(), flush=True)
        else:
            show_card(found.card)
            print(f"The card is {found.path}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
