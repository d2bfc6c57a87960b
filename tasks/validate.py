"""validate: the dataset's contract, checked by Great Expectations; a critical expectation that fails stops the run.

Seconds, most of them imports. The data docs are static pages that open without a server or a network. When the gate
fails this stage's output is discarded, so its evidence (data docs and failed rows) is kept under the settings' home.
"""

from pathlib import Path

from tasks import stage, store
from tasks.corpus.dataset import read_dataset
from tasks.quality.checkpoint import check
from tasks.quality.contract import contract
from tasks.quality.evidence import stop
from tasks.quality.measures import frame
from tasks.schema.params import Validate


def run(dataset: Path, out: Path, *, validate_: Validate) -> stage.Metrics:
    measured = frame(read_dataset(dataset))
    checked = check(measured, contract(validate_), docs=out / "docs")
    if not checked.verdict.passed:
        stop(dataset, checked, docs=out / "docs")
    store.write_json(out / "verdict.json", checked.verdict)
    failed = [outcome for outcome in checked.verdict.expectations if not outcome.success]
    return {
        "rows": checked.verdict.rows,
        "expectations": len(checked.verdict.expectations),
        "warnings": len(failed),
        "s_l": float(measured["s_l"].mean()),
        "repetition": float(measured["repetition"].mean()),
    }


if __name__ == "__main__":
    stage.main(run)
