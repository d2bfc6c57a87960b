"""assemble: clean drafts into chat-format samples, written as Parquet with a dataset card (paper, section 3.2).

tasks/corpus/samples.py removes everything that is not the text. A draft with a fault becomes a Reject with the evidence. The recipe in
params selects among the other drafts; of the form interleaved, it adds the traces (tasks/corpus/traces.py). General chats become a
separate dataset; params give their ratio. Rows are streamed, so memory contains one batch.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from tasks import progress, stage, store
from tasks.corpus import mixing
from tasks.corpus.dataset import GENERAL, DatasetFigures, write_dataset
from tasks.corpus.general import fit_chats
from tasks.corpus.likeness import Scored, scored_on
from tasks.corpus.mixing import Wanted
from tasks.corpus.samples import DraftFault, sample_of
from tasks.schema.params import Assemble, Collect, Recipe
from tasks.schema.records import Draft, Reason, Reject, Sample

LEFT_OUT = (Reason.NO_EXPLICIT_LENGTH, Reason.OFF_LENGTH)  # the recipe leaves them out; they are no faults


def run(
    drafts: Path, reviewed: Path, folder: Path, benchmark: Path, out: Path, *, seed: int, collect: Collect, assemble: Assemble
) -> stage.Metrics:
    """`reviewed` is not read: it is a dependency, so that the drafts' contract must pass first."""
    rejects, ids, taken = store.Spool(out), set[str](), Counter[str]()
    rejected = Counter[str]()
    made, traced = _samples(drafts, assemble.chosen, rejects, rejected, taken, ids), assemble.chosen.form == "interleaved"
    facts = write_dataset(out / "dataset", made, rejected=rejected, traced=traced)
    total, faults = facts.rows + len(rejects), (reject for reject in rejects.records(Reject) if reject.reason not in LEFT_OUT)
    stage.check_reject_rate(faults, of=total, at_most=assemble.max_rejects)
    count = round(assemble.general.ratio * facts.rows)
    mixed = Counter[str]()
    general = _mix(out, count, folder, scored_on(benchmark, folder, collect), rejects, mixed, ids, seed=seed, assemble=assemble)
    cleaned = {f"without_{what}": number for what, number in sorted(taken.items())}
    reasons = {f"rejects_{reason}": number for reason, number in sorted((rejected + mixed).items())}
    chatted = {"general_rows": general.rows + mixed.total(), "general": general.rows}
    return {"drafts": total, "samples": facts.rows, "longest": facts.written[2], **chatted, **reasons, **cleaned}


def _samples(
    drafts: Path, recipe: Recipe, rejects: store.Spool, rejected: Counter[str], taken: Counter[str], ids: set[str]
) -> Iterator[Sample]:
    """The samples that the recipe selects. All other drafts are added to the rejects."""
    for draft in progress.track(store.read(drafts, Draft), unit="draft", label="assemble", total=store.count(drafts)):
        made = sample_of(draft, recipe, taken)
        if isinstance(made, DraftFault):
            asked = draft.instruction
            reject = Reject(id=asked.id, stage="assemble", reason=made.reason, detail=made.detail, source=asked.source)
            rejects.put(len(rejects), reject)
            rejected[made.reason] += 1
        else:
            ids.add(made.id)
            yield made


def _mix(
    out: Path,
    count: int,
    folder: Path,
    scored: Scored,
    rejects: store.Spool,
    mixed: Counter[str],
    ids: set[str],
    *,
    seed: int,
    assemble: Assemble,
) -> DatasetFigures:
    """Draw the general chats, and write all rejects, first those of drafts, then those of chats."""
    wanted = Wanted(Sample, "assemble", "general chats", count)
    with mixing.mixed(wanted, fit_chats(assemble.general, folder, scored, known=ids), out, seed=seed) as mix:
        store.write(out / "rejects.jsonl", chain(rejects.records(Reject), _counted(mix.rejects(), mixed)))
        return write_dataset(out / "general", mix.taken(), card=GENERAL, rejected=mixed)


def _counted(rejects: Iterator[Reject], counts: Counter[str]) -> Iterator[Reject]:
    for reject in rejects:
        counts[reject.reason] += 1
        yield reject


if __name__ == "__main__":
    stage.main(
        "DRAFTS REVIEWED FOLDER BENCHMARK OUT",
        lambda params: partial(run, seed=params.seed, collect=params.collect, assemble=params.assemble),
    )
