"""assemble: drafts are cleaned into chat-format samples, as Parquet with a dataset card (paper, section 3.2).

Paragraph identifiers, fences and stray whitespace go; what is left of a draft must be of the asked language and length,
without a refusal or a paragraph twice, or it becomes a Reject; the recipe in params says which of the clean ones make the
dataset. General chats are a dataset of their own beside it. A stream: memory does not grow with the drafts.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tasks import stage, store
from tasks.corpus.cleaning import clean, refusal, repeated, strip_identifier
from tasks.corpus.dataset import GENERAL, write_dataset
from tasks.corpus.languages import language_of
from tasks.longbench.length import count_words, s_l
from tasks.schema.params import Assemble, Recipe
from tasks.schema.records import Draft, Message, Reason, Reject, Sample

LEFT_OUT = (Reason.NO_EXPLICIT_LENGTH, Reason.OFF_LENGTH)  # by the recipe: no fault of the draft


def run(drafts: Path, out: Path, *, assemble: Assemble) -> stage.Metrics:
    rejects, rejected = list[Reject](), Counter[str]()
    facts = write_dataset(out / "dataset", _samples(drafts, assemble.chosen, rejects, rejected), rejected=rejected)
    faults = [reject for reject in rejects if reject.reason not in LEFT_OUT]
    total = facts.rows + len(rejects)
    stage.check_reject_rate(faults, of=total, at_most=assemble.max_rejects)
    write_dataset(out / "general", [], card=GENERAL)
    store.write(out / "rejects.jsonl", rejects)
    return {"drafts": total, "samples": facts.rows, "rejects": len(rejects), "longest": facts.written[2]}


def _samples(drafts: Path, recipe: Recipe, rejects: list[Reject], rejected: Counter[str]) -> Iterator[Sample]:
    """The samples that the recipe takes; the others are added to the rejects."""
    for draft in store.read(drafts, Draft):
        made = _sample(draft, recipe)
        if isinstance(made, Sample):
            yield made
        else:
            rejects.append(made)
            rejected[made.reason] += 1


def _sample(draft: Draft, recipe: Recipe) -> Sample | Reject:
    paragraphs = [paragraph for raw in draft.paragraphs if (paragraph := strip_identifier(clean(raw)))]
    answer, instruction = "\n\n".join(paragraphs), draft.instruction
    words = count_words(answer)
    if fault := _fault(answer, paragraphs, words, draft, recipe) or _left_out(words, draft, recipe):
        reason, detail = fault
        return Reject(id=instruction.id, stage="assemble", reason=reason, detail=detail, source=instruction.source)
    return Sample(
        id=instruction.id,
        messages=(Message(role="user", content=clean(instruction.text)), Message(role="assistant", content=answer)),
        language=instruction.language,
        asked_words=instruction.words,
        wish=instruction.wish,
        written_words=words,
        paragraphs=len(paragraphs),
        source=instruction.source,
    )


def _fault(answer: str, paragraphs: list[str], words: int, draft: Draft, recipe: Recipe) -> tuple[Reason, str] | None:
    if words < recipe.words.min:
        return Reason.TOO_SHORT, f"{words} words, at least {recipe.words.min}"
    if words > recipe.words.max:
        return Reason.TOO_LONG, f"{words} words, at most {recipe.words.max}"
    if evidence := refusal(answer):
        return Reason.REFUSAL, evidence
    if evidence := repeated(paragraphs):
        return Reason.REPEATED, evidence
    if (seen := language_of(answer)) != draft.instruction.language:
        return Reason.LANGUAGE, f"asked in {draft.instruction.language}, written in {seen}"
    return None


def _left_out(words: int, draft: Draft, recipe: Recipe) -> tuple[Reason, str] | None:
    asked = draft.instruction
    if recipe.explicit_only and asked.wish == "none":
        return Reason.NO_EXPLICIT_LENGTH, "the request names no length"
    if (score := s_l(asked.words, words)) < recipe.min_s_l:
        return Reason.OFF_LENGTH, f"S_l {score:.1f}: {asked.words} words asked for, {words} written; the recipe wants {recipe.min_s_l:g}"
    return None


if __name__ == "__main__":
    stage.main(run)
