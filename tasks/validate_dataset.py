"""validate_dataset: check long texts and general chats against the training set's contract. A failed critical expectation stops the run.

Measuring and tokenizing are the cost. The data docs are static pages that need no server or network. They also show the contracts of
instructions and drafts, so that all checks can be read in one place before training.
"""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from tasks import progress, stage, store
from tasks.contracts import contract
from tasks.contracts.docs import gather
from tasks.contracts.enforce import enforce, figures
from tasks.contracts.measures import MeasuredRow, frame, row_of
from tasks.contracts.tokens import counter
from tasks.corpus.dataset import count, has_traces, read_dataset
from tasks.corpus.likeness import scored_on
from tasks.schema.params import Base, Collect, Pack, ValidateDataset


def run(
    dataset: Path,
    general: Path,
    folder: Path,
    benchmark: Path,
    admitted: Path,
    reviewed: Path,
    out: Path,
    *,
    base: Base,
    collect: Collect,
    pack: Pack,
    validate_dataset: ValidateDataset,
) -> stage.Metrics:
    tokens = counter(base, pack, lambda: chain(read_dataset(dataset), read_dataset(general)), traced=has_traces(dataset))
    rows = chain(_rows(dataset, long=True), _rows(general, long=False))
    seen = progress.track(rows, unit="row", label="validate_dataset", total=count(dataset) + count(general))
    measured = frame(seen, scored_on(benchmark, folder, collect), tokens, scratch=out)
    rules = contract.training_set(validate_dataset, context=pack.context, within_context=1 - pack.max_rejects)
    verdict = enforce(measured, rules, data=dataset, sha256=store.digest(dataset, general), out=out)
    gather(out / "docs", verdict, admitted, reviewed)
    figured = {name: float(measured[name].mean()) for name in ("s_l", "repetition")}
    return {**figures(verdict), "long": int(measured["long"].sum()), "tokens": int(measured["tokens"].sum()), **figured}


def _rows(folder: Path, *, long: bool) -> Iterator[MeasuredRow]:
    return (row_of(number, sample, long=long) for number, sample in enumerate(read_dataset(folder), 1))


if __name__ == "__main__":
    stage.main(
        "DATASET GENERAL FOLDER BENCHMARK ADMITTED REVIEWED OUT",
        lambda params: partial(run, base=params.base, collect=params.collect, pack=params.pack, validate_dataset=params.validate_dataset),
    )
