"""Make a training pair from a recorded answer: the text, cut at the end of a sentence, and an instruction with a true length request.

A recorded answer rarely has the length that its prompt asked for, and a small model needs shorter texts. The length of each text is
drawn by the digest of the row's texts, evenly on a logarithmic scale, so that short and long texts are about equally frequent. The old
length request is removed from the prompt, and a new one, with a round number, is added in one of several wordings.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from tasks.schema.params import Bounds
from tasks.schema.records import Reason
from tasks.text.cleaning import clean
from tasks.text.counts import count_words, s_l
from tasks.text.cutting import sentences_up_to
from tasks.text.languages import language_of
from tasks.text.length_requests import parse_length_request

LONGEST_PROMPT = 250  # words; longer prompts are mostly material to work on
EXACT = 96.0  # S_l of the text for the rounded number, at least
STEPS = (100, 50, 25, 10, 5, 1)  # the requested length is a multiple of the largest of these that keeps EXACT
AFTER = {
    "en": (
        "Write about {n} words.",
        "The text should have about {n} words.",
        "Length: about {n} words.",
        "Use around {n} words.",
        "Please write approximately {n} words.",
        "Aim for {n} words.",
        "Your answer should be roughly {n} words long.",
        "I would like a text of {n} words.",
    ),
    "zh": ("请写大约{n}字。", "全文约{n}字。", "字数：{n}字左右。", "请用{n}字左右完成。"),
}
BEFORE = {
    "en": ("Write about {n} words on the following request.", "Answer in about {n} words.", "In approximately {n} words:"),
    "zh": ("请用大约{n}字回答。", "请按下面的要求写约{n}字。"),
}
_PARTS = re.compile(r"[^.!?。！？\n]*[.!?。！？\n]*")  # sentences and lines
_VAGUE = re.compile(
    r"\b(?:long enough|sufficiently long|as long as (?:possible|you can|necessary)|(?:no|not) (?:shorter|longer|less|more|fewer) than"
    r"|very long|(?:short|long|brief|lengthy) (?:answer|essay|story|text|article|response)|word (?:count|limit)|comprehensive response"
    r"|briefly|in (?:great )?detail|detailed)\b|字数|篇幅|足够长|尽量长|简短",
    re.IGNORECASE,
)
_NOTHING = re.compile(r"[\W\d_]*\Z")  # a number of a list, or nothing
_HEADER = re.compile(r"\s*(?:[\[【][^\]】\n]{1,40}[\]】]|[^\n]{1,40})[:：]\s*\Z")


class RecordedPair(NamedTuple):
    """An instruction with a true length request, and its recorded text."""

    prompt: str
    text: str
    words: int  # asked for; the text has about as many


def pair_of(prompt: str, answer: str, bounds: Bounds) -> RecordedPair | tuple[Reason, str]:
    """The training pair of a recorded answer, or the reason and the evidence why there is none. `bounds`: words of the text."""
    prompt, answer = clean(prompt).strip(), clean(answer).strip()
    if not re.search(r"\w", answer):
        return Reason.EMPTY, "the recorded answer is empty"
    if (asked := count_words(prompt)) > LONGEST_PROMPT:
        return Reason.NOT_SELF_CONTAINED, f"a prompt of {asked} words, mostly material; at most {LONGEST_PROMPT}"
    identity = sha256(f"{prompt}\0{answer}".encode()).digest()
    words = count_words(answer)
    if words < bounds.min:
        return Reason.TOO_SHORT, f"{words} words, at least {bounds.min}"
    most = round(bounds.min * (min(words, bounds.max) / bounds.min) ** _share(identity[:8]))
    text = sentences_up_to(answer, most, least=bounds.min, longest=bounds.max)
    if text is None:
        return Reason.TRUNCATED, f"no sentence ends between {bounds.min} and {bounds.max} words"
    number = rounded(count_words(text), bounds)
    asks = next((one for one in _asks(prompt, number, identity) if parse_length_request(one).target == number), None)
    if asks is None:
        return Reason.OFF_LENGTH, f"the prompt names a length that cannot be replaced: {parse_length_request(prompt).phrase}"
    return RecordedPair(asks, text, number)


def rounded(words: int, bounds: Bounds) -> int:
    """The roundest number within the bounds for which a text of so many words has an S_l of at least EXACT; else `words`."""
    numbers = (round(words / step) * step for step in STEPS)
    return next((number for number in numbers if number in bounds and s_l(number, words) >= EXACT), words)


def _asks(prompt: str, number: int, identity: bytes) -> Iterator[str]:
    """The prompt with its new length request, in every wording, in an order drawn by the digest."""
    language = "zh" if language_of(prompt) == "zh" else "en"
    core = _without_lengths(prompt)
    forms = [*((True, one) for one in AFTER[language]), *((False, one) for one in BEFORE[language])]
    first = int.from_bytes(identity[8:12]) % len(forms)
    for after, form in (*forms[first:], *forms[:first]) if core else ():
        said = form.format(n=_shown(number))
        yield f"{core}{_gap(core)}{said}" if after else f"{said}\n\n{core}"
    if (phrase := parse_length_request(prompt).phrase) and phrase in prompt:
        forms_of_number = ("{n}-word", "about {n} words") if phrase.endswith("word") else ("about {n} words", "大约{n}字")
        yield from (prompt.replace(phrase, form.format(n=_shown(number))) for form in forms_of_number)


def _gap(core: str) -> str:
    return "\n" if "\n" in core else " " if core.isascii() else ""


def _shown(number: int) -> str:
    return f"{number:,}"


def _without_lengths(prompt: str) -> str:
    """The prompt without sentences that speak of a length, and without list numbers and headers that are then alone; may be empty."""
    kept = "".join("\n" * part.count("\n") if _of_length(part) else part for part in _PARTS.findall(prompt))
    lines = [line.rstrip() for line in kept.split("\n")]
    full = [line for line in lines if not line or not _NOTHING.match(line)]
    while full and (not full[-1].strip() or _HEADER.match(full[-1])):
        full.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(full)).strip()


def _of_length(part: str) -> bool:
    return _VAGUE.search(part) is not None or parse_length_request(part).target is not None


def _share(digest: bytes) -> float:
    return int.from_bytes(digest) / 2 ** (8 * len(digest))
