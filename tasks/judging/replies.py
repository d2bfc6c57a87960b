"""Finds the JSON-like values in a judge's reply, whatever text surrounds them.

Thoughts, prose and code fences are skipped. Single and curly quotes, names without quotes, full-width signs, comments and trailing commas
are accepted. A value that is cut off or broken is not repaired: it is reported with its position, and nothing in it counts.
"""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from tasks.schema.errors import ReplyError
from tasks.text.thoughts import split_thoughts
from tasks.text.unicode import normalized

MAX_REPLY = 200_000  # characters; a verdict has a few hundred
DEPTH = 24  # levels of nested brackets


class Pairs(tuple[tuple[str, "object"], ...]):
    """The names and values of an object, in order. A name may occur twice."""

    __slots__ = ()


class Word(str):
    """An unquoted value that is no number, such as NaN."""

    __slots__ = ()


class FoundValue(NamedTuple):
    """A value in a reply, or a broken value."""

    value: object  # Pairs, a tuple of values, or None for a broken one
    start: int
    end: int  # for a broken value: where reading stopped
    problem: str = ""  # why it is broken


_TOO_DEEP = "nested too deep"
_OPENING = re.compile(r"\{|\[(?=\s{0,20}\{)")
_GAP = re.compile(r"(?:\s|//[^\n]{0,500}|/\*[^*]{0,500}\*/|#[^\n]{0,500})*")  # white space and comments
_STRINGS = {
    '"': re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL),
    "'": re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL),
    "“": re.compile(r"“([^”]*)”"),
}
_BARE = re.compile(r"[^\s,;、，；{}\[\]:=\"'“”]+(?:[ \t]+[^\s,;、，；{}\[\]:=\"'“”]+)*")
_COMMENT = re.compile(r"[ \t]+(?://|/\*|#)")
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,3})?")
_COLON = re.compile(r"=>|[:=]")
_COMMA = re.compile(r"[,;、]")
_LIKE_JSON = re.compile(r"\{\s*(?:\"[^\"\n]{0,60}\"|'[^'\n]{0,60}'|“[^”\n]{0,60}”|\"|\Z)")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "none": None}


def said(reply: str) -> str:
    """Returns the judge's text without its thoughts, with full-width signs normalised (NFKC).

    Raises ReplyError for an empty or too long reply, and for thoughts without a verdict after them.
    """
    if not reply.strip():
        raise ReplyError("empty reply")
    if len(reply) > MAX_REPLY:
        raise ReplyError(f"reply of {len(reply)} characters")
    thoughts, text = split_thoughts(reply)
    if not text.strip():
        raise ReplyError("nothing follows the judge's thoughts" if thoughts else "empty reply")
    return normalized("NFKC", text).lstrip("\ufeff")


def values(text: str) -> Iterator[FoundValue]:
    """Yields the outermost objects and lists of a text, in order. A broken one is yielded only if it looks like JSON; other brackets are
    prose.

    Raises ReplyError for JSON nested deeper than DEPTH.
    """
    reader, place = _Reader(text), 0
    while (match := _OPENING.search(text, place)) is not None:
        place = match.start()
        try:
            value, end = reader.value(place, 0)
        except _Broken as broken:
            if broken.problem == _TOO_DEEP:
                raise ReplyError(f"JSON {_TOO_DEEP}") from None
            if text[place] == "{" and _LIKE_JSON.match(text, place):
                yield FoundValue(None, place, broken.place, broken.problem)
            place += 1
        else:
            yield FoundValue(value, place, end)
            place = end


def plain(value: object) -> object:
    """A found value as dicts and lists. Raises ReplyError for an object with a name twice."""
    if isinstance(value, Pairs):
        found = {key: plain(inner) for key, inner in value}
        if len(found) < len(value):
            raise ReplyError("an object has a name twice")
        return found
    return [plain(inner) for inner in value] if isinstance(value, tuple) else value


class _Broken(Exception):
    def __init__(self, problem: str, place: int) -> None:
        super().__init__(problem)
        self.problem, self.place = problem, place


class _Reader:
    """Reads values from one text in linear time: an unclosed quote is remembered, so its end is searched for only once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._unclosed: dict[str, int] = {}  # by quote: the position after which no string is closed

    def value(self, place: int, depth: int) -> tuple[object, int]:
        if depth > DEPTH:
            raise _Broken(_TOO_DEEP, place)
        sign = self._text[place : place + 1]
        if sign == "{":
            return self._object(place, depth)
        if sign == "[":
            return self._list(place, depth)
        if sign in _STRINGS and sign:
            return self._string(place)
        return self._bare(place)

    def _object(self, place: int, depth: int) -> tuple[Pairs, int]:
        pairs, place = list[tuple[str, object]](), self._gap(place + 1)
        while self._text[place : place + 1] != "}":
            key, place = self._string(place) if self._text[place : place + 1] in _STRINGS else self._bare(place)
            colon = _COLON.match(self._text, self._gap(place))
            if not colon:
                raise _Broken("a colon is missing", place)
            value, place = self.value(self._gap(colon.end()), depth + 1)
            pairs.append((str(key), value))
            place = self._next(place, "}")
        return Pairs(pairs), place + 1

    def _list(self, place: int, depth: int) -> tuple[tuple[object, ...], int]:
        items, place = list[object](), self._gap(place + 1)
        while self._text[place : place + 1] != "]":
            item, place = self.value(place, depth + 1)
            items.append(item)
            place = self._next(place, "]")
        return tuple(items), place + 1

    def _next(self, place: int, closing: str) -> int:
        """The position after the comma, or at the closing bracket. A line end before the next quoted name counts as a comma."""
        behind = self._gap(place)
        if comma := _COMMA.match(self._text, behind):
            return self._gap(comma.end())
        sign = self._text[behind : behind + 1]
        if sign != closing and not (closing == "}" and sign and sign in _STRINGS and "\n" in self._text[place:behind]):
            raise _Broken("it ends early" if not sign else "a comma is missing", behind)
        return behind

    def _string(self, place: int) -> tuple[str, int]:
        quote = self._text[place]
        match = None if place >= self._unclosed.get(quote, len(self._text)) else _STRINGS[quote].match(self._text, place)
        if not match:
            self._unclosed.setdefault(quote, place)
            raise _Broken("it ends early", len(self._text))
        if quote == '"' and "\\" in match[1]:
            try:
                return str(json.loads(match[0], strict=False)), match.end()
            except ValueError:
                raise _Broken("an escape is wrong", match.start()) from None
        return match[1], match.end()

    def _bare(self, place: int) -> tuple[object, int]:
        match = _BARE.match(self._text, place)
        if not match:
            raise _Broken("it ends early" if place >= len(self._text) else "a name or a value is missing", place)
        comment = _COMMENT.search(match[0])
        word = match[0][: comment.start()] if comment else match[0]
        end = place + len(word)
        if word.lower() in _WORDS:
            return _WORDS[word.lower()], end
        if _NUMBER.fullmatch(word):
            return (float(word) if re.search(r"[.eE]", word) else int(word)), end
        return Word(word), end

    def _gap(self, place: int) -> int:
        match = _GAP.match(self._text, place)
        return match.end() if match else place
