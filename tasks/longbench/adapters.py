"""Adapters: convert the rows of other benchmarks' files into items, and their recorded outputs into answered items.

An adapter reads the prompt and the requested length of one row. Files, item ids, samples and errors are handled in the same way for all
formats. To add a benchmark, add one entry:

    def _mine(entry: Entry) -> list[Ask]:
        return [Ask(entry.text("task"), entry.length("words"), type="report")]

    ADAPTERS["mine"] = Adapter("mine", fits=lambda row: "task" in row and "words" in row, asks=_mine)

A row without a readable length is skipped and counted, or refused. A length is never guessed.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.longbench.benchmark import BenchmarkPrompt, BenchmarkRow, asked, entries, items_of
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem
from tasks.text.length_requests import parse_length_request


class BenchmarkAdapter(NamedTuple):
    """One benchmark's format."""

    name: str
    fits: Callable[[Mapping[str, object]], bool]  # does a row look like this format?
    asks: Callable[[BenchmarkRow], Sequence[BenchmarkPrompt]]  # the prompts of a row; empty if the row states no readable length
    recorded: Callable[[BenchmarkRow], Sequence[BenchmarkPrompt]] | None = None  # the prompt that a recorded row answers; None: use `asks`


class BenchmarkFile(NamedTuple):
    """The items of a benchmark, and the rows that were skipped."""

    items: list[BenchmarkItem]
    skipped: list[str]  # file:line of each row without a readable length


DEFAULT = "longbench-write"
EDGE = 500  # characters: a long prompt states its request at its start or end, with source material between them
LIFEBENCH_LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_HELLOBENCH_LENGTH = re.compile(r"\bno shorter than (\d{1,3}(?:,\d{3})+|\d+) words\b", re.IGNORECASE)
_HELLOBENCH_TYPES = {
    "a comprehensive article": "keyword_writing",
    "a first-person narrative story": "roleplaying_writing",
    "a well-structured screenplay": "screenplay_writing",
    "an engaging story": "story_writing",
    "a well-structured, argumentative essay": "argumentative_writing",
}


def read_items(path: Path, format: str | None = None) -> BenchmarkFile:
    """Returns the items of a benchmark file, a folder of files or a glob. The default format is LongBench-Write's.

    Raises BadInput with line and field at the first row of another format, and names the format that the row looks like. Raises BadInput
    if no row states a readable length.
    """
    adapter, skipped = adapter_of(format), list[str]()
    items = list(items_of(_asks(path, adapter, skipped)))
    if not items:
        raise BadInput(
            path, f"none of its {len(skipped)} rows states a length that can be read", fix="give the benchmark's length-constrained set"
        )
    return BenchmarkFile(items, skipped)


def _asks(path: Path, adapter: BenchmarkAdapter, skipped: list[str]) -> Iterator[tuple[BenchmarkRow, BenchmarkPrompt]]:
    for entry in entries(path):
        found = understood(entry, adapter, adapter.asks)
        if not found:
            skipped.append(f"{entry.path}:{entry.line}")
        yield from ((entry, ask) for ask in found)


def understood(
    entry: BenchmarkRow, adapter: BenchmarkAdapter, asks: Callable[[BenchmarkRow], Sequence[BenchmarkPrompt]]
) -> Sequence[BenchmarkPrompt]:
    """Returns what `asks` reads from a row. If it raises BadInput and the row looks like another format, the error names that format."""
    try:
        return asks(entry)
    except BadInput as error:
        if looks_like := next((other for other in ADAPTERS.values() if other.name != adapter.name and other.fits(entry.data)), None):
            name = looks_like.name
            fix = f"give --format {name}, which these rows look like"
            raise entry.bad(error.field or "", error.problem, fix=fix) from None
        raise


def adapter_of(format: str | None) -> BenchmarkAdapter:
    """Returns the adapter of that name. Raises BadInput with the list of names."""
    name = format or DEFAULT
    if name not in ADAPTERS:
        raise BadInput("format", f"no benchmark format {name!r}", fix=f"use one of {', '.join(ADAPTERS)}")
    return ADAPTERS[name]


def _longbench_write(entry: BenchmarkRow) -> list[BenchmarkPrompt]:
    return [asked(entry)]


def _hellobench(entry: BenchmarkRow) -> list[BenchmarkPrompt]:
    """The length-constrained set: a requirement states the length. Recorded rows have no category; it is inferred from the first line."""
    prompt = entry.text("instruction")
    stated = _HELLOBENCH_LENGTH.findall(prompt)
    kind = entry.text("category") if entry.has("category") else _hellobench_type(prompt)
    return [BenchmarkPrompt(prompt, int(stated[-1].replace(",", "")), kind)] if stated and int(stated[-1].replace(",", "")) else []


def _hellobench_type(prompt: str) -> str:
    opening = prompt.partition("\n")[0]
    return next((kind for phrase, kind in _HELLOBENCH_TYPES.items() if phrase in opening), "")


def _writingbench(entry: BenchmarkRow) -> list[BenchmarkPrompt]:
    """Reads `query`; its length is read as in training prompts. Prompts that ask for minutes, lines or slides state no length in words."""
    prompt = entry.text("query")
    target = _stated_length(prompt)
    return [BenchmarkPrompt(prompt, target, entry.text("domain1") if entry.has("domain1") else "")] if target else []


def _stated_length(prompt: str) -> int | None:
    """The length that a prompt states. None if the start and end of a long prompt state another length than the whole prompt: the length
    may belong to the source material.
    """
    whole, ends = parse_length_request(prompt), parse_length_request(f"{prompt[:EDGE]}\n\n{prompt[-EDGE:]}")
    return whole.target if len(prompt) <= 2 * EDGE or ends.target in (None, whole.target) else None


def _lifebench(entry: BenchmarkRow) -> list[BenchmarkPrompt]:
    """Fills a template with the authors' default control method ("equal to") at each of ten lengths."""
    template = entry.text("task")
    if "{word_count}" not in template:
        raise entry.bad("task", "no {word_count} in it")
    said = "等于" if entry.data.get("lang") == "cn" else "equal to"
    kind = entry.text("type", "category", empty=True)
    filled = template.replace("{word_count_type}", said)
    return [BenchmarkPrompt(filled.replace("{word_count}", str(length)), length, kind) for length in LIFEBENCH_LENGTHS]


def _lifebench_recorded(entry: BenchmarkRow) -> list[BenchmarkPrompt]:
    """Reads a row of LIFEBench results: the length is a field. The prompt is usually missing; index, method and length then replace it."""
    length = entry.length("length_constraint", "length")
    kind = entry.text("type", "category", empty=True) if entry.has("type", "category") else ""
    if entry.has("prompt"):
        return [BenchmarkPrompt(entry.text("prompt"), length, kind)]
    if not entry.has("index"):
        raise entry.bad("prompt", "missing field")
    method = entry.data.get("control_method", "equal to")
    task = f"LIFEBench {entry.data['index']}"
    chinese = entry.data.get("lang") == "cn"
    return [BenchmarkPrompt(f"{task}, {method} {length} words", length, kind, language="zh" if chinese else "en", topic=_spelled(task))]


def _spelled(name: str) -> str:
    """Replaces the digits of a name by letters, so that no length is read from the name."""
    return name.translate({ord(str(digit)): chr(ord("a") + digit) for digit in range(10)})


def _stated(row: Mapping[str, object]) -> bool:
    return isinstance(text := row.get("instruction"), str) and bool(_HELLOBENCH_LENGTH.search(text))


ADAPTERS: dict[str, BenchmarkAdapter] = {
    adapter.name: adapter
    for adapter in (
        BenchmarkAdapter(DEFAULT, lambda row: "prompt" in row and "length" in row, _longbench_write),  # LongWrite-Ruler too
        BenchmarkAdapter("hellobench", _stated, _hellobench),
        BenchmarkAdapter("writingbench", lambda row: "query" in row and ("domain1" in row or "response" in row), _writingbench),
        BenchmarkAdapter(
            "lifebench",
            lambda row: "length_constraint" in row or "{word_count}" in str(row.get("task")),
            _lifebench,
            recorded=_lifebench_recorded,
        ),
    )
}
