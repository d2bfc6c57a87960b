"""`longwriter models speculation`: does a server with speculative decoding still write what the model writes without it?

Speculative decoding should not change a model's answers. Users report that long answers loop more with it (vllm#47087, sglang#40843).
So two files of predictions for the same prompts, without and with it, are compared answer by answer, before the setting is used. It is
refused if more answers loop, or if S_l falls, by more than the 95% interval of the mean difference allows for chance. The interval is over
prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import orjson
import typer

from tasks import store
from tasks.endpoints.launch import note_speculation
from tasks.schema.errors import BadInput
from tasks.schema.records import Prediction, Record
from tasks.schema.settings import settings
from tasks.stage import one_line_errors
from tasks.statistics import Interval, paired
from tasks.text.counts import s_l
from tasks.text.degeneration import looped
from tasks.text.words import count_fixed

LOOPS = 0.1  # share of an answer's words in loops from which the answer counts as looping


class SpeculationCheck(Record):
    """The comparison. Differences are with minus without speculation.

    Intervals are over prompts; None for fewer than six prompts, or without differences.
    """

    answers: int
    prompts: int
    identical: int  # answers that are equal character by character
    loops_without: float  # share of the answers
    loops_with: float
    loops_interval: Interval | None
    s_l_without: float  # mean, 0 to 100
    s_l_with: float
    s_l_interval: Interval | None
    tokens_per_second: float | None  # with speculation ÷ without, over all answers; None: not measured
    refused: str | None  # why; None: not refused


class MeasuredAnswer(NamedTuple):
    """One answer of one prompt."""

    text: str
    loops: bool
    s_l: float
    tokens: int
    seconds: float


def compared(without: Path, with_it: Path) -> SpeculationCheck:
    """Compares two files of predictions. Raises BadInput if they do not have the same prompts and samples."""
    before, after = measured(without), measured(with_it)
    if missing := next((key for key in before if key not in after), None):
        raise BadInput(with_it, f"no answer to {missing[0]}, sample {missing[1]}", fix="write both files with the same prompts and samples")
    if more := next((key for key in after if key not in before), None):
        raise BadInput(without, f"no answer to {more[0]}, sample {more[1]}", fix="write both files with the same prompts and samples")
    both = [(one, after[key]) for key, one in before.items()]
    clusters = [key[0] for key in before]
    loops = _interval([float(new.loops) - float(old.loops) for old, new in both], clusters)
    scores = _interval([new.s_l - old.s_l for old, new in both], clusters)
    return SpeculationCheck(
        answers=len(both),
        prompts=len(set(clusters)),
        identical=sum(old.text == new.text for old, new in both),
        loops_without=_mean([float(old.loops) for old, _ in both]),
        loops_with=_mean([float(new.loops) for _, new in both]),
        loops_interval=loops,
        s_l_without=_mean([old.s_l for old, _ in both]),
        s_l_with=_mean([new.s_l for _, new in both]),
        s_l_interval=scores,
        tokens_per_second=_faster([old for old, _ in both], [new for _, new in both]),
        refused=_refused(loops, scores),
    )


def measured(path: Path) -> dict[tuple[str, int], MeasuredAnswer]:
    """Length and loops of one model's answers, by prompt and sample. Raises BadInput for a prompt and sample that are there twice."""
    found: dict[tuple[str, int], MeasuredAnswer] = {}
    for line, one in enumerate(store.read(path, Prediction), 1):
        key = one.item.id, one.sample
        if key in found:
            raise BadInput(path, f"{key[0]}, sample {key[1]}, is there twice", line=line, fix="give the predictions of one model")
        score = s_l(one.item.length, count_fixed(one.response))
        found[key] = MeasuredAnswer(one.response, looped(one.response) >= LOOPS, score, one.tokens, one.seconds)
    if not found:
        raise BadInput(path, "no predictions", fix="give a file of the stage predict")
    return found


def _interval(differences: Sequence[float], clusters: Sequence[str]) -> Interval | None:
    """Of the mean difference, from random sign flips: it does not contain 0 because of one answer alone."""
    return paired(differences, [None] * len(differences), clusters).s_l.interval


def _refused(loops: Interval | None, scores: Interval | None) -> str | None:
    if loops and loops.low > 0:
        return f"more answers loop: {100 * loops.low:+.1f} to {100 * loops.high:+.1f} percentage points"
    if scores and scores.high < 0:
        return f"S_l falls: {scores.low:+.1f} to {scores.high:+.1f}"
    return None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _faster(old: Sequence[MeasuredAnswer], new: Sequence[MeasuredAnswer]) -> float | None:
    """Tokens per second with speculation ÷ without."""
    rates = [sum(one.tokens for one in side) / seconds if (seconds := sum(one.seconds for one in side)) else 0.0 for side in (old, new)]
    return rates[1] / rates[0] if all(rates) else None


def check(
    without: Annotated[Path, typer.Argument(help="predictions.jsonl of the model, served without speculation")],
    with_it: Annotated[Path, typer.Argument(metavar="WITH", help="predictions.jsonl of the same prompts, served with it")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on standard output")] = False,
) -> None:
    """Compare answers without and with speculative decoding.

    Exits with 1 if the setting is refused. LONGWRITER_SPECULATION names it; a refused setting is not served."""
    with one_line_errors():
        found, own = compared(without, with_it), settings()
        note_speculation(own, found.refused)
    if as_json:
        print(orjson.dumps(found.model_dump()).decode())
    else:
        quicker = f"; {found.tokens_per_second:.2f} times the tokens/s" if found.tokens_per_second else ""
        print(f"{found.answers} answers to {found.prompts} prompts, {found.identical} of them identical{quicker}")
        print(f"  looping answers   {found.loops_without:8.1%} -> {found.loops_with:.1%}")
        print(f"  S_l               {found.s_l_without:8.1f} -> {found.s_l_with:.1f}   difference {found.s_l_interval}")
        print(f"refused: {found.refused}" if found.refused else "not refused")
    if found.refused:
        raise typer.Exit(1)
