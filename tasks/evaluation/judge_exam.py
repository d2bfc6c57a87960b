"""`longwriter eval judge-exam`: examines the judge of params.yaml before its scores are believed.

The exam is made from recorded answers: complete texts, one per topic, spread evenly over their lengths. Without recorded answers it is
made from the rehearsal's prose on the benchmark's prompts, which shows the same biases on simpler texts. What is asked and what it costs
is printed before the first call.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from tasks import store
from tasks.endpoints.allowance import Allowance, Forecast, LimitedChat, Recording, SpendLimit, announced, check_limit, forecast
from tasks.endpoints.chat import Request
from tasks.endpoints.ledger import price_of
from tasks.endpoints.roles import open_role
from tasks.evaluation.recorded import read_without_lengths
from tasks.judging import exam
from tasks.judging.exam import Examiners, ExamPlan, ExamRecords, ExamText
from tasks.judging.exam_card import ExamCard, write_card
from tasks.judging.human import read_human
from tasks.judging.templates import Template, read_template
from tasks.longbench.adapters import read_items
from tasks.rehearsal.roles import essay
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, Params
from tasks.schema.settings import Role, settings
from tasks.statistics import FEWEST
from tasks.text.endings import ending
from tasks.text.non_prose import find_non_prose
from tasks.text.topics import topic_of
from tasks.text.words import count_fixed

T = TypeVar("T")
PREDICTIONS = Path("data/predict/predictions.jsonl")
SHORTEST = 60  # words of an answer: a shorter one has no room for a plant
LONGEST_PROSE = 2_000  # words of the rehearsal's prose


class ExamOptions(NamedTuple):
    """Options of the command line."""

    answers: Path | None = None  # None: predictions of the pipeline, or else the benchmark's prompts
    format: str | None = None
    texts: int = 24
    repeats: int = 3
    duels: bool = True
    own_style: bool = True
    second_judge: bool = False
    human: Path | None = None
    limit: SpendLimit = SpendLimit()
    estimate: bool = False  # print the cost and stop
    out: Path = Path()
    details: Path | None = None  # folder for the verdicts and comparisons


class Examined(NamedTuple):
    """The card and its file; both None if only the cost was asked for."""

    card: ExamCard | None
    path: Path | None
    cost: Forecast


def judge_exam(params: Params, options: ExamOptions, *, say: Callable[[str], None]) -> Examined:
    """Examines the judge of params and writes its card. `say` prints the cost before the first call.

    Raises BadInput without a judge or without enough answers, SpendCapReached if the exam may cost more than the limit.
    """
    from tasks.stage import run_async

    if params.models.judge is None:
        raise BadInput("params.yaml", "null: there is no judge to examine", field="models.judge", fix="name a judge")
    if options.second_judge and params.models.second_judge is None:
        raise BadInput(
            "params.yaml", "null: there is no second judge", field="models.second_judge", fix="name one, or leave out --second-judge"
        )
    plan = plan_of(params, options)
    return run_async(_examined(plan, params, params.models.judge, options, say))


def plan_of(params: Params, options: ExamOptions) -> ExamPlan:
    """The answers and what is asked of the judge. Raises BadInput for fewer than six usable answers."""
    texts, source = exam_texts(options.answers, params, format=options.format, count=options.texts, shortest=SHORTEST)
    return ExamPlan(
        texts=texts,
        repeats=options.repeats,
        tries=params.judge.tries,
        duels=options.duels,
        own_style=options.own_style,
        human=read_human(options.human) if options.human else (),
        human_file=str(options.human or ""),
        source=source,
    )


class ExamTexts(NamedTuple):
    """The answers that an exam is made from, and where they are from."""

    texts: list[ExamText]
    source: str


def exam_texts(answers: Path | None, params: Params, *, format: str | None, count: int, shortest: int) -> ExamTexts:
    """Complete answers of `shortest` words and more, one per topic, spread evenly over their lengths.

    `answers`: None for the pipeline's predictions, or the rehearsal's prose on the benchmark's prompts where there are none. Raises
    BadInput for fewer than six usable answers.
    """
    given = answers or (PREDICTIONS if PREDICTIONS.is_file() else None)
    usable = _Usable(shortest)
    texts = _recorded(given, format, count, usable) if given else _prose(Path(params.benchmark), count, usable)
    source = str(given) if given else f"rehearsal prose on the prompts of {params.benchmark}"
    if len(texts) < FEWEST:
        problem = f"{len(texts)} complete answers of {shortest} words and more on different topics; an exam needs {FEWEST}"
        raise BadInput(source, problem, fix="give a file with more answers")
    return ExamTexts(texts, source)


async def _examined(plan: ExamPlan, params: Params, judge: Model, options: ExamOptions, say: Callable[[str], None]) -> Examined:
    template = read_template(Path(params.judge.prompt))
    second = params.models.second_judge if options.second_judge else None
    allowance = Allowance(options.limit, "--cap")
    writer_model = judge.model_copy(update={"max_tokens": exam.writer_tokens(plan.texts)})
    async with (
        limited_role("judge", judge, allowance) as chat,
        limited_role("judge", writer_model if plan.own_style else None, allowance) as writer,
        limited_role("second_judge", second, allowance) as other,
    ):
        assert chat
        name = f"{judge}, prompt {template.digest[:8]}"
        cost = _cost(plan, template, [(chat, judge), (writer, writer_model), (other, second)])
        say(_announced(plan, name, cost, options.limit))
        if options.estimate:
            return Examined(None, None, cost)
        check_limit(cost, options.limit, "--cap")
        second_name = f"{second}, prompt {template.digest[:8]}" if second else None
        records = await exam.examine(plan, Examiners(chat, writer, other, name, second_name), template)
    card = exam.card_of(plan, records, judge=name, second_judge=second_name)
    if options.details:
        _write_details(options.details, records)
    return Examined(card, write_card(options.out, card), cost)


@asynccontextmanager
async def limited_role(role: Role, model: Model | None, allowance: Allowance) -> AsyncIterator[LimitedChat | None]:
    """The role's Chat within the allowance; None without a model."""
    if model is None:
        yield None
        return
    price = price_of(model.name, settings().prices, cap=None)
    async with open_role(role, model) as chat:
        yield LimitedChat(chat, allowance, max_tokens=model.max_tokens, price=price, stops=True)


async def ask_judge(
    judge: Model,
    asked: Iterable[Request],
    work: Callable[[LimitedChat], Awaitable[None]],
    *,
    limit: SpendLimit,
    estimate: bool,
    say: Callable[[str], None],
) -> Forecast:
    """Says what the first requests to the judge cost and, unless only that is asked for, does the work within the limit (--cap).

    Raises SpendCapReached if they may cost more than the limit.
    """
    async with limited_role("judge", judge, Allowance(limit, "--cap")) as chat:
        assert chat
        cost = chat.forecast(asked)
        say(announced(cost, limit))
        if not estimate:
            check_limit(cost, limit, "--cap")
            await work(chat)
        return cost


def _cost(plan: ExamPlan, template: Template, who: Sequence[tuple[Recording | None, Model | None]]) -> Forecast:
    asked = (exam.grading_requests(plan, template), exam.writing_requests(plan), exam.second_requests(plan, template))
    found = Forecast()
    for (chat, model), requests in zip(who, asked, strict=True):
        if chat and model:
            price = price_of(model.name, settings().prices, cap=None)
            found = found.plus(forecast(chat, requests, max_tokens=model.max_tokens, price=price))
    return found


def _announced(plan: ExamPlan, judge: str, cost: Forecast, limit: SpendLimit) -> str:
    words = sum(count_fixed(one.text) for one in plan.texts)
    people = f", {len(plan.human)} answers graded by people" if plan.human else ""
    lines = [
        f"examines {judge}",
        f"on {len(plan.texts)} answers, {words:,} words, from {plan.source}{people}",
        announced(cost, limit),
    ]
    return "\n".join(lines)


def _write_details(folder: Path, records: ExamRecords) -> None:
    store.write(folder / "verdicts.jsonl", records.verdicts)
    store.write(folder / "duels.jsonl", records.duels)


class _Place(NamedTuple):
    """An answer that can be used: its length and its number in the file."""

    words: int
    number: int


class _Usable(NamedTuple):
    """Which answers an exam can use."""

    shortest: int  # words

    def __call__(self, text: str) -> bool:
        return count_fixed(text) >= self.shortest and not find_non_prose(text[:2_000])


def _recorded(path: Path, format: str | None, count: int, usable: _Usable) -> list[ExamText]:
    """The selected answers of a file. It is read twice, so that memory holds the selected answers only."""
    known: dict[str, _Place] = {}
    answers = 0
    for number, one in enumerate(_read(path, format)):
        answers += 1
        topic = one.topic
        if topic not in known and usable(one.text):
            known[topic] = _Place(count_fixed(one.text), number)
    chosen = {place.number for place in _spread(sorted(known.values()), count)}
    texts = [one for number, one in enumerate(_read(path, format)) if number in chosen]
    print(f"{path}: {len(known)} of {answers} answers can be used, one per topic; {len(texts)} are", file=sys.stderr)
    return texts


def _read(path: Path, format: str | None) -> Iterator[ExamText]:
    for one in read_without_lengths(path, format=format):
        whole = ending(one.response, finish_reason=one.finish_reason).cause == "ended"
        yield ExamText(one.item, one.response if whole else "")


def _prose(benchmark: Path, count: int, usable: _Usable) -> list[ExamText]:
    """The rehearsal's prose on prompts of the benchmark that ask for at most LONGEST_PROSE words."""
    items = {topic_of(item.prompt, item.length): item for item in read_items(benchmark).items if item.length <= LONGEST_PROSE}
    known = sorted(items.values(), key=lambda item: item.length)
    texts = [ExamText(item, essay(item.prompt, seed=1)) for item in _spread(known, count)]
    return [one for one in texts if usable(one.text)]


def _spread(ordered: Sequence[T], count: int) -> list[T]:
    """At most `count` of the values, evenly spaced, the first and the last among them."""
    if len(ordered) <= count:
        return list(ordered)
    return [ordered[round(place * (len(ordered) - 1) / max(1, count - 1))] for place in range(count)]
