"""Read numbers as people write them: 1,500, 1.5k, two hundred and fifty, 一万五千, 二〇〇〇, 1만 5천.

A number is read completely or not at all: 50 from "two hundred and fifty" would be wrong.
"""

import re

_ONES = "one two three four five six seven eight nine"
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: n for n, word in enumerate(f"{_ONES} {_TEENS}".split(), 1)} | {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
_POWERS = {"million": 1_000_000, "thousand": 1_000, "hundred": 100, "dozen": 12}
_FRACTIONS = {"half": 0.5, "quarter": 0.25, "quarters": 0.25}

# Digits with groups of three (1,500 1.500 1'500) or two (1,00,000), or with a decimal point (a decimal comma before k or thousand).
DIGITS = (
    r"(?:\d{1,3},\d{1,2}(?=[\s-]?(?:[kK](?![A-Za-z])|thousand|million|[万千]))"
    r"|\d{1,3}(?:[,.'’]\d{3})+(?!\d)|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)|\d{1,12}(?:\.\d+)?)"
)
_NUMERALS = "零〇一二两三四五六七八九十百千万"
# Two alternatives: a figure followed by 百, 千 or 万, or numerals alone. Runs are bounded, so that a match takes constant time.
CHINESE = (
    rf"(?<![{_NUMERALS}])(?:{DIGITS}\s?[百千万](?:\d{{0,4}}[{_NUMERALS}]|\d{{1,4}}(?![\d,.])){{0,8}}"
    rf"|[{_NUMERALS}](?:\d{{0,3}}[{_NUMERALS}]){{0,12}})"
)
FIGURES = rf"(?<!\d)(?<!\d[.,])(?:{CHINESE}|{DIGITS}(?:\s?[kK](?![A-Za-z]))?)"
_WORD = "|".join(sorted(_SMALL, key=len, reverse=True))
_POWER = "|".join(_POWERS)
_FIRST = rf"(?:\ba(?=[\s-]+(?:{_POWER}|half|quarter)\b)|\b(?:half|quarters?)(?=[\s-]+(?:an?|of|{_POWER})\b)|\b(?:{_WORD}|{_POWER})\b)"
_NEXT = (
    rf"[\s-]+(?:(?:(?<=hundred[\s-])|(?<=thousand[\s-])|(?<=million[\s-]))and[\s-]+(?:{_WORD}|a[\s-]+(?:half|quarter))\b"
    rf"|and[\s-]+a[\s-]+half\b"
    rf"|(?:of[\s-]+)?a(?=[\s-]+(?:{_POWER})\b)|(?:{_WORD}|{_POWER})\b|(?:half|quarters?)(?=[\s-]+(?:a\s|of\s|{_POWER})))"
)
ENGLISH = rf"(?:{_FIRST}|(?<!\d)(?<!\d[.,]){DIGITS}(?=[\s-]+(?:{_POWER}|and[\s-]+a[\s-]+half)\b))(?:{_NEXT}){{0,9}}"
NUMBER = rf"(?:{ENGLISH}|{FIGURES})"

_GROUPS = re.compile(r"[,.'’ ](?=\d{3}(?!\d))|,(?=\d{2},)")
_KOREAN = str.maketrans("일이삼사오육칠팔구십백천만", "一二三四五六七八九十百千万")
_DIGIT = {character: n % 10 for n, character in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2}
_SECTION = re.compile(
    r"(?:(?P<thousands>\d+(?:\.\d+)?|[一二两三四五六七八九])?(?P<k>千))?[零〇]?"
    r"(?:(?P<hundreds>\d+(?:\.\d+)?|[一二两三四五六七八九])?(?P<h>百))?[零〇]?"
    r"(?:(?P<tens>\d+|[一二两三四五六七八九])?(?P<t>十))?[零〇]?(?P<ones>\d+(?:\.\d+)?|[一二两三四五六七八九])?"
)


def number(text: str) -> int:
    """The rounded value of a number that `NUMBER` or `FIGURES` matched; 0 if it cannot be read."""
    value = value_of(text)
    return round(value) if value is not None else 0


def value_of(text: str) -> float | None:
    """The value of a number in any of the forms above, or None if it cannot be read completely."""
    text = text.strip().lower().replace("’", "'")
    if re.search(r"[a-z]{3}|\ba\b", text):
        return _english(re.split(r"[\s-]+", text))
    if text.endswith("k"):
        figure = _figure(text[:-1].strip())
        return None if figure is None else figure * 1_000
    text = text.replace("w", "万")  # 1.5w is 1.5万 in chats
    return _figure(text) if text.isascii() else _chinese(re.sub(r"\s", "", text.translate(_KOREAN)))


def _figure(text: str) -> float | None:
    plain = _GROUPS.sub("", text)
    if re.fullmatch(r"\d{1,15}(?:\.\d{1,9})?", plain):
        return float(plain)
    decimal = re.fullmatch(r"(\d{1,3}),(\d{1,2})", plain)  # decimal comma
    return float(f"{decimal[1]}.{decimal[2]}") if decimal else None


def _english(words: list[str]) -> float | None:
    """The value of a number in words: `[two, hundred, and, fifty]`, `[2.5, thousand]`, `[a, quarter, of, a, million]`."""
    words = [word for place, word in enumerate(words) if word != "a" or place + 1 == len(words)]
    if words[:1] and words[0] in _FRACTIONS:
        words = ["one", *words]
    return _below(words, tuple(_POWERS.items()))


def _below(words: list[str], powers: tuple[tuple[str, int], ...]) -> float | None:
    """The value of `words`, in which only the given powers may occur, each once, largest first."""
    if not powers:
        return _small(words)
    (name, power), rest = powers[0], powers[1:]
    if name not in words:
        return _below(words, rest)
    place = words.index(name)
    count = _below(words[:place], rest) if words[:place] else 1.0
    behind = words[place + 1 :]
    if behind[:1] == ["and"]:
        behind = behind[1:]
        if not behind:
            return None
    more = _below(behind, rest) if behind else 0.0
    return None if count is None or more is None or more >= power else count * power + more


def _small(words: list[str]) -> float | None:
    """A number below 100 in words, a figure, or one with a fraction: `[twenty, five]`, `[2.5]`, `[one, and, half]`, `[three, quarters]`."""
    match words:
        case [single]:
            if single in _SMALL:
                return float(_SMALL[single])
            return _figure(single.removesuffix("k")) if single[:1].isdigit() else None
        case [count, fraction] | [count, fraction, "of"] if fraction in _FRACTIONS:
            times = _small([count])
            return None if times is None or times > 3 else times * _FRACTIONS[fraction]
        case [*whole, "and", "half"]:
            count_ = _small(whole)
            return None if count_ is None else count_ + 0.5
        case [ten, one] if _SMALL.get(ten, 0) >= 20 and 0 < _SMALL.get(one, 0) < 10:
            return float(_SMALL[ten] + _SMALL[one])
    return None


def _chinese(text: str) -> float | None:
    if re.fullmatch(r"[零〇一二两三四五六七八九]{2,12}", text):  # 二〇〇〇, digit by digit
        return float("".join(str(_DIGIT[character]) for character in text))
    high, wan, low = text.partition("万")
    if not wan:
        return _section(text)
    if "万" in low:
        return None
    count, below = (_section(high) if high else 1.0), (_section(low) if low else 0.0)
    if count is None or below is None or below >= 10_000:
        return None
    return count * 10_000 + (below * 1_000 if 0 < below < 10 and low[0] not in "零〇" else below)  # 一万五: 15,000


def _section(text: str) -> float | None:
    """A number below 10,000 in digits and numerals: `一千五百`, `1.5`, `5千`, `十二`, `两千五` (2,500)."""
    match = _SECTION.fullmatch(text)
    if not match or not text:
        return None
    total, power = 0.0, 1
    for digits, sign, value in (("thousands", "k", 1_000), ("hundreds", "h", 100), ("tens", "t", 10)):
        if match[sign]:
            total, power = total + _digit(match[digits] or "一") * value, value
    ones = _digit(match["ones"]) if match["ones"] else 0.0
    return total + (ones * power / 10 if total and power > 10 and 0 < ones < 10 and not re.search("[零〇]", text) else ones)


def _digit(text: str) -> float:
    return float(text) if text[0].isdigit() and text[0].isascii() else float(_DIGIT[text])
