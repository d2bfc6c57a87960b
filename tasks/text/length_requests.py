"""The length that a prompt asks for: "a 10,000-word novel", "at least 1.5k words", 一万五千字以上, 800〜1000字, 1500자 이내.

Read: numbers of words, or of characters in Chinese, Japanese and Korean, in digits or spelled out, with their bounds. The largest
length for the whole text counts; smaller ones mostly belong to its parts. The target is the upper end of a range or the bound itself,
as in LongBench-Write. A length per piece is multiplied by the number of pieces; without that number there is no length request. Pages
count if no other length is named: 200 words each (LongBench-Write's 50-page novel has 10,000 words), or 500 Chinese characters.

Not read: vague numbers (a few hundred words), letters, tokens, lines, minutes, the length of a text that the prompt contains, of a
title or a sentence, vocabulary, rates, bounds that contradict each other. A wrong number is worse than no number.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from tasks.schema.records import LengthKind
from tasks.text import length_cues as cues
from tasks.text.folding import fold, normal
from tasks.text.length_bounds import bound, is_reproach
from tasks.text.length_pieces import Pieces, end_of_noun, pieces_of
from tasks.text.numbers import number
from tasks.text.quantities import NEAR, Number, Quantity, numbers, quantities, stretches

LONGEST = 10**9  # words; a larger number is not a length
SHORTEST = 5  # words; "in two words" is a figure of speech
PART = 50  # words; in a prompt of more than LONG_PROMPT characters a smaller number is the length of a title or a slogan
LONG_PROMPT = 150
READ = 2_000  # characters that are read at either end of a prompt; the middle is material that the prompt contains
NUMBERS = 5_000  # numbers that are read
MENTIONS = 500  # numbers with a unit that are read
FAR = 400  # characters around a length that are searched for a text which the prompt contains
PAGE = {"page": 200, "页": 500}  # words per page, characters per page
MOST_PAGES = 2_000
SHEET = {"ja": 400, "ko": 200}  # characters on a sheet of manuscript paper
SLACK = 2  # factor: "at least" accepts up to twice the length, "at most" down to half


class LengthRequest(NamedTuple):
    """The requested length of a text, in words (characters in Chinese, Japanese and Korean)."""

    target: int | None  # None: no length
    kind: LengthKind
    low: int | None = None  # bounds that the prompt sets, inclusive; None: no bound on that side
    high: int | None = None
    phrase: str = ""  # the words of the prompt that state the length

    @property
    def band(self) -> tuple[int, int] | None:
        """The length band: lengths that satisfy the request, inclusive; None if there is no target."""
        if self.target is None:
            return None
        low = self.low if self.low is not None else -(-self.target // SLACK)
        return low, self.high if self.high is not None else SLACK * self.target


NONE = LengthRequest(None, "none")


class _Mention(NamedTuple):
    start: int  # position of the phrase
    end: int
    low: int
    high: int
    kind: LengthKind
    pieces: Pieces | None  # None: the length of the whole text
    tolerance: int = 0
    total: bool = False  # "in total", 全文


def parse_length_request(text: str) -> LengthRequest:
    """The length request in `text`. Never raises; without a length the kind is `none` and the target None.

    Example: `parse_length_request("Write at least two thousand words.")` has target 2000, kind "least", low 2000, high None.
    """
    shown = normal(_ends(text))
    folded = fold(shown)
    if not any(map(folded.__contains__, cues.STEMS)):
        return NONE
    mentions = [mention for mention in _mentions(folded) if mention.high <= LONGEST]
    found = _of_whole(mentions) or _of_pieces(mentions, folded) or _in_sheets(folded) or _in_pages(folded)
    if not found:
        return NONE
    request, spans = found
    return request._replace(phrase=" … ".join(" ".join(shown[start:end].split()) for start, end in spans))


def _ends(text: str) -> str:
    """A long text without its middle. The words at the cut are dropped: half of a number would be a wrong number."""
    if len(text) <= 2 * READ:
        return text
    return f"{re.sub(r'[^ ]{0,40}$', '', text[:READ])}\n{re.sub(r'^[^ ]{0,40}', '', text[-READ:])}"


def _mentions(text: str) -> Iterator[_Mention]:
    found = list(_with_shared_units(quantities(list(islice(numbers(text), NUMBERS)), text), text))
    first = 0  # lengths before a correction are ignored: "1,500 words. No, make it 2,000 words"
    for place, quantity in enumerate(found[:-1], 1):
        between = text[quantity.end : found[place].first.start]
        if len(between) <= NEAR and found[place].known and cues.CORRECTED.search(between):
            first = place
    known = (quantity for quantity in found[first:] if quantity.known)
    for quantity in islice(known, MENTIONS):
        if mention := _mention(quantity, text):
            yield mention


def _with_shared_units(found: list[Quantity], text: str) -> Iterator[Quantity]:
    """Numbers without a unit take a neighbour's: 800 in "at least 800, at most 900 words", 900 in "minimum 800 words, maximum 900"."""
    for place, quantity in enumerate(found):
        if quantity.known or bound(quantity, text)[1:] == (0, 0):
            yield quantity
            continue
        ahead = found[place - 1] if place and found[place - 1].known else None
        behind = found[place + 1] if place + 1 < len(found) and found[place + 1].known else None
        next_to = (ahead and cues.JOINT.fullmatch(text[ahead.end : quantity.first.start]) and cues.ENDS.match(text, quantity.end)) or (
            behind and cues.JOINT.fullmatch(text[quantity.end : behind.first.start])
        )
        yield quantity._replace(known=bool(next_to))


def _mention(quantity: Quantity, text: str) -> _Mention | None:
    start, end = quantity.first.start, quantity.end
    before, behind = text[max(0, start - NEAR) : start], text[end : end + NEAR]
    least = PART if len(text) > LONG_PROMPT else SHORTEST
    pieces = pieces_of(quantity, before, behind, text)
    if not least <= quantity.high <= LONGEST or quantity.high % 1 or quantity.low % 1:
        return None
    if pieces is None and (_is_elsewhere(before, behind) or _is_brought(quantity, before, behind, text) or _is_part(before, behind, text)):
        return None
    kind, lead, trail = bound(quantity, text)
    if kind == "exact" and (fault := cues.FAULT.match(behind)) and is_reproach(fault[0]):
        return None  # "800 words is too long"
    return _Mention(
        start - lead,
        end + trail,
        round(quantity.low),
        round(quantity.high),
        kind,
        pieces,
        tolerance=round(quantity.tolerance) if kind == "exact" else 0,
        total=bool(cues.TOTAL.search(before[-24:]) or cues.TOTAL.search(behind[:12])),
    )


def _is_elsewhere(before: str, behind: str) -> bool:
    """Whether the number is a rate, a number of words to learn or list, a statement, or a length that the prompt rejects."""
    return bool(
        cues.RATE.match(behind)
        or cues.RATE_BEFORE.search(before)
        or (cues.VOCABULARY.search(before) and not cues.WRITE_THE.search(before))
        or (cues.ASKED.search(before) and re.match(r"[^.!\n]{0,20}\?", behind))
        or cues.QUESTION.search(before)
        or cues.BY.search(before)
        or cues.LEARNT_BEHIND.match(behind)
        or (cues.LISTED.search(before) and cues.LISTED_BEHIND.match(behind))
        or (re.search(r"\b(?:in|since|until|by)\s+$", before) and cues.YEAR_BEHIND.match(behind))
        or cues.NEGLECTED.search(before)
        or cues.STATED.search(before)
        or cues.MULTIPLE.search(before)
        or cues.NOW.match(behind)
        or (cues.REMOVED.search(before) and cues.REMOVED_BEHIND.match(behind))
        or cues.ORDINAL.search(before)
        or (re.search(r"(?<!:\s)(?<!:)[\"“'「『]$", before) and re.match(r"[\"”'」』]", behind))
        or cues.NEGLECTED_BEHIND.match(behind)
    )


def _is_brought(quantity: Quantity, before: str, behind: str, text: str) -> bool:
    """Whether the number is the length of an existing text: "this 5,000-word article", "I have a 12,000-word thesis"."""
    if cues.OWNED.search(before) or cues.MADE_FROM.search(before):
        return True
    if (
        not cues.BROUGHT.search(before)
        or cues.ORDERED.search(before)
        or re.match(r"[\s-]{0,2}(?:limit|range|count|target|minimum|maximum|max|min)\b", behind)
    ):
        return False
    start = quantity.first.start
    return bool(
        cues.MADE_BEHIND.match(behind)
        or (cues.ASKING.match(text) and not cues.WRITING.search(text[:FAR]))  # "what does the 25-word sentence mean?"
        or cues.WORKED_ON.search(text[:FAR])
        or cues.WORKED_ON.search(text[max(0, start - FAR) : start + NEAR])
    )


def _is_part(before: str, behind: str, text: str) -> bool:
    """Whether the number is the length of a title, an abstract or a sentence, not of the requested text."""
    match = cues.PART.search(before)
    if not match:
        behind_match = cues.PART_BEHIND.match(behind)
        if not behind_match or not cues.IS_PART.search(before):
            return False
        match = behind_match
    part = match["part"]
    if not cues.TITLES.fullmatch(part) and (text.find(part, 0, 24) >= 0 or "写" in match.groupdict().get("conn", "")):
        return False
    return not re.search(cues.WRITES + re.escape(part), text)


# ---- from mentions to a request

_Found = tuple[LengthRequest, list[tuple[int, int]]]


def _of_whole(mentions: list[_Mention]) -> _Found | None:
    whole = [mention for mention in mentions if mention.pieces is None]
    if not whole:
        return None
    products = [(mention.high * mention.pieces.most, mention.high) for mention in mentions if mention.pieces]
    best = max(whole, key=lambda mention: (mention.high, mention.kind != "exact"))
    if any(product >= 4 * best.high and best.high <= 2 * piece for product, piece in products) and not best.total:
        return None  # the length of another part: "... and a 50-word introduction"
    spans = [(best.start, best.end)]
    if best.kind == "exact" and best.tolerance:
        return LengthRequest(best.high, "exact", best.high - best.tolerance, best.high + best.tolerance), spans
    lowest = [mention for mention in whole if mention.kind == "least" and mention is not best]
    if best.kind == "least" and any(m.kind == "most" and m.high < best.high <= 4 * m.high for m in whole):
        return NONE, []  # at least 2,000 words and at most 1,000
    if best.kind == "most" and lowest:
        low = max(lowest, key=lambda mention: mention.high)
        if low.high < best.high:
            return LengthRequest(best.high, "range", low.high, best.high), sorted([(low.start, low.end), *spans])
    return _request(best.kind, best.low, best.high), spans


def _of_pieces(mentions: list[_Mention], text: str) -> _Found | None:
    counted = [(mention, mention.pieces) for mention in mentions if mention.pieces and mention.pieces.most]
    if not counted:
        return None
    best, pieces = max(counted, key=lambda counted_: counted_[0].high * counted_[1].most)
    kind: LengthKind = "range" if best.kind == "exact" and pieces.fewest < pieces.most else best.kind
    low = best.low * pieces.fewest
    high = best.high * (pieces.fewest if kind == "least" else pieces.most)
    return _request(kind, low, high), sorted([(pieces.start, end_of_noun(text, pieces.end)), (best.start, best.end)])


def _request(kind: LengthKind, low: int, high: int) -> LengthRequest:
    """A length request with the bounds of its kind."""
    lowest = {"exact": high, "least": high, "range": low}.get(kind)
    return LengthRequest(high, kind, lowest, None if kind == "least" else high)


def _in_sheets(text: str) -> _Found | None:
    """The length in sheets of manuscript paper: 原稿用紙5枚, 원고지 10매."""
    match = cues.SHEETS.search(text)
    if not match:
        return None
    size = int(match["size"] or SHEET["ja"]) if match["n"] else int(match["size_ko"] or SHEET["ko"])
    total = size * int(match["n"] or match["n_ko"])
    sheet = Number(match.start(), match.end(), total, total)
    kind, lead, trail = bound(Quantity(sheet, sheet, match.end(), "枚", total, total, 0, True), text)
    return (_request(kind, total, total), [(match.start() - lead, match.end() + trail)]) if total else None


def _in_pages(text: str) -> _Found | None:
    """The first requested number of pages. Pages of material that the prompt contains do not count."""
    found = (match for start, end in stretches(text, cues.PAGE_NAMES) for match in cues.PAGES.finditer(text, start, end))
    for match in islice(found, MENTIONS):
        before = text[max(0, match.start() - NEAR) : match.start()]
        if cues.PAGE_OF_MATERIAL.search(before):
            continue
        page = PAGE["页" if match["zh"] else "page"]
        pages = number(match["zh"] or match["value"])
        most = number(match["high"]) if match["high"] else pages
        if not 0 < pages <= most <= MOST_PAGES or match["zh"] == "一":  # 一页 is usually a figure of speech
            continue
        one = Number(match.start(), match.end(), pages, most)
        kind, lead, trail = bound(Quantity(one, one, match.end(), "page", pages, most, 0, True), text)
        return _request(kind, pages * page, most * page), [(match.start() - lead, match.end() + trail)]
    return None
