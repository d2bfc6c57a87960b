"""`longwriter eval` (`python -m tasks.evaluation`): evaluate a model, score recorded outputs, compare evaluations, duel, official, nll."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from tasks import plots, store
from tasks.evaluation import api
from tasks.evaluation.contradiction_commands import contradiction_exam, contradictions, positions
from tasks.evaluation.display import (
    show_benchmark,
    show_benchmark_comparison,
    show_card,
    show_cards,
    show_comparison,
    show_duels,
    show_judge,
    show_models,
    show_nll,
    show_scorecard,
)
from tasks.evaluation.judge_commands import judge_exam, rank
from tasks.evaluation.recorded import models_in
from tasks.judging.judged import Judged
from tasks.longbench.samples import other_prompts
from tasks.longbench.scorecard import Scorecard
from tasks.longbench.scoring import write_scores
from tasks.schema.errors import BadInput
from tasks.schema.redaction import split_url
from tasks.stage import one_line_errors

if TYPE_CHECKING:
    from tasks.benchmarks.results import BenchmarkScores

REPEATED = 3  # rows that a message names
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


app.command("judge-exam")(judge_exam)
app.command("rank")(rank)
app.command("contradictions")(contradictions)
app.command("contradiction-exam")(contradiction_exam)
app.command("positions")(positions)


@app.callback()
def evaluation() -> None:
    """Evaluate a model on LongBench-Write or the Ruler, score recorded outputs, compare evaluations."""


@app.command()
def evaluate(
    candidate: Annotated[str, typer.Argument(help="a URL that ends in /v1, a checkpoint folder, or models:/longwriter@challenger")],
    out: Annotated[Path | None, typer.Option(help="folder for the results; default: evaluations/NAME")] = None,
    benchmark: Annotated[
        Path | None, typer.Option(help="a name (`longwriter eval benchmarks`) or a file; default: the benchmark in params.yaml")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="format of a benchmark file: longbench-write, hellobench, writingbench, lifebench; scored by S_l and S_q"),
    ] = None,
    only: Annotated[str | None, typer.Option(help="one group of a benchmark given by name", metavar="GROUP")] = None,
    data: Annotated[Path | None, typer.Option(help="folder of the files of a benchmark given by name")] = None,
    model: Annotated[str | None, typer.Option(help="name of the model on the server, if the server has several")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="answers to each prompt")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="default: 0.5 for a URL (as in the paper), the value in params.yaml for a checkpoint")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="default: 32,768 for a URL (as in the paper), the value in params.yaml for a checkpoint")
    ] = None,
    agentwrite: Annotated[
        bool, typer.Option("--agentwrite", help="the model plans each answer, then writes it paragraph by paragraph")
    ] = False,
    judged: Annotated[
        bool, typer.Option("--judge/--no-judge", help="also score S_q with the judge in params.yaml; --no-judge: only the length scores")
    ] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="send all requests again, in a folder that already has an evaluation")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the scorecard as one JSON object, on the last line")] = False,
) -> None:
    """Evaluate a model on a benchmark: answers, the judge's verdicts, the scorecard. An interrupted run resumes in the same folder."""
    from tasks.evaluation.evaluate import EvaluateOptions, folder_of, params_here
    from tasks.evaluation.evaluate import evaluate as evaluate_model

    with one_line_errors():
        candidate = split_url(candidate)
        options = EvaluateOptions(benchmark, format, model, samples, temperature, max_tokens, agentwrite, judged, fresh)
        folder = out or folder_of(candidate)
        if name := _named(benchmark):
            from tasks.evaluation.benchmarked import evaluate_on, opened

            if format or agentwrite:
                option, why = ("--format", "its format is known") if format else ("--agentwrite", "its prompts are sent as they are")
                raise BadInput(option, f"not used with the benchmark {name}: {why}", fix=f"leave out {option}, or give --benchmark a file")
            one = opened(name, data=data, only=only)
            if not one.one.scorecard or only:
                return _show_benchmark(
                    evaluate_on(one, candidate, folder, params=params_here(), options=options), as_json=as_json, out=folder
                )
            options = options._replace(benchmark=(data or one.one.folder) / one.one.scorecard)
        elif only or data:
            option = "--only" if only else "--data"
            raise BadInput(
                option, "needs a benchmark that is given by its name", fix="name one with --benchmark: `longwriter eval benchmarks`"
            )
        card = evaluate_model(candidate, folder, params=params_here(), options=options)
        _show(card, title=f"{candidate}: {folder}", as_json=as_json)
        reliability = folder / "reliability.json"
        judge = store.read_document(reliability, Judged).judge if reliability.is_file() else None
        if judge and not as_json:
            show_judge(judge)
        if not as_json:
            print(f"All of it is in {folder}: scorecard.json, items.jsonl, predictions.jsonl{', verdicts.jsonl' if card.judge else ''}")


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="JSONL: prompt or instruction, response, and length unless given for all")],
    length: Annotated[str, typer.Option(help="requested words of rows that do not have a length", metavar="WORDS")] = "",
    format: Annotated[str | None, typer.Option(help="format of the rows: longbench-write, hellobench, writingbench, lifebench")] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="score by this benchmark's own rules: `longwriter eval benchmarks` lists them", metavar="NAME")
    ] = None,
    judged: Annotated[bool, typer.Option("--judge", help="with --benchmark: also ask the judge in params.yaml")] = False,
    only: Annotated[str | None, typer.Option(help="with --benchmark: one of its groups", metavar="GROUP")] = None,
    data: Annotated[Path | None, typer.Option(help="with --benchmark: the folder of its files")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for items.jsonl and scorecard.json, which `compare` reads")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON object on the last line: the scorecard, or a scorecard for each model")
    ] = False,
) -> None:
    """Score recorded outputs by S_l, or by another benchmark's rules. Reads JSONL, and logs of inspect_ai, lm-eval and evalscope.

    Quality needs a judge: S_q is null, and every item counts as unscored. For a folder with one folder of files per model, prints a table
    of S_l with a row per model and a column per requested length.
    """
    with one_line_errors():
        if benchmark:
            from tasks.evaluation.benchmarked import opened, score_on
            from tasks.evaluation.evaluate import params_here

            if length or format:
                option = "--length" if length else "--format"
                raise BadInput(option, f"not used with the benchmark {benchmark}, which has its own items", fix=f"leave out {option}")
            one = opened(benchmark, data=data, only=only)
            return _show_benchmark(score_on(one, predictions, out, params=params_here() if judged else None), as_json=as_json, out=out)
        if judged or only or data:
            option = "--judge" if judged else "--only" if only else "--data"
            fix = "name one: `longwriter eval benchmarks`; `longwriter eval run` judges a model's own answers"
            raise BadInput(option, "needs --benchmark", fix=fix)
        found = api.score(predictions, length=_positive(length) if length else None, format=format)
        _mention(found)
        if out:
            write_scores(out, found.items, found.cards)
        several = len(found.cards) > 1 or bool(models_in(predictions))
        if several and as_json:
            print(orjson.dumps({name: _plain(card) for name, card in found.cards.items()}).decode(), flush=True)
        elif several:
            show_models(found.cards, title=str(predictions), remark=other_prompts(found.items))
        else:
            _show(found.card, title=str(predictions), as_json=as_json)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="items.jsonl of the stage score, or its folder; with a model: data/score:student", metavar="A")],
    b: Annotated[str, typer.Argument(help="the same, or a model of the paper's table: paper:LongWriter-9B", metavar="B")],
    fixed: Annotated[bool, typer.Option("--fixed", help="compare in fixed mode instead of the paper's mode")] = False,
    without_loops: Annotated[
        bool, typer.Option("--without-loops", help="as --fixed, but words in loops and repeated passages do not count")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the comparison as one JSON object, on the last line")] = False,
    gate: Annotated[
        bool, typer.Option("--gate", help="exit code 1 if A is worse: by S̄ overall, or by S_l if there are no judge scores")
    ] = False,
) -> None:
    """Is A better than B, worse, or are the items too few to tell? Paired by prompt, with 95% intervals.

    Two results of a benchmark that is given by its name are compared by that benchmark's own measures.
    """
    from tasks.benchmarks.differences import compare_benchmarks, has_scores

    with one_line_errors():
        if has_scores(a) or has_scores(b):
            if fixed or without_loops:
                raise BadInput("--fixed" if fixed else "--without-loops", "not used with a benchmark's own scores", fix="leave it out")
            one = compare_benchmarks(a, b)
            if as_json:
                print(orjson.dumps({**one.model_dump(mode="json"), "verdict": one.verdict}).decode(), flush=True)
            else:
                show_benchmark_comparison(one)
            if gate and one.verdict == "worse":
                raise typer.Exit(1)
            return
        found = api.compare(a, b, mode="without_loops" if without_loops else "fixed" if fixed else "paper")
        if as_json:
            print(orjson.dumps(found.model_dump(mode="json")).decode(), flush=True)
        else:
            show_comparison(found)
    if gate and found.verdict == "worse":
        raise typer.Exit(1)


@app.command()
def duel(
    a: Annotated[str, typer.Argument(help="folder of predictions.jsonl; with a model: data/predict:student", metavar="A")],
    b: Annotated[str, typer.Argument(help="the folder of the other evaluation", metavar="B")],
    out: Annotated[Path | None, typer.Option(help="JSONL file for the comparisons, with the judge's replies")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the result as one JSON object, on the last line")] = False,
) -> None:
    """Let the judge compare two evaluations' answers to the same prompts, in both orders: which one is preferred?"""
    from tasks.evaluation.duel import duel as duelled
    from tasks.evaluation.evaluate import params_here

    with one_line_errors():
        if a == b:
            raise BadInput(b, "the same as A", fix="give two evaluations, or two models of one")
        found = duelled(a, b, params=params_here(), out=out)
        if as_json:
            print(orjson.dumps(found.tally.model_dump(mode="json")).decode(), flush=True)
        else:
            show_duels(found.tally, only_one=found.only_one)


@app.command()
def official(
    name: Annotated[str, typer.Argument(help="a benchmark: `longwriter eval benchmarks` lists them")] = "longbench-write",
    source: Annotated[str | None, typer.Option(help="a mirror's URL, or a folder with the repository's files")] = None,
    folder: Annotated[Path | None, typer.Option(help="folder for the files; default: data/raw/official/NAME")] = None,
) -> None:
    """Fetch a benchmark's files at their pinned revision and verify them. Files that are present and correct are kept.

    For longbench-write (the default) these are the paper's benchmark files and prompts, in data/raw/official.
    """
    from tasks.benchmarks.registry import benchmark
    from tasks.benchmarks.sources import fetch

    with one_line_errors():
        one = benchmark(name)
        if one.source is None:
            raise BadInput(name, "this benchmark has no files to fetch", fix="see its card: longwriter eval benchmarks " + name)
        for path in fetch(one.source, folder or one.folder, mirror=source):
            print(path)


@app.command()
def benchmarks(
    name: Annotated[str | None, typer.Argument(help="show the card of this benchmark")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the cards as one JSON list, or one card as an object")] = False,
) -> None:
    """List the benchmarks: what each measures, its licence, its authors' judge, its known faults."""
    from tasks.benchmarks.registry import benchmark, every

    with one_line_errors():
        cards = [benchmark(name).card] if name else [one.card for one in every()]
        if as_json:
            plain = [card.model_dump(mode="json") for card in cards]
            print(orjson.dumps(plain[0] if name else plain).decode(), flush=True)
        elif name:
            show_card(cards[0])
        else:
            show_cards(cards)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="folder of an evaluation: predictions.jsonl and items.jsonl")],
    inspect: Annotated[Path, typer.Option(help="write a log of inspect_ai to this .eval or .json file", metavar="FILE")],
    model: Annotated[str | None, typer.Option(help="the model, if the folder has answers of several")] = None,
) -> None:
    """Write an evaluation in the format of another tool. `inspect view` opens the log with each answer, its scores and verdicts."""
    from tasks.evaluation.inspect_export import export_inspect

    with one_line_errors():
        found = export_inspect(folder, inspect, model=model)
        means = ", ".join(f"{name} {'unscored' if value is None else f'{value:.2f}'}" for name, value in found.scores.items())
        print(f"{inspect}: {found.samples} samples; {means}")


@app.command()
def nll(
    predictions: Annotated[Path, typer.Argument(help="predictions.jsonl, or recorded answers")],
    under: Annotated[str, typer.Argument(help="checkpoint folder or hub id: safetensors, a chat template", metavar="MODEL")],
    model: Annotated[str | None, typer.Option(help="the model, if the file has answers of several")] = None,
    context: Annotated[int | None, typer.Option(min=2, help="tokens; default: the model's context")] = None,
    plot: Annotated[Path | None, typer.Option(help="draw the curve into this SVG file")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as one JSON object, on the last line")] = False,
) -> None:
    """Cumulative NLL of the answers by position, under a given model (paper, section 5)."""
    from tasks.evaluation.nll import curves, read_texts

    with one_line_errors():
        texts = read_texts(predictions, model=model)
        found = curves(texts, under, context=context, total=len(texts))
        if plot:
            with store.replacing(plot) as scratch:
                scratch.write_text(plots.nll({point.position: point.nll for point in found.points}), encoding="utf-8")
        if as_json:
            print(orjson.dumps(found.model_dump(mode="json")).decode(), flush=True)
        else:
            show_nll(found)


def _named(benchmark: Path | None) -> str:
    """The name of a benchmark that is given by its name; empty if it is a file, or not given."""
    from tasks.benchmarks.registry import names

    text = str(benchmark) if benchmark else ""
    return text if text in names() and not Path(text).exists() else ""


def _show_benchmark(found: "Mapping[str, BenchmarkScores]", *, as_json: bool, out: Path | None) -> None:
    if as_json:
        print(orjson.dumps({name: one.model_dump(mode="json") for name, one in found.items()}).decode(), flush=True)
        return
    show_benchmark(found)
    if out:
        print(f"All of it is in {out}: scores.json, items.jsonl, predictions.jsonl, grades.jsonl")


def _mention(found: api.Scores) -> None:
    """Reports repeated answers and rows that are left out."""
    if found.repeated:
        more = f" and {len(found.repeated) - REPEATED} more" if len(found.repeated) > REPEATED else ""
        places = ", ".join(found.repeated[:REPEATED])
        print(f"answers given twice, word for word, that count as two samples: {len(found.repeated)}, {places}{more}", file=sys.stderr)
    for model, scores in found.official.items():
        print(f"{model}: the official script's own scores in these files: {scores}", file=sys.stderr)
    if found.left_out:
        print(f"rows without a length that can be read, left out: {len(found.left_out)}, such as {found.left_out[0]}", file=sys.stderr)


def _show(card: Scorecard, *, title: str, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(_plain(card)).decode(), flush=True)
    else:
        show_scorecard(card, title=title)


def _plain(card: Scorecard) -> object:
    return card.model_dump(mode="json", exclude={"ruler"})


def _positive(text: str) -> int:
    try:
        length = int(text)
    except ValueError:
        raise BadInput("--length", f"not a whole number: {store.shorten(text)}", fix="give a number such as 4000") from None
    if length <= 0:
        raise BadInput("--length", f"{length}, but a length is positive", fix="give a number such as 4000")
    return length


if __name__ == "__main__":
    app()
