"""Which language a text is in. Scripts decide first; CLD2 tells the languages of the Latin script, and all rarer ones, apart.

A Chinese character weighs as much as a Latin word, so that a Chinese ask that quotes an English title stays Chinese. Where both
weigh much, as in an ask that brings along a text in the other language, its first and last words decide: there it is asked.
"""

import re

import pycld2

UNKNOWN = "unknown"  # nothing in it that could tell
_TODAY = {"iw": "he", "jw": "jv", "sr-ME": "sr"}  # CLD2's codes that ISO 639 has withdrawn
_PLAIN = 0.75  # share of the words in ASCII from which a text that CLD2 is not sure of is English: résumé is said in English too

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA = re.compile(r"[\u3041-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+")
_LETTER = re.compile(r"[^\W\d_]")
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]|[\U0001fffe\U0001ffff]")
_SURELY_READABLE = bytes({9, 10, *range(0x20, 0x7F), *range(0x80, 0x100)} - {0xC2, 0xED, 0xEF, *range(0xF0, 0xF5)})  # UTF-8, but for where
# characters of `_UNREADABLE` begin: found in a tenth of the time
_MIXED = 0.2  # weight of the lesser of the two, to the greater one's, from which the edges decide
_EDGE = 160  # characters at either end
_STRETCH = 80  # bytes of a stretch whose language can be told
_READ = 8_000  # characters that are looked at


def language_of(text: str) -> str:
    """The ISO 639 code of the language (two letters, or three where it has no two), or `unknown` where there is nothing to tell it by."""
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
    """How often a text changes from one language of the Latin script to another; a sentence or two of another one is a stretch.

    A stretch counts if CLD2 is sure of its language, within the text and alone. Linear in the text's length.
    """
    readable = _readable(text)
    *_, spans = pycld2.detect(readable, isPlainText=True, bestEffort=True, returnVectors=True)
    stretches = [(start, length, code) for start, length, _, code in spans if length >= _STRETCH and code != "un"]
    if len({code for _, _, code in stretches}) < 2:
        return 0  # most texts: no stretch has to be looked at alone
    raw, found = readable.encode("utf-8", "replace"), list[str]()
    for start, length, code in stretches:
        if code in found[-1:]:
            continue
        stretch = raw[start : start + length].decode("utf-8", "ignore")
        if 2 * len("".join(_LATIN.findall(stretch))) > len(stretch) and _told(stretch) == (code, True):
            found.append(str(code))
    return max(0, len(found) - 1)


def _weights(text: str) -> tuple[int, int, int]:
    """Chinese characters, words in Latin letters, and letters of other scripts (kana and Hangul left out)."""
    rest = _LATIN.sub("", text)
    han = len(_HAN.findall(rest))
    return han, len(_LATIN.findall(text)), len(_LETTER.findall(rest)) - han - len(_KANA.findall(rest)) - len(_HANGUL.findall(rest))


def _latin(text: str) -> str:
    """Short asks are hard to tell: what is plain ASCII counts as English unless CLD2 is sure of another language."""
    code, sure = _told(text)
    if code != "en" and len(text) > 4 * _EDGE and _told(f"{text[:_EDGE]}\n{text[-_EDGE:]}") == ("en", True):
        return "en"  # it brings along a text in another language
    words = _LATIN.findall(text)
    if code != "en" and len(text) <= 2 * _EDGE and not text.isascii():
        plain = list(filter(str.isascii, words))  # one word such as résumé can outweigh the rest of a short request
        if len(plain) > 1 and 3 * len(plain) >= 2 * len(words) and _told(" ".join(plain)) == ("en", True):
            return "en"
    return code if sure or sum(map(str.isascii, words)) < _PLAIN * len(words) else "en"


def _readable(text: str) -> str:
    """The text without what CLD2 refuses to read."""
    suspects = text.encode("utf-8", "surrogatepass").translate(None, _SURELY_READABLE)
    return _UNREADABLE.sub(" ", text) if suspects else text


def _told(text: str) -> tuple[str, bool]:
    """The code of the language that most of the text is in, and whether CLD2 stands by it."""
    sure, _, languages = pycld2.detect(_readable(text), isPlainText=True, bestEffort=True)
    code = str(languages[0][1])
    if code == "un" or code.startswith("xx-"):  # a script without a language
        return UNKNOWN, False
    return _TODAY.get(code, code.partition("-")[0]), bool(sure)
