"""Make a sample from a draft, or find its fault. The paper describes this cleaning; its code was not published.

First each paragraph is cleaned: invisible characters, chat format tokens, plan markup and remarks of the model are removed. Then the
whole text is checked, and the first fault gives the reason. Samples that the recipe excludes (no explicit length, or a low S_l) get a
reason too, which does not count towards assemble.max_rejects. With a recipe of the form interleaved, a sample has a trace too.
"""

import re
from collections import Counter
from typing import NamedTuple

from tasks.corpus.traces import trace_of
from tasks.schema.params import Recipe
from tasks.schema.records import Draft, Message, Reason, Sample
from tasks.text.cleaning import clean, refusal, repeated
from tasks.text.counts import count_words, s_l
from tasks.text.endings import broken_off, strip_markup
from tasks.text.meta_comments import strip_meta_comments
from tasks.text.non_prose import find_non_prose
from tasks.text.offers import declined
from tasks.text.plan_markup import strip_plan_markup
from tasks.text.prompt_leak import leaked
from tasks.text.wrong_language import other_language

_HEAD = 20_000  # characters of a paragraph that are checked for an error message, noise or a refusal


class DraftFault(NamedTuple):
    """Why a draft cannot become a sample, with the evidence."""

    reason: Reason
    detail: str


class Tidied(NamedTuple):
    """The cleaned paragraphs of a draft, their indices in the draft, and the number of changed paragraphs by kind of cleaning."""

    paragraphs: list[str]
    places: list[int]
    taken: Counter[str]


def sample_of(draft: Draft, recipe: Recipe, taken: Counter[str]) -> Sample | DraftFault:
    """The sample made from a draft, or its fault. Adds the number of changed paragraphs by kind of cleaning to `taken`."""
    paragraphs, places, counts = tidied(draft)
    taken.update(counts)
    answer, instruction = "\n\n".join(paragraphs), draft.instruction
    words = count_words(answer)
    if fault := _fault(answer, paragraphs, words, draft, recipe) or _left_out(words, draft, recipe):
        return fault
    made = trace_of(draft, paragraphs, places) if recipe.form == "interleaved" else None
    if made and made.problem:
        return DraftFault(Reason.UNREADABLE_TRACE, made.problem)
    return Sample(
        id=instruction.id,
        messages=(Message(role="user", content=clean(instruction.text)), Message(role="assistant", content=answer)),
        language=instruction.language,
        asked_words=instruction.words,
        length_kind=instruction.length_kind,
        written_words=words,
        paragraphs=len(paragraphs),
        source=instruction.source,
        trace=made.trace if made else None,
    )


def tidied(draft: Draft) -> Tidied:
    """The cleaned paragraphs of a draft. Paragraphs that become empty are dropped."""
    kept, places, taken = list[str](), list[int](), Counter[str]()
    for number, raw in enumerate(draft.paragraphs, 1):
        point = draft.steps[number - 1].point if number <= len(draft.steps) else ""
        visible = clean(raw)
        taken["invisible"] += visible != raw and "".join(visible.split()) != "".join(raw.split())
        marked = strip_markup(visible)
        taken["markup"] += marked != visible
        bare = strip_plan_markup(marked, point=point)
        spoken = strip_meta_comments(bare, last=number == len(draft.paragraphs))
        taken["remarks"] += bool(spoken.removed)
        text = strip_plan_markup(spoken.text, point=point) if spoken.removed else bare
        taken["scaffolding"] += bare != marked or text != spoken.text
        if text:
            kept.append(text)
            places.append(number - 1)
    return Tidied(kept, places, +taken)


def _fault(answer: str, paragraphs: list[str], words: int, draft: Draft, recipe: Recipe) -> DraftFault | None:
    instruction = draft.instruction
    if evidence := next((found for part in paragraphs if re.search(r"\w", part) and (found := find_non_prose(part[:_HEAD]))), None):
        return DraftFault(Reason.NON_PROSE, evidence)
    if evidence := next((found for part in paragraphs if (found := refusal(part[:_HEAD]) or declined(part))), None):
        return DraftFault(Reason.REFUSAL, evidence)
    if evidence := leaked(answer, request=instruction.text, language=instruction.language):
        return DraftFault(Reason.LEAKED_PROMPT, evidence)
    if evidence := other_language(answer, instruction.language):
        return DraftFault(Reason.LANGUAGE, evidence)
    if evidence := repeated(paragraphs):
        return DraftFault(Reason.REPEATED, evidence)
    if evidence := broken_off(answer):
        return DraftFault(Reason.TRUNCATED, evidence)
    if words < recipe.words.min:
        return DraftFault(Reason.TOO_SHORT, f"{words} words, at least {recipe.words.min}")
    if words > recipe.words.max:
        return DraftFault(Reason.TOO_LONG, f"{words} words, at most {recipe.words.max}")
    return None


def _left_out(words: int, draft: Draft, recipe: Recipe) -> DraftFault | None:
    asked = draft.instruction
    if recipe.explicit_only and asked.length_kind == "none":
        return DraftFault(Reason.NO_EXPLICIT_LENGTH, "the request names no length")
    if (score := s_l(asked.words, words)) < recipe.min_s_l:
        return DraftFault(
            Reason.OFF_LENGTH, f"S_l {score:.1f}: {asked.words} words asked for, {words} written; the recipe wants {recipe.min_s_l:g}"
        )
    return None
