"""A damaged dataset gives one line that names the file, wherever the damage is."""

import random
from pathlib import Path

import pytest

from tasks.corpus.dataset import FILE, count, read_dataset, write_dataset
from tasks.schema.errors import BadInput
from tasks.schema.records import Message, Sample


def samples() -> list[Sample]:
    words = (Message(role="user", content="Write."), Message(role="assistant", content="So be it. " * 30))
    return [
        Sample(id=str(number), messages=words, language="en", asked_words=3, written_words=3, paragraphs=1, source="pool:1")
        for number in range(200)
    ]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "dataset", samples())
    return tmp_path / "dataset"


def outcome(folder: Path) -> str | None:
    """None where every row could be read."""
    try:
        count(folder)
        list(read_dataset(folder))
    except BadInput as error:
        return str(error)
    return None


def test_flipped_bytes_anywhere_are_one_line_or_no_harm(dataset: Path) -> None:
    path, luck = dataset / FILE, random.Random(5)
    whole = path.read_bytes()
    found = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(luck.randint(1, 20)):
            data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
        path.write_bytes(data)
        if said := outcome(dataset):
            found += 1
            assert said.startswith(str(path))
            assert "\n" not in said
    assert found > 50


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_dataset_that_is_cut_short_is_one_line(dataset: Path, share: float) -> None:
    path = dataset / FILE
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    said = outcome(dataset)
    assert said
    assert said.startswith(str(path))
