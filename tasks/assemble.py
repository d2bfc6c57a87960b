"""assemble: drafts are cleaned into chat-format samples, as Parquet with a dataset card (paper, section 3.2).

What is not the text goes (tasks/corpus/samples.py); a draft with a fault becomes a Reject with the evidence; the recipe in params
says which of the others make the dataset. General chats are a dataset of their own beside it. A stream: memory holds a batch.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tasks import progress, stage, store
from tasks.corpus.dataset import GENERAL, write_dataset
from tasks.corpus.samples import Fault, sample_of
from tasks.schema.params import Assemble, Recipe
from tasks.schema.records import Draft, Reason, Reject, Sample

LEFT_OUT = (Reason.NO_EXPLICIT_LENGTH, Reason.OFF_LENGTH)  # by the recipe: no fault of the draft


def run(drafts: Path, reviewed: Path, out: Path, *, assemble: Assemble) -> stage.Metrics:
    """`reviewed` is not read: it stands for the drafts' contract that has to have passed."""
    rejects, rejected, taken = list[Reject](), Counter[str](), Counter[str]()
    facts = write_dataset(out / "dataset", _samples(drafts, assemble.chosen, rejects, rejected, taken), rejected=rejected)
    total, faults = facts.rows + len(rejects), [reject for reject in rejects if reject.reason not in LEFT_OUT]
    stage.check_reject_rate(faults, of=total, at_most=assemble.max_rejects)
    write_dataset(out / "general", [], card=GENERAL)
    store.write(out / "rejects.jsonl", rejects)
    cleaned = {f"without_{what}": count for what, count in sorted(taken.items())}
    return {"drafts": total, "samples": facts.rows, "rejects": len(rejects), "longest": facts.written[2], **cleaned}


def _samples(drafts: Path, recipe: Recipe, rejects: list[Reject], rejected: Counter[str], taken: Counter[str]) -> Iterator[Sample]:
    """The samples that the recipe takes; the others are added to the rejects."""
    for draft in progress.track(store.read(drafts, Draft), unit="draft", label="assemble", total=store.count(drafts)):
        made = sample_of(draft, recipe, taken)
        if isinstance(made, Fault):
            asked = draft.instruction
            rejects.append(Reject(id=asked.id, stage="assemble", reason=made.reason, detail=made.detail, source=asked.source))
            rejected[made.reason] += 1
        else:
            yield made


if __name__ == "__main__":
    stage.main(run)
