"""Reads grades from a judge's reply about a benchmark's answer: the judge's last JSON value of the wanted form.

Thoughts, prose and code fences around it are skipped (judging/replies.py). A value that also occurs in the judged answer is never taken as
the judge's. There is no default grade: what cannot be read raises ReplyError.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from tasks.judging.replies import Pairs, said, values
from tasks.schema.errors import ReplyError

T = TypeVar("T")
_NUMBER = re.compile(r"\s{0,9}([+-]?\d{1,6}(?:\.\d{1,6})?)\s{0,9}(?:/\s{0,9}(\d{1,4})\s{0,9})?")
_SPACES = re.compile(r"\s+")


def last_value(reply: str, answer: str, read: Callable[[object], T]) -> T:
    """What `read` makes of the last JSON value in the reply that is not in the answer. `read` raises ReplyError for another form."""
    text, problem, inside = said(reply), "", _SPACES.sub("", answer)
    for value, source in reversed(list(_own(text))):
        if _SPACES.sub("", source) in inside:
            problem = problem or "the only verdict in the reply is one that the answer contains"
            continue
        try:
            return read(value)
        except ReplyError as error:
            problem = problem or str(error)
    raise ReplyError(problem or "no JSON in the reply")


def _own(text: str) -> Iterator[tuple[object, str]]:
    for found in values(text):
        yield found.value if found.value is not None else found.problem, text[found.start : found.end]


def field(value: object, *names: str) -> object:
    """The value of the first of these names, in any case, in a JSON object. Raises ReplyError if it is missing or twice."""
    if not isinstance(value, Pairs):
        raise ReplyError("a JSON value that is no object" if not isinstance(value, str) else f"broken JSON: {value}")
    found = [inner for key, inner in value if key.strip().casefold() in names]
    if len(found) != 1:
        raise ReplyError(f"{names[0]} is {'missing' if not found else 'there twice'}")
    return found[0]


def number(value: object, name: str, *, low: float, high: float, whole: bool = False) -> float:
    """A number in its range: 7, "7", "7/10" where 10 is the highest. Raises ReplyError for anything else: nothing is clamped."""
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    found = float(match[1]) if match and match[2] in (None, f"{high:g}") else value
    if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high or (whole and found != int(found)):
        raise ReplyError(f"{name} is {str(value)[:40]!r}, not a {'whole ' if whole else ''}number from {low:g} to {high:g}")
    return float(found)
