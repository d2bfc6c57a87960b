"""How a text ends: complete, at the token limit, inside a sentence, with an offer to continue, or with a notice that it is incomplete.

Lists, references, headings, signatures, tables, code and verse are complete without a full stop. Tokens of a chat format ("</s>",
"<|im_end|>") are not text: `strip_markup` removes them from the end, `markup` finds them anywhere.
"""

import re
import unicodedata
from typing import NamedTuple

from tasks.schema.finish import Finish, finish_of
from tasks.schema.records import Ending as Cause
from tasks.text.offers import declined, offers_more


class Ending(NamedTuple):
    """How a text ends, with the evidence."""

    cause: Cause
    evidence: str  # words of the text that show the cause; empty if the text ended or the finish reason decides
    token: str  # tokens of the chat format that follow the text; empty: none


_TOKEN = re.compile(
    r"</?s>|<\|[\w-]{1,40}\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_(?:turn|text)>|<eos>|<\uff5c[^\uff5c\n]{1,30}\uff5c>"
    r"|\[(?:EOS|/?BOS|gMASK)\]|<end_of_utterance>|<unused\d{1,3}>"
)
_TAIL = 4_000  # characters at the end that are read
_CLOSERS = " \t\r\n\u3000\u200b*_~`#\"'”’»›)]}）】」』》〉"
_ENDS = ".!?…。！？｡؟।～~"
_HAN = re.compile(r"[\u3400-\u9fff\u3040-\u30ff]")
_WORDS = re.compile(r"[\u3400-\u9fff\u3040-\u30ff]|[^\W\d_\u3400-\u9fff\u3040-\u30ff]{1,40}(?:['’-][^\W\d_\u3400-\u9fff]{1,40}){0,3}")
_FENCE = re.compile(r"^[ \t]{0,3}```", re.MULTILINE)
_RULE = re.compile(r"[-*_=~#\s—–]{0,200}\Z")
_LIST = re.compile(
    r"\s*(?:[-*+•·●○▪–—>#]|\(?\d{1,3}[.)、]|\(?[a-zA-Z][.)]|[（(][一二三四五六七八九十]{1,3}[）)]|[一二三四五六七八九十]{1,3}、)\s?"
)
_REFERENCE = re.compile(r"https?:|www\.|\bdoi\b|\bretrieved\b|\bpp?\. ?\d|\(\d{4}[a-z]?\)|#\w+\s*\Z|@|\bisbn\b|\d{4}年\d", re.IGNORECASE)
_CLOSED = re.compile(r"[`\])）】>}$]\s*\Z|\\[\])]\s*\Z")
_QUOTED = ('"', "'", "”", "’", "」", "』", "》", "〉", "»")
_CODE = re.compile(r"[{};=<>\\]|\w\(|\$")
_BOLD = re.compile(r"\s*(?:\*\*|__)[^*_\n]{1,120}(?:\*\*|__)\s*\Z")
_FORM = re.compile(r"\b(?:sign(?:ed|ature)?|date|name|title|address|phone|e-?mail)\b|签名|签字|日期|姓名|盖章|电话|地址", re.IGNORECASE)
_LAST_WORDS = re.compile(
    r"(?:\bthe end|\bfin|\bend|\bcurtain|\bblackout|\bfade (?:out|to black)|\bcut to black|完|终|終|完结|全剧终|结束)$", re.IGNORECASE
)
_FAREWELL = re.compile(
    r"\b(?:regards|sincerely|truly|love|yours|wishes|thanks|thank you|cheers|respectfully|faithfully|cordially|best|warmly|fondly"
    r"|gratitude"
    r"|gratefully|blessings|hugs|kisses|xoxo|affectionately|farewell)\b|此致|敬礼",
    re.IGNORECASE,
)
_SALUTATION = re.compile(r"[*_\"“]{0,3}(?:my )?(?:dear|dearest|hi|hello|hey|to|greetings)\b|[“]?(?:亲爱的|尊敬的)", re.IGNORECASE)
_SPEAKER = re.compile(r"[*_]{0,3}[A-Z][\w .'’#-]{0,30}[*_]{0,3}: ?\S")
_SENTENCE = re.compile(
    r"(?:He|She|They|We|I|It|The|As|And|But|When|His|Her|Then|There|In|At|On|After|Before|With|My|Our|This|That)\b(?: [a-z’'-]+){3}"
)
_HANGING = re.compile(  # words that cannot end a sentence
    r"\b(?:a|an|the|and|or|but|of|to|in|on|at|by|for|from|with|into|as|that|which|who|is|are|was|were|be|been|has|have|had|will"
    r"|would|could"
    r"|should|can|may|might|must|i|he|she|they|we|his|her|their|my|our|your|its|this|these|if|when|while|because|than|not"
    r"|very|so|up|then)\Z",
    re.IGNORECASE,
)
_HANGING_AT = re.compile(
    r"(?:\b(?:a|an|the|and|or|but|of|to|from|with|into|that|which|is|are|was|were|his|their|my|our|your|its|because|than)"
    r"|[的地得和与及或在把被对从向跟])\Z",
    re.IGNORECASE,
)
_WITHIN = re.compile(r"[.!?][\"'”’)*_]{0,3} {1,3}[\"'“‘(*_]{0,3}[A-Z]|[。！？]")  # the end of a sentence inside a line
_PAUSE = re.compile(r"[，；、。！？]")  # Chinese titles and terms have none
_SYMBOLS = ("So", "Sk", "Sm")  # categories of emoji and of mathematical signs
_RUNNING = 8  # words from which a line can be a sentence; in Chinese 1.5 times as many characters
_CUE = 4  # words of a speaker's name


def ending(text: str, *, finish_reason: str = "") -> Ending:
    """How an answer ends: the first cause that applies, in the order of the checks below. Linear in the text's length.

    `finish_reason`: as the endpoint reported it; empty if unknown. An empty text is `broken_off`.
    """
    bare, token = strip_tokens(text)
    if finish_of(finish_reason) is Finish.CUT:
        return Ending("cut_by_limit", "", token)
    if found := broken_off(bare):
        return Ending("broken_off", found, token)
    if not bare.strip():
        return Ending("broken_off", "no text", token)
    if found := declined(bare):
        return Ending("declined", found, token)
    if found := offers_more(bare):
        return Ending("offers_to_continue", found, token)
    return Ending("ended", "", token)


def ended(text: str, *, finish_reason: str) -> bool:
    """Whether the model ended the text itself, by the finish reason or, if that is unknown, by the last sentence.

    Without a finish reason the text must end with a full stop or last words such as "The End": "The oven was wa" could be a heading.
    """
    finish = finish_of(finish_reason)
    last = strip_markup(text)[-200:].rstrip(_CLOSERS)
    return finish is Finish.ENDED or (finish is Finish.UNKNOWN and bool(last) and (not _open(last) or _LAST_WORDS.search(last) is not None))


def stops_short(text: str, *, said: bool) -> str | None:
    """The last words of a paragraph that stops inside a sentence, or None.

    `said`: the endpoint reported that the model ended the paragraph. Then only an impossible ending counts; otherwise every prose line
    without a full stop counts. Lists, headings, tables, code, verse and interrupted speech are complete without a full stop. With
    `said`, a paragraph may also end with a colon: the list that it announces is the next paragraph.
    """
    text = strip_markup(text)
    lines = text[-_TAIL:].rstrip().split("\n")
    last = lines[-1].strip()
    if not _open(last) or _LAST_WORDS.search(last.rstrip(_CLOSERS)) or _without_stop(lines):
        return None
    if said and (last.endswith((":", "：", "-", "—", "–")) or broken_off(text) is None):
        return None
    return f"…{last[-60:]}"


def _without_stop(lines: list[str]) -> bool:
    """Whether the last line belongs to a kind of text that needs no full stop."""
    raw, last, above = lines[-1], lines[-1].strip(), lines[-2].strip() if len(lines) > 1 else ""
    if _opened(last):
        return False
    if _LIST.match(last):
        return _HANGING_AT.search(last) is None
    if last.endswith((",", "，")) and len(_WORDS.findall(last)) <= _CUE + 2 and _SALUTATION.match(last):
        return True
    if last.startswith(("#", "|")) or last.endswith(_QUOTED) or _CLOSED.search(last.rstrip("*_ ")) or _BOLD.match(last):
        return True
    if unicodedata.category(last.rstrip(_CLOSERS)[-1]) in _SYMBOLS:
        return True
    if raw.startswith(("    ", "\t")) or _CODE.search(last) or _REFERENCE.search(last) or last.isupper() or _titled(last):
        return True
    # A line of verse, an address or a signature: the line above it has no full stop either and is not much shorter.
    return bool(above) and _open(above) and not _WITHIN.search(last) and len(_WORDS.findall(last)) <= 2 * len(_WORDS.findall(above))


def _titled(last: str) -> bool:
    """Whether a line looks like a title: most of its longer words begin with a capital letter."""
    longer = [word for word in _WORDS.findall(last) if len(word) > 3]
    return len(longer) > 2 and not _WITHIN.search(last) and sum(word[0].isupper() for word in longer) * 3 > 2 * len(longer)


def broken_off(text: str) -> str | None:
    """The last words of a text that stops inside a sentence or an open code block, or None."""
    lines = text[-_TAIL:].rstrip().split("\n")
    while len(lines) > 1 and _RULE.match(lines[-1]):
        lines.pop()
    last = lines[-1].strip()
    if "```" in text and len(_FENCE.findall(text)) % 2:
        return f"a code block is not closed; ends with “…{last[-60:]}”"
    if not _breaks_off(last, lines):
        return None
    return f"ends with “…{last[-60:]}”"


def _breaks_off(last: str, lines: list[str]) -> bool:
    if not _WORDS.search(last) or last.startswith("```"):
        return False
    if last.startswith("|"):
        return not last.endswith("|") and len(lines) > 1 and lines[-2].strip().endswith("|")
    bare = last.rstrip(_CLOSERS)
    if not last.endswith((":", "：")) and (
        not bare or bare[-1] in _ENDS or _LAST_WORDS.search(bare) or unicodedata.category(bare[-1]) in _SYMBOLS
    ):
        return False  # most texts end here
    words = _WORDS.findall(last)
    if last.endswith((":", "：")):
        return not (len(words) <= 3 and _FORM.search(last))
    if bare.endswith((",", "，", "、", ";", "；")) and not _CLOSED.search(last):
        return not (len(words) <= _CUE + 2 and _FAREWELL.search(last))
    listed = _LIST.match(last) is not None or _REFERENCE.search(last) is not None
    if _opened(last):
        return True
    if _CLOSED.search(last.rstrip("*_ ")) or _BOLD.match(last) or last.startswith("#"):
        return False
    if listed:
        return len(words) > 1 and not _REFERENCE.search(last) and _HANGING_AT.search(last) is not None
    if _cue(last, words, lines) or _speech(last, words, lines):
        return True
    if last.isupper():
        return False
    if last.endswith(("-", "—", "–")) and len(words) > 1:
        return True
    if _HANGING.search(last) or _WITHIN.search(last):
        return True
    if _verse(lines):
        return False
    if _HAN.search(last):
        return len(words) >= _RUNNING * 3 // 2 and (_PAUSE.search(last) is not None or _HANGING_AT.search(last) is not None)
    return len(words) >= _RUNNING or (_SENTENCE.match(last) is not None and _prose_above(lines))


def _prose_above(lines: list[str]) -> bool:
    """Whether the last line begins a paragraph and the paragraph above is prose with a full stop."""
    above = next((line.strip() for line in reversed(lines[:-1]) if line.strip()), "")
    return not lines[-2].strip() and len(_WORDS.findall(above)) >= _RUNNING and not _open(above) if len(lines) > 1 else False


def _cue(last: str, words: list[str], lines: list[str]) -> bool:
    """Whether the last line is the name of a speaker without a speech: a name in capitals that occurs at least twice before."""
    if len(words) > _CUE or _LAST_WORDS.search(last.rstrip(_CLOSERS)):
        return False
    name = last.strip(_CLOSERS).upper()
    return sum(line.strip(_CLOSERS) == name for line in lines[:-1]) >= 2 and name.isupper() and any(not line.strip() for line in lines)


def _speech(last: str, words: list[str], lines: list[str]) -> bool:
    """Whether the last line is an unfinished speech of a play: the line above is a complete speech or the speaker's name."""
    above = next((line.strip() for line in reversed(lines[:-1]) if line.strip()), "")
    if len(words) < 3 or last.isupper():
        return False
    if _SPEAKER.match(last) and _SPEAKER.match(above):
        return not _open(above)
    return len(lines) > 1 and above.strip("*") == lines[-2].strip().strip("*") and above.isupper() and len(_WORDS.findall(above)) <= _CUE


def _opened(last: str) -> bool:
    """Whether the last line opens a quotation or a bracket and does not close it."""
    return (
        last.count('"') % 2 == 1
        or last.count("“") > last.count("”")
        or last.count("(") > last.count(")")
        or last.count("（") > last.count("）")
    )


def _verse(lines: list[str]) -> bool:
    """Whether most of the last lines have no end of a sentence, as in verse."""
    spoken = [line.strip() for line in lines[-20:] if len(_WORDS.findall(line)) > 2]
    prose = [line for line in spoken if not line.isupper() and not line.startswith(("(", "[", "**", "#", "|", "- "))]
    return len(prose) > 3 and sum(_open(line) for line in prose) * 2 > len(prose)


def _open(line: str) -> bool:
    """Whether a line does not end with the end of a sentence."""
    bare = line.rstrip(_CLOSERS)
    return bool(bare) and bare[-1] not in _ENDS


def strip_tokens(text: str) -> tuple[str, str]:
    """The text without chat format tokens at its end, and these tokens joined by spaces."""
    end = len(text.rstrip())
    if not end or text[end - 1] not in ">]":
        return text, ""
    found = list[str]()
    for match in reversed(list(_TOKEN.finditer(text))):
        if match.end() != end:
            break
        found.append(match[0])
        end = match.start()
        while end and text[end - 1].isspace():
            end -= 1
    return (text[:end], " ".join(reversed(found))) if found else (text, "")


def strip_markup(text: str) -> str:
    """The text without chat format tokens at its end."""
    return strip_tokens(text)[0]


def markup(text: str) -> str | None:
    """The first token of a chat format in a text, or None."""
    return match[0] if (match := _TOKEN.search(text)) else None
