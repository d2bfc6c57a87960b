"""`longwriter eval rank FOLDER …`: ranks many models by duels in both orders, and spends calls only where ranks are unclear.

The first rounds compare each model with its neighbours in a ring, so that all are connected. Then each round compares neighbours in the
current order without a clear difference, on prompts that they have not been compared on. It stops when every two neighbours differ
clearly (all of them together at 95%), when the budget is used up, or when no prompt is left. Every reply is in the journal: the same
command again costs nothing and goes on with more budget.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from tasks import store
from tasks.endpoints.allowance import Allowance, Forecast, LimitedChat, SpendLimit, check_priced
from tasks.endpoints.ledger import price_of
from tasks.endpoints.roles import open_role
from tasks.evaluation.duel import read_answers
from tasks.evaluation.recorded import read_without_lengths
from tasks.judging.bradley_terry import ELO, Duelled, Strengths, critical, fit, rank_range
from tasks.judging.duels import DuelPair, check_read, duel_all, orders, request
from tasks.judging.pairwise import first_places
from tasks.longbench.compare import model_of, place
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, Params
from tasks.schema.records import Duel, Prediction, Record
from tasks.schema.settings import settings
from tasks.statistics import Interval, share

FIRST = 6  # duels of each pair of neighbours in the ring before the first fit
ROUND = 6  # duels of each unclear pair of neighbours in a round
ELO_MEAN = 1_000.0
SEED = 20_408  # of the order of the prompts: the same command asks the same

Stopped = Literal["settled", "budget", "no prompt left"]


class Ranked(Record):
    """One model in the ranking."""

    model: str  # as given on the command line
    rank: int
    best: int  # best rank that the comparisons leave open, 95% over the other models
    worst: int
    strength: float  # log-odds of winning a duel; the mean over the models is 0
    interval: Interval  # 95% for all models together
    elo: float  # the same in Elo points around 1,000
    duels: int
    wins: int  # duels in which both orders name it
    losses: int


class Ranking(Record):
    """The result of `longwriter eval rank`."""

    judge: str
    models: tuple[Ranked, ...]  # strongest first
    stopped: Stopped
    prompts: int  # that at least two models answered
    duels: int
    contradictions: int  # duels in which the orders disagree
    unread: int  # duels in which an order has no readable reply; in no figure
    calls: int  # paid in this run; recorded replies cost nothing
    dollars: float | None  # None: no price is known
    all_pairs: int  # calls that comparing every two models on every prompt would need
    first_place: float | None  # share of comparisons with a winner that the first text won; 0.5: no bias
    first_place_interval: Interval | None


class RankOptions(NamedTuple):
    """Options of the command line."""

    limit: SpendLimit = SpendLimit()
    estimate: bool = False
    out: Path | None = None  # JSONL file for the duels
    format: str | None = None  # of recorded answers, as for `longwriter eval score`


class RankResult(NamedTuple):
    """The ranking (None: only the cost was asked for) and the forecast of comparing everything."""

    ranking: Ranking | None
    cost: Forecast


def rank(sources: Sequence[str], *, params: Params, options: RankOptions, say: Callable[[str], None]) -> RankResult:
    """Ranks `FOLDER[:MODEL]` of several evaluations by the judge of params. `say` prints the cost before the first call.

    Raises BadInput for fewer than two sources, for one that cannot be read, or if two models have no prompt in common; ReplyError if no
    comparison could be read.
    """
    from tasks.stage import run_async

    if params.models.judge is None:
        raise BadInput("params.yaml", "null: nobody compares the answers", field="models.judge", fix="name a judge")
    if len(sources) < 2 or len(set(sources)) < len(sources):
        problem = "one model" if len(sources) < 2 else "one model is given twice"
        raise BadInput(", ".join(sources), problem, fix="give two or more evaluations, each once")
    pool = _Pool(sources, options.format)
    return run_async(_ranked(pool, params, params.models.judge, options, say))


class _Open(NamedTuple):
    """A comparison that can still be made."""

    i: int
    j: int
    key: str  # the prompt's id and the sample


class _Pool:
    """The answers of all models by prompt and sample, and which pairs were compared on which."""

    def __init__(self, sources: Sequence[str], format: str | None = None):
        self.names = list(sources)
        self._answers = [_by_key(source, format) for source in sources]
        self._check_prompts()
        keys = sorted({key for own in self._answers for key in own})
        random.Random(SEED).shuffle(keys)
        self._keys = keys
        self._done: dict[tuple[int, int], set[str]] = {}
        for i, name in enumerate(self.names):
            if not any(self.open(i, j) for j in range(len(self.names)) if j != i):
                raise BadInput(name, "no prompt in common with another model", fix="give evaluations of the same benchmark")

    @property
    def prompts(self) -> int:
        return sum(sum(key in own for own in self._answers) > 1 for key in self._keys)

    def open(self, i: int, j: int) -> list[_Open]:
        """The comparisons of two models that are left, in the common order of the prompts."""
        i, j = min(i, j), max(i, j)
        done = self._done.get((i, j), set())
        return [_Open(i, j, key) for key in self._keys if key in self._answers[i] and key in self._answers[j] and key not in done]

    def everything(self) -> Iterator[_Open]:
        for i in range(len(self.names)):
            for j in range(i + 1, len(self.names)):
                yield from self.open(i, j)

    def take(self, chosen: Sequence[_Open]) -> list[DuelPair]:
        """The pairs of these comparisons. They count as made."""
        for one in chosen:
            self._done.setdefault((one.i, one.j), set()).add(one.key)
        return [self.pair(one) for one in chosen]

    def pair(self, one: _Open) -> DuelPair:
        a, b = (self._answers[model][one.key].model_copy(update={"model": self.names[model]}) for model in (one.i, one.j))
        return DuelPair(a, b)

    def _check_prompts(self) -> None:
        """Raises BadInput if one id has two different prompts."""
        prompts: dict[str, tuple[str, str]] = {}
        for name, own in zip(self.names, self._answers, strict=True):
            for answer in own.values():
                first, prompt = prompts.setdefault(answer.item.id, (name, answer.item.prompt))
                if prompt != answer.item.prompt:
                    problem = f"another prompt than in {first} under the id {answer.item.id}"
                    raise BadInput(name, problem, field="item.prompt", fix="give evaluations of the same benchmark")


def _by_key(source: str, format: str | None) -> Mapping[str, Prediction]:
    return {f"{answer.item.id}\0{answer.sample}": answer for answer in answers_of(source, format)}


def answers_of(source: str, format: str | None) -> list[Prediction]:
    """The answers of `FOLDER` or `FOLDER:MODEL`: predictions of an evaluation, or recorded answers as `longwriter eval score` reads them.

    A row needs no requested length here. Raises BadInput if a row cannot be read, if the named model is not in the file, or if the file has
    several models, none is named and none is called `student`.
    """
    path, wanted = place(source, "predictions.jsonl")
    if format is None and path.name == "predictions.jsonl" and path.is_file():
        return read_answers(source)
    given, (before, colon, after) = Path(source), source.rpartition(":")
    path, wanted = (given, "") if given.exists() or not colon else (Path(before), after)
    found = list(read_without_lengths(path, format=format))
    if not found:
        raise BadInput(path, "no answers", fix="give an evaluation's folder, or recorded answers")
    model = model_of(path, [one.model for one in found], wanted)
    return [
        Prediction(
            item=one.item, model=source, sample=one.sample, response=one.response, finish_reason=one.finish_reason, tokens=0, seconds=0.0
        )
        for one in found
        if one.model == model
    ]


async def _ranked(pool: _Pool, params: Params, judge: Model, options: RankOptions, say: Callable[[str], None]) -> RankResult:
    allowance = Allowance(options.limit, "--budget")
    price = price_of(judge.name, settings().prices, cap=None)
    async with open_role("judge", judge) as recording:
        chat = LimitedChat(recording, allowance, max_tokens=judge.max_tokens, price=price, stops=False)
        cost = chat.forecast(request(order) for one in pool.everything() for order in orders(pool.pair(one)))
        say(f"ranks {len(pool.names)} models on {pool.prompts} prompts by {judge}\nall pairs would cost: {cost}\nbudget: {options.limit}")
        check_priced(cost, options.limit, "--budget")
        if options.estimate:
            return RankResult(None, cost)
        found, chosen = list[Duel](), _ring(pool)
        stopped: Stopped = "no prompt left"
        while chosen:
            affordable = _affordable(chosen, pool, chat, allowance)
            said = store.Spool()
            pairs = pool.take(affordable)
            label = f"judge, {len(found)} duels before"
            await duel_all(chat, pairs, said, count=len(pairs), tries=params.judge.tries, judge=str(judge), label=label)
            found += said.records(Duel)
            if len(affordable) < len(chosen):
                stopped = "budget"
                break
            chosen, stopped = _next(pool, _fit(found, pool.names))
    if options.out:
        store.write(options.out, found)
    check_read(found)
    spent = _Spent(allowance.calls, allowance.dollars if price else None, cost.calls + cost.recorded)
    return RankResult(_ranking(pool, found, judge=str(judge), stopped=stopped, spent=spent), cost)


class _Spent(NamedTuple):
    calls: int
    dollars: float | None  # None: no price is known
    all_pairs: int  # calls that comparing everything would need


def _ring(pool: _Pool) -> list[_Open]:
    """The first comparisons: each model with the next one, and the last with the first; with two models there is one pair."""
    count = len(pool.names)
    edges = {(min(i, (i + 1) % count), max(i, (i + 1) % count)) for i in range(count)}
    return [one for i, j in sorted(edges) for one in islice(pool.open(i, j), FIRST)] or list(islice(pool.everything(), FIRST))


def _next(pool: _Pool, strengths: Strengths) -> tuple[list[_Open], Stopped]:
    """The comparisons of the next round; none if the order is settled or no prompt is left.

    Neighbours without a common prompt that is left are compared through others: with the next model up and down.
    """
    order = strengths.order()
    needed = critical(len(order) - 1)
    unclear = [(i, j) for i, j in pairwise(order) if abs(strengths.z(i, j)) < needed]
    if not unclear:
        return [], "settled"
    chosen: dict[_Open, None] = {}
    for i, j in unclear:
        for one in islice(pool.open(i, j), ROUND) if pool.open(i, j) else _through(pool, order, i, j):
            chosen.setdefault(one)
    return list(chosen), "no prompt left"


def _through(pool: _Pool, order: Sequence[int], i: int, j: int) -> Iterator[_Open]:
    """Comparisons that tell two neighbours apart indirectly: each with the model on the other side of its neighbour."""
    place = order.index(i)
    for model, other in ((i, place + 2), (j, place - 1)):
        if 0 <= other < len(order):
            yield from islice(pool.open(model, order[other]), ROUND // 2)


def _affordable(chosen: Sequence[_Open], pool: _Pool, chat: LimitedChat, allowance: Allowance) -> list[_Open]:
    """The first comparisons that the budget allows in both orders. A duel in one order would have no winner."""
    found, calls, dollars = list[_Open](), 0, 0.0
    for one in chosen:
        cost = chat.forecast(map(request, orders(pool.pair(one))))
        calls, dollars = calls + cost.calls, dollars + (cost.dollars or 0.0)
        if not allowance.allows(dollars, calls=calls):
            break
        found.append(one)
    return found


def _fit(duels: Sequence[Duel], names: Sequence[str]) -> Strengths:
    places = {name: place for place, name in enumerate(names)}
    shares = [(duel, won) for duel in duels if (won := _share(duel)) is not None]
    topics = (duel.topic or f"prompt {duel.id}" for duel, _ in shares)
    return fit([Duelled(places[duel.a], places[duel.b], won, topic) for (duel, won), topic in zip(shares, topics, strict=True)], len(names))


def _share(duel: Duel) -> float | None:
    """A's share of a duel: the mean over both orders of 1 for a win, 0.5 for a tie, 0 for a loss. None if an order is unreadable."""
    if duel.a_first is None or duel.b_first is None:
        return None
    points = {"a": 1.0, "tie": 0.5, "b": 0.0}
    return (points[duel.a_first] + points[duel.b_first]) / 2


def _ranking(pool: _Pool, duels: Sequence[Duel], *, judge: str, stopped: Stopped, spent: _Spent) -> Ranking:
    strengths = _fit(duels, pool.names)
    placed = first_places(duels)
    front, decided = sum(first for first, _ in placed), sum(number for _, number in placed)
    return Ranking(
        judge=judge,
        models=tuple(_row(strengths, model, place, duels, pool.names) for place, model in enumerate(strengths.order(), 1)),
        stopped=stopped,
        prompts=pool.prompts,
        duels=len(duels),
        contradictions=sum(_share(duel) is not None and duel.a_first != duel.b_first for duel in duels),
        unread=sum(_share(duel) is None for duel in duels),
        calls=spent.calls,
        dollars=spent.dollars,
        all_pairs=spent.all_pairs,
        first_place=front / decided if decided else None,
        first_place_interval=share(*zip(*placed, strict=True)) if placed else None,
    )


def _row(strengths: Strengths, model: int, place: int, duels: Sequence[Duel], names: Sequence[str]) -> Ranked:
    name = names[model]
    own = [duel for duel in duels if name in (duel.a, duel.b)]
    best, worst = rank_range(strengths, model, len(names))
    won = [duel.a if duel.a_first == "a" else duel.b for duel in own if duel.a_first == duel.b_first and duel.a_first in ("a", "b")]
    strength = float(strengths.theta[model])
    return Ranked(
        model=name,
        rank=place,
        best=best,
        worst=worst,
        strength=strength,
        interval=strengths.interval(model),
        elo=ELO_MEAN + ELO * strength,
        duels=len(own),
        wins=won.count(name),
        losses=len(won) - won.count(name),
    )
