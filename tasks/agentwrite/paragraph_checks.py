"""Check whether a reply can be the next paragraph: refusal, truncation, error message, noise, language, repetition, prompt leak.

The checks are readable rules, cheapest first. The language classifier runs only on text that is not clearly English or Chinese.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tasks.endpoints.chat import Reply, why_empty
from tasks.schema.finish import Finish
from tasks.schema.records import Instruction, Language, Reason
from tasks.text.cleaning import refusal
from tasks.text.counts import count_words
from tasks.text.endings import stops_short
from tasks.text.languages import UNKNOWN, language_of
from tasks.text.live_checks import Cause, most_words
from tasks.text.non_prose import find_non_prose
from tasks.text.unicode import normalized

_PROMPTS = Path(__file__).parent.parent / "prompts"
_DETAIL = 160  # characters
_HEAD = 20_000  # characters that are checked for a web page, noise or a refusal
_SMALL = 25  # requested words below which a short paragraph is accepted, because teachers count small numbers badly
_CHARS = 15  # upper bound of characters per word with spaces; above it words need no counting
_STRETCH = {"en": 200, "zh": 100}  # characters of a prompt that do not recur by chance
_EDGE = 400  # characters at either end of an instruction that are compared; the middle may be material to use
_WHOLE = {"en": 60, "zh": 30}  # characters from which an instruction counts as repeated
_SENTENCE = {"en": 30, "zh": 10}  # characters; shorter sentences may recur: "He nodded."
_REPEATED, _REPEATED_ALONE = 0.5, 0.8  # largest share of characters in repeated sentences; the second if one sentence is repeated
_LOOP = 0.3  # smallest share of distinct runs of four words

_BLANK = (*range(33), 0x7F, 0x85, 0xA0, 0xAD, 0x180E, *range(0x2000, 0x2010), *range(0x2028, 0x2030), 0x205F, 0x3000, 0xFEFF, 0xFFFC)
_UNSEEN = "".join(map(chr, (*_BLANK, *range(0x2060, 0x2070))))  # white space and zero-width characters
_EMPTY = {Finish.CUT: Reason.TRUNCATED, Finish.FILTERED: Reason.REFUSAL}  # reasons for a reply without text
_STOPPED: dict[Cause, Reason] = {
    "loop": Reason.REPEATED,
    "refusal": Reason.REFUSAL,
    "language": Reason.LANGUAGE,
    "too_long": Reason.TOO_LONG,
}
_END = re.compile(r"[.!?][\"'”’)*_\]]*\s+|[。！？；]|\n")
_EDGES = " \t*_#>-–—•|\"'“”‘’「」『』()（）[]【】.,!?:;。，！？：；…0123456789"
_ENDED = (".", "!", "?", "。", "！", "？", "”", '"', ",", "，", ":", "：")
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_OTHER = re.compile(r"[\u3041-\u30ff\uac00-\ud7af]")  # kana and Hangul
_ALPHABET = re.compile(r"[\u0370-\u1dff]")  # letters of Greek, Cyrillic, Arabic, Indic and other scripts
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_COMMON = frozenset(  # common English words that related languages do not have
    re.findall(
        r"\w+",
        "the of and to that is it for with his her they this have from by but what which their would there about who when your said she him"
        " been has its than then into could our these were are you not be can how if each as more at my them through",
    )
)
_ENGLISH = 70  # characters per common word from which a text is suspicious; real paragraphs have one per 15 to 30
_EVIDENCE = 12  # words needed to decide the language


class Unwritable(NamedTuple):
    """Why a reply cannot be a paragraph, or a plan cannot become a draft, with the evidence."""

    reason: Reason
    detail: str  # short evidence


class _Look(NamedTuple):
    """A paragraph in comparable form: NFC, casefolded, single spaces."""

    flat: str
    body: str  # without a heading
    sentences: list[str]  # sentences of at least `_SENTENCE` characters


class Earlier:
    """The earlier paragraphs of a draft, for comparison. Sentences are stored as hashes, as thousands of drafts are written at once."""

    def __init__(self, instruction: Instruction, outline: str, *, prompts: tuple[str, ...] = ("write", "summarize")):
        """`prompts`: the prompt files with the tags that must not be in a paragraph."""
        self.language: Language = instruction.language
        self.tags = _tags(prompts) - set(re.findall(r"</?\w+>", instruction.text))
        self.ask = _flat(instruction.text)
        ends = (self.ask,) if len(self.ask) <= 2 * _EDGE else (self.ask[:_EDGE], self.ask[-_EDGE:])
        self.prompt = "\0".join((*ends, _flat(outline)))
        self.plan = frozenset(_point(line) for line in outline.splitlines() if "Main Point" in line)
        self.bodies: dict[int, int] = {}  # hash -> number of the paragraph
        self.sentences: dict[int, int] = {}
        self.count = 0
        self._looked: tuple[str, _Look] | None = None

    def look(self, text: str) -> _Look:
        """Normalizes a text for comparison. Caches the last result, because `add` needs it after the check."""
        if not self._looked or self._looked[0] != text:
            self._looked = text, _look(text, self.language)
        return self._looked[1]

    def add(self, paragraph: str) -> None:
        """Add a paragraph that was accepted."""
        self.count += 1
        look = self.look(paragraph.strip(_UNSEEN))
        if look.body:
            self.bodies.setdefault(hash(look.body), self.count)
        for sentence in look.sentences:
            self.sentences.setdefault(hash(sentence), self.count)


def find_fault(reply: Reply, earlier: Earlier, *, asked: int) -> Unwritable | None:
    """The first fault of a reply that should be the next paragraph of `asked` words, or None."""
    if reply.stopped:
        return Unwritable(_STOPPED[reply.stopped.cause], f"stopped while it came: {reply.stopped.evidence}"[:_DETAIL])
    text = reply.text.strip(_UNSEEN)
    if not text:
        return Unwritable(_EMPTY.get(reply.finish, Reason.EMPTY), why_empty(reply))
    fault = (
        _unfinished(reply)
        or _named(Reason.NON_PROSE, find_non_prose(text[:_HEAD]))
        or _named(Reason.REFUSAL, refusal(text[:_HEAD]))
        or _named(Reason.LEAKED_PROMPT, _markup(text[:_HEAD], earlier))
        or _misjudged(text, earlier, asked)
    )
    if fault:
        return fault
    look = earlier.look(text)
    return (
        _named(Reason.REPEATED, _repetition(look, earlier))
        or _named(Reason.LEAKED_PROMPT, _echo(look.flat, earlier))
        or _named(Reason.TRUNCATED, (seen := stops_short(text, said=True)) and f"it stops in the middle of a sentence: {seen}")
    )


def _named(reason: Reason, detail: str | None) -> Unwritable | None:
    return Unwritable(reason, detail[:_DETAIL]) if detail else None


def _unfinished(reply: Reply) -> Unwritable | None:
    match reply.finish:
        case Finish.ENDED:
            return None  # the last sentence is checked at the end of `find_fault`
        case Finish.CUT:
            return Unwritable(Reason.TRUNCATED, f"cut off at {reply.usage.completion} tokens")
        case Finish.FILTERED:
            return Unwritable(Reason.REFUSAL, "the endpoint's content filter")
        case Finish.UNKNOWN:
            said = f"finish reason {reply.finish_reason!r}" if reply.finish_reason else "no finish reason"
            seen = stops_short(reply.text, said=False)
            return Unwritable(Reason.TRUNCATED, f"{said}, and no sentence ends it: {seen}") if seen else None
        case other:
            return Unwritable(Reason.TRUNCATED, f"it ended by {other}, finish reason {reply.finish_reason!r}")


def _misjudged(text: str, earlier: Earlier, asked: int) -> Unwritable | None:
    """Whether the length or the language is wrong. Language comes before TOO_SHORT, because words of other languages are not counted."""
    most = most_words(asked)
    if len(text) > _CHARS * most:
        return Unwritable(Reason.TOO_LONG, f"{len(text)} characters, {asked} words asked for")
    known = _known(text[:_HEAD], earlier.language)
    words = count_words(text) if len(text) > 2 * most or 5 * known < asked else None  # otherwise the count is surely within the limits
    if words is not None and words > most:
        return Unwritable(Reason.TOO_LONG, f"{words} words, {asked} asked for")
    if seen := _foreign(text[:_HEAD], earlier.language, known):
        return Unwritable(Reason.LANGUAGE, f"asked in {earlier.language}, written in {seen}: {text[:60]}")
    if words is not None and asked >= _SMALL and words * 5 < asked:
        return Unwritable(Reason.TOO_SHORT, f"{words} words, {asked} asked for: {text[:60]}")
    return None


def _known(text: str, language: Language) -> int:
    """The number of words that clearly belong to the language: common English words, or Chinese characters."""
    return len(_HAN.findall(text)) if language == "zh" else sum(map(_COMMON.__contains__, text.casefold().split()))


def _foreign(text: str, language: Language, known: int) -> str | None:
    """The language of a text that is not in `language`, or None. Fenced code and capitalized words (names) are ignored."""
    if not _suspicious(text, language, known):
        return None
    prose = _FENCE.sub(" ", text)
    if not _suspicious(prose, language, _known(prose, language)):
        return None
    words, others = _WORD.findall(prose), _weight(prose)
    if others <= len(words):
        words = [word for word in words if word.islower()]
        prose = " ".join(words)
    if max(len(words), others) < _EVIDENCE:
        return None
    seen = language_of(prose)
    return None if seen in (language, UNKNOWN) else seen


def _suspicious(text: str, language: Language, known: int) -> bool:
    if language == "zh":
        return known < len(_WORD.findall(text)) or (len(_OTHER.findall(text)) + len(_ALPHABET.findall(text))) * 10 > known
    if known * _ENGLISH < len(text):
        return True
    return not text.isascii() and (others := _weight(text)) > _EVIDENCE and others > len(_WORD.findall(text))


def _weight(text: str) -> float:
    """The text in other scripts than Latin, in words: a Chinese character, kana or Hangul syllable is one, five letters are one."""
    return len(_HAN.findall(text)) + len(_OTHER.findall(text)) + len(_ALPHABET.findall(text)) / 5


def _flat(text: str) -> str:
    return " ".join(normalized("NFC", text).casefold().split())


def _look(text: str, language: Language) -> _Look:
    text = normalized("NFC", text).casefold().strip()
    first, line, rest = text.partition("\n")
    headed = bool(line) and len(first) <= 80 and not first.rstrip().endswith(_ENDED)
    flat = " ".join(text.split())
    body = " ".join(rest.split()) if headed else "" if first.startswith("#") else flat
    least = _SENTENCE[language]
    sentences = [key for part in _END.split(text) if len(key := part.strip(_EDGES)) >= least]
    return _Look(flat, body.strip(_EDGES), sentences)


def _repetition(look: _Look, earlier: Earlier) -> str | None:
    if look.body and (number := earlier.bodies.get(hash(look.body))):
        return f"same as paragraph {number}"
    seen: set[str] = set()
    found: dict[int, int] = {}  # number of a paragraph, 0 for this one -> characters
    again = 0
    for sentence in look.sentences:
        number = earlier.sentences.get(hash(sentence), 0 if sentence in seen else None)
        seen.add(sentence)
        if number is not None:
            found[number] = found.get(number, 0) + len(sentence)
            again += 1
    share = sum(found.values()) / len(look.flat)
    if share > (_REPEATED if again > 1 else _REPEATED_ALONE):
        most = max(found, key=found.__getitem__)
        where = f"paragraph {most}" if most else "the same paragraph"
        return f"{share:.0%} repeated, most from {where}: {max(look.sentences, key=len)[:60]}"
    return _loop(look)


def _loop(look: _Look) -> str | None:
    """The evidence that a text loops without ending its sentences, or None."""
    parts = look.flat.split()
    if len(parts) < len(look.flat) / 20:
        parts = list(look.flat)
    if len(parts) < 60 or len(set(parts)) > 0.25 * len(parts):
        return None
    runs = [tuple(parts[place : place + 4]) for place in range(len(parts) - 3)]
    share = len(set(runs)) / len(runs)
    return f"only {share:.0%} of its runs of four are distinct: {look.flat[:60]}" if share < _LOOP else None


@cache
def _tags(prompts: tuple[str, ...]) -> frozenset[str]:
    """The opening and closing tags in prompts."""
    texts = [(_PROMPTS / f"{name}.txt").read_text("utf-8") for name in prompts]
    return frozenset(re.findall(r"</?\w+>", "".join(texts)))


def _point(line: str) -> str:
    """A line of the plan without markup and without the word count, which may differ in the step."""
    return _flat(line.partition("Word Count")[0]).strip(_EDGES)


def _markup(text: str, earlier: Earlier) -> str | None:
    """A line of the plan, or a tag of the prompt at either end or alone on a line; None if there is none."""
    if "Main Point" in text:
        for line in text.splitlines():
            if "Main Point" in line and _point(line) in earlier.plan:
                return f"a line of the plan: {line[:100]}"
    if "<" not in text or not any(tag in text for tag in earlier.tags):
        return None
    prose = _FENCE.sub(" ", text).strip()
    lines = {line.strip() for line in prose.splitlines()}
    for tag in sorted(earlier.tags):
        if tag in lines or prose.startswith(tag) or prose.endswith(tag):
            return f"the prompt's tag {tag}"
    return None


def _echo(flat: str, earlier: Earlier) -> str | None:
    """A long literal part of the instruction or the plan, or a reply that is mostly the instruction; None otherwise."""
    ask, language = earlier.ask, earlier.language
    if _WHOLE[language] < len(ask) and 2 * len(ask) > len(flat) and ask in flat:
        return f"the instruction: {ask[:100]}"
    least = _STRETCH[language]
    step = least // 2  # a stretch of `least` characters contains a complete block at a multiple of `step`
    for start in range(0, len(flat) - step + 1, step):
        block = flat[start : start + step]
        if (place := earlier.prompt.find(block)) >= 0 and (length := _common(flat, start, earlier.prompt, place)) >= least:
            return f"{length} characters of the prompt: {block[:100]}"
    return None


def _common(text: str, start: int, source: str, place: int) -> int:
    """The length of the common stretch around text[start] and source[place]."""
    before = 0
    while before < min(start, place) and text[start - before - 1] == source[place - before - 1]:
        before += 1
    behind = 0
    while behind < min(len(text) - start, len(source) - place) and text[start + behind] == source[place + behind]:
        behind += 1
    return before + behind
