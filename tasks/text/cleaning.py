"""Clean a written text, and detect refusals and repeated paragraphs.

Cleaning changes no word. Other modules remove what belongs to the plan (plan_markup.py), comments of the model (meta_comments.py)
and tokens of the chat format (endings.py).
"""

import re
import unicodedata
from collections.abc import Sequence

from tasks.text.unicode import normalized

_NEWLINE = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_ZERO_WIDTH = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_JOINER = re.compile(r"[\u200c\u200d]+")
_SPACES = re.compile(r"(?<=\S)(?:[ \t\u00a0\u3000]{2,}|\u3000)(?=\S)")
_INDENT = re.compile(r"^[ \t\u00a0]*\u3000[ \t\u00a0\u3000]*", re.MULTILINE)  # the indent of Chinese paragraphs
_BLANK = " \t\u00a0\u3000"
_BLANK_LINES = re.compile(r"\n{3,}")

_SORRY = r"(?:(?:i['’]?m|i am) (?:(?:very|so|really|truly) )?sorry|sorry|(?:my )?apologies|i (?:must )?apologi[sz]e|unfortunately)"
_CANNOT = r"i(?:['’]m| am)? (?:just )?(?:can['’]?t|cannot|can not|won['’]?t(?: be able to)?|will not|(?:not |un)able to|must decline to)"
_DO = (
    r"(?:assist|help|fulfill?|comply|write|provide|continue|create|generate|complete|produce|engage|answer|respond|process|discuss"
    r"|support|proceed|do (?:that|this))\b"
)
_TASK = r"(?:content|request|story|text|essay|article|paragraph|task|kind|type|topic)\b"
_NOT_ZH = r"(?:不能|无法|没办法|没有办法|不便|不可以)"
_DO_ZH = r"(?:提供|满足|完成|协助|帮|生成|创作|继续|回答|撰写|写|处理|执行|给出|回应|讨论|参与|支持|输出|遵循|按照|响应|[为替给][您你])"
_REFUSALS = (
    rf"{_SORRY}\W[^.\n]{{0,30}}?\b{_CANNOT} (?:\w+ ){{0,2}}?{_DO}",
    rf"{_CANNOT} (?:(?:assist|help)(?: you)? with (?:this|that|your)|fulfill? (?:this|that|your|the request)|comply with|provide that)",
    rf"{_CANNOT} (?:create|write|continue|generate|produce|complete) (?:(?:this|that|your|such|any) {_TASK}|content (?:of|that|like)\b)",
    r"i (?:do not|don['’]t) feel comfortable (?:writing|creating|generating|continuing|providing)",
    r"(?:this|your|the) request (?:violates|goes against|is against) ",
    r"(?:as|i['’]?m|i am) (?:just )?an? (?:ai |artificial intelligence |large )*language[ -]model\b[^.\n]{0,60}?\b(?:i|my)\b",
    r"as an? (?:ai|artificial intelligence)(?: assistant| system| model| chatbot)?, ?i(?:['’]m| am)? "
    r"(?:can['’]?t|cannot|can not|not|don['’]t|do not|won['’]?t|will not|unable|must)\b",
    rf"(?:[您你]好[，,。！!\s]*)?(?:很|非常|十分|实在|真的)?(?:抱歉|对不起|遗憾|不好意思)[，,。！!\s]*(?:但是?|不过)?(?:作为[^，。\n]{{1,20}}[，,])?"
    rf"我(?:暂时|目前|现在)?{_NOT_ZH}[^，。！？\n]{{0,6}}?{_DO_ZH}[^。\n]{{0,20}}",
    r"(?:很|非常|十分)?(?:抱歉|对不起)[，,。！!\s]*(?:这个|该|[您你]的)(?:请求|问题|话题|内容|要求)[^。\n]{0,20}",
    r"我?作为(?:一个|一名|一款)?(?:基于[^，。\n]{1,12}的)?(?:AI|人工智能|大?语言模型)(?:语言|大?模型|助手|助理|程序|系统)*[，,、\s]*"
    rf"我[^。\n]{{0,8}}(?:{_NOT_ZH}|不会|不具备|没有(?:能力|权限))[^。\n]{{0,20}}",
    rf"我{_NOT_ZH}(?:继续)?{_DO_ZH}[^。\n]{{0,12}}(?:请求|违法|违规|不当|有害|此类|这类|该内容)[^。\n]{{0,10}}",
)
_REFUSAL = re.compile(rf"[\s*_#>]{{0,4}}(?P<evidence>{'|'.join(_REFUSALS)})", re.IGNORECASE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
_HEADING = re.compile(r"\s*(?:[#*【\[(]|paragraph \d)[^\n]{0,80}\n\s*", re.IGNORECASE)
_ADDRESSED = (",", "，", ":", "：")  # after "Dear Anna," the text is part of a letter
_SHORTEST = 100  # characters; a Chinese one counts as three. A shorter paragraph may repeat: a heading, a scene's place, a refrain
_HAN = re.compile(r"[\u3400-\u9fff]")


def clean(text: str) -> str:
    """The text in NFC, without invisible characters and with regular white space; words and lines do not change.

    Removes zero-width spaces, byte order marks, bidi controls and control characters. Joiners are kept inside graphemes (emoji
    families, Indic and Arabic script) and removed elsewhere. Never raises.
    """
    text = _INVISIBLE.sub("", normalized("NFC", _NEWLINE.sub("\n", text)))
    if not text.isascii():
        text = _JOINER.sub(_joiner, text)
    if "\u3000" in text:
        text = _INDENT.sub("", text)
    if "  " in text or "\t" in text or "\u00a0" in text or "\u3000" in text:
        text = _SPACES.sub(" ", text)
    text = "\n".join([line.rstrip(_BLANK) for line in text.split("\n")])
    return _BLANK_LINES.sub("\n\n", text).strip() if "\n\n\n" in text else text.strip()


def unseen(text: str) -> int:
    """The number of zero-width characters that `clean` would remove. Joiners inside graphemes do not count."""
    joiners = 0 if text.isascii() else sum(not _joiner(match) for match in _JOINER.finditer(text))
    return joiners + len(_ZERO_WIDTH.findall(text))


def _joiner(match: re.Match[str]) -> str:
    before, behind = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    return match[0][:1] if _joins(before) and _joins(behind) else ""


def _joins(character: str) -> bool:
    """Whether a joiner next to `character` has a meaning: emoji, marks, and scripts in which letters change shape."""
    if not character or character < "\u0590":
        return False
    return unicodedata.category(character)[0] in "MS" or (
        character.isalpha() and not unicodedata.name(character, "").startswith(("CJK", "HANGUL", "HIRAGANA", "KATAKANA", "LATIN"))
    )


def refusal(text: str) -> str | None:
    """The words of a model's refusal at the beginning of a paragraph, or None. Quoted speech does not count."""
    heading = _HEADING.match(text)
    blocks = [*_BLANK_LINE.split(text.strip()), text[heading.end() :] if heading else ""]
    before = ["", *blocks[:-2], ""]
    for block, above in zip(blocks, before, strict=True):
        if not above.endswith(_ADDRESSED) and (match := _REFUSAL.match(block)):
            return match["evidence"].strip()
    return None


def repeated(paragraphs: Sequence[str]) -> str | None:
    """The first two paragraphs that are equal except for case and white space, as a message; None if all differ."""
    seen: dict[str, int] = {}
    for place, paragraph in enumerate(paragraphs, 1):
        text = " ".join(normalized("NFC", paragraph).casefold().split())
        if len(text) + 2 * len(_HAN.findall(text[:_SHORTEST])) >= _SHORTEST and seen.setdefault(text, place) != place:
            return f"paragraphs {seen[text]} and {place} are the same: {text[:40]}"
    return None
