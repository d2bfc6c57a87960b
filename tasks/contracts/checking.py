"""Check data from outside against the contract. It is measured as the training set is; a folder receives docs, verdict and failed rows."""

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
    """Check the data at `path` against the contract of `params`, and write docs/, verdict.json and failed.jsonl into a new `out`.

    `tokenizer` is a folder or a hub id; if empty, tokens are not counted. `context` is in tokens (default: pack.context).
    Raises BadInput if the data cannot be read.
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
