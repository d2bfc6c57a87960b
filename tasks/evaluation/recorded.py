"""Reads and scores recorded answers of any model: JSONL rows with a prompt, a response and the requested length."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.evaluation.answer_rows import answers_in
from tasks.evaluation.logs import log_files, rows_of
from tasks.longbench.adapters import DEFAULT, BenchmarkAdapter, adapter_of, understood
from tasks.longbench.benchmark import BenchmarkPrompt, BenchmarkRow, item_of
from tasks.longbench.summary import score_item
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, Record, ScoredItem, Step

PROMPTS = ("prompt", "instruction")
ANY_LENGTH = 1_000  # words


class Recorded(NamedTuple):
    """One recorded answer."""

    item: BenchmarkItem
    sample: int  # index of the answer to the same item, from 0
    response: str
    plan: tuple[Step, ...]  # empty: unknown
    finish_reason: str  # empty: unknown
    topic: str  # empty: derived from the prompt
    reasoning: str  # the model's thoughts; empty: none
    inline: bool  # the thoughts were part of the text
    model: str  # the model that answered; empty: unknown


class _Planned(Record):
    plan: tuple[Step, ...] | None


def score_recorded(
    path: Path,
    *,
    length: int | None = None,
    format: str | None = None,
    skipped: list[str] | None = None,
    repeated: list[str] | None = None,
    model: str = "",
) -> Iterator[ScoredItem]:
    """Yields every recorded answer, scored by S_l only, because no judge was called.

    The model is the one that the row names, else `model`, else the file's name. Rows of the stage predict name their model. The other
    arguments are those of `read_recorded`.
    """
    for one in read_recorded(path, length=length, format=format, skipped=skipped, repeated=repeated):
        yield score_item(
            one.item,
            one.model or model or path.name,
            one.response,
            None,
            finish_reason=one.finish_reason,
            sample=one.sample,
            plan=one.plan,
            reasoning=one.reasoning,
            inline=one.inline,
            topic=one.topic,
        )


def models_in(path: Path) -> dict[str, Path]:
    """The folders of each model's answers, by relative path: those below `path` with files of answers. Empty if `path` is one model's own.

    evalscope writes each answer twice, in predictions/MODEL and reviews/MODEL: only the former is read.
    """
    if not path.is_dir() or log_files(path):
        return {}
    found = sorted({file.parent for kind in ("*.jsonl", "*.eval") for file in path.glob(f"*/**/{kind}")})
    twice = {
        folder for folder in found if folder.parent.name == "reviews" and folder.parent.with_name("predictions") / folder.name in found
    }
    return {folder.relative_to(path).as_posix(): folder for folder in found if folder not in twice}


def read_without_lengths(path: Path, *, format: str | None) -> Iterator[Recorded]:
    """As `read_recorded`, for uses in which lengths play no part: a row without one gets ANY_LENGTH; a named format has its own."""
    return read_recorded(path, length=None if format else ANY_LENGTH, format=format, skipped=[])


def read_recorded(
    path: Path,
    *,
    length: int | None = None,
    format: str | None = None,
    skipped: list[str] | None = None,
    repeated: list[str] | None = None,
) -> Iterator[Recorded]:
    """Yields every answer in a file, a folder of files or a glob. In an evaluation's folder, predictions.jsonl is read.

    A row's own length is used before `length`. Without a format, the prompt is `prompt` or `instruction`; a named format reads prompt and
    length in its own way. The answer is `response`, `output`, `answer`, `prediction`, `completion` or `generated_text`. `id`, `sample`,
    `type`, `plan` and `finish_reason` are optional; other fields are ignored. Rows of other tools and whole chat completions are read too
    (answer_rows.py). Thoughts are separated from every answer. The same item again is its next sample.

    A row without a readable length is refused, or its place is added to `skipped` if that is given. If the same answer occurs twice
    without a sample index, both places are added to `repeated`: it may be the same row twice. Raises BadInput with line and field of the
    first row that lacks a field or has a wrong type.
    """
    adapter, places = adapter_of(format), _Places()
    if length is not None and adapter.name != DEFAULT:
        problem = f"not used with the format {adapter.name}, in which each row states its own length"
        raise BadInput("length", problem, fix="leave out LENGTH (--length), or FORMAT (--format)")
    own = path / "predictions.jsonl"
    for found in (answer for entry in rows_of(own if own.is_file() else path) for answer in answers_in(entry)):
        entry = found.entry
        asks = understood(entry, adapter, lambda row: _asks(row, adapter, length))
        if not asks and skipped is None:
            raise entry.bad("length", "the row states no length that can be read", fix="remove the line, or add `length` to it")
        if not asks and skipped is not None:
            skipped.append(f"{entry.path}:{entry.line}")
        for ask in asks:
            item = item_of(ask)
            text, reasoning, inline = found.content
            sample = places.take(item, entry, model=found.model)
            if repeated is not None and (first := places.said_before(item, text, entry, model=found.model)):
                repeated.append(f"{entry.path}:{entry.line} is {first}")
            yield Recorded(item, sample, text, _plan(entry), found.finish_reason, ask.topic, reasoning, inline, found.model)


def _asks(entry: BenchmarkRow, adapter: BenchmarkAdapter, length: int | None) -> Sequence[BenchmarkPrompt]:
    """The prompt that a row answers; empty if the row states no length."""
    if adapter.name == DEFAULT:
        return [_plain(entry, length)]
    return (adapter.recorded or adapter.asks)(entry)


def _plain(entry: BenchmarkRow, length: int | None) -> BenchmarkPrompt:
    prompt = entry.text(*PROMPTS)
    if not entry.has("length") and length is None:
        fix = "add it to the row, or give one for all: --length 4000"
        raise entry.bad("length", "missing field", fix=fix)
    asked = entry._replace(data={"length": length, **entry.data}).length()
    kind = entry.data.get("type", "")
    return BenchmarkPrompt(prompt, asked, kind if isinstance(kind, str) else "", id=entry.identity())


def _plan(entry: BenchmarkRow) -> tuple[Step, ...]:
    if entry.data.get("plan") is None:
        return ()
    return store.parse({"plan": entry.data["plan"]}, _Planned, path=entry.path, line=entry.line).plan or ()


class _Places:
    """The samples read so far, with their places."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], dict[int, str]] = {}  # by model and item id: file and line of each sample
        self._asks: dict[str, tuple[int, int, str]] = {}  # by item id: hash of the prompt, length, file and line
        self._answers: dict[tuple[str, str, int], str] = {}  # by model, item id and answer: file and line

    def take(self, item: BenchmarkItem, entry: BenchmarkRow, *, model: str) -> int:
        """The sample index of a row: its own, else the next one. Raises BadInput for a duplicate, or if the id has another prompt or
        length.
        """
        place, lines = f"{entry.path.name}:{entry.line}", self._samples.setdefault((model, item.id), {})
        *meant, first = self._asks.setdefault(item.id, (hash(item.prompt), item.length, place))
        if meant != [hash(item.prompt), item.length]:
            problem = f"{item.id} is the id of another ask in an earlier row, {first}"
            raise entry.bad("id", problem, fix="give each prompt and length an id of its own")
        sample = self._said(entry)
        if sample is None:
            sample = max(lines, default=-1) + 1
        if sample in lines:
            raise entry.bad("sample", f"sample {sample} of {item.id} is there twice, first in {lines[sample]}")
        lines[sample] = place
        return sample

    def said_before(self, item: BenchmarkItem, answer: str, entry: BenchmarkRow, *, model: str) -> str:
        """The place of the same answer to the item, if the row has no sample index of its own; else empty."""
        place = f"{entry.path.name}:{entry.line}"
        first = self._answers.setdefault((model, item.id, hash(answer)), place)
        return "" if first == place or entry.data.get("sample") is not None else first

    def _said(self, entry: BenchmarkRow) -> int | None:
        value = entry.data.get("sample")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise entry.bad("sample", f"not a whole number from 0: {store.shorten(value)}")
        return value
