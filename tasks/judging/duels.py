"""Duels: the judge compares two models' answers to the same prompt, in both orders."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Literal, NamedTuple, TypeVar

from tasks.endpoints.chat import Chat, Request, spool_async, user
from tasks.judging.grades import shown
from tasks.judging.replies import Pairs, said, values
from tasks.judging.templates import mark
from tasks.judging.verdicts import FirstReadable, check_any_read, first_readable, thoughts_of
from tasks.prompts import fill
from tasks.schema.errors import ReplyError
from tasks.schema.records import Duel, Prediction, Preference
from tasks.store import Spool
from tasks.text.topics import topic_of

T = TypeVar("T")

Place = Literal["first", "second", "tie"]

PLACES: dict[str, Place] = {"first": "first", "second": "second", "tie": "tie"}
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"winner": {"type": "string", "enum": list(PLACES)}},
    "required": ["winner"],
    "additionalProperties": False,
}

_WINNER = re.compile(r"winner[\"'”]?\s{0,3}[:：=]", re.IGNORECASE)  # searched in the compared texts
_ARTICLE = re.compile(r"^(?:the|text)\s|\s(?:text|one)$")  # "the first", "first text"


class DuelPair(NamedTuple):
    """Two models' answers to one prompt."""

    a: Prediction
    b: Prediction


def pairs(predictions: Iterable[tuple[Prediction, T]]) -> list[tuple[T, T]]:
    """Every two models' answers to the same prompt and sample, A's model the one that comes first. Each is told by what it came with,
    such as its place in a file: no answers are kept."""
    answers: dict[tuple[str, int], dict[str, T]] = {}
    models: dict[str, None] = {}
    for prediction, named in predictions:
        models.setdefault(prediction.model)
        answers.setdefault((prediction.item.id, prediction.sample), {})[prediction.model] = named
    return [(own[a], own[b]) for a, b in combinations(models, 2) for own in answers.values() if a in own and b in own]


async def duel_all(chat: Chat, found: Iterable[DuelPair], duels: Spool, *, count: int, tries: int, judge: str, label: str | None) -> None:
    """Each of `count` pairs, in both orders, into `duels`, in the pairs' order. Pairs are read as they are compared.

    What stays unreadable after `tries` replies, or unanswered, has no winner.
    """

    async def duel(pair: DuelPair) -> Duel:
        a_first, b_first = orders(pair)
        return _duel(pair, judge, await _compare(chat, a_first, tries), await _compare(chat, b_first, tries))

    await spool_async(found, duel, duels, total=count, unit="pair", label=label)


def parse_winner(reply: str, texts: Sequence[str] = ()) -> Place:
    """Returns which place won, from the last JSON object with a winner. `texts` are the compared texts, which may name a winner too.

    Raises ReplyError that says what is wrong with the reply.
    """
    text = said(reply)
    found = list(values(text))
    if broken := next((one for one in found if one.value is None), None):
        raise ReplyError(f"JSON cut off or broken: {broken.problem}")
    if not any(isinstance(one.value, Pairs) for one in found):
        raise ReplyError("no JSON object")
    places = [_place(value) for one in found for value in _winners(one.value)]
    if not places:
        raise ReplyError("no JSON object with a winner")
    if len(set(places)) > 1 and any(_WINNER.search(compared) for compared in texts):
        raise ReplyError(f"{len(places)} winners that differ, and a text that was compared names one")
    return places[-1]


def _winners(value: object) -> Iterator[object]:
    """Yields the winners that a value names. Raises ReplyError if one object names two."""
    if isinstance(value, Pairs):
        own = [inner for key, inner in value if key.strip().casefold() == "winner"]
        if len(own) > 1:
            raise ReplyError("winner is given twice")
        for inner in own or [inner for _, inner in value if isinstance(inner, Pairs)]:
            yield from [inner] if own else _winners(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _winners(inner)


def _place(value: object) -> Place:
    plain = _ARTICLE.sub("", value.casefold().strip(" \t\n.*'\"")) if isinstance(value, str) else ""
    if plain not in PLACES:
        raise ReplyError(f"winner is {shown(value)}, not first, second or tie")
    return PLACES[plain]


def check_read(duels: Iterable[Duel]) -> None:
    """Raises ReplyError if no comparison could be read, because then the judge is unsuitable."""
    check_any_read(((bool(duel.a_first or duel.b_first), duel.problem) for duel in duels), "comparisons", each=2)


def comparison(order: DuelPair) -> str:
    """Returns the prompt that compares A's answer, in the first place, with B's."""
    return compared(order.a.item.prompt, order.a.response, order.b.response)


def compared(prompt: str, first: str, second: str) -> str:
    """Returns the prompt that compares two texts that were written for a prompt."""
    return fill("compare", prompt=prompt, first=first, second=second, mark=mark(prompt, first, second))


def orders(pair: DuelPair) -> tuple[DuelPair, DuelPair]:
    """A pair with A's answer in the first place, and with B's."""
    return pair, DuelPair(pair.b, pair.a)


def request(order: DuelPair, attempt: int = 0) -> Request:
    """The request that compares A's answer, in the first place, with B's."""
    return user(comparison(order), sample=attempt, schema=SCHEMA)


async def _compare(chat: Chat, order: DuelPair, tries: int) -> FirstReadable[Place]:
    texts = order.a.response, order.b.response
    return await first_readable(chat, (request(order, attempt) for attempt in range(tries)), lambda reply: parse_winner(reply, texts))


def _duel(pair: DuelPair, judge: str, a_first: FirstReadable[Place], b_first: FirstReadable[Place]) -> Duel:
    a_names: dict[Place | None, Preference | None] = {"first": "a", "second": "b", "tie": "tie", None: None}
    b_names: dict[Place | None, Preference | None] = {"first": "b", "second": "a", "tie": "tie", None: None}
    replies = a_first.replies + b_first.replies
    return Duel(
        id=pair.a.item.id,
        topic=topic_of(pair.a.item.prompt, pair.a.item.length),
        sample=pair.a.sample,
        a=pair.a.model,
        b=pair.b.model,
        judge=judge,
        a_first=a_names[a_first.value],
        b_first=b_names[b_first.value],
        replies=tuple(reply.text for reply in replies),
        problem=a_first.problem or b_first.problem,
        reasoning=thoughts_of(replies),
    )
