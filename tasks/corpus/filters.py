"""Reject prompts by rules before any model is called: one function per reason; the first reason found counts.

The rules are readable and can be disputed. What rules cannot decide is decided by the selector.
"""

import re
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from tasks.corpus.duplicates import text_id
from tasks.corpus.toxicity import toxic_word
from tasks.schema.params import Collect
from tasks.schema.records import Reason
from tasks.sources.adapters import RawPrompt
from tasks.text.cleaning import clean
from tasks.text.languages import language_of
from tasks.text.length_requests import LengthRequest, parse_length_request


class _Pattern(NamedTuple):
    """A pattern, and stems of which every match contains one. Most prompts contain no stem, so the pattern is not run on them."""

    stems: tuple[str, ...]
    form: re.Pattern[str]


class FilteredPrompt:
    """A prompt with everything that is derived from it without a model; each property is computed at first use."""

    def __init__(self, ask: RawPrompt) -> None:
        self.ask = ask
        text, told = clean(ask.text), clean(ask.system)
        self.text = f"{told}\n\n{text}" if text and told and not _NOTHING_TOLD.fullmatch(told[:200]) else text

    @cached_property
    def id(self) -> str:
        return text_id(self.text)

    @cached_property
    def lower(self) -> str:
        return self.text.lower()

    @cached_property
    def language(self) -> str:
        return language_of(self.text)

    @cached_property
    def length_request(self) -> LengthRequest:
        return parse_length_request(self.text)


# System turns without a request: the prompt means the same without them.
_KINDLY = r"(?:(?:helpful|harmless|honest|respectful|smart|intelligent|friendly|polite|ai)(?:,? and |, ?| )){0,5}"
_NOTHING_TOLD = re.compile(
    r"(?:you are [\w ,.-]{1,40}?(?:created|made|trained|developed) by [\w .]{1,40}\.? ?)?"
    rf"(?:you are (?:an? )?(?:very |truly )?{_KINDLY}(?:ai )?(?:chat )?(?:assistant|chatbot|bot|language model)[.!]?)?",
    re.IGNORECASE,
)
Fault = tuple[Reason, str]  # the reason and the evidence
Filter = Callable[[FilteredPrompt, Collect], Fault | None]

_REDACTED = _Pattern(
    ("name_", "person"),
    re.compile(r"\b(?:NAME|PERSON)_\d+|PRESIDIO_ANONYMIZED_PERSON"),
)  # an answer does not need an address, but it needs a name
_ELSEWHERE = _Pattern(
    ("attach", "upload", "sent you", "附件", "上传", "发给你", "发送的"),
    re.compile(  # missing material
        r"\b(?:the|my|this|see|i(?:'ve| have)?) attached\b|\b(?:is|are) attached\b"
        r"|\battached (?:is|are|file|document|report|text|image|figures?|pdf)\b"
        r"|\b(?:in|the|my|this) attachments?\b(?! (?:theory|style))"
        r"|\bi(?:'ve| have)? (?:just )?(?:uploaded|sent you)\b"
        r"|\buploaded (?:file|document|pdf|image)\b"
        r"|附件|我(?:刚|刚刚|已)?(?:上传|发给你|发送)的",
        re.IGNORECASE,
    ),
)
_EARLIER = _Pattern(
    (
        *("previous", "earlier", "last ", "you said", "you mentioned", "you wrote", "you stopped", "we stopped", "left off"),
        *(
            "our conversation",
            "our chat",
            "our discussion",
            "our repl",
            "our response",
            "刚才",
            "刚刚",
            "之前",
            "前面",
            "上次",
            "上面",
            "接着",
        ),
    ),
    re.compile(  # an earlier turn
        r"\b(?:previous|earlier|last|our) (?:conversation|chat|discussion|repl(?:y|ies)|response)\b"
        r"|\byour (?:last|previous|earlier) (?:answer|reply|message|text|version|draft|essay|story)\b"
        r"|\bas you (?:said|mentioned|wrote)\b"
        r"|\byou (?:said|mentioned|wrote) (?:earlier|before|above)\b|\bwhere (?:you|we) (?:stopped|left off)\b"
        r"|(?:你|您)(?:刚才|刚刚|之前|前面|上次|上面)(?:的|提到|说|写)|(?:之前|上次|刚才)的(?:对话|聊天|回答|回复)|接着(?:上文|上面|前面|刚才)",
        re.IGNORECASE,
    ),
)
_ABOVE = _Pattern(
    ("above", "上述", "以上", "上面的", "前文"),
    re.compile(
        r"\b(?:the |this )?(?:text|essay|story|letter|article|passage|paragraph|outline|content|answer)s? above\b"
        r"|\bthe above\b|\babove (?:text|essay|story|article)\b|上述|以上(?:的)?(?:文字|内容|文章|材料)|上面的|前文",
        re.IGNORECASE,
    ),
)
_EDGE = 200  # characters that are searched at either end of a prompt; the middle may be quoted text
_ROOM = {"en": 200, "zh": 80}  # characters; after so many, "above" can refer to text of the prompt itself
_SCRAPING = _Pattern(
    ("scrap", "crawl", "harvest", "collect", "extract", "gather", "爬", "采集", "抓取"),
    re.compile(
        r"\b(?:web[- ]?)scrap\w+"
        r"|\bscrap(?:e|es|er|ing)\b[^.\n]{0,60}"
        r"\b(?:e-?mails?|address\w*|sites?|websites?|pages?|lists?|listings|profiles|reviews|data|forum)\b"
        r"|\bcrawl(?:s|er|ing)?\b[^.\n]{0,40}\b(?:sites?|website|web|pages?)\b"
        r"|\b(?:harvest|collect|extract|gather)\b[^.\n]{0,40}\b(?:e-?mail(?: address\w*|s\b)|phone numbers|profiles|user (?:data|names))"
        r"|爬虫|爬取|爬下来|反爬|批量(?:采集|抓取)|抓取[^。\n]{0,20}(?:评论|邮箱|数据|信息|房源|网页|用户)",
        re.IGNORECASE,
    ),
)
_ORDERS_ZH = ("忽略", "无视", "忘记", "忘掉", "系统提示", "开发者模式", "没有任何规则")
_INJECTION = _Pattern(
    ("ignor", "disregard", "forget", "overrid", "system prompt", "developer mode", "no rules", "<", "inst]", "needs_long", *_ORDERS_ZH),
    re.compile(
        r"\b(?:ignore|disregard|forget|override)\s+(?:(?:all|any|of|the|these|those|my)\s+){0,3}(?:previous|prior|above|earlier|system|your)"
        r"(?:\s+\w+)?\s+(?:instructions?|prompts?|rules)\b"
        r"|\bdisregard the instructions\b|\b(?:print|reveal|show|repeat) (?:me )?your system prompt"
        r"|\bdeveloper mode\b|\byou (?:now )?have no rules\b"
        r"|</?(?:instruction|plan|text|step|prompt|answer|system)\b[^>]*>|<\|\w+\|>|\[/?INST\]|<</?SYS>>|\bneeds_long_answer\b"
        r"|(?:忽略|无视|忘记|忘掉)[^。\n]{0,6}(?:之前|以上|前面|此前|上述)[^。\n]{0,6}(?:指令|指示|要求|提示|规则)|系统提示词|开发者模式|没有任何规则",
        re.IGNORECASE,
    ),
)
_OTHER_LANGUAGE = _Pattern(
    (
        *("chinese", "mandarin", "french", "german", "spanish", "italian", "japanese", "korean", "russian", "arabic", "hindi"),
        *("portuguese", "latin", "英文", "英语", "日语", "日文", "法语", "德语", "俄语", "韩语"),
    ),
    re.compile(
        r"\b(?:writ\w+|answer|respond|reply|translat\w+|essay|article|letter|story)\b[^.\n]{0,80}"
        r"\b(?:in|into) (?:chinese|mandarin|french|german|spanish|italian|japanese|korean|russian|arabic|hindi|portuguese|latin)\b"
        r"(?=\s*(?:[.;!?)]|$))"
        r"|(?:用|以)(?:英文|英语|日语|日文|法语|德语|俄语|韩语)(?:写|回答|撰写|介绍|帮我)|用英文|[写篇词的](?:英语|英文)(?:作文|文章|演讲|论文)",
        re.IGNORECASE,
    ),
)


def fault(asked: FilteredPrompt, collect: Collect) -> Fault | None:
    """The first reason to reject a prompt, with the evidence, or None."""
    return next((found for check in FILTERS if (found := check(asked, collect))), None)


def toxic(asked: FilteredPrompt, collect: Collect) -> Fault | None:
    """The source flagged the prompt, or it contains a word of the list (if collect.toxicity is `words`)."""
    if asked.ask.toxic:
        return Reason.TOXIC, "flagged by the source"
    word = toxic_word(asked.lower) if collect.toxicity == "words" else None
    return (Reason.TOXIC, f"says {word}") if word else None


def redacted(asked: FilteredPrompt, _: Collect) -> Fault | None:
    """A name in the prompt was replaced by the source. Flags of other turns of the conversation do not count."""
    return _seen(_REDACTED, asked, asked.text, Reason.REDACTED)


def empty(asked: FilteredPrompt, _: Collect) -> Fault | None:
    """The prompt has no letter or digit."""
    return None if re.search(r"\w", asked.text) else (Reason.SHORT_ASK, asked.ask.lacks or "no text in the first user turn")


def wrong_language(asked: FilteredPrompt, collect: Collect) -> Fault | None:
    """The prompt is in a language that is not collected, or requests an answer in another language than its own."""
    if asked.language not in collect.languages:
        return Reason.LANGUAGE, f"written in {asked.language}, wanted are {', '.join(collect.languages)}"
    return _seen(_OTHER_LANGUAGE, asked, asked.text, Reason.LANGUAGE)


def dependent(asked: FilteredPrompt, _: Collect) -> Fault | None:
    """The prompt needs an attachment, tools or an earlier turn. "Above" is accepted after text in the prompt itself."""
    if asked.ask.lacks:
        return Reason.NOT_SELF_CONTAINED, asked.ask.lacks
    edges = asked.text if len(asked.text) <= 2 * _EDGE else f"{asked.text[:_EDGE]}\n{asked.text[-_EDGE:]}"
    if found := _seen(_ELSEWHERE, asked, edges, Reason.NOT_SELF_CONTAINED) or _seen(_EARLIER, asked, edges, Reason.NOT_SELF_CONTAINED):
        return found
    return _seen(_ABOVE, asked, asked.text[: _ROOM.get(asked.language, 200)], Reason.NOT_SELF_CONTAINED)


def scraping(asked: FilteredPrompt, _: Collect) -> Fault | None:
    """The prompt requests scraping of web pages or personal data."""
    return _seen(_SCRAPING, asked, asked.text, Reason.SCRAPING)


def injection(asked: FilteredPrompt, _: Collect) -> Fault | None:
    """The prompt contains instructions to a model, or markup of our prompts or of a chat format."""
    return _seen(_INJECTION, asked, asked.text, Reason.INJECTION)


def length(asked: FilteredPrompt, collect: Collect) -> Fault | None:
    """The requested length is outside collect.words. Prompts without a length pass; the selector estimates it."""
    return None if asked.length_request.target is None else out_of_bounds(asked.length_request.target, collect)


def out_of_bounds(words: int, collect: Collect) -> Fault | None:
    """A length in words outside collect.words, as a fault; None if it is inside."""
    if words < collect.words.min:
        return Reason.SHORT_ASK, f"asks for {words} words, at least {collect.words.min} are wanted"
    if words > collect.words.max:
        return Reason.TOO_LONG_ASK, f"asks for {words} words, at most {collect.words.max} are wanted"
    return None


FILTERS: tuple[Filter, ...] = (empty, toxic, redacted, wrong_language, injection, scraping, dependent, length)


def _seen(pattern: _Pattern, asked: FilteredPrompt, text: str, reason: Reason) -> Fault | None:
    if not any(map(asked.lower.__contains__, pattern.stems)):
        return None
    return (reason, " ".join(match[0].split())[:80]) if (match := pattern.form.search(text)) else None
