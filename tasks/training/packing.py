"""Pack samples into rows of at most the context's length, by best-fit-decreasing over all samples at once.

A pack is one row: the concatenated `input_ids` and `labels` of its samples, their `seq_lengths`, and their `ids`. The collator restarts
the positions at each of the `seq_lengths`, so packed samples never attend to each other. Rows are not padded. Samples and packs are
memory-mapped Arrow streams; main memory needs only two numbers per sample and a few packs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.schema.errors import BadInput, GateFailed
from tasks.training.conversations import IGNORED, Tokens

FILE = "packs.arrow"
HELD_OUT = "held_out.arrow"  # beside the folders of packs: texts that no model trains on, one per row
AT_ONCE = 32  # packs per record batch

_SAMPLE = pa.schema({"id": pa.string(), "input_ids": pa.list_(pa.int32()), "labels": pa.list_(pa.int32())})
PACK = pa.schema(
    {
        "input_ids": pa.list_(pa.int32()),
        "labels": pa.list_(pa.int32()),
        "seq_lengths": pa.list_(pa.int32()),
        "ids": pa.list_(pa.string()),
    }
)
Ints = npt.NDArray[np.int64]


class Packed(NamedTuple):
    packs: int
    tokens: int
    targets: int
    fill: float  # tokens / (packs × context)


def best_fit_decreasing(lengths: Sequence[int] | Ints, capacity: int) -> list[list[int]]:
    """Packs as lists of indices into `lengths`. The longest samples come first, each in the fullest pack that has room for it.

    An integer is the bitmap of the free spaces: its lowest set bit from `length` upwards is the best fit.
    Raises ValueError if a length is 0 or exceeds `capacity`.
    """
    if len(lengths) and not 0 < min(lengths) <= max(lengths) <= capacity:
        raise ValueError(f"lengths from {min(lengths)} to {max(lengths)} in packs of {capacity}")
    packs: list[list[int]] = []
    having: list[list[int]] = [[] for _ in range(capacity + 1)]  # packs by their free space
    free = 0  # bit s is set if a pack has s tokens of free space
    for place in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        length = int(lengths[place])
        fitting = free >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            pack = having[space].pop()
            if not having[space]:
                free ^= 1 << space
            packs[pack].append(place)
        else:
            space, pack = capacity, len(packs)
            packs.append([place])
        if left := space - length:
            having[left].append(pack)
            free |= 1 << left
    return packs


class Samples:
    """Write tokenized samples to disk; `close` returns their Reader. `lengths` and `targets` are in tokens, by index."""

    def __init__(self, path: Path) -> None:
        self._path, self._writer = path, pa.ipc.new_stream(str(path), _SAMPLE)
        self.lengths, self.targets = list[int](), list[int]()

    def add(self, ids: Sequence[str], tokens: Sequence[Tokens]) -> None:
        columns = [_lists([row.input_ids for row in tokens]), _lists([row.labels for row in tokens])]
        self._writer.write_batch(pa.record_batch([pa.array(ids, pa.string()), *columns], schema=_SAMPLE))
        self.lengths += [len(row.input_ids) for row in tokens]
        self.targets += [int((row.labels != IGNORED).sum()) for row in tokens]

    def close(self) -> "TokenReader":
        self._writer.close()
        return TokenReader(self._path)


class TokenReader:
    """Read tokenized samples by index from a memory-mapped file."""

    def __init__(self, path: Path) -> None:
        batches = pa.ipc.open_stream(pa.memory_map(str(path))).read_all().to_batches()
        self._ids, self._inputs, self._labels = ([batch.column(name) for batch in batches] for name in _SAMPLE.names)
        self._starts = np.cumsum([0, *(len(ids) for ids in self._ids)])

    def __getitem__(self, place: int) -> tuple[str, Tokens]:
        batch = int(np.searchsorted(self._starts, place, "right")) - 1
        row = place - int(self._starts[batch])
        return self._ids[batch][row].as_py(), Tokens(_row(self._inputs[batch], row), _row(self._labels[batch], row))


def write_packs(samples: Samples, reader: TokenReader, chosen: Sequence[int], folder: Path, *, context: int) -> Packed:
    """Pack the samples with the indices `chosen` into a new `folder`.

    Raises GateFailed if the file has other numbers of samples, tokens or targets than the input.
    """
    folder.mkdir(parents=True)
    packs = best_fit_decreasing([samples.lengths[place] for place in chosen], context)
    with pa.ipc.new_stream(str(folder / FILE), PACK) as writer:
        for start in range(0, len(packs), AT_ONCE):
            writer.write_batch(_batch(reader, [[chosen[member] for member in pack] for pack in packs[start : start + AT_ONCE]]))
    given = len(chosen), sum(samples.lengths[place] for place in chosen), sum(samples.targets[place] for place in chosen)
    if (found := _count(folder)) != given:
        raise GateFailed(f"pack: {given} samples, tokens and targets went in, {found} came out; this is a defect of the packing")
    _, tokens, targets = given
    return Packed(len(packs), tokens, targets, tokens / max(1, len(packs) * context))


def write_held_out(reader: TokenReader, chosen: Sequence[int], path: Path) -> None:
    """Write the samples with the indices `chosen`, one per row, with a pack's columns."""
    with pa.ipc.new_stream(str(path), PACK) as writer:
        for place in chosen:
            writer.write_batch(_batch(reader, [[place]]))


def _batch(reader: TokenReader, packs: Sequence[Sequence[int]]) -> pa.RecordBatch:
    members = [[reader[place] for place in pack] for pack in packs]
    inputs = [np.concatenate([tokens.input_ids for _, tokens in pack]) for pack in members]
    labels = [np.concatenate([tokens.labels for _, tokens in pack]) for pack in members]
    lengths = [np.array([len(tokens.input_ids) for _, tokens in pack], dtype=np.int32) for pack in members]
    ids = pa.array([[name for name, _ in pack] for pack in members], pa.list_(pa.string()))
    return pa.record_batch([_lists(inputs), _lists(labels), _lists(lengths), ids], schema=PACK)


def _count(folder: Path) -> tuple[int, int, int]:
    """(samples, tokens, targets) in the file."""
    samples = tokens = targets = 0
    for batch in pa.ipc.open_stream(pa.memory_map(str(folder / FILE))):
        samples += len(batch.column("seq_lengths").values)
        tokens += len(batch.column("input_ids").values)
        targets += int((batch.column("labels").values.to_numpy() != IGNORED).sum())
    return samples, tokens, targets


def read_packs(folder: Path) -> Iterator[dict[str, list[int]]]:
    """Every pack as {column: values}, in file order. Raises BadInput if there is no file."""
    yield from read_rows(_file(folder))


def read_rows(path: Path) -> Iterator[dict[str, list[int]]]:
    """Every row of a file of packs as {column: values}, in file order."""
    for batch in pa.ipc.open_stream(pa.memory_map(str(path))):
        yield from batch.to_pylist()


def count_packs(folder: Path) -> int:
    """The number of packs. Raises BadInput if there is none."""
    if rows := sum(batch.num_rows for batch in pa.ipc.open_stream(pa.memory_map(str(_file(folder))))):
        return rows
    raise BadInput(folder, "no packs in it", fix="run the stage pack on a dataset that has samples")


def lengths_of(folder: Path) -> tuple[Ints, Ints]:
    """(lengths of all samples in tokens, pack by pack, shape (samples,); index of each pack's first sample and the end, (packs + 1,))."""
    columns = [batch.column("seq_lengths") for batch in pa.ipc.open_stream(pa.memory_map(str(_file(folder))))]
    flat = np.concatenate([column.flatten().to_numpy() for column in columns] or [np.zeros(0)]).astype(np.int64)
    per_pack = np.concatenate([np.diff(column.offsets.to_numpy()) for column in columns] or [np.zeros(0)]).astype(np.int64)
    return flat, np.concatenate([[0], np.cumsum(per_pack)])


def longest(folder: Path) -> int:
    """Tokens of the longest pack."""
    lengths, borders = lengths_of(folder)
    return int(np.add.reduceat(lengths, borders[:-1]).max())


def _file(folder: Path) -> Path:
    if not (folder / FILE).is_file():
        raise BadInput(folder / FILE, "no such file", fix="run the pack stage: `longwriter run`")
    return folder / FILE


def _lists(rows: Sequence[npt.NDArray[np.int32]]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(rows) if rows else np.zeros(0, np.int32)))


def _row(column: pa.ListArray, row: int) -> npt.NDArray[np.int32]:
    start, end = column.offsets[row].as_py(), column.offsets[row + 1].as_py()
    found: npt.NDArray[np.int32] = column.values[start:end].to_numpy()
    return found
