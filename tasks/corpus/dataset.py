"""Write and read the dataset: a folder with one Parquet file and a card, which `datasets.load_dataset` opens directly.

Rows are streamed: memory holds one batch, and for the card the lengths of all rows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, StrictUndefined

from tasks.schema.errors import BadInput
from tasks.schema.records import Sample
from tasks.store import parse

FILE = "train.parquet"
BATCH = 500  # rows held in memory while reading or writing

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "language": pa.string(),
        "asked_words": pa.int32(),
        "written_words": pa.int32(),
        "length_kind": pa.string(),
        "paragraphs": pa.int32(),
        "source": pa.string(),
    }
)

TRACED = SCHEMA.append(pa.field("trace", pa.string()))  # of recipes of the form interleaved

_CARD = """---
configs:
  - config_name: default
    data_files: [{split: train, path: {{ file }}}]
language: [{{ facts.languages | join(", ") }}]
tags: [{{ tags | join(", ") }}]
---

# {{ title }}

{{ about }}

| | |
|---|---|
| rows | {{ facts.rows }} |
{% for language, count in facts.languages.items() %}| in {{ language }} | {{ count }} |
{% endfor %}| written words (zh: characters), least / median / most | {{ facts.written | join(" / ") }} |
| asked words, least / median / most | {{ facts.asked | join(" / ") }} |
| rows set aside here | {{ rejected }} |

Columns: `id`, `messages` (role and content), `language`, `asked_words` (null: no length was looked at), `written_words` (Chinese
characters plus English words), `length_kind` (how the request names its length), `paragraphs`, `source` (file:row of the request)
{%- if traced %}, `trace` (the
answer with its plan and reflections in <think> tags; removing them gives the answer in `messages`, byte for byte){% endif %}.
Rebuilt by the stages collect to assemble; what made it is in params.yaml.
"""

LONG = (
    "Long-form SFT data",
    "Conversations of one request and one long answer, written by AgentWrite (arXiv 2408.07055): a plan of paragraphs with word counts, "
    "then each paragraph with the request, the plan and all earlier text in view.",
    ("long-form-generation", "sft", "agentwrite"),
)
GENERAL = (
    "General chat data",
    "Conversations of ordinary length that are mixed in, so that a model which learns to write long does not forget the rest.",
    ("sft", "chat"),
)


class DatasetFigures(NamedTuple):
    """Figures of a dataset. Lengths in words (English) or characters (Chinese) as minimum, median and maximum."""

    rows: int
    languages: Mapping[str, int]
    asked: tuple[int, int, int]
    written: tuple[int, int, int]


def write_dataset(
    folder: Path,
    samples: Iterable[Sample],
    *,
    rejected: Mapping[str, int] | None = None,
    card: tuple[str, str, tuple[str, ...]] = LONG,
    traced: bool = False,
) -> DatasetFigures:
    """Write train.parquet and README.md into a new folder and return the figures of the card.

    `rejected`: counts by reason; read after the last sample, so the iterator may fill it. `traced`: with the column `trace`, which a
    dataset without traces does not have. Raises FileExistsError if the folder exists.
    """
    folder.mkdir()
    languages, asked, written = Counter[str](), list[int](), list[int]()
    with _rows(folder / FILE, TRACED if traced else SCHEMA) as add:
        for sample in samples:
            add(sample)
            languages[sample.language] += 1
            written.append(sample.written_words)
            asked += [sample.asked_words] if sample.asked_words else []
    facts = DatasetFigures(len(written), dict(sorted(languages.items())), spread(asked), spread(written))
    template = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True).from_string(_CARD)
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(rejected or {}).most_common()) or "none"
    title, about, tags = card
    text = template.render(file=FILE, facts=facts, title=title, about=about, tags=tags, rejected=reasons, traced=traced)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return facts


class _Rows:
    """Collects rows and writes them to a Parquet file in batches."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema):
        self._writer, self._schema, self._waiting = writer, schema, list[Sample]()

    def __call__(self, sample: Sample) -> None:
        self._waiting.append(sample)
        if len(self._waiting) == BATCH:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist([sample.model_dump() for sample in self._waiting], schema=self._schema))
            self._waiting.clear()


@contextmanager
def _rows(path: Path, schema: pa.Schema) -> Iterator[_Rows]:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        rows = _Rows(writer, schema)
        yield rows
        rows.flush()


def spread(values: list[int]) -> tuple[int, int, int]:
    """Minimum, median and maximum; zeros for an empty list."""
    return (min(values), round(median(values)), max(values)) if values else (0, 0, 0)


def count(folder: Path) -> int:
    """The number of rows of a dataset; 0 if the folder has none. Raises BadInput for a damaged file."""
    path = folder / FILE
    with _parquet(path):
        return int(pq.read_metadata(path).num_rows) if path.is_file() else 0


def has_traces(folder: Path) -> bool:
    """Whether a dataset was made by a recipe of the form interleaved. Raises BadInput for a damaged file."""
    path = folder / FILE
    with _parquet(path):
        return path.is_file() and "trace" in pq.read_schema(path).names


def read_dataset(folder: Path) -> Iterator[Sample]:
    """Yield every sample in bounded memory. Raises BadInput for a missing or damaged file, and with row and field for an invalid row."""
    path = folder / FILE
    if not path.is_file():
        raise BadInput(path, "no such file", fix="run the assemble stage: `longwriter run`")
    row = 0
    with _parquet(path):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH):
            for data in batch.to_pylist():
                row += 1
                yield parse(data, Sample, path=path, line=row)


@contextmanager
def _parquet(path: Path) -> Iterator[None]:
    """Convert pyarrow's errors for a damaged file into a BadInput of one line."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        problem = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise BadInput(path, f"damaged, or not Parquet: {problem}", fix="run the stage that writes it again") from None
