"""assemble: drafts are cleaned into chat-format samples, as Parquet with a dataset card (paper, section 3.2).

Paragraph identifiers, fences and stray whitespace go; what is left of a draft must be of the asked language and length,
without a refusal or a paragraph twice, or it becomes a Reject. No calls, seconds for thousands of drafts.
"""

from pathlib import Path

from tasks import stage, store
from tasks.corpus.cleaning import clean, refusal, repeated, strip_identifier
from tasks.corpus.dataset import write_dataset
from tasks.corpus.languages import language_of
from tasks.longbench.length import count_words
from tasks.schema.params import Assemble
from tasks.schema.records import Draft, Message, Reason, Reject, Sample


def run(drafts: Path, out: Path, *, assemble: Assemble) -> stage.Metrics:
    written = store.read_list(drafts, Draft)
    samples, rejects = stage.split([_sample(draft, assemble) for draft in written])
    stage.check_reject_rate(rejects, of=len(written), at_most=assemble.max_rejects)
    write_dataset(out / "dataset", samples, rejects)
    store.write(out / "rejects.jsonl", rejects)
    lengths = [sample.written_words for sample in samples]
    return {
        "drafts": len(written),
        "samples": len(samples),
        "rejects": len(rejects),
        "words": sum(lengths),
        "longest": max(lengths, default=0),
    }


def _sample(draft: Draft, assemble: Assemble) -> Sample | Reject:
    paragraphs = [paragraph for raw in draft.paragraphs if (paragraph := strip_identifier(clean(raw)))]
    answer, instruction = "\n\n".join(paragraphs), draft.instruction
    words = count_words(answer)
    if fault := _fault(answer, paragraphs, words, draft, assemble):
        reason, detail = fault
        return Reject(id=instruction.id, stage="assemble", reason=reason, detail=detail, source=instruction.source)
    return Sample(
        id=instruction.id,
        messages=(Message(role="user", content=clean(instruction.text)), Message(role="assistant", content=answer)),
        language=instruction.language,
        asked_words=instruction.words,
        written_words=words,
        paragraphs=len(paragraphs),
        source=instruction.source,
    )


def _fault(answer: str, paragraphs: list[str], words: int, draft: Draft, assemble: Assemble) -> tuple[Reason, str] | None:
    if words < assemble.words.min:
        return Reason.TOO_SHORT, f"{words} words, at least {assemble.words.min}"
    if words > assemble.words.max:
        return Reason.TOO_LONG, f"{words} words, at most {assemble.words.max}"
    if evidence := refusal(answer):
        return Reason.REFUSAL, evidence
    if evidence := repeated(paragraphs):
        return Reason.REPEATED, evidence
    if (seen := language_of(answer)) != draft.instruction.language:
        return Reason.LANGUAGE, f"asked in {draft.instruction.language}, written in {seen}"
    return None


if __name__ == "__main__":
    stage.main(run)
