"""What is left for a person when the contract fails: the data docs and every failed row, outside the stage's outputs."""

import shutil
from pathlib import Path
from typing import NoReturn

from tasks import store
from tasks.quality.checkpoint import Checked
from tasks.quality.verdict import describe
from tasks.schema.errors import GateFailed
from tasks.schema.settings import settings


def stop(dataset: Path, checked: Checked, *, docs: Path) -> NoReturn:
    """Keep the evidence in `<home>/validate`, then raise GateFailed: one line with names, first rows and where the rest is."""
    kept = settings().home / "validate"
    with store.replacing(kept) as scratch:
        shutil.copytree(docs, scratch / "docs")
        store.write(scratch / "failed.jsonl", checked.failed)
        store.write_json(scratch / "verdict.json", checked.verdict)
    failed = [outcome for outcome in checked.verdict.expectations if not outcome.success and outcome.severity == "critical"]
    raise GateFailed(
        f"{dataset}: {len(failed)} critical {'expectation' if len(failed) == 1 else 'expectations'} failed: {describe(failed)}; "
        f"all rows in {kept / 'failed.jsonl'}, data docs in {kept / 'docs' / 'index.html'}"
    )
