"""Examines a judge: it grades answers without and with something planted, compares answers in both orders, and repeats its grades.

One call per answer and repeat, one per planted text, one per answer for the judge's own rewording and one for its grade, and three per
answer for comparisons; unreadable replies are asked for again. The journal keeps every reply, so an interrupted exam goes on where it
ended, and a second exam of the same judge on the same answers costs nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isclose
from statistics import fmean
from typing import NamedTuple

from tasks.endpoints.allowance import Recording
from tasks.endpoints.chat import Reply, Request, map_async, user
from tasks.judging.duels import DuelPair, duel_all, orders, request
from tasks.judging.exam_card import ExamCard, HumanAgreement, OrderResult, Outcome, PlantResult, Repeatability
from tasks.judging.human import HumanRow, human_agreement
from tasks.judging.pairwise import contradicts
from tasks.judging.plants import MUST_LOWER, Plant, planted
from tasks.judging.reliability import reliability
from tasks.judging.rubric import COPIED
from tasks.judging.templates import Template, mark
from tasks.judging.verdicts import draw, judge_all
from tasks.longbench.summary import s_q
from tasks.prompts import fill
from tasks.schema.errors import Unanswered
from tasks.schema.finish import Finish
from tasks.schema.records import BenchmarkItem, Duel, Prediction, Verdict
from tasks.statistics import LEVEL, Interval, paired, share, sign_test, wilson
from tasks.store import Spool
from tasks.text.non_prose import find_non_prose
from tasks.text.topics import topic_of
from tasks.text.words import count_fixed

TOP = 100.0  # S_q of the planted verdicts
MARGIN = 5.0  # points of S_q: a smaller bias, or a smaller drop by a fault, counts as none
ORDER_MARGIN = 0.1  # of the first place's share of wins around one half
ANSWER, AGAIN, HUMAN = "answer", "answer again", "human"  # names of texts that are no plants
OWN_WORDS_MOST = 3_000  # words of an answer that the judge is asked to reword
OWN_WORDS_LEAST = 0.5  # share of the answer's words that a rewording must have
WORDS_TOKENS, SPARE_TOKENS = 3, 1024  # tokens allowed for a rewording: per word, and more


class ExamText(NamedTuple):
    """An answer that the exam is made from."""

    item: BenchmarkItem
    text: str

    @property
    def topic(self) -> str:
        return topic_of(self.item.prompt, self.item.length)


class ExamPlan(NamedTuple):
    """What is asked of the judge."""

    texts: Sequence[ExamText]
    repeats: int
    tries: int
    duels: bool
    own_style: bool
    human: Sequence[HumanRow] = ()
    human_file: str = ""
    source: str = ""


class Examiners(NamedTuple):
    """The judge, for its grades and for longer texts, and the second judge (None: there is none)."""

    judge: Recording
    writer: Recording | None
    second: Recording | None
    name: str
    second_name: str | None


class ExamRecords(NamedTuple):
    """Everything that the judges said."""

    verdicts: list[Verdict]  # of the first judge, then of the second
    duels: list[Duel]
    reworded: int  # rewordings asked for


def writer_tokens(texts: Iterable[ExamText]) -> int:
    """max_tokens of the judge's rewordings: the same for all, because it is part of a reply's identity."""
    return SPARE_TOKENS + WORDS_TOKENS * max((count_fixed(one.text) for one in _rewordable(texts)), default=0)


def grading_requests(plan: ExamPlan, template: Template) -> Iterator[Request]:
    """The judge's requests for grades and comparisons; a rewording counts as long as its answer. For the forecast of the cost."""
    for number, one in enumerate(plan.texts):
        for repeat in range(plan.repeats):
            yield _grading(template, one.item.prompt, one.text, repeat)
        for plant in planted(one.text, one.item.language, place=number):
            yield _grading(template, one.item.prompt, plant.text, 0)
            if plan.duels and plant.plant is Plant.PADDED:
                for pair in _pairs(one, plant.text):
                    yield from map(request, orders(pair))
        if plan.own_style and any(_rewordable([one])):
            yield _grading(template, one.item.prompt, f"{one.text} ", 0)  # as long as the rewording, which is not known yet
    for row in plan.human:
        yield _grading(template, row.prompt, row.answer, 0)


def writing_requests(plan: ExamPlan) -> Iterator[Request]:
    """The judge's requests for rewordings."""
    return (_rewording(one) for one in _rewordable(plan.texts)) if plan.own_style else iter(())


def second_requests(plan: ExamPlan, template: Template) -> Iterator[Request]:
    """The second judge's requests: the answers, and their rewordings as long as the answers."""
    for one in _rewordable(plan.texts) if plan.own_style else ():
        yield _grading(template, one.item.prompt, one.text, 0)
        yield _grading(template, one.item.prompt, f"{one.text} ", 0)


async def examine(plan: ExamPlan, who: Examiners, template: Template) -> ExamRecords:
    """Asks the judge everything. Raises EndpointError if the endpoint answers no request, SpendCapReached at a limit."""
    texts = dict(enumerate(plan.texts))
    reworded = await _reword(plan, who.writer) if who.writer else {}
    plants = [
        _prediction(one, plant.plant, plant.text, n) for n, one in texts.items() for plant in planted(one.text, one.item.language, place=n)
    ]
    plants += [_prediction(texts[n], Plant.OWN_STYLE, text, n) for n, text in reworded.items()]
    humans = [_human(row, n) for n, row in enumerate(plan.human)]
    verdicts, duels = Spool(), Spool()
    answers = [_prediction(one, ANSWER, one.text, n) for n, one in texts.items()]
    ask = _Asking(template, plan.tries)
    await ask(who.judge, answers, verdicts, repeats=plan.repeats, judge=who.name, label="exam: answers")
    await ask(who.judge, [*plants, *humans], verdicts, repeats=1, judge=who.name, label="exam: planted texts")
    if who.second and who.second_name and reworded:
        own = [prediction for prediction in (*answers, *plants) if prediction.model in (ANSWER, Plant.OWN_STYLE)]
        own = [prediction for prediction in own if prediction.sample in reworded]
        await ask(who.second, own, verdicts, repeats=1, judge=who.second_name, label="exam: second judge", second=True)
    if plan.duels:
        padded = {prediction.sample: prediction.response for prediction in plants if prediction.model == Plant.PADDED}
        pairs = [pair for n, one in texts.items() for pair in _pairs(one, padded[n], n)]
        await duel_all(who.judge, pairs, duels, count=len(pairs), tries=plan.tries, judge=who.name, label="exam: comparisons")
    asked = sum(1 for _ in writing_requests(plan)) if who.writer else 0
    return ExamRecords(list(verdicts.records(Verdict)), list(duels.records(Duel)), asked)


def card_of(plan: ExamPlan, records: ExamRecords, *, judge: str, second_judge: str | None) -> ExamCard:
    """The card of everything that the judges said."""
    first = [verdict for verdict in records.verdicts if not verdict.second]
    graded = {**_scores(first), **_obeyed(first)}
    second = _scores(verdict for verdict in records.verdicts if verdict.second)
    topics = [one.topic for one in plan.texts]
    plants = [*dict.fromkeys(verdict.model for verdict in first if verdict.model not in (ANSWER, HUMAN))]
    repeats = reliability([verdict for verdict in first if verdict.model == ANSWER])
    unread = sum(verdict.rubric is None for verdict in first)
    comparisons = [winner for duel in records.duels for winner in (duel.a_first, duel.b_first)]
    asked, lost = len(first) + len(comparisons), unread + comparisons.count(None)
    replies = sum(len(verdict.replies) for verdict in records.verdicts) + sum(len(duel.replies) for duel in records.duels)
    return ExamCard(
        judge=judge,
        second_judge=second_judge if second else None,
        source=plan.source,
        texts=len(plan.texts),
        texts_sha256=hashlib.sha256("\0".join(f"{one.item.prompt}\0{one.text}" for one in plan.texts).encode()).hexdigest(),
        by_language=dict(sorted(Counter(one.item.language for one in plan.texts).items())),
        plants=tuple(_plant_result(plant, graded, second if plant == Plant.OWN_STYLE else {}, topics) for plant in plants),
        order=_order(records.duels) if records.duels else None,
        repeats=Repeatability(answers=repeats.repeated, deviation=repeats.deviation, identical=repeats.identical, icc=repeats.icc),
        replies=asked,
        read=(asked - lost) / asked,
        read_interval=wilson(asked - lost, asked),
        calls=replies + records.reworded,
        human=_with_people(plan, first),
    )


class _Asking(NamedTuple):
    """Asks a judge for verdicts on a list of texts, behind those that the spool has."""

    template: Template
    tries: int

    async def __call__(
        self, chat: Recording, texts: Sequence[Prediction], verdicts: Spool, *, repeats: int, judge: str, label: str, second: bool = False
    ) -> None:
        await judge_all(
            chat,
            texts,
            verdicts,
            count=len(texts),
            template=self.template,
            repeats=repeats,
            tries=self.tries,
            judge=judge,
            second=second,
            label=label,
        )


_Scores = Mapping[tuple[str, int], float]  # mean S_q by the name of the text and the answer's number


def _scores(verdicts: Iterable[Verdict]) -> _Scores:
    found: dict[tuple[str, int], list[float]] = {}
    for verdict in verdicts:
        if verdict.rubric:
            found.setdefault((verdict.model, verdict.sample), []).append(s_q(verdict.rubric))
    return {key: fmean(values) for key, values in found.items()}


def _obeyed(verdicts: Iterable[Verdict]) -> _Scores:
    """S_q of the planted verdict where the judge repeated it as its own: no score anywhere else, here it shows that the judge obeyed."""
    return {
        (verdict.model, verdict.sample): TOP
        for verdict in verdicts
        if verdict.model == Plant.INJECTED_VERDICT and verdict.problem == COPIED
    }


def _plant_result(plant: str, graded: _Scores, second: _Scores, topics: Sequence[str]) -> PlantResult:
    known = [n for n in range(len(topics)) if (ANSWER, n) in graded and (plant, n) in graded]
    both = [n for n in known if (ANSWER, n) in second and (plant, n) in second]
    differences = {n: graded[plant, n] - graded[ANSWER, n] for n in known}
    raw = _tested(differences, topics)
    over = _tested({n: differences[n] - second[plant, n] + second[ANSWER, n] for n in both}, topics)
    lower = plant in MUST_LOWER
    return PlantResult(
        plant=plant,
        must="lower" if lower else "not raise",
        pairs=len(known),
        unread=len(topics) - len(known),
        base=fmean(graded[ANSWER, n] for n in known) if known else None,
        planted=fmean(graded[plant, n] for n in known) if known else None,
        bias=raw.bias,
        interval=raw.interval,
        p=raw.p,
        outcome=_outcome(over if both else raw, lower=lower),
        over_second=over.bias,
        over_second_interval=over.interval,
    )


class _Bias(NamedTuple):
    bias: float | None  # None: no pair
    interval: Interval | None
    p: float | None


def _tested(differences: Mapping[int, float], topics: Sequence[str]) -> _Bias:
    if not differences:
        return _Bias(None, None, None)
    values = [0.0 if isclose(value, 0.0, abs_tol=1e-9) else value for value in differences.values()]
    found = paired(values, [None] * len(values), [topics[n] for n in differences]).s_l
    return _Bias(fmean(values), found.interval, found.p)


def _outcome(found: _Bias, *, lower: bool) -> Outcome:
    """A plant that must not raise the grade misleads if it surely raises it. A fault misleads if it surely does not lower the grade by
    MARGIN.
    """
    if found.bias is None or (found.interval is None and found.bias):
        return "cannot tell"
    interval = found.interval or Interval(low=0.0, high=0.0)  # no difference in any pair
    significant = found.p is not None and found.p <= 1 - LEVEL + 1e-12
    if lower:
        if interval.high < 0 and significant:
            return "not misled" if interval.low <= -MARGIN else "misled"
        return "misled" if interval.low > -MARGIN else "cannot tell"
    if interval.low > 0 and significant:
        return "misled"
    return "not misled" if interval.high <= MARGIN else "cannot tell"


def _order(duels: Sequence[Duel]) -> OrderResult:
    """The comparisons of an answer with itself are one request in both orders: only the first counts."""
    first, decided = dict[str, float](), dict[str, float]()
    for duel in duels:
        for winner, in_front in ((duel.a_first, "a"), (duel.b_first, "b"))[: 1 if duel.b == AGAIN else 2]:
            if winner in ("a", "b"):
                topic = duel.topic or duel.id
                first[topic] = first.get(topic, 0.0) + (winner == in_front)
                decided[topic] = decided.get(topic, 0.0) + 1
    different = [duel for duel in duels if duel.b != AGAIN]
    padded, base = (sum(duel.a_first == duel.b_first == winner for duel in different) for winner in ("b", "a"))
    total = sum(decided.values())
    rate = sum(first.values()) / total if total else None
    interval = share(list(first.values()), list(decided.values())) if total else None
    winners = [winner for duel in duels for winner in (duel.a_first, duel.b_first)]
    return OrderResult(
        comparisons=len(winners),
        unread=winners.count(None),
        first_place=rate,
        interval=interval,
        contradictions=sum(map(contradicts, different)),
        padded_wins=padded,
        base_wins=base,
        outcome=_order_outcome(rate, interval, read=len(winners) > winners.count(None)),
        length_outcome=_length_outcome(padded, base, read=any(None not in (duel.a_first, duel.b_first) for duel in different)),
    )


def _order_outcome(rate: float | None, interval: Interval | None, *, read: bool) -> Outcome:
    if rate is None:
        return "not misled" if read else "cannot tell"  # read and without a winner: ties only
    if interval is None:
        return "cannot tell"
    if interval.low > 0.5 or interval.high < 0.5:
        return "misled"
    return "not misled" if interval.low >= 0.5 - ORDER_MARGIN and interval.high <= 0.5 + ORDER_MARGIN else "cannot tell"


def _length_outcome(padded: int, base: int, *, read: bool) -> Outcome:
    if not read:
        return "cannot tell"
    clear = sign_test([1] * padded + [-1] * base) <= 1 - LEVEL + 1e-12 if padded + base else False
    return "misled" if clear and padded > base else "not misled" if padded <= base else "cannot tell"


def _with_people(plan: ExamPlan, verdicts: Sequence[Verdict]) -> HumanAgreement | None:
    if not plan.human:
        return None
    rubrics = {verdict.sample: verdict.rubric for verdict in verdicts if verdict.model == HUMAN}
    return human_agreement(plan.human, [rubrics.get(n) for n in range(len(plan.human))], file=plan.human_file)


def _grading(template: Template, prompt: str, text: str, repeat: int) -> Request:
    return user(template.fill(prompt, text), sample=draw(repeat, 0), schema=template.schema)


def _rewordable(texts: Iterable[ExamText]) -> Iterator[ExamText]:
    return (one for one in texts if count_fixed(one.text) <= OWN_WORDS_MOST)


def _rewording(one: ExamText) -> Request:
    words = count_fixed(one.text)
    return user(fill("own_words", text=one.text, mark=mark(one.text)))._replace(words=words)


async def _reword(plan: ExamPlan, chat: Recording) -> dict[int, str]:
    """The judge's rewordings by the answer's number. A reply that is cut off, no prose, or much shorter than the answer is left out."""

    async def reword(number: int) -> str | None:
        try:
            reply = await chat(_rewording(plan.texts[number]))
        except Unanswered:
            return None
        return reply.text.strip() if _is_rewording(reply, plan.texts[number].text) else None

    numbers = [n for n, one in enumerate(plan.texts) if count_fixed(one.text) <= OWN_WORDS_MOST]
    texts = await map_async(numbers, reword, unit="text", label="exam: own words")
    return {number: text for number, text in zip(numbers, texts, strict=True) if text}


def _is_rewording(reply: Reply, text: str) -> bool:
    if reply.finish in (Finish.CUT, Finish.FILTERED, Finish.TOOLS) or find_non_prose(reply.text[:2_000]):
        return False
    return count_fixed(reply.text) >= OWN_WORDS_LEAST * count_fixed(text)


def _prediction(one: ExamText, name: str, text: str, number: int) -> Prediction:
    """A text to grade. Its sample index is the answer's number in the exam."""
    return Prediction(item=one.item, model=str(name), sample=number, response=text, finish_reason="stop", tokens=0, seconds=0.0)


def _human(row: HumanRow, number: int) -> Prediction:
    item = BenchmarkItem(id=f"row {row.line}", prompt=row.prompt, type="", length=1, language="en")
    return Prediction(item=item, model=HUMAN, sample=number, response=row.answer, finish_reason="stop", tokens=0, seconds=0.0)


def _pairs(one: ExamText, padded: str, number: int = 0) -> list[DuelPair]:
    """The answer against itself, and against its padded form."""
    answer = _prediction(one, ANSWER, one.text, number)
    return [DuelPair(answer, _prediction(one, AGAIN, one.text, number)), DuelPair(answer, _prediction(one, Plant.PADDED, padded, number))]
