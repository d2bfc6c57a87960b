"""Contradictions of a text with itself, found by a judge that quotes both places (ConStory-Bench, arXiv 2603.05890; five classes).

A text is judged in parts of about PART words, each with everything before it as evidence: over a whole long text a judge's recall falls.
If the evidence is longer than the judge's context, a part is judged several times, each time with another window of the evidence. A reply
with a quote that the text does not have is refused and asked for again. A part without a readable reply is unscored, never free of errors.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby, pairwise
from typing import NamedTuple, get_args

from tasks.endpoints.chat import Chat, Request, spool_async, user
from tasks.endpoints.usage import BYTES_PER_TOKEN
from tasks.judging.grades import shown
from tasks.judging.replies import Pairs, said, values
from tasks.judging.templates import mark
from tasks.judging.verdicts import FirstReadable, check_any_read, first_readable
from tasks.prompts import fill
from tasks.schema.errors import BadInput, ReplyError
from tasks.schema.records import Contradiction, ContradictionKind, JudgedPart, Quote
from tasks.store import Spool
from tasks.text.quotes import Quotable, Span, quotable
from tasks.text.words import count_fixed

PART = 10_000  # words of a part
CONTEXT = 128_000  # tokens of the judge's context
REPLY = 4_096  # tokens of a reply, at least
SHORTEST_QUOTE = 4  # characters: a shorter one could be anywhere
LEAST_EVIDENCE = 1 / 4  # share of a request's room for what comes before the part, at least
PER = 10_000  # words that errors are counted per
Found = tuple[Contradiction, ...]
KINDS: tuple[ContradictionKind, ...] = get_args(ContradictionKind)
FIELDS = ("kind", "earlier", "later", "why")
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "contradictions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string", **({"enum": list(KINDS)} if name == "kind" else {})} for name in FIELDS},
                "required": list(FIELDS),
                "additionalProperties": False,
            },
        }
    },
    "required": ["contradictions"],
    "additionalProperties": False,
}
_BORDERS = (  # ends of paragraphs, of lines, of sentences
    re.compile(r"\n[^\S\n]*\n\s*"),
    re.compile(r"\n\s*"),
    re.compile(r"(?<=[.!?])\s+|(?<=[。！？])"),
)


class JudgedText(NamedTuple):
    """A text to judge, with the names that its records get."""

    id: str
    model: str
    sample: int
    topic: str  # equal for texts that are no independent observations
    text: str
    prompt: str = ""  # what the text was written for; empty: not known


class JudgeReach(NamedTuple):
    """How much of a text one request shows."""

    part: int = PART  # words
    context: int = CONTEXT  # tokens of the judge's context
    reply: int = REPLY  # tokens of it that are kept for the reply

    @property
    def room(self) -> int:
        """Bytes of the text that a request may show, evidence and part together."""
        return round((self.context - self.reply) * BYTES_PER_TOKEN) - len(_empty().encode()) - 1024


class PartWindow(NamedTuple):
    """A request's part of a text and its evidence."""

    before: Span
    part: Span


@cache
def _empty() -> str:
    return fill("contradictions", before="", part="", mark="")


def prompt_digest() -> str:
    """SHA-256 of the judge's prompt, as hex: another prompt makes another judge."""
    return hashlib.sha256(_empty().encode()).hexdigest()


def windows(text: str, reach: JudgeReach) -> list[PartWindow]:
    """The requests of a text: its parts in order, each with its evidence, the nearest first. Nothing for a text without words.

    Raises BadInput if a part alone is longer than the judge's context.
    """
    found = list[PartWindow]()
    for part in parts(text, reach.part):
        left = reach.room - _bytes(text, part)
        if left < (LEAST_EVIDENCE * reach.room if part.start else 0):
            problem = f"a part of {reach.part:,} words leaves too little of {reach.context:,} tokens for what comes before it"
            raise BadInput("context", problem, fix="make the parts shorter, or give the judge's real context")
        found += [PartWindow(before, part) for before in _evidence(text, part.start, left)]
    return found


def parts(text: str, words: int) -> list[Span]:
    """A text as parts of about `words` words. Each begins with a paragraph; with a line or a sentence where paragraphs are longer."""
    pieces = _pieces(text, Span(0, len(text)), words, 0)
    sizes = [count_fixed(text[piece.start : piece.end]) for piece in pieces]
    count = max(1, round(sum(sizes) / words))
    goal, so_far, begin, found = sum(sizes) / count, 0, 0, list[Span]()
    for piece, size in zip(pieces, sizes, strict=True):
        if so_far and so_far + size / 2 >= goal * (len(found) + 1) and len(found) + 1 < count:
            found.append(Span(begin, piece.start))
            begin = piece.start
        so_far += size
    return [*found, Span(begin, len(text))] if sum(sizes) else []


def _pieces(text: str, span: Span, words: int, level: int) -> list[Span]:
    """The paragraphs of a span; its lines or sentences where a paragraph is longer than half a part."""
    ends = [match.end() for match in _BORDERS[level].finditer(text, span.start, span.end)]
    edges = [span.start, *(end for end in ends if span.start < end < span.end), span.end]
    pieces = [Span(start, end) for start, end in pairwise(edges) if start < end]
    if level + 1 == len(_BORDERS):
        return pieces
    found = list[Span]()
    for piece in pieces:
        long = piece.end - piece.start > words and count_fixed(text[piece.start : piece.end]) > words / 2
        found += _pieces(text, piece, words, level + 1) if long else [piece]
    return found


def _evidence(text: str, end: int, room: int) -> Iterator[Span]:
    """What comes before a part: all of it, or windows of `room` bytes from the nearest to the first."""
    if not end:
        yield Span(0, 0)
        return
    while end > 0:
        start = 0 if _bytes(text, Span(0, end)) <= room else end - _characters(text, end, room)
        yield Span(start, end)
        end = start


def _characters(text: str, end: int, room: int) -> int:
    """How many characters before `end` have at most `room` bytes together; at least one. They begin with a line or a sentence."""
    tail = text[max(0, end - room) : end].encode("utf-8", "surrogatepass")[-room:].decode("utf-8", "ignore")
    begins = (border.search(tail, 0, len(tail) // 2) for border in _BORDERS[1:])
    return max(1, len(tail) - next((match.end() for match in begins if match), 0))


def _bytes(text: str, span: Span) -> int:
    return len(text[span.start : span.end].encode("utf-8", "surrogatepass"))


def request(text: str, window: PartWindow, attempt: int = 0) -> Request:
    """The judge's request for a window. Requests of one text begin alike: the mark is that of the whole text."""
    before, part = (text[span.start : span.end] for span in window)
    return user(fill("contradictions", before=before, part=part, mark=mark(text)), sample=attempt, schema=SCHEMA)


def requests(texts: Iterable[str], reach: JudgeReach) -> Iterator[Request]:
    """The first request of every window, for the forecast of the cost."""
    return (request(text, window) for text in texts for window in windows(text, reach))


async def judge_parts(
    chat: Chat, texts: Iterable[JudgedText], judged: Spool, *, reach: JudgeReach, count: int, tries: int, judge: str, label: str | None
) -> None:
    """A JudgedPart for each window of the texts into `judged`, in order. `count`: windows of all texts, for the progress bar.

    A part without a readable reply in `tries` replies, or without an answer, has a problem and no findings; all replies are kept. Raises
    EndpointError if no request is answered.
    """

    async def judged_part(turn: tuple[JudgedText, Quotable, PartWindow]) -> JudgedPart:
        one, quotes, window = turn
        read = await read_window(chat, one.text, quotes, window, tries=tries)
        return JudgedPart(
            id=one.id,
            model=one.model,
            sample=one.sample,
            before=window.before.start,
            before_end=window.before.end,
            start=window.part.start,
            end=window.part.end,
            found=read.value,
            replies=read.texts,
            problem=read.problem,
            judge=judge,
        )

    def turns() -> Iterator[tuple[JudgedText, Quotable, PartWindow]]:
        for one in texts:
            quotes = quotable(one.text)
            yield from ((one, quotes, window) for window in windows(one.text, reach))

    await spool_async(turns(), judged_part, judged, total=count, unit="part", label=label)


async def read_window(chat: Chat, text: str, quotes: Quotable, window: PartWindow, *, tries: int) -> FirstReadable[Found]:
    """The contradictions of one window, from the first of `tries` replies that can be read."""
    asked = (request(text, window, attempt) for attempt in range(tries))
    return await first_readable(chat, asked, lambda reply: read_contradictions(reply, text, quotes, window))


def read_contradictions(reply: str, text: str, quotes: Quotable, window: PartWindow) -> tuple[Contradiction, ...]:
    """The contradictions in a reply, with the places of their quotes; empty if it says that there is none.

    Raises ReplyError that says what is wrong with the reply: no JSON object with the list, an entry with an unknown kind, a missing or an
    unknown field, a quote that is too short or not in the text as it is written, or a second quote that is not in the judged part.
    """
    found = list(values(said(reply)))
    if broken := next((one for one in found if one.value is None), None):
        raise ReplyError(f"JSON cut off or broken: {broken.problem}")
    lists = [inner for one in found for inner in _lists(one.value)]
    if not lists:
        raise ReplyError("no JSON object with the list contradictions")
    entries = lists[-1]
    if not isinstance(entries, tuple):
        raise ReplyError(f"contradictions is {shown(entries)}, not a list")
    return merged([_contradiction(entry, place, text, quotes, window) for place, entry in enumerate(entries, 1)])


def _lists(value: object) -> Iterator[object]:
    if isinstance(value, Pairs):
        yield from (inner for key, inner in value if key.strip().casefold() == "contradictions")
    elif isinstance(value, tuple):  # the list without its object
        yield value


def _contradiction(entry: object, number: int, text: str, quotes: Quotable, window: PartWindow) -> Contradiction:
    where = f"contradiction {number}"
    if not isinstance(entry, Pairs):
        raise ReplyError(f"{where} is {shown(entry)}, not an object")
    given: Mapping[str, object] = dict(entry)
    if len(given) < len(entry) or set(given) != set(FIELDS):
        odd = next(iter([*(set(FIELDS) - set(given)), *(set(given) - set(FIELDS))]), "a field")
        raise ReplyError(f"{where}: {odd} is {'missing' if odd in FIELDS and odd not in given else 'not a field, or given twice'}")
    kind = next((known for known in KINDS if known == given["kind"]), None)
    if kind is None:
        raise ReplyError(f"{where}: kind is {shown(given['kind'])}, not one of {', '.join(KINDS)}")
    later = _place(given["later"], f"{where}: later", quotes, window.part)
    earlier = _earlier(given["earlier"], f"{where}: earlier", quotes, window, later)
    first, second = sorted((earlier, later))
    if first.overlaps(second):
        raise ReplyError(f"{where}: both quotes are the same place")
    return Contradiction(
        kind=kind,
        earlier=_quote(text, first),
        later=_quote(text, second),
        distance=count_fixed(text[first.end : second.start]),
        why=str(given["why"])[:500],
    )


def _place(quote: object, where: str, quotes: Quotable, within: Span) -> Span:
    if not isinstance(quote, str) or len(quote.strip()) < SHORTEST_QUOTE:
        raise ReplyError(f"{where} is {shown(quote)}, not a quote of {SHORTEST_QUOTE} characters or more")
    if span := quotes.find(quote, within):
        return span
    raise ReplyError(f"{where}: the text does not have this quote: {quote.strip()[:60]}")


def _earlier(quote: object, where: str, quotes: Quotable, window: PartWindow, later: Span) -> Span:
    """The earlier place: in the evidence, else in the part before the later place, else behind it (the judge mixed up the order)."""
    for within in (window.before, Span(window.part.start, later.start), Span(later.end, window.part.end)):
        if isinstance(quote, str) and len(quote.strip()) >= SHORTEST_QUOTE and (span := quotes.find(quote, within)):
            return span
    return _place(quote, where, quotes, window.part)


def _quote(text: str, span: Span) -> Quote:
    return Quote(text=text[span.start : span.end], start=span.start, end=span.end)


def merged(found: Iterable[Contradiction]) -> tuple[Contradiction, ...]:
    """The contradictions in the order of their later places, each pair of places once, whatever its kind."""
    kept = list[Contradiction]()
    for one in sorted(found, key=lambda one: (one.later.start, one.earlier.start)):
        if not any(_overlap(one.later, other.later) and _overlap(one.earlier, other.earlier) for other in kept):
            kept.append(one)
    return tuple(kept)


def _overlap(one: Quote, other: Quote) -> bool:
    return span_of(one).overlaps(span_of(other))


def span_of(quote: Quote) -> Span:
    return Span(quote.start, quote.end)


class ReadText(NamedTuple):
    """What the judge said of one text."""

    id: str
    model: str
    sample: int
    found: tuple[Contradiction, ...]  # of the parts that could be read
    parts: int
    unread: int  # parts without a readable reply: the text is unscored if there is one


def by_text(judged: Iterable[JudgedPart]) -> Iterator[ReadText]:
    """The parts of each text together, as they come; parts of one text have to be neighbours."""
    for (id_, model, sample), group in groupby(judged, key=lambda one: (one.id, one.model, one.sample)):
        own: Sequence[JudgedPart] = list(group)
        found = merged(one for part in own for one in part.found or ())
        yield ReadText(id_, model, sample, found, len(own), sum(part.found is None for part in own))


def density(errors: int, words: int) -> float:
    """Errors per 10,000 words (ConStory's CED of one text)."""
    return errors * PER / words if words else 0.0


def check_read(judged: Iterable[JudgedPart]) -> None:
    """Raises ReplyError if no part could be read, because then the judge is unsuitable."""
    able = "quotes exactly and follows the output format of the prompt"
    check_any_read(((part.found is not None, part.problem) for part in judged), "parts", able=able)
