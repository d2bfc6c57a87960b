"""Gather the facts of a dataset card from stage outputs, params.yaml and the journal."""

import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.corpus.dataset import read_dataset, spread
from tasks.endpoints.ledger import RoleTotals, totals
from tasks.endpoints.replay import JOURNAL, Paid, read_journal
from tasks.longbench.scorecard import Scorecard, read_scorecards
from tasks.schema.contract_results import ContractVerdict, Passed
from tasks.schema.errors import BadInput
from tasks.schema.params import Params, Source
from tasks.schema.records import Metrics, Reject
from tasks.schema.settings import settings

BINS = ((0, 500), (500, 2_000), (2_000, 4_000), (4_000, 10_000), (10_000, 20_000), (20_000, None))
MAKERS = ("collect", "plan", "write", "assemble")  # stages that write rejects
PROMPTS = ("select", "plan", "chapters", "chapter", "write", "summarize")
FIX = "run the dataset's stages: `longwriter flow dataset`"


class DatasetPart(NamedTuple):
    """Figures of one of the two datasets."""

    rows: int
    languages: Mapping[str, int]
    written: tuple[int, int, int]  # words: minimum, median, maximum
    asked: tuple[int, int, int]
    words: int  # total
    bins: Sequence[tuple[str, Mapping[str, int]]]  # length bins in words, with rows by language
    length_kinds: Mapping[str, int]


class ReleaseFacts(NamedTuple):
    """Everything that the card shows."""

    name: str
    version: str
    long: DatasetPart
    general: DatasetPart
    sources: Sequence[Source]
    metrics: Mapping[str, Mapping[str, float]]  # by stage
    rejects: Mapping[str, Mapping[str, int]]  # by stage and reason
    prompts: Mapping[str, str]  # SHA-256 of each prompt file
    costs: Mapping[tuple[str, str], RoleTotals]  # by role and model
    priced: frozenset[str]  # models with a price in the settings
    verdict: ContractVerdict
    digest: str
    commit: str
    params: Params
    scores: Mapping[str, Scorecard] = {}  # of the models that were trained on this data; empty: not known

    @property
    def rehearsal(self) -> bool:
        return self.params.models.teacher.name.startswith("rehearsal")


def gather(data: Path, params: Params, *, version: str, commit: str) -> ReleaseFacts:
    """The facts of the current data. Raises BadInput if a stage has not run or the data is not the data that passed the contract."""
    dataset, general, checked = data / "assemble/dataset", data / "assemble/general", data / "validate_dataset"
    passed = store.read_document(checked / "passed.json", Passed)
    if (digest := store.digest(dataset, general)) != passed.sha256:
        raise BadInput(dataset, "not the data that passed the contract", fix=FIX)
    verdict = store.read_document(checked / "verdict.json", ContractVerdict)
    own = settings()
    return ReleaseFacts(
        name=params.assemble.recipe,
        version=version,
        long=_part(dataset),
        general=_part(general),
        sources=[*params.collect.sources, *(params.assemble.general.sources if params.assemble.general.ratio else ())],
        metrics={stage: _numbers(data / stage / "metrics.json") for stage in MAKERS},
        rejects={stage: dict(Counter(str(reject.reason) for reject in _rejects(data / stage)).most_common()) for stage in MAKERS},
        prompts={name: _sha256(Path(__file__).parents[1] / "prompts" / f"{name}.txt") for name in _prompts(params)},
        costs=totals(_of_data(own.home / JOURNAL), own.prices),
        priced=frozenset(own.prices),
        verdict=verdict,
        digest=digest,
        commit=commit,
        params=params,
        scores=read_scorecards(card) if (card := data / "score/scorecard.json").is_file() and trained_on_this() else {},
    )


def trained_on_this() -> bool:
    """Whether the scores are of models that were trained on the current data: the stage score and all before it are up to date."""
    words = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", "score"]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode == 0 and done.stdout.strip() == "{}"


def _prompts(params: Params) -> Sequence[str]:
    """The names of the prompts that made the data."""
    return (*PROMPTS, "reflect") if params.write.reflect == "teacher" else PROMPTS


def _part(folder: Path) -> DatasetPart:
    languages, length_kinds, written, asked = Counter[str](), Counter[str](), list[int](), list[int]()
    bins: list[Counter[str]] = [Counter() for _ in BINS]
    for sample in read_dataset(folder):
        languages[sample.language] += 1
        length_kinds[sample.length_kind] += 1
        written.append(sample.written_words)
        asked += [sample.asked_words] if sample.asked_words else []
        place = next(place for place, (_, most) in enumerate(BINS) if most is None or sample.written_words < most)
        bins[place][sample.language] += 1
    named = [(f"{low:,} to {high:,}" if high else f"{low:,} and more", counts) for (low, high), counts in zip(BINS, bins, strict=True)]
    return DatasetPart(
        len(written), dict(sorted(languages.items())), spread(written), spread(asked), sum(written), named, dict(length_kinds)
    )


def _numbers(path: Path) -> dict[str, float]:
    return {name: value for name, value in store.read_document(path, Metrics).root.items() if value is not None}


def _rejects(stage: Path) -> Iterator[Reject]:
    path = stage / "rejects.jsonl"
    return store.read(path, Reject) if path.is_file() and path.stat().st_size else iter(())


def _of_data(journal: Path) -> Iterator[Paid]:
    """The journal entries of the roles that make the dataset: selector and teacher."""
    return (line for line in read_journal(journal) if line.role in ("selector", "teacher"))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
