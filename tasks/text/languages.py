"""Detect the language of a text. The script decides first; CLD2 distinguishes languages of the Latin script and all rarer ones.

A Chinese character weighs as much as a Latin word, so a Chinese prompt with an English title is Chinese. If both weigh much, as in
a prompt that contains a text in the other language, the first and last words decide, because they usually contain the request.
"""

import re

import pycld2

UNKNOWN = "unknown"  # the text has no letters, or CLD2 finds no language
_TODAY = {"iw": "he", "jw": "jv", "sr-ME": "sr"}  # withdrawn codes that CLD2 returns, and the current ones
_PLAIN = 0.75  # share of ASCII words from which a text is English if CLD2 is unsure; English has words such as résumé

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA = re.compile(r"[\u3041-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+")
# Letters of two stretches: more than half of a stretch's 80 bytes or more, where a letter has three bytes and another character four.
_LATIN_TEXT = re.compile(r"(?:[^A-Za-z\u00c0-\u024f\u1e00-\u1eff]*+[A-Za-z\u00c0-\u024f\u1e00-\u1eff]){24}")
_LETTER = re.compile(r"[^\W\d_]")
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]|[\U0001fffe\U0001ffff]")
_SURELY_READABLE = bytes({9, 10, *range(0x20, 0x7F), *range(0x80, 0x100)} - {0xC2, 0xED, 0xEF, *range(0xF0, 0xF5)})  # UTF-8 bytes that
# do not begin a character of `_UNREADABLE`; this check takes a tenth of the time
_MIXED = 0.2  # ratio of the smaller weight to the larger one from which the edges of the text decide
_EDGE = 160  # characters at either end
_STRETCH = 80  # bytes; smallest stretch for which the language is determined
_READ = 8_000  # characters that are read


def language_of(text: str) -> str:
    """The ISO 639 code of the language (two letters; three if there is no code of two), or `unknown`. Reads the first 8,000 characters."""
    text = text[:_READ]
    if text.isascii():
        return _latin(text) if _LETTER.search(text) else UNKNOWN
    han, latin, other = _weights(text)
    if han and latin and len(text) > 2 * _EDGE and min(han, latin) >= _MIXED * max(han, latin):
        text = f"{text[:_EDGE]}\n{text[-_EDGE:]}"
        han, latin, other = _weights(text)
    kana, hangul = len(_KANA.findall(text)), len(_HANGUL.findall(text))
    if not han + kana + hangul + latin + other:
        return UNKNOWN
    if kana * 10 > han + kana and kana > 1 and han + kana > latin:
        return "ja"
    if hangul > max(han, latin):
        return "ko"
    if han >= max(latin, other, 1):
        return "zh"
    return _latin(" ".join(_LATIN.findall(text))) if latin * 4 >= other else _told(text)[0]


def latin_switches(text: str) -> int:
    """The number of changes between languages of the Latin script. The smallest stretch is 80 bytes, a sentence or two.

    A stretch counts if CLD2 finds the same language in it within the text and alone, and is sure. Linear in the text's length.
    """
    if not _LATIN_TEXT.match(text):
        return 0
    readable = _readable(text)
    *_, spans = pycld2.detect(readable, isPlainText=True, bestEffort=True, returnVectors=True)
    stretches = [(start, length, code) for start, length, _, code in spans if length >= _STRETCH and code != "un"]
    if len({code for _, _, code in stretches}) < 2:
        return 0  # most texts end here
    raw, found = readable.encode("utf-8", "replace"), list[str]()
    for start, length, code in stretches:
        if code in found[-1:]:
            continue
        stretch = raw[start : start + length].decode("utf-8", "ignore")
        if 2 * len("".join(_LATIN.findall(stretch))) > len(stretch) and _told(stretch) == (code, True):
            found.append(str(code))
    return max(0, len(found) - 1)


def _weights(text: str) -> tuple[int, int, int]:
    """Counts of Chinese characters, of words in Latin letters, and of letters in other scripts (without kana and Hangul)."""
    rest = _LATIN.sub("", text)
    han = len(_HAN.findall(rest))
    return han, len(_LATIN.findall(text)), len(_LETTER.findall(rest)) - han - len(_KANA.findall(rest)) - len(_HANGUL.findall(rest))


def _latin(text: str) -> str:
    """The language of a text in Latin script. Short prompts are ambiguous: mostly ASCII is English unless CLD2 is sure of another one."""
    code, sure = _told(text)
    if code != "en" and len(text) > 4 * _EDGE and _told(f"{text[:_EDGE]}\n{text[-_EDGE:]}") == ("en", True):
        return "en"  # an English prompt that contains a text in another language
    words = _LATIN.findall(text)
    if code != "en" and len(text) <= 2 * _EDGE and not text.isascii():
        plain = list(filter(str.isascii, words))  # one word such as résumé can outweigh the rest of a short request
        if len(plain) > 1 and 3 * len(plain) >= 2 * len(words) and _told(" ".join(plain)) == ("en", True):
            return "en"
    return code if sure or sum(map(str.isascii, words)) < _PLAIN * len(words) else "en"


def _readable(text: str) -> str:
    """The text without characters that CLD2 rejects."""
    suspects = text.encode("utf-8", "surrogatepass").translate(None, _SURELY_READABLE)
    return _UNREADABLE.sub(" ", text) if suspects else text


def _told(text: str) -> tuple[str, bool]:
    """CLD2's code for the main language of the text, and whether CLD2 is sure."""
    sure, _, languages = pycld2.detect(_readable(text), isPlainText=True, bestEffort=True)
    code = str(languages[0][1])
    if code == "un" or code.startswith("xx-"):  # a script without a language
        return UNKNOWN, False
    return _TODAY.get(code, code.partition("-")[0]), bool(sure)
