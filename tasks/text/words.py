"""Fixed mode: word counts as a person would count, and S_l against a length band. The paper's counts (counts.py) are kept separate.

One word is:

- Letters and digits without a space between them, with accents and signs, in any script: café, GPT4, слово, किताब, 2024.
- Parts joined by an apostrophe, hyphen (not a dash), `_`, `@`, `&` or middle dot between letters or digits: don't, state-of-the-art, R&D.
- Digits joined by a comma, colon or slash: 1,000.5, 12:30, 1/2. Between letters these signs separate words: and/or is two.
- Parts joined by a full stop before a digit, a small letter or a single letter: 3.14, e.g., U.S.A., Node.js.
- Each Han character (including extensions and compatibility ideographs) and each kana (including long marks): lengths in Chinese and
  Japanese are requested in characters. Hangul is separated by spaces.
- In Thai, Lao, Khmer and Burmese, which have no spaces between words: each word that ICU's dictionaries find.
- A web or e-mail address in the text. The target of a Markdown link does not count.

Not counted: punctuation, symbols, emoji, circled numbers; in Markdown and HTML also markup, list numbers, fences with their language,
images, footnote marks, link definitions, tags and comments.

These are the word boundaries of Unicode (UAX #29, with dictionaries for scripts without spaces) with three changes: a hyphen, `_`,
`@` or `&` joins; a slash between digits joins; each kana counts. The rules are the same for every language.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tasks.text.counts import s_l
from tasks.text.length_requests import LengthRequest, parse_length_request

if TYPE_CHECKING:
    import numpy as np

# One bit for each property of a character that the rules use.
WORD, SINGLE, LOWER, DIGIT, JOINS, JOINS_DIGITS, STOP, WITHIN = (1 << n for n in range(8))

_Ranges = tuple[tuple[int, int], ...]
_JOINING = "-\u2010\u2011\ufe63\uff0d\u058a\u05be'\u2018\u2019\uff07\u05f3\u05f4_\uff3f@\uff20&\uff06\u00b7\u2027"
_JOINING_DIGITS = ",:/\u066b\u066c\u2044\uff1a\uff0f"
_STOPS = ".\uff0e"
_KANA: _Ranges = (
    (0x3041, 0x3096),
    (0x309D, 0x309F),
    (0x30A1, 0x30FA),
    (0x30FC, 0x30FF),
    (0x31F0, 0x31FF),
    (0xFF66, 0xFF9D),
    (0x1AFF0, 0x1B16F),
)
_HAN: _Ranges = (
    (0x2E80, 0x2FDF),
    (0x3005, 0x3005),
    (0x3007, 0x3007),
    (0x3021, 0x3029),
    (0x3038, 0x303B),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
)
_MORE_HAN: _Ranges = ((0xF900, 0xFAFF), (0x20000, 0x3FFFD))  # all of planes 2 and 3: includes characters unknown to Python's Unicode data
_CIRCLED: _Ranges = ((0x2460, 0x24FF), (0x2776, 0x2793), (0x3220, 0x325F), (0x3280, 0x32BF), (0x1F100, 0x1F10C), (0x200B, 0x200B))
_VOICED: _Ranges = ((0xFF9E, 0xFF9F), (0xE0000, 0xE0FFF))  # marks after half-width kana; tags and variation selectors
_CATEGORIES = dict.fromkeys(("Lu", "Lt", "Lm", "Lo", "Nl", "No"), WORD) | dict.fromkeys(("Mn", "Mc", "Me", "Cf"), WITHIN)
_CATEGORIES |= {"Ll": WORD | LOWER, "Nd": WORD | DIGIT}

_INLINE = "a|abbr|b|code|del|em|font|i|ins|kbd|mark|s|small|span|strong|sub|sup|u"
_BLOCKS = "blockquote|br|center|details|div|h[1-6]|hr|img|li|ol|p|pre|summary|table|tbody|td|th|thead|tr|ul"
_INSIDE = r"(?:\s[^<>=]*=[^<>]*)?\s?/?>"  # attributes and end of a tag
_URL = r'(?:https?://|ftp://|www\.)[^\s"*<>\\\]|\x7f-\U0010ffff]+'
_EMAIL = r"(?<![a-z\d.%+-])[a-z\d_.%+-]{1,64}@(?:[a-z\d-]{1,63}\.){1,8}[a-z]{2,24}"
_ADDRESS = re.compile(f"{_URL}|{_EMAIL}", re.IGNORECASE)
_IMAGE = re.compile(r"!\[[^\[\]\n]*\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)?\)")
_TARGET = re.compile(r"\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)?(?:[ \t]+\"[^\"\n]*\")?\)")
_DEFINITION = re.compile(r"\n {0,3}\[[^\[\]\n]{1,99}\]:[ \t]*<?[a-z]{3,5}:[^\n]*", re.IGNORECASE)
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]{1,32}\]:?")
_FENCE = re.compile(r"\n[ \t>]*(?:```|~~~)[^\n`]*")
_PARTING_TAG = re.compile(rf"<!--[^<>]*-->|</?(?:{_BLOCKS}){_INSIDE}", re.IGNORECASE)
_TAG = re.compile(rf"</?(?:{_INLINE}){_INSIDE}", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z]{2,24}\d{0,2});", re.IGNORECASE)
_LIST = re.compile(r"\n[ \t>#*_+-]*(?:[0-9]{1,3}(?:[.)][ \t*_]|\\\.[ \t]|、)|\[[xX]\] )")
_KEYCAP = re.compile("[0-9#*]\ufe0f?\u20e3")
# Pattern, signs that every match contains (checked first because the check is cheap), and the replacement. A search for a single sign
# is ten times as fast as a search for several characters.
_MARKUP = (
    (_FENCE, ("`", "~"), "\n"),
    (_IMAGE, ("[",), " "),
    (_TARGET, ("[",), "]"),
    (_DEFINITION, ("[",), "\n"),
    (_FOOTNOTE, ("[",), ""),
    (_PARTING_TAG, ("<",), " "),
    (_TAG, ("<",), ""),
    (_KEYCAP, ("\u20e3",), " "),
    (_ADDRESS, ("://", "www.", "WWW.", "@"), "x"),
)


def count_fixed(text: str) -> int:
    """The number of words by the rules in the module docstring. Accepts any text; linear in its length.

    Raises ImportError for Thai, Lao, Khmer or Burmese text without icu4py.
    """
    text = _without_markup(text)
    runs = [] if text.isascii() else _UNSPACED.findall(text)
    return _counter()(_UNSPACED.sub(" ", text)) + _in_dictionary(runs) if runs else _counter()(text)


_UNSPACED = re.compile(  # letters and marks, without digits and signs, of scripts that have no spaces between words
    "[\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecf\u0edc-\u0edf\u1780-\u17d3\u17d7\u17dc\u17dd"  # Thai, Lao, Khmer
    "\u1000-\u103f\u1050-\u1089\u108e\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f]+"  # Burmese
)


def _in_dictionary(runs: Sequence[str]) -> int:
    """The number of words in runs of letters without spaces. Raises ImportError without icu4py."""
    from icu4py.breakers import WordBreaker

    text = " ".join(runs)
    return sum(text[start] != " " for start, _ in WordBreaker(text, "und").segments())


def _without_markup(text: str) -> str:
    text = f"\n{text}"
    for pattern, signs, instead in _MARKUP:
        if any(map(text.__contains__, signs)):
            text = pattern.sub(instead, text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return _LIST.sub("\n", text)


@cache
def _counter() -> Callable[[str], int]:
    """The counter. Created at first use, because importing numpy is slow."""
    import numpy as np

    def count(text: str) -> int:
        """Ends of runs of letters and digits, minus runs that a sign joins to the next run, plus characters that count alone."""
        if text.isascii():
            kinds = np.frombuffer(f"  {text}  ".encode().translate(_ascii_kinds()), np.uint8)
        else:
            codes = np.frombuffer(np.array(f"  {text}  "), np.uint32)
            kinds = np.frombuffer(_kinds(0x10000 if np.maximum.reduce(codes) < 0x10000 else 0x110000), np.uint8).take(codes)
        parting = kinds < WITHIN
        if not parting.all():
            kinds = kinds[parting]  # accents, joiners and direction marks do not separate words
        word = (kinds & WORD).view(bool)
        ends = np.count_nonzero(word[:-1] > word[1:])
        alone = np.count_nonzero(kinds & SINGLE)
        signs = (kinds >= JOINS).nonzero()[0]
        return int(ends + alone - _joined(kinds, signs[(word[signs - 1] & word[signs + 1]).nonzero()[0]]))

    return count


def _joined(kinds: "np.ndarray", signs: "np.ndarray") -> int:
    """How many of these signs, each between two letters or digits, join them. `signs`: positions in `kinds`."""
    sign, before, behind, next_but_one = kinds[signs], kinds[signs - 1], kinds[signs + 1], kinds[signs + 2]
    digits = before & behind & DIGIT != 0
    stop = (behind & (LOWER | DIGIT) != 0) | (next_but_one & WORD == 0)
    return int(((sign & JOINS != 0) | (sign & JOINS_DIGITS != 0) & digits | (sign & STOP != 0) & stop).sum())


@cache
def _ascii_kinds() -> bytes:
    """The property bits of each byte, for `bytes.translate` of ASCII text."""
    return _kinds(0x80) + bytes(0x80)


@cache
def _kinds(size: int) -> bytes:
    """The property bits of each code point below `size`, one byte each."""
    kinds = bytearray(_CATEGORIES.get(category, 0) for category in map(unicodedata.category, map(chr, range(min(size, 0x20000)))))
    kinds += bytes(size - len(kinds))
    for ranges, kind in ((_HAN + _MORE_HAN + _KANA, SINGLE), (_VOICED, WITHIN), (_CIRCLED, 0)):
        for first, last in ranges:
            if last < size:
                kinds[first : last + 1] = bytes([kind]) * (last + 1 - first)
    for signs, kind in ((_JOINING, JOINS), (_JOINING_DIGITS, JOINS_DIGITS), (_STOPS, STOP)):
        for code in filter(size.__gt__, map(ord, signs)):
            kinds[code] = kind
    return bytes(kinds)


@lru_cache(maxsize=1_000)  # answers to one prompt usually follow each other
def _request(prompt: str) -> LengthRequest:
    return parse_length_request(prompt)


class Constraint(NamedTuple):
    """The length band of a prompt, in words, inclusive."""

    least: int
    most: int


def constraint(prompt: str, length: int) -> Constraint:
    """The length band of `prompt`, for which the benchmark states `length` words.

    The band is `length` alone if the prompt's length request has another target or if it names no length. Raises ValueError
    unless `length` is positive.
    """
    if length <= 0:
        raise ValueError(f"asked {length}: a length is positive")
    request = _request(prompt)
    return Constraint(*request.band) if request.target == length and request.band else Constraint(length, length)


def s_l_fixed(asked: Constraint, written: int) -> float:
    """100 inside the length band, otherwise S_l against the nearer end, 0 to 100. Equal to S_l for a band of one length.

    Raises ValueError as `s_l` does, and if `least` is larger than `most`.
    """
    if asked.least > asked.most:
        raise ValueError(f"from {asked.least} to {asked.most}: the ends of a length are the wrong way round")
    return s_l(min(max(written, asked.least), asked.most), written)
