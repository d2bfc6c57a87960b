"""Measurement columns: everything the contract looks at is counted here, so that its expectations are all built-in ones.

The texts themselves stay out of the frame: the data docs show measurements, and a row is found again by its id.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from tasks.corpus.cleaning import refusal
from tasks.longbench.length import count_words, s_l
from tasks.schema.records import Sample

if TYPE_CHECKING:
    import pandas as pd

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_SENTENCE = re.compile(r"[^.!?。！？\n]+")
# "Paragraph 3:" or "第三段：" alone or before punctuation; "第三段路很长" is prose.
_IDENTIFIER = re.compile(
    r"^[#*\s]*(?:(?:paragraph|para\.)\s*\d+|第\s*[一二三四五六七八九十百\d]+\s*段)\s*(?:[*:：、.．)）\-–—]|$)", re.I | re.M
)
# Zero-width and direction marks; the joiner U+200D is left alone, emoji are built with it.
_INVISIBLE = re.compile("[\u00ad\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_BROKEN = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ENDING = re.compile(r"[.!?。！？…”’\"'」』）)\]:：*~]$")


class Measures(NamedTuple):
    """One sample, measured. Lengths in words (English) or characters (Chinese), shares from 0 to 1, S_l from 0 to 100."""

    row: int  # in the file, from 1
    id: str
    source: str
    language: str
    roles: str  # of the messages, in order
    asked: int | None
    written: int  # recounted from the answer
    miscounted: int  # the recount minus the row's own figure
    s_l: float | None  # None: no length was asked for
    own_script: float  # share of the counted words in the script of the row's language
    repetition: float  # share of the answer's sentences that occur before in it
    identifiers: int  # paragraphs that still begin with "Paragraph 3" or 第三段
    invisible: int  # zero-width and direction marks
    broken: int  # replacement and control characters
    refusal: int  # 1: the answer is a refusal
    ends_well: int  # 1: the answer's last character ends a sentence
    prompt_digest: str
    answer_digest: str


def measure(row: int, sample: Sample) -> Measures:
    """The measures of one sample. The answer is all that the assistant says, the prompt all that the user does."""
    answer = "\n\n".join(message.content for message in sample.messages if message.role == "assistant")
    prompt = "\n\n".join(message.content for message in sample.messages if message.role == "user")
    written = count_words(answer)
    return Measures(
        row=row,
        id=sample.id,
        source=sample.source,
        language=sample.language,
        roles=" ".join(message.role for message in sample.messages),
        asked=sample.asked_words,
        written=written,
        miscounted=written - sample.written_words,
        s_l=s_l(sample.asked_words, written) if sample.asked_words else None,
        own_script=_own_script(answer, sample.language, written),
        repetition=repetition(answer),
        identifiers=len(_IDENTIFIER.findall(answer)),
        invisible=len(_INVISIBLE.findall(prompt + answer)),
        broken=len(_BROKEN.findall(prompt + answer)),
        refusal=int(refusal(answer) is not None),
        ends_well=int(bool(_ENDING.search(answer.rstrip()))),
        prompt_digest=_digest(prompt),
        answer_digest=_digest(answer),
    )


def frame(samples: Iterable[Sample]) -> "pd.DataFrame":
    """All samples' measures, one row each, columns as in `Measures` plus `rarer`: 1 in rows of the rarer of two languages."""
    import pandas as pd

    measured = pd.DataFrame([measure(row, sample) for row, sample in enumerate(samples, 1)], columns=list(Measures._fields))
    counts = measured["language"].value_counts()
    measured["rarer"] = (measured["language"] == counts.index[-1]).astype(int) if len(counts) else 0
    return measured


def repetition(text: str) -> float:
    """Share of the sentences that occur before in the text, case and spacing aside; 0 without sentences."""
    sentences = [" ".join(part.lower().split()) for part in _SENTENCE.findall(text)]
    spoken = [sentence for sentence in sentences if count_words(sentence)]
    return 1 - len(set(spoken)) / len(spoken) if spoken else 0.0


def _own_script(text: str, language: str, words: int) -> float:
    chinese = len(_CHINESE.findall(text))
    return (chinese if language == "zh" else words - chinese) / words if words else 0.0


def _digest(text: str) -> str:
    return hashlib.sha256(" ".join(text.lower().split()).encode("utf-8")).hexdigest()[:16]
