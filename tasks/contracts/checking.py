"""The contract on data from elsewhere: measured as the training set is, with the docs, the verdict and every failed row in a folder."""

from pathlib import Path

from tasks import progress, store
from tasks.contracts import contract
from tasks.contracts.checkpoint import Checked, check
from tasks.contracts.enforce import DOCS, VERDICT
from tasks.contracts.external_data import Columns, read
from tasks.contracts.measures import frame
from tasks.contracts.tokens import counter
from tasks.corpus.likeness import scored_on
from tasks.schema.params import Params

FAILED = "failed.jsonl"


def check_outside(path: Path, out: Path, params: Params, *, columns: Columns, tokenizer: str, context: int | None) -> Checked:
    """Hold what is under `path` to the contract of params; `tokenizer` is a folder or a hub id, empty: tokens are not counted.

    `out` is made, or replaced: docs/, verdict.json and failed.jsonl. Raises BadInput for data that cannot be read at all.
    """
    scored = scored_on(Path(params.benchmark), Path(params.collect.folder), params.collect)
    tokens = (
        counter(params.base.model_copy(update={"model": tokenizer, "revision": "", "chat_template": None}), params.pack, tuple)
        if tokenizer
        else None
    )
    rows = progress.track(read(path, columns), unit="row", label="check")
    measured = frame(rows, scored, tokens)
    limit = (context or params.pack.context) if tokenizer else None
    with store.replacing(out) as scratch:
        scratch.mkdir()
        checked = check(measured, contract.outside(params.validate_dataset, context=limit), docs=scratch / DOCS)
        store.write_json(scratch / VERDICT, checked.verdict)
        store.write(scratch / FAILED, checked.failed)
    return checked
