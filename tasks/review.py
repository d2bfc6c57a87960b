"""review: the drafts' contract, held to their plans, before anything is cleaned; a teacher that went wrong shows here.

Seconds, most of them imports. See tasks/quality: measures as columns, rules as data, Great Expectations as the judge.
"""

from pathlib import Path

from tasks import progress, stage, store
from tasks.quality import contract
from tasks.quality.hold import figures, hold
from tasks.quality.upstream import drafts_frame
from tasks.schema.params import Review
from tasks.schema.records import Draft


def run(drafts: Path, out: Path, *, review: Review) -> stage.Metrics:
    written = progress.track(store.read(drafts, Draft), unit="draft", label="review", total=store.count(drafts))
    measured = drafts_frame(written)
    verdict = hold(measured, contract.drafts(review), data=drafts, sha256=store.digest(drafts), out=out)
    return {**figures(verdict), "written_words": int(measured["written"].sum()), "s_l": float(measured["s_l"].mean())}


if __name__ == "__main__":
    stage.main(run)
