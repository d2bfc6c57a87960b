"""Tidying of written text: what a reader would not miss goes, and what he would object to is named.

Nothing here changes a word that was written, except identifiers of paragraphs, which belong to the plan and not to the text.
"""

import re
import unicodedata
from collections.abc import Sequence

_NEWLINE = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_JOINER = re.compile(r"[\u200c\u200d]+")
_SPACES = re.compile(r"(?<=\S)[ \t\u00a0]{2,}(?=\S)")
_TRAILING = re.compile(r"[ \t\u00a0\u3000]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")

_FENCE = re.compile(r"\A(```+|~~~+)[\w-]*\n(.*?)\n?\1\s*\Z", re.DOTALL)
_PLAN_LINE = re.compile(r"\AParagraph \d+ ?[-–—:] ?Main Point:[^\n]*(?:\n+|\Z)", re.IGNORECASE)
_NUMBER = r"(?:\d{1,3}|[一二三四五六七八九十百]+)"
_NAME = rf"(?:paragraph\s+(?:\d{{1,3}}|[ivx]+)|第\s*{_NUMBER}\s*(?:段落?|自然段)|段落\s*{_NUMBER})(?:\s*[(（][^()（）\n]{{1,40}}[)）])?"
_IDENTIFIER = re.compile(
    rf"\A\s*(?:#{{1,6}}\s*)?(?:\*{{1,2}}\s*{_NAME}\s*[:：.]?\s*\*{{1,2}}|[\[【(（]\s*{_NAME}\s*[\]】)）]"
    rf"|{_NAME}(?=\s*(?:[:：.．、–—-]|\n)|\Z))"
    r"[ \t]*[:：.．、–—-]*\s*",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"\n\s*[*_(（\[【]*(?:word count|字数)[^\n\w]{0,4}(?:about |approximately |约)?\d[\d,]*"
    r"\s*(?:words|字)?[*_)）\]】.。]*\s*\Z",
    re.IGNORECASE,
)

_REFUSAL = re.compile(
    r"^[\s*_#>]{0,4}(?P<evidence>"
    r"(?:(?:i['’]?m|i am) (?:very |so |really )?sorry|sorry|(?:my )?apologies|i apologi[sz]e|unfortunately)\W[^.\n]{0,30}?"
    r"\bi(?:['’]m| am)? (?:can['’]?t|cannot|can not|won['’]?t|will not|(?:not |un)able to)"
    r" (?:\w+ ){0,2}?(?:assist|help|fulfill?|comply|write|provide|continue|create|generate|complete|produce|do (?:that|this))\b"
    r"|i(?:['’]m| am)? (?:can['’]?t|cannot|can not|unable to) "
    r"(?:assist with|help with|fulfill? (?:this|that|your)|comply with|provide that|create (?:this|that) content)"
    r"|as an? (?:ai|artificial intelligence|large language|language)[ -](?:language )?(?:model|assistant)"
    r"|(?:很|非常|十分)?(?:抱歉|对不起|遗憾)[，,。！!\s]*(?:但)?我(?:不能|无法|没办法)[^。\n]{0,20}"
    r"|(?:我)?作为(?:一个|一名)?(?:AI|人工智能|大?语言模型)[^。\n]{0,20}"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
_SHORTEST = 20  # characters; a shorter paragraph may come again: a heading, a refrain


def clean(text: str) -> str:
    """NFC, without what cannot be seen and with tidy white space; words and line structure stay as they are.

    Zero-width spaces, byte order marks, bidi controls and control characters go. Joiners stay inside graphemes (emoji
    families, Indic and Arabic script) and go anywhere else. Never raises.
    """
    text = unicodedata.normalize("NFC", _NEWLINE.sub("\n", text))
    text = _JOINER.sub(_joiner, _INVISIBLE.sub("", text))
    text = _TRAILING.sub("", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text).strip()


def _joiner(match: re.Match[str]) -> str:
    before, behind = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    return match[0][:1] if _joins(before) and _joins(behind) else ""


def _joins(character: str) -> bool:
    """Whether a joiner beside it can mean anything: emoji and marks, and scripts whose letters change shape."""
    if not character or character < "\u0590":
        return False
    return unicodedata.category(character)[0] in "MS" or (
        character.isalpha() and not unicodedata.name(character, "").startswith(("CJK", "HANGUL", "HIRAGANA", "KATAKANA", "LATIN"))
    )


def strip_identifier(paragraph: str) -> str:
    """A paragraph without the plan's scaffolding: "Paragraph 3:", 第三段：, a fence around it all, a note of its word count.

    A heading of the text itself, such as "Part 2 of 4" or 第2部分，共4部分, stays, and so does a sentence that begins with
    "Paragraph 3 of the contract".
    """
    text = paragraph.strip()
    if fence := _FENCE.match(text):
        text = fence[2].strip()
    text = _PLAN_LINE.sub("", text)
    text = _IDENTIFIER.sub("", text, count=1)
    return _COUNT.sub("", text).strip()


def refusal(text: str) -> str | None:
    """The words by which a model refuses at the beginning of a line, or None. Speech in quotes is not looked at."""
    return match["evidence"].strip() if (match := _REFUSAL.search(text)) else None


def repeated(paragraphs: Sequence[str]) -> str | None:
    """Which paragraphs are the same but for case and white space, or None."""
    seen: dict[str, int] = {}
    for place, paragraph in enumerate(paragraphs, 1):
        text = " ".join(unicodedata.normalize("NFC", paragraph).casefold().split())
        if len(text) >= _SHORTEST and seen.setdefault(text, place) != place:
            return f"paragraphs {seen[text]} and {place} are the same: {text[:40]}"
    return None
