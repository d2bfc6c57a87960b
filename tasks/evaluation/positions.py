"""`longwriter eval positions`: the judge's grades of each part of long answers, by place in the text. Where does quality fall?

An answer is cut into parts of about PART words. The judge grades each by its usual prompt, in the six dimensions of the paper, with a note
that it is a part. The cost is printed before the first call; every reply is in the journal.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple

from tasks import store
from tasks.endpoints.allowance import Forecast, SpendLimit
from tasks.endpoints.chat import Chat, user
from tasks.evaluation.contradictions import texts_of
from tasks.evaluation.judge_exam import ask_judge
from tasks.judging.contradictions import parts
from tasks.judging.grades import DIMENSIONS
from tasks.judging.templates import read_template
from tasks.judging.verdicts import check_scored, draw, judge_all
from tasks.longbench.summary import s_q
from tasks.prompts import fill
from tasks.schema.errors import BadInput
from tasks.schema.params import Params
from tasks.schema.records import BenchmarkItem, Prediction, Record, Rubric, Verdict
from tasks.statistics import Interval, bounded

PART = 1_000  # words of a part
UNKNOWN = "(The request is not known.)"
PLACES = ("first fifth", "second", "third", "fourth", "last fifth")
TOP = 100.0  # S_q


class PlaceFigures(Record):
    """The grades of the parts in one fifth of the texts."""

    place: str
    parts: int
    unread: int  # parts without a readable verdict, in no mean
    s_q: float | None  # mean over the parts, 0 to 100; None: no part was read
    interval: Interval | None  # 95%, over topics
    dimensions: dict[str, float]  # mean grade, 1 to 5; empty: no part was read


class PositionReport(Record):
    """positions.json of `longwriter eval positions`."""

    format: Literal[1] = 1
    judge: str
    source: str
    part: int  # words
    models: dict[str, tuple[PlaceFigures, ...]]
    short: int  # texts of a single part, which have no positions


class PositionOptions(NamedTuple):
    """Options of the command line."""

    part: int = PART
    format: str | None = None
    limit: SpendLimit = SpendLimit()
    estimate: bool = False
    out: Path | None = None


class Positioned(NamedTuple):
    """The report (None: only the cost was asked for)."""

    report: PositionReport | None
    cost: Forecast


class _Part(NamedTuple):
    """What is remembered of a part."""

    model: str
    place: int  # of PLACES
    topic: str


def positions(source: Path, *, params: Params, options: PositionOptions, say: Callable[[str], None]) -> Positioned:
    """Grades every part of a file's long texts. `say` prints the cost before the first call.

    Raises BadInput without a judge or without a text of two parts, SpendCapReached if it may cost more than the limit, ReplyError if no
    verdict could be read.
    """
    from tasks.stage import run_async

    judge = params.models.judge
    if judge is None:
        raise BadInput("params.yaml", "null: nobody grades the parts", field="models.judge", fix="name a judge")
    known, short = list[_Part](), 0
    for found in _divided(source, options):
        short += len(found) == 1
        known += [part for part, _ in found] if len(found) > 1 else []
    if not known:
        raise BadInput(source, f"no text of two parts of {options.part:,} words", fix="give longer texts, or a smaller --part")
    template, spool = read_template(Path(params.judge.prompt)), store.Spool()
    say(f"grades {len(known):,} parts of about {options.part:,} words by {judge}, {params.judge.repeats} times each, from {source}")
    name, repeats = f"{judge}, prompt {template.digest[:8]}", params.judge.repeats
    asked = (
        user(template.fill(one.item.prompt, one.response), sample=draw(repeat, 0), schema=template.schema)
        for one in _answers(source, options)
        for repeat in range(repeats)
    )

    async def work(chat: Chat) -> None:
        await judge_all(
            chat,
            _answers(source, options),
            spool,
            count=len(known),
            template=template,
            repeats=repeats,
            tries=params.judge.tries,
            judge=str(judge),
            second=False,
            label="positions",
        )

    cost = run_async(ask_judge(judge, asked, work, limit=options.limit, estimate=options.estimate, say=say))
    if options.estimate:
        return Positioned(None, cost)
    verdicts = list(spool.records(Verdict))
    check_scored(verdicts, kept=options.out or Path("the journal"))
    report = PositionReport(judge=name, source=str(source), part=options.part, models=_by_model(known, verdicts), short=short)
    if options.out:
        store.write(options.out / "verdicts.jsonl", verdicts)
        store.write_json(options.out / "positions.json", report)
    return Positioned(report, cost)


def _divided(source: Path, options: PositionOptions) -> Iterator[list[tuple[_Part, Prediction]]]:
    """The parts of each text, each as an answer to grade; its sample index is its number over the parts of all texts with several."""
    number = 0
    for one in texts_of(source, options.format):
        spans, found = parts(one.text, options.part), list[tuple[_Part, Prediction]]()
        for place, span in enumerate(spans, 1):
            fifth = int((span.start + span.end) / 2 / len(one.text) * len(PLACES))
            prompt = fill("graded_part", prompt=one.prompt or UNKNOWN, number=str(place), count=str(len(spans)))
            item = BenchmarkItem(id=one.id, prompt=prompt, type="", length=1, language="en")
            text = one.text[span.start : span.end].strip()
            sample = number + place - 1
            answer = Prediction(item=item, model=one.model, sample=sample, response=text, finish_reason="stop", tokens=0, seconds=0.0)
            found.append((_Part(one.model, min(len(PLACES) - 1, fifth), one.topic), answer))
        number += len(spans) if len(spans) > 1 else 0
        yield found


def _answers(source: Path, options: PositionOptions) -> Iterator[Prediction]:
    return (answer for found in _divided(source, options) if len(found) > 1 for _, answer in found)


def _by_model(known: Sequence[_Part], verdicts: Sequence[Verdict]) -> dict[str, tuple[PlaceFigures, ...]]:
    read: dict[int, list[Rubric]] = {}
    for verdict in verdicts:
        if verdict.rubric:
            read.setdefault(verdict.sample, []).append(verdict.rubric)
    models = dict.fromkeys(part.model for part in known)
    return {
        model: tuple(
            _figures(
                name, [(part, read.get(number, [])) for number, part in enumerate(known) if (part.model, part.place) == (model, place)]
            )
            for place, name in enumerate(PLACES)
        )
        for model in models
    }


def _figures(place: str, graded: Sequence[tuple[_Part, list[Rubric]]]) -> PlaceFigures:
    """The figures of one fifth; a part counts with the mean of its verdicts."""
    read = [(part, rubrics) for part, rubrics in graded if rubrics]
    means = [fmean(map(s_q, rubrics)) for _, rubrics in read]
    return PlaceFigures(
        place=place,
        parts=len(graded),
        unread=len(graded) - len(read),
        s_q=fmean(means) if means else None,
        interval=bounded(means, 0.0, TOP, [part.topic for part, _ in read]) if means else None,
        dimensions={name: fmean(fmean(getattr(one, name) for one in rubrics) for _, rubrics in read) for name in DIMENSIONS}
        if read
        else {},
    )
