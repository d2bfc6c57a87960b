"""Measure conversations: one column for each property that a contract checks, so that its expectations stay simple.

A numeric column has bounds in the contract. A text column contains evidence of a defect, and is null without one. The samples' texts are
not in the frame; a row is identified by its id.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.contracts.columns import table
from tasks.contracts.tokens import Counter
from tasks.corpus.likeness import Requests, Scored
from tasks.schema.records import Message, Sample
from tasks.text.cleaning import refusal, unseen
from tasks.text.counts import count_words, s_l
from tasks.text.endings import broken_off, strip_markup
from tasks.text.languages import UNKNOWN, language_of
from tasks.text.meta_comments import strip_meta_comments
from tasks.text.offers import declined
from tasks.text.plan_markup import identifiers
from tasks.text.prompt_leak import leaked
from tasks.text.words import count_fixed
from tasks.text.wrong_language import other_language
from tasks.training.traced import conversation_of

if TYPE_CHECKING:
    import pandas as pd

BATCH = 64  # conversations tokenized at once
PAPERS = ("en", "zh", UNKNOWN)  # languages that the paper's word count can count
_SENTENCE = re.compile(r"[^.!?。！？\n]+")
BROKEN = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class MeasuredRow(NamedTuple):
    """A conversation to measure, from the dataset or from outside."""

    number: int  # row number in its file, from 1
    id: str
    source: str
    messages: Sequence[Message]
    language: str  # expected language of the answer; "": the prompt's language
    asked: int | None  # requested words; None: no length request
    declared: int | None = None  # the row's own word count
    long: bool = True  # False: a general chat
    problem: str | None = None  # why the row is no conversation
    origin: str = ""  # the source that the row itself names
    trace: str | None = None  # the answer with thoughts, which is trained on in its place; only its tokens are measured


class Measures(NamedTuple):
    """The measures of one conversation. Lengths are in words (Chinese: characters), shares from 0 to 1, S_l from 0 to 100."""

    row: int
    id: str
    source: str
    problem: str | None
    long: int  # 1: a long text, 0: a general chat
    language: str | None
    long_language: str | None
    roles: str | None  # the messages' roles in order, separated by spaces
    asked: int | None
    written: int | None  # recounted from the answer
    long_written: int | None
    miscounted: int | None  # recount minus the row's own word count
    s_l: float | None  # None: no length request
    wrong_language: str | None
    repetition: float | None  # share of the answer's sentences that occur before in it
    identifiers: int | None
    refusal: str | None
    leaked: str | None
    cut_off: str | None
    remark: str | None
    invisible: int | None  # zero-width and direction marks
    broken: int | None  # replacement characters, control characters, lone surrogates
    contaminated: str | None
    prompt_digest: str | None
    answer_digest: str | None
    tokens: int | None = None  # by the base model's tokenizer; None without a tokenizer
    near_duplicate: str | None = None


def row_of(number: int, sample: Sample, *, long: bool = True) -> MeasuredRow:
    asked = sample.asked_words if long else None
    return MeasuredRow(
        number, sample.id, sample.source, sample.messages, sample.language, asked, sample.written_words, long, trace=sample.trace
    )


def measure(row: MeasuredRow, scored: Scored) -> Measures:
    """The measures of one row. The answer is all assistant turns together, the prompt all user turns.

    Words are counted in paper mode for English and Chinese, and in fixed mode for other languages, which paper mode hardly counts.
    """
    if row.problem is not None:
        return unreadable(row, row.problem)
    answer = "\n\n".join(message.content for message in row.messages if message.role == "assistant")
    prompt = "\n\n".join(message.content for message in row.messages if message.role == "user")
    language = row.language or language_of(prompt)
    written = count_words(answer) if language in PAPERS else count_fixed(answer)
    remarks = strip_meta_comments(strip_markup(answer)).removed
    return Measures(
        row=row.number,
        id=row.id,
        source=row.source,
        problem=None,
        long=int(row.long),
        language=language,
        long_language=language if row.long else None,
        roles=" ".join(message.role for message in row.messages),
        asked=row.asked,
        written=written,
        long_written=written if row.long else None,
        miscounted=None if row.declared is None else written - row.declared,
        s_l=s_l(row.asked, written) if row.asked else None,
        wrong_language=other_language(answer, language),
        repetition=repetition(answer),
        identifiers=identifiers(answer),
        refusal=refusal(answer) or declined(answer),
        leaked=leaked(answer, request=prompt, language=language),
        cut_off=broken_off(strip_markup(answer)) if row.long else None,
        remark=next((remark for remark in remarks if re.search(r"\w", remark)), None),
        invisible=unseen(prompt) + unseen(answer),
        broken=len(BROKEN.findall(prompt)) + len(BROKEN.findall(answer)),
        contaminated=scored(prompt, language),
        prompt_digest=_digest(prompt),
        answer_digest=_digest(answer) if written else None,
    )


def unreadable(row: MeasuredRow, problem: str) -> Measures:
    """The measures of a row that is no conversation: its problem, and null in all other columns."""
    nothing: dict[str, None] = dict.fromkeys(Measures._fields, None)
    return Measures(**{**nothing, "row": row.number, "id": row.id, "source": row.source, "problem": problem, "long": int(row.long)})  # type: ignore[arg-type]


def frame(rows: Iterable[MeasuredRow], scored: Scored, tokens: Counter | None, *, scratch: Path | None = None) -> "pd.DataFrame":
    """The measures of all rows, with the columns of `Measures`. Texts are not kept in memory.

    Rows are numbered from 1 in their order. Near-duplicates are found among the prompts of long texts. `scratch` is a folder for
    temporary files.
    """
    compared = Requests(scratch)
    measured = table(_measured(iter(rows), scored, tokens, compared), Measures)
    mark_copies(measured, compared, named_by="source")
    return measured


def _measured(rows: Iterator[MeasuredRow], scored: Scored, tokens: Counter | None, compared: Requests) -> Iterator[Measures]:
    """Measure rows in batches, because conversations are tokenized together."""
    places = count()
    while batch := list(islice(rows, BATCH)):
        readable = [row for row in batch if row.problem is None]
        trained = [conversation_of(row.messages, row.trace) for row in readable]
        lengths = iter(tokens(trained) if tokens else [None] * len(readable))
        for row, place in zip(batch, places, strict=False):
            one = measure(row, scored)._replace(row=place + 1)
            if row.problem is None:
                one = one._replace(tokens=next(lengths))
                request = next((message.content for message in row.messages if message.role == "user"), "")
                if row.long and request:
                    compared.add(place, request, one.language or "en")
            yield one


def mark_copies(measured: "pd.DataFrame", compared: Requests, *, named_by: str) -> None:
    """Set the column `near_duplicate`: similarity and name (column `named_by`) of the row that a row nearly repeats."""
    evidence: list[str | None] = [None] * len(measured)
    for row, other, likeness in compared.copies():
        evidence[row] = f"{likeness:.0%} of {measured[named_by].iat[other]}"
    measured["near_duplicate"] = evidence


def repetition(text: str) -> float:
    """Share of sentences that repeat an earlier sentence (0 to 1), ignoring case and spacing; 0 without sentences."""
    sentences = [" ".join(part.lower().split()) for part in _SENTENCE.findall(text)]
    spoken = [sentence for sentence in sentences if any(map(str.isalpha, sentence))]
    return 1 - len(set(spoken)) / len(spoken) if spoken else 0.0


def _digest(text: str) -> str:
    return hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "surrogatepass")).hexdigest()[:16]
