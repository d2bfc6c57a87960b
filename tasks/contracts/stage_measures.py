"""Measure instructions before the teacher is paid for them, and drafts before they are cleaned."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks import progress, store
from tasks.contracts.columns import table
from tasks.contracts.measures import BROKEN, mark_copies
from tasks.corpus.likeness import Requests, Scored
from tasks.schema.records import Draft, Instruction
from tasks.text.cleaning import clean, refusal, repeated, unseen
from tasks.text.counts import count_words, s_l
from tasks.text.endings import broken_off, strip_markup
from tasks.text.meta_comments import strip_meta_comments
from tasks.text.non_prose import find_non_prose
from tasks.text.offers import declined
from tasks.text.plan_markup import identifiers
from tasks.text.prompt_leak import leaked
from tasks.text.wrong_language import other_language

if TYPE_CHECKING:
    import pandas as pd


class InstructionMeasures(NamedTuple):
    """The measures of one instruction."""

    row: int
    id: str
    source: str
    language: str
    asked: int
    explicit: int  # 1: the text contains its length request
    characters: int
    wrong_language: str | None
    steering: str | None  # a chat format's mark, or a piece of the pipeline's prompts
    invisible: int
    broken: int
    contaminated: str | None
    near_duplicate: str | None


class DraftMeasures(NamedTuple):
    """The measures of one draft. `asked`, `planned` and `written` are words; counts cover all its paragraphs."""

    row: int
    id: str
    source: str
    language: str
    asked: int
    planned: int
    written: int
    plan_s_l: float  # S_l of the plan's total for the requested length
    s_l: float  # S_l of the written words for the plan's total
    paragraphs: int
    unplanned: int  # paragraphs minus the plan's steps
    empty: int
    identifiers: int
    remarks: int
    wrong_language: str | None
    refusal: str | None
    non_prose: str | None
    repeated: str | None
    cut_off: str | None


def instructions_frame(path: Path, scored: Scored, *, scratch: Path) -> "pd.DataFrame":
    """The measures of all instructions in a file. `scratch` is a folder for temporary files."""
    compared = Requests(scratch)

    def measured() -> Iterator[InstructionMeasures]:
        asked = progress.track(store.read(path, Instruction), unit="instruction", label="validate_instructions", total=store.count(path))
        for place, one in enumerate(asked):
            compared.add(place, one.text, one.language)
            yield _instruction(place + 1, one, scored)

    frame = table(measured(), InstructionMeasures)
    mark_copies(frame, compared, named_by="id")
    return frame


def _instruction(row: int, one: Instruction, scored: Scored) -> InstructionMeasures:
    return InstructionMeasures(
        row=row,
        id=one.id,
        source=one.source,
        language=one.language,
        asked=one.words,
        explicit=int(one.length_kind != "none"),
        characters=len(one.text),
        wrong_language=other_language(one.text, one.language),
        steering=leaked(one.text, request="", language=one.language),
        invisible=unseen(one.text),
        broken=len(BROKEN.findall(one.text)),
        contaminated=scored(one.text, one.language),
        near_duplicate=None,
    )


def drafts_frame(drafts: Iterable[Draft]) -> "pd.DataFrame":
    return table((_draft(row, draft) for row, draft in enumerate(drafts, 1)), DraftMeasures)


def _draft(row: int, draft: Draft) -> DraftMeasures:
    asked, paragraphs = draft.instruction, [strip_markup(clean(raw)) for raw in draft.paragraphs]
    text, last = "\n\n".join(paragraphs), len(paragraphs)
    planned, written = sum(step.words for step in draft.steps), count_words(text)
    return DraftMeasures(
        row=row,
        id=asked.id,
        source=asked.source,
        language=asked.language,
        asked=asked.words,
        planned=planned,
        written=written,
        plan_s_l=s_l(asked.words, planned),
        s_l=s_l(planned, written) if planned else 0.0,
        paragraphs=last,
        unplanned=last - len(draft.steps),
        empty=sum(not count_words(paragraph) for paragraph in paragraphs),
        identifiers=sum(map(identifiers, paragraphs)),
        remarks=sum(bool(strip_meta_comments(paragraph, last=number == last).removed) for number, paragraph in enumerate(paragraphs, 1)),
        wrong_language=other_language(text, asked.language),
        refusal=next((found for paragraph in paragraphs if (found := refusal(paragraph) or declined(paragraph))), None),
        non_prose=next((found for paragraph in paragraphs if (found := find_non_prose(paragraph[:20_000]))), None),
        repeated=repeated(paragraphs),
        cut_off=broken_off(text),
    )
