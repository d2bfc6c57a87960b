"""Recorded answers of any model, as scored items: JSONL rows with a prompt, a response and the length that was asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks import store
from tasks.longbench.benchmark import MEND, item_id, language_of, length_of, text_of
from tasks.longbench.summary import score_item
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, ScoredItem

PROMPTS = ("prompt", "instruction")
RESPONSES = ("response", "output", "answer", "prediction")


def score_recorded(path: Path, *, length: int | None = None) -> Iterator[ScoredItem]:
    """Every row, scored by S_l alone: nobody has judged it. A row's own length goes before the one given for all.

    The prompt is `prompt` or `instruction`; the answer is `response`, `output`, `answer` or `prediction`; other fields are
    ignored. Raises BadInput with the line and the field of the first row that lacks one or has it of the wrong type.
    """
    for row in store.rows(path):
        if row.data is None:
            raise BadInput(path, row.problem or "", line=row.line, mend=MEND)
        yield _scored(row.data, length, path=path, line=row.line)


def _scored(data: dict[str, Any], length: int | None, *, path: Path, line: int) -> ScoredItem:
    prompt = text_of(data, _present(data, PROMPTS), path=path, line=line)
    response = text_of(data, _present(data, RESPONSES), path=path, line=line, empty=True)
    if "length" not in data and length is None:
        mend = "add it to the row, or give one for all: LENGTH=4000 with make, --length 4000 here"
        raise BadInput(path, "missing field", line=line, field="length", mend=mend)
    asked = length_of({"length": length} | data, path=path, line=line)
    kind = data.get("type", "")
    item = BenchmarkItem(
        id=item_id(prompt, asked),
        prompt=prompt,
        type=kind if isinstance(kind, str) else "",
        length=asked,
        language=language_of(prompt),
    )
    return score_item(item, path.name, response, None)


def _present(data: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first of the names that the row has; the first of all if it has none, for the error that follows."""
    return next((name for name in names if name in data), names[0])
