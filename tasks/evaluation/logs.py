"""Opens files of recorded answers: JSON Lines, and the logs of inspect_ai (.eval archives and JSON) and JSON documents of other tools.

Each sample of a log becomes one row with the fields that answer_rows.py knows; `model` is the log's. JSON Lines and .eval archives are read
one row at a time; a JSON document is read whole. Checked with files of inspect_ai 0.3.285.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import NamedTuple

from tasks.evaluation.official import PREDICTIONS, VERDICTS, is_totals
from tasks.longbench.benchmark import BenchmarkRow, entries
from tasks.schema.errors import BadInput

# inspect_ai compresses its archives with Zstandard, which Python's own module knows from 3.14 on.
if sys.version_info >= (3, 14):
    import zipfile

    from compression.zstd import ZstdError
else:
    from backports.zstd import ZstdError, zipfile

ZIP = b"PK\x03\x04"
FROM_LOG = "log of inspect_ai"  # a field of the rows made here: their `model` is the one that answered
_ATTACHMENT = "attachment://"
_FIX = "give an .eval or JSON log of inspect_ai, or JSON Lines"

Json = Mapping[str, object]


def rows_of(path: Path) -> Iterator[BenchmarkRow]:
    """Yields the rows of a file, of a folder's files or of a glob. A folder's JSON documents are read only if it has no other files.

    Raises BadInput for a file that cannot be read, with the line or the sample.
    """
    for file in _files(path):
        if file.is_file() and _is_zip(file):
            yield from _of_archive(file)
        elif file.suffix == ".json" and not _is_lines(file):
            yield from _of_document(file)
        else:
            yield from _of_lines(file)


def log_files(folder: Path) -> list[Path]:
    """The files of recorded answers directly in a folder."""
    lines = sorted(folder.glob("*.jsonl")) + sorted(folder.glob("*.eval"))
    if (folder / PREDICTIONS).is_file():  # of the official scripts: judge.jsonl has the same answers again
        lines = [file for file in lines if file.name != VERDICTS]
    return lines or [file for file in sorted(folder.glob("*.json")) if _is_log(file)]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return log_files(path) or [path]  # a folder without any is refused where rows of JSON Lines are read
    if path.exists() or not set("*?[") & set(str(path)):
        return [path]
    return sorted(map(Path, glob(str(path)))) or [path]


def _is_zip(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(ZIP)) == ZIP


def _is_lines(file: Path) -> bool:
    """Whether the first line is a whole JSON object, and there is another line."""
    with file.open("rb") as opened:
        first, second = opened.readline(), opened.readline()
    try:
        return isinstance(json.loads(first), dict) and bool(second.strip())
    except ValueError:
        return False


def _is_log(file: Path) -> bool:
    """Whether a JSON document begins like a log of inspect_ai."""
    with file.open("rb") as opened:
        start = opened.read(4096)
    return b'"version"' in start[:200] and b'"eval"' in start


def _of_lines(file: Path) -> Iterator[BenchmarkRow]:
    """Rows of JSON Lines that are answers. lm-evaluation-harness writes a document once for each of its filters: only the first filter's
    rows are read. The official judge.jsonl ends in a row of totals.
    """
    first: object = None
    for row in entries(file):
        if "resps" in row.data and "filter" in row.data:
            first = row.data["filter"] if first is None else first
            if row.data["filter"] != first:
                continue
        if not is_totals(row.data):
            yield row


def _of_archive(file: Path) -> Iterator[BenchmarkRow]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            header = next((name for name in ("header.json", "_journal/start.json") if name in names), None)
            if header is None:
                raise BadInput(file, "a ZIP archive that is no log of inspect_ai", fix=_FIX)
            model = _model(_loaded(file, archive.read(header), header))
            samples = sorted((name for name in names if name.startswith("samples/")), key=_epoch)  # else in the archive's order
            yield from _of_samples(file, (_loaded(file, archive.read(name), name) for name in samples), model)
    except (zipfile.BadZipFile, ZstdError, OSError, NotImplementedError, EOFError) as error:
        raise BadInput(file, f"not a whole archive: {error}", fix="run the evaluation again, or give another file") from None


def _epoch(name: str) -> int:
    number = name.removesuffix(".json").rpartition("_epoch_")[2]
    return int(number) if number.isdecimal() else 0


def _of_document(file: Path) -> Iterator[BenchmarkRow]:
    value = _loaded(file, file.read_bytes(), "")
    if isinstance(value, list):
        for number, row in enumerate(value, 1):
            if not isinstance(row, dict):
                raise BadInput(file, f"entry {number} is no object", fix=_FIX)
            yield BenchmarkRow(row, file, number)
    elif isinstance(value, dict) and isinstance(value.get("samples"), list) and isinstance(value.get("eval"), dict):
        yield from _of_samples(file, value["samples"], _model(value))
    elif isinstance(value, dict) and isinstance(value.get("eval"), dict) and "status" in value:
        raise BadInput(file, "a log of inspect_ai without samples", fix="give the whole log, not its header")
    elif isinstance(value, dict):
        yield BenchmarkRow(value, file, 1)
    else:
        raise BadInput(file, "not an object or a list of objects", fix=_FIX)


def _loaded(file: Path, content: bytes, name: str) -> object:
    """JSON as Python's own module reads it: inspect_ai writes NaN for a score that is missing."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(file, f"not JSON: {error}", field=name or None, fix=_FIX) from None


def _model(header: object) -> str:
    own = header.get("eval") if isinstance(header, dict) else None
    model = own.get("model") if isinstance(own, dict) else None
    return model if isinstance(model, str) else ""


class _Failed(NamedTuple):
    sample: str
    why: str


def _of_samples(file: Path, samples: Iterable[object], model: str) -> Iterator[BenchmarkRow]:
    """A row for each sample with an answer. Samples that failed have none: they are counted and named on stderr."""
    failed = list[_Failed]()
    for number, sample in enumerate(samples, 1):
        if not isinstance(sample, dict):
            raise BadInput(file, f"sample {number} is no object", fix=_FIX)
        if why := _failure(sample):
            failed.append(_Failed(str(sample.get("id")), why))
            continue
        yield BenchmarkRow(_row(sample, model), file, number)
    if failed:
        causes = "; ".join(f"{count} {cause}" for cause, count in Counter(one.why for one in failed).most_common(3))
        print(
            f"{file}: samples that failed and have no answer, left out: {len(failed)}, such as {failed[0].sample} ({causes})",
            file=sys.stderr,
        )


def _failure(sample: Json) -> str:
    """Why a sample has no answer; empty if it has one."""
    output, error = sample.get("output"), sample.get("error")
    has_answer = isinstance(output, dict) and bool(output.get("choices"))
    if has_answer and not error:
        return ""
    said = error.get("message") if isinstance(error, dict) else output.get("error") if isinstance(output, dict) else None
    return " ".join(str(said or "no answer").split())[:120]


def _row(sample: Json, model: str) -> dict[str, object]:
    """A sample's fields, as rows of recorded answers have them."""
    kept, attached = sample.get("metadata"), sample.get("attachments")
    metadata = kept if isinstance(kept, dict) else {}
    fields = {name: metadata[name] for name in ("prompt", "length", "type", "index", "plan") if name in metadata}
    read = {"id": sample.get("id"), "prompt": sample.get("input"), "response": sample.get("output"), **fields}
    return {**_attached(read, attached if isinstance(attached, dict) else {}), "model": model, FROM_LOG: True}


def _attached(value: dict[str, object], attachments: Json) -> dict[str, object]:
    """The same value with references to attachments replaced."""

    def walk(inner: object) -> object:
        if isinstance(inner, str) and inner.startswith(_ATTACHMENT):
            return attachments.get(inner.removeprefix(_ATTACHMENT), inner)
        if isinstance(inner, list):
            return [walk(one) for one in inner]
        return {key: walk(one) for key, one in inner.items()} if isinstance(inner, dict) else inner

    return {key: walk(inner) for key, inner in value.items()} if attachments else value
