"""Holding data to its contract, as a stage does: the verdict and the docs where it holds, the evidence where it does not."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tasks import store
from tasks.contracts.checkpoint import Checked, check
from tasks.contracts.rules import Contract
from tasks.contracts.verdict import Passed, Verdict, critical, describe
from tasks.schema.errors import GateFailed
from tasks.schema.settings import settings

if TYPE_CHECKING:
    import pandas as pd

VERDICT, PASSED, DOCS = "verdict.json", "passed.json", "docs"


def enforce(measured: "pd.DataFrame", contract: Contract, *, data: Path, sha256: str, out: Path) -> Verdict:
    """Write verdict.json, passed.json and docs/ into `out`, or raise GateFailed with all evidence kept under the settings' home."""
    checked = check(measured, contract, docs=out / DOCS)
    if not checked.verdict.passed:
        _stop(data, checked, docs=out / DOCS)
    store.write_json(out / VERDICT, checked.verdict)
    store.write_json(out / PASSED, Passed(contract=contract.name, sha256=sha256))
    return checked.verdict


def figures(verdict: Verdict) -> dict[str, int]:
    """A verdict as a stage's metrics."""
    failed = [outcome for outcome in verdict.expectations if not outcome.success]
    return {"rows": verdict.rows, "expectations": len(verdict.expectations), "warnings": len(failed)}


def _stop(data: Path, checked: Checked, *, docs: Path) -> NoReturn:
    """The stage's own output is discarded when its gate fails: what a person needs is kept in `<home>/contracts/<stage>`."""
    store.private_folder(settings().home)
    kept = settings().home / "contracts" / checked.verdict.name
    with store.replacing(kept) as scratch:
        shutil.copytree(docs, scratch / DOCS)
        store.write(scratch / "failed.jsonl", checked.failed)
        store.write_json(scratch / VERDICT, checked.verdict)
    failed = critical(checked.verdict.expectations)
    raise GateFailed(
        f"{data}: {len(failed)} critical {'expectation' if len(failed) == 1 else 'expectations'} failed: {describe(failed)}; "
        f"all rows in {kept / 'failed.jsonl'}, data docs in {kept / DOCS / 'index.html'}"
    )
