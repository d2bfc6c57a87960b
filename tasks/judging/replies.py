"""The JSON objects in a judge's reply, strictly: one that is cut off, broken or says a thing twice is an error, never half an answer."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from tasks.schema.errors import ReplyError

MAX_REPLY = 200_000  # characters; a verdict has a few hundred


def objects(reply: str, names: Collection[str]) -> list[dict[str, Any]]:
    """The outermost JSON objects in a reply; thoughts, prose, code fences and braces of prose around them are passed over.

    Raises ReplyError for an empty or overlong reply, for an object that is cut off or broken, and for one that has a key of `names`
    twice.
    """
    reply = without_thoughts(reply)
    if not reply.strip():
        raise ReplyError("empty reply")
    if len(reply) > MAX_REPLY:
        raise ReplyError(f"reply of {len(reply)} characters")
    found = list(_scan(reply, frozenset(names)))
    if "{" not in reply:
        raise ReplyError("no JSON object")
    return found


def without_thoughts(reply: str) -> str:
    """What follows the thoughts of a judge that thinks aloud, if its server left them in. Raises ReplyError where nothing does."""
    if not reply.lstrip().startswith("<think>"):
        return reply
    _, closed, said = reply.rpartition("</think>")
    if not closed:
        raise ReplyError("its thoughts are cut off")
    return said


def plain(key: str) -> str:
    """A key as we write it: "Breadth and Depth", "breadth & depth" and "breadth-and-depth" are all `breadth_and_depth`."""
    return re.sub(r"[\s_&-]+", "_", key.strip().lower().replace("&", " and "))


def _scan(reply: str, names: frozenset[str]) -> Iterator[dict[str, Any]]:
    def whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [plain(key) for key, _ in pairs]
        for name in sorted(names):
            if keys.count(name) > 1:
                raise ReplyError(f"{name} is given twice")
        return dict(pairs)

    decoder, place = json.JSONDecoder(object_pairs_hook=whole), reply.find("{")
    while place != -1:
        try:
            value, end = decoder.raw_decode(reply, place)
        except RecursionError:
            raise ReplyError("JSON nested too deep") from None
        except ValueError as error:
            if re.match(r'\{\s*"', reply[place : place + 100]):
                raise ReplyError(f"JSON cut off or broken: {getattr(error, 'msg', error)}") from None
            end = place + 1
        else:
            yield value
        place = reply.find("{", end)
