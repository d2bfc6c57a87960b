"""Find the number of pieces that share a length: "52 entries of 200 words each", 每章2000字，共10章."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.text import length_cues as cues
from tasks.text.numbers import NUMBER, number
from tasks.text.quantities import NUMERAL, Number, Quantity, unit_of

MOST_PIECES = 1_000
FAR = 400  # characters before a length that are searched for the number of pieces

_WORD = re.compile(r"[a-z]{3,}")
_NO_KEY = re.compile(
    r"the|ones?|should|must|shall|will|can|may|ha(?:s|ve)|are|being|about|around|with|approximately|roughly|exactly|least|most|than"
    r"|more|less|fewer"
    r"|over|under|above|below|not|exceed\w*|words?|long\w*|shorter|larger|length|between|from|for|these|those|them|and|two|three"
    r"|four|five|six|seven|eight|nine|ten"
    r"|hundred|thousand"
    r"|run\w*|tak\w+|need\w*|last\w*|fill\w*|compris\w*|up|some|full|worth|its?|includ\w*|span\w*|total\w*|averag\w+|reach\w*"
    r"|limit\w*|ke?pt|keep"
    r"|contain\w*|consist\w*|using|precisely|min\w*|max\w*|within|write|please|use"
)
_NO_SIGN = re.compile(
    r"[\s\d个個一的大约約은는이가를을의は]|不|超过|少于|多于|低于|至少|最少|最多|至多|写|要|应|该|需|在|为|是|有|字数|控制|限制?"
    r"|左右|都|均|得|能|可|须|必|长度|篇幅|最低|最大|各"
)
# Chinese classifiers, and first characters of nouns that they count: 5篇 counts 帖文 and 故事.
_CLASSIFIED = {"篇": "文帖稿故作日散小影书心报", "条": "评文推消微短朋说", "封": "信邮情", "个": "故段章部", "部": "小剧作"}
_OPENS_RANGE = re.compile(rf"\s?(?:-|–|~|to|至|到)\s?(?:{NUMBER})")
_NATIVE_VALUES = {word: n for n, word in enumerate(("두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉", "열"), 2)}
_NATIVE = re.compile(rf"(?<![가-힣])({'|'.join(_NATIVE_VALUES)})\s?(?=개|편|장|문단|단락|가지|통|번|명|권)")
_NOUN = re.compile(r"(?:[\s-]{0,2}(?!(?:of|with|at|for|and|on|about|one|in|each|per|should|must)\b)[a-z'-]+){1,3}|[^\s\d,.。、;]{1,3}")
_PLURAL = re.compile(r"^[\s-]{0,2}(?:[\w'’-]+\s){0,3}?[a-z-]{3,}s\b")
_OF_PIECES = re.compile(rf"(?P<n>{NUMBER})[\s-]+(?:[\w-]+\s+){{0,2}}(?P<noun>[a-z-]+s)\s+(?:of|at)\s+(?:[a-z]+\s+){{0,4}}$")


class Pieces(NamedTuple):
    """The number of pieces as a range, and the position of its phrase; all 0 if the text names no number."""

    fewest: int = 0
    most: int = 0
    start: int = 0
    end: int = 0


def pieces_of(quantity: Quantity, before: str, behind: str, text: str) -> Pieces | None:
    """The pieces that have this length each; None if it is the length of the whole text.

    `before` and `behind`: the text around the quantity.
    """
    start = quantity.first.start
    if (of := _OF_PIECES.search(before)) and cues.PIECES.fullmatch(of["noun"]) and 2 <= number(of["n"]) <= MOST_PIECES:
        return Pieces(number(of["n"]), number(of["n"]), start - len(before) + of.start(), start - len(before) + of.end("noun"))
    if quantity.unit.endswith("word") and (plural := cues.PLURAL_BEHIND.match(behind)) and (several := cues.SEVERAL.search(before)):
        n = number(several["n"]) if several["n"] else 0
        return Pieces(n, n, start - len(before) + several.start(), start) if n and plural else Pieces()
    match = cues.EACH_BEHIND.match(behind) or cues.EACH.search(before)
    if not match:
        return None
    key = next((group for group in match.groups() if group), "")
    counts = [*reversed([*_counts(text, max(0, start - FAR), start)]), *_counts(text, quantity.end, min(len(text), quantity.end + 80))]
    found = _count(counts, key, text)
    return None if cues.TIMES.match(key) and not _names(key, found, text) else found  # "a walk every day in 800 words"


def _count(counts: Sequence[Pieces], key: str, text: str) -> Pieces:
    """The count of the noun that follows "each"; otherwise the nearest count of a noun for pieces of a text."""
    for count in counts:
        if _names(key, count, text):
            return count
    if _stems(key) or _sign(key):  # "3 articles ... each paragraph"
        return Pieces()
    likely = (count for count in counts if cues.PIECES.search(_things(text, count.end)[:32]) or _PLURAL.match(_things(text, count.end)))
    return next(likely, Pieces())


def _stems(key: str) -> set[str]:
    return {word[:4] for word in _WORD.findall(key) if not _NO_KEY.fullmatch(word)}


def _sign(key: str) -> str:
    """The first character of a Chinese, Japanese or Korean noun, or empty."""
    found = re.search(r"[\u30a0-\u30ff\u3400-\u9fff\uac00-\ud7af]", _NO_SIGN.sub("", key))
    return found[0] if found else ""


def _names(key: str, count: Pieces, text: str) -> bool:
    """Whether the counted noun is the noun that follows "each"."""
    things = _things(text, count.end) if count.most else ""
    sign = _sign(key)
    classified = next((nouns for classifier, nouns in _CLASSIFIED.items() if things.lstrip().startswith(classifier)), "")
    return bool((sign and (sign in things[:8] or sign in classified)) or _stems(key) & {word[:4] for word in _WORD.findall(things)[:4]})


def _counts(text: str, start: int, end: int) -> Iterator[Pieces]:
    """Counts between two positions of the text: "52 entries", 五封信, "3-5 letters"."""
    for match in _NATIVE.finditer(text, start, end):
        yield Pieces(_NATIVE_VALUES[match[1]], _NATIVE_VALUES[match[1]], match.start(), match.end(1))
    low = Pieces()
    for match in NUMERAL.finditer(text, start, end):
        n = number(match[0])
        follows = text[match.end() : match.end() + 1]
        if (
            not 2 <= n <= MOST_PIECES
            or (follows.isascii() and follows.isalnum())
            or cues.NO_PIECES.match(text[match.end() : match.end() + 12])
        ):
            low = Pieces()
            continue
        here = Pieces(n, n, match.start(), match.end())
        if low.most and low.most < n and cues.RANGE.fullmatch(text[low.end : match.start()]):
            here = Pieces(low.fewest, n, low.start, match.end())
        low = here
        if not _OPENS_RANGE.match(text, match.end()) and not unit_of(Number(match.start(), match.end(), n, n), text):
            yield here


def _things(text: str, start: int) -> str:
    """The words after the number that ends at `start`, up to a punctuation mark."""
    return re.split(r"[.,;!?\n。、]", text[start : start + 40])[0]


def end_of_noun(text: str, start: int) -> int:
    """The end of the noun that follows `start`, or `start` if there is none."""
    match = _NOUN.match(text, start)
    return match.end() if match else start
