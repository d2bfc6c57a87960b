"""Which language a text is in. Scripts decide first; py3langid tells the languages of the Latin script apart.

A Chinese character weighs as much as a Latin word, so that a Chinese ask that quotes an English title stays Chinese.
"""

import re
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

UNKNOWN = "unknown"  # nothing in it that could tell

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA = re.compile(r"[\u3041-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+")
_LETTER = re.compile(r"[^\W\d_]")
_CANDIDATES = ["en", "fr", "de", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "ro", "hu", "tr", "vi", "id", "tl", "hr", "la"]
_SURE = 0.9  # below it a plain ASCII text counts as English: short asks are hard to tell
_READ = 20_000  # characters that are looked at


def language_of(text: str) -> str:
    """`en`, `zh`, the code of another language, or `unknown` where there is nothing to tell it by."""
    text = text[:_READ]
    han, kana, hangul = (len(script.findall(text)) for script in (_HAN, _KANA, _HANGUL))
    latin = len(_LATIN.findall(text))
    others = len(_LETTER.findall(_LATIN.sub("", text))) - han - kana - hangul
    if not han + kana + hangul + latin + others:
        return UNKNOWN
    if kana * 10 > han + kana and kana > 1 and han + kana > latin:
        return "ja"
    if hangul > max(han, latin):
        return "ko"
    if han >= max(latin, others, 1):
        return "zh"
    return _latin(text) if latin * 4 >= others else _classify(text, None)[0]


def _latin(text: str) -> str:
    words = " ".join(_LATIN.findall(text))
    code, probability = _classify(words, "latin")
    return "en" if words.isascii() and probability < _SURE else code


def _classify(text: str, script: str | None) -> tuple[str, float]:
    code, probability = _identifier(script).classify(text)
    return str(code), float(probability)


@cache
def _identifier(script: str | None) -> LanguageIdentifier:
    """Loaded when first needed: the model takes a good part of a second."""
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if script == "latin":
        identifier.set_languages(_CANDIDATES)
    return identifier
