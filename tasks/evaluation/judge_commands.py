"""The commands `longwriter eval judge-exam` and `longwriter eval rank`."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.evaluation.judge_options import Answers, Cap, CardJson, Cards, Estimate, Format, limit_from, say, show_cost, show_or_cost
from tasks.judging.exam_card import EXAMS
from tasks.stage import one_line_errors


def judge_exam(
    answers: Answers = None,
    texts: Annotated[int, typer.Option(min=6, help="answers that the exam is made from")] = 24,
    repeats: Annotated[int, typer.Option(min=2, help="grades of each answer, for the judge's repeatability")] = 3,
    duels: Annotated[bool, typer.Option("--duels/--no-duels", help="compare texts in both orders, for the bias of the place")] = True,
    own_style: Annotated[
        bool, typer.Option("--own-style/--no-own-style", help="let the judge reword answers, and grade its own words")
    ] = True,
    second_judge: Annotated[bool, typer.Option("--second-judge", help="models.second_judge grades the rewordings too")] = False,
    human: Annotated[
        Path | None, typer.Option(help="CSV file with grades by people: prompt, answer, grade and, if known, dimension")
    ] = None,
    format: Format = None,
    cap: Cap = "",
    estimate: Estimate = False,
    out: Cards = EXAMS,
    details: Annotated[Path | None, typer.Option(file_okay=False, help="folder for the verdicts and comparisons")] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="exit code 1 if something misled the judge, or a bound of promote.judge_exam fails")
    ] = False,
    as_json: CardJson = False,
) -> None:
    """Examine the judge before its scores are believed: plant what is known to mislead, and ask it to repeat its grades.

    The cost is printed before the first call. An interrupted exam goes on where it ended; nothing is paid twice.
    """
    from tasks.evaluation.display_exam import show_exam
    from tasks.evaluation.evaluate import params_here
    from tasks.evaluation.judge_exam import ExamOptions
    from tasks.evaluation.judge_exam import judge_exam as examined
    from tasks.tracking.gate import exam_axes

    with one_line_errors():
        params = params_here()
        limit = limit_from(cap)
        options = ExamOptions(answers, format, texts, repeats, duels, own_style, second_judge, human, limit, estimate, out, details)
        found = examined(params, options, say=say)
        if found.card is None:
            show_cost(found.cost, as_json=as_json)
            return
        axes = exam_axes(found.card.summary(), params.promote.judge_exam)
        if as_json:
            print(orjson.dumps({**found.card.model_dump(mode="json"), "digest": found.card.digest}).decode(), flush=True)
        else:
            show_exam(found.card, axes)
            print(f"The card is {found.path}, digest {found.card.digest}")
    if gate and (found.card.misled_by or not all(axis.passed for axis in axes)):
        raise typer.Exit(1)


def rank(
    sources: Annotated[
        list[str],
        typer.Argument(help="an evaluation's folder or recorded answers per model; FOLDER:MODEL names one", metavar="FOLDER..."),
    ],
    budget: Annotated[str, typer.Option(help="the most to spend: 400 (calls) or '$2.50'; default: until the ranks are settled")] = "",
    estimate: Annotated[bool, typer.Option("--estimate", help="print what comparing all pairs would cost, and stop")] = False,
    format: Annotated[str | None, typer.Option(help="format of recorded answers, as for `score`")] = None,
    out: Annotated[Path | None, typer.Option(help="JSONL file for the comparisons, with the judge's replies")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the ranking as one JSON object, on the last line")] = False,
) -> None:
    """Rank many models by duels in both orders, with intervals. Calls go where ranks are unclear.

    It stops when every two neighbours differ clearly, when the budget is used up, or when no prompt is left.
    """
    from tasks.evaluation.display_rank import show_ranking
    from tasks.evaluation.evaluate import params_here
    from tasks.evaluation.rank import RankOptions
    from tasks.evaluation.rank import rank as ranked

    with one_line_errors():
        options = RankOptions(limit_from(budget, "--budget"), estimate, out, format)
        found = ranked(sources, params=params_here(), options=options, say=say)
        show_or_cost(found.ranking, found.cost, show_ranking, as_json=as_json)
