"""Enforce a contract in a stage: write the verdict and docs if it passes; keep the evidence and stop if it fails."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tasks import store
from tasks.contracts.checkpoint import Checked, check
from tasks.contracts.rules import Contract
from tasks.schema.contract_results import ContractVerdict, Passed, critical, describe
from tasks.schema.errors import GateFailed
from tasks.schema.settings import settings

if TYPE_CHECKING:
    import pandas as pd

VERDICT, PASSED, DOCS = "verdict.json", "passed.json", "docs"


def enforce(measured: "pd.DataFrame", contract: Contract, *, data: Path, sha256: str, out: Path) -> ContractVerdict:
    """Check the measures and write verdict.json, passed.json and docs/ into `out`; returns the verdict.

    `data` is the checked file, for messages; `sha256` is its digest. Raises GateFailed if a critical expectation fails; docs, verdict and
    failed rows are then in `<home>/contracts/<contract>`.
    """
    checked = check(measured, contract, docs=out / DOCS)
    if not checked.verdict.passed:
        _stop(data, checked, docs=out / DOCS)
    store.write_json(out / VERDICT, checked.verdict)
    store.write_json(out / PASSED, Passed(contract=contract.name, sha256=sha256))
    return checked.verdict


def figures(verdict: ContractVerdict) -> dict[str, int]:
    """A verdict's counts, as the metrics of a stage."""
    failed = [outcome for outcome in verdict.expectations if not outcome.success]
    return {"rows": verdict.rows, "expectations": len(verdict.expectations), "warnings": len(failed)}


def _stop(data: Path, checked: Checked, *, docs: Path) -> NoReturn:
    """Copy docs, failed rows and verdict to `<home>/contracts/<contract>`, because a failed stage's output is discarded; then raise."""
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
