"""Two models' answers to the same prompt, compared by the judge in both orders."""

import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

from tasks.cluster.shards import share_each
from tasks.endpoints.chat import Chat, user
from tasks.judging.replies import objects, plain
from tasks.judging.templates import mark
from tasks.judging.verdicts import check_finished
from tasks.prompts import fill
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.records import Duel, Prediction, Preference

Place = Literal["first", "second", "tie"]

PLACES: dict[str, Place] = {"first": "first", "second": "second", "tie": "tie"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"winner": {"type": "string", "enum": list(PLACES)}},
    "required": ["winner"],
    "additionalProperties": False,
}


class Pair(NamedTuple):
    """Two models' answers to one prompt."""

    a: Prediction
    b: Prediction


def pairs(predictions: Iterable[Prediction]) -> list[Pair]:
    """Every two models' answers to the same prompt and sample; A is the model that comes first in the predictions."""
    answers: dict[tuple[str, int], dict[str, Prediction]] = {}
    models: dict[str, None] = {}
    for prediction in predictions:
        models.setdefault(prediction.model)
        answers.setdefault((prediction.item.id, prediction.sample), {})[prediction.model] = prediction
    return [Pair(own[a], own[b]) for a, b in combinations(models, 2) for own in answers.values() if a in own and b in own]


async def duel_all(chat: Chat, found: Sequence[Pair], *, tries: int, judge: str, label: str | None) -> list[Duel]:
    """Every pair, in both orders, in the pairs' order. What stays unreadable after `tries` replies, or unanswered, has no winner."""
    asked = [order for pair in found for order in (pair, Pair(pair.b, pair.a))]
    said = await share_each(chat, asked, _compare, tries, unit="comparison", label=label)
    return [_duel(pair, judge, *said[2 * place : 2 * place + 2]) for place, pair in enumerate(found)]


def parse_winner(reply: str) -> Place:
    """Which place won. Raises ReplyError that says what was wrong with the reply: prose, another value, objects that differ."""
    values = [value for found in objects(reply, ("winner",)) for key, value in found.items() if plain(key) == "winner"]
    if not values:
        raise ReplyError("no JSON object with a winner")
    places = []
    for value in values:
        if not isinstance(value, str) or value.strip().lower() not in PLACES:
            raise ReplyError(f"winner is {json.dumps(value, ensure_ascii=False)[:40]}, not first, second or tie")
        places.append(PLACES[value.strip().lower()])
    if len(set(places)) > 1:
        raise ReplyError(f"{len(places)} winners that differ")
    return places[0]


class _Said(NamedTuple):
    """What came of one order."""

    winner: Place | None
    replies: tuple[str, ...]
    problem: str | None


async def _compare(chat: Chat, order: Pair, tries: int, _: object) -> _Said:
    first, second = order.a.response, order.b.response
    prompt = order.a.item.prompt
    asked = fill("compare", prompt=prompt, first=first, second=second, mark=mark(prompt, first, second))
    replies, problem = list[str](), None
    for attempt in range(tries):
        try:
            reply = await chat(user(asked, sample=attempt, schema=SCHEMA))
            replies.append(reply.text)
            check_finished(reply)
            return _Said(parse_winner(reply.text), tuple(replies), None)
        except Unanswered as error:
            return _Said(None, tuple(replies), str(error))
        except ReplyError as error:
            problem = str(error)
    return _Said(None, tuple(replies), problem)


def _duel(pair: Pair, judge: str, a_first: _Said, b_first: _Said) -> Duel:
    a_names: dict[Place | None, Preference | None] = {"first": "a", "second": "b", "tie": "tie", None: None}
    b_names: dict[Place | None, Preference | None] = {"first": "b", "second": "a", "tie": "tie", None: None}
    return Duel(
        id=pair.a.item.id,
        sample=pair.a.sample,
        a=pair.a.model,
        b=pair.b.model,
        judge=judge,
        a_first=a_names[a_first.winner],
        b_first=b_names[b_first.winner],
        replies=a_first.replies + b_first.replies,
        problem=a_first.problem or b_first.problem,
    )
