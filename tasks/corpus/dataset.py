"""The dataset as others read it: one Parquet file and a card, a folder that `datasets.load_dataset` opens as it is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, StrictUndefined

from tasks.schema.errors import BadInput
from tasks.schema.records import Reject, Sample
from tasks.store import parse

FILE = "train.parquet"
BATCH = 1_000  # rows held in memory while reading

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "language": pa.string(),
        "asked_words": pa.int32(),
        "written_words": pa.int32(),
        "paragraphs": pa.int32(),
        "source": pa.string(),
    }
)

_CARD = """---
configs:
  - config_name: default
    data_files: [{split: train, path: {{ file }}}]
language: [{{ languages | join(", ") }}]
tags: [long-form-generation, sft, agentwrite]
---

# Long-form SFT data

{{ samples | length }} conversations of one request and one long answer, written by AgentWrite (arXiv 2408.07055): a plan of
paragraphs with word counts, then each paragraph with the request, the plan and all earlier text in view.

| | |
|---|---|
| rows | {{ samples | length }} |
{% for language, count in by_language %}| in {{ language }} | {{ count }} |
{% endfor %}| written words (zh: characters), least / median / most | {{ lengths.0 }} / {{ lengths.1 }} / {{ lengths.2 }} |
| asked words, least / median / most | {{ asked.0 }} / {{ asked.1 }} / {{ asked.2 }} |
| drafts set aside here | {{ reasons }} |

Columns: `id`, `messages` (user, assistant), `language`, `asked_words`, `written_words` (Chinese characters plus English
words), `paragraphs`, `source` (file:row of the request). Rebuilt by the stages collect to assemble; what made it is in params.yaml.
"""


def write_dataset(folder: Path, samples: Sequence[Sample], rejects: Sequence[Reject]) -> None:
    """Write train.parquet and README.md into a new folder."""
    folder.mkdir()
    table = pa.Table.from_pylist([sample.model_dump() for sample in samples], schema=SCHEMA)
    pq.write_table(table, folder / FILE, compression="zstd")
    by_reason = Counter(str(reject.reason) for reject in rejects)
    template = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True).from_string(_CARD)
    card = template.render(
        file=FILE,
        samples=samples,
        languages=sorted({sample.language for sample in samples}),
        by_language=sorted(Counter(sample.language for sample in samples).items()),
        lengths=_spread([sample.written_words for sample in samples]),
        asked=_spread([sample.asked_words for sample in samples]),
        reasons=", ".join(f"{count} {reason}" for reason, count in by_reason.most_common()) or "none",
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _spread(values: list[int]) -> tuple[int, int, int]:
    return (min(values), round(median(values)), max(values)) if values else (0, 0, 0)


def read_dataset(folder: Path) -> Iterator[Sample]:
    """Every sample, in bounded memory. Raises BadInput with the row and field of one that does not fit."""
    path = folder / FILE
    if not path.is_file():
        raise BadInput(path, "no such file", mend="run the stage assemble: `make run`")
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise BadInput(path, f"not Parquet: {error}", mend="run the stage assemble again") from None
    row = 0
    for batch in file.iter_batches(batch_size=BATCH):
        for data in batch.to_pylist():
            row += 1
            yield parse(data, Sample, path=path, line=row)
