from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import store
from tasks.schema.errors import BadInput
from tasks.schema.records import Instruction

GOOD = b'{"id":"1","text":"a","language":"en","words":3,"source":"f:1"}\n'


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b"", None, "empty file"),
        (b"\n  \n", None, "empty file"),
        (GOOD + GOOD[:30], 2, "torn last line"),
        (GOOD + b'{"id":"\xff"}\n', 2, "invalid UTF-8 at byte 70"),
        (GOOD + rb'{"id":"\ud800"}' + b"\n", 2, "lone surrogate"),
        (GOOD + b"[1]\n", 2, "a JSON list, not an object"),
        (GOOD + b'{"id": NaN}\n', 2, "not JSON"),
        (GOOD.replace(b',"words":3', b""), 1, "words: missing field"),
        (GOOD.replace(b'"words":3', b'"words":"3"'), 1, "words: Input should be a valid integer"),
        (GOOD.replace(b'"words":3', b'"words":-3'), 1, "words: Input should be greater than 0"),
        (GOOD.replace(b'"id"', b'"extra":1,"id"'), 1, "extra: unknown field"),
        (GOOD.replace(b'"en"', b'"fr"'), 1, "language: Input should be 'en' or 'zh'"),
    ],
)
def test_a_broken_line_is_named_by_file_line_and_field(tmp_path: Path, content: bytes, line: int | None, says: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        store.read_list(path, Instruction)
    assert says in str(error.value)
    assert str(error.value).startswith(f"{path}:{line}:" if line else f"{path}:")
    assert ";" in str(error.value)  # the mend
    assert "\n" not in str(error.value)


def test_byte_order_mark_crlf_and_line_separator_are_no_faults(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n") + GOOD.replace(b'"a"', '"a\u2028b"'.encode()))
    assert [record.text for record in store.read(path, Instruction)] == ["a", "a\u2028b"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("store") / "out.jsonl"
    records = [Instruction(id=str(i), text=text, language="en", words=1, source="f:1") for i, text in enumerate(texts)]
    assert store.write(path, records) == len(records)
    if records:
        assert store.read_list(path, Instruction) == records


def test_a_file_is_replaced_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before")

    def torn() -> object:
        yield Instruction(id="1", text="a", language="en", words=1, source="f:1")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        store.write(path, torn())  # type: ignore[arg-type]
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").touch()
    with store.replacing(folder) as scratch:
        scratch.mkdir()
        (scratch / "new").touch()
        assert (folder / "old").exists()
    assert [p.name for p in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_line_beyond_the_limit_is_one_problem_and_the_next_row_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_LINE", 100)
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"a":"' + b"x" * 1000 + b'"}\n' + b'{"b":1}\n')
    first, second = store.rows(path)
    assert first.problem
    assert (second.line, second.data) == (2, {"b": 1})
