"""Journal records of other versions or without a version are read, refused in one line, or ignored, without a traceback or a loss."""

import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.endpoints.chat import Reply, user
from tasks.endpoints.formats import FORMAT, Newer, decode
from tasks.endpoints.ledger import totals
from tasks.endpoints.replay import Paid, ReplayStore, key_of, paid, read_journal
from tasks.schema.errors import BadInput
from tasks.schema.records import Usage
from tasks.schema.settings import Price

KEY, OTHER = key_of(user("one"), {"model": "m"}), key_of(user("two"), {"model": "m"})
FIRST: dict[str, Any] = {  # as the first version wrote it
    "role": "teacher",
    "model": "m",
    "prompt": 12,
    "completion": 30,
    "cached": 4,
    "seconds": 1.5,
    "at": 1_700_000_000,
    "finish": "stop",
    "text": "Rye needs a long rise.",
}


def line(record: object, key: str | bytes = KEY) -> bytes:
    body = (key if isinstance(key, bytes) else key.encode()) + b" " + orjson.dumps(record) + b"\n"
    return b"%08x %s" % (zlib.crc32(body), body)


def journal(folder: Path, *lines: bytes) -> Path:
    path = folder / "replay.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def known(path: Path, key: str = KEY) -> Reply | None:
    store = ReplayStore(path)
    try:
        return store.get(key)
    finally:
        store.close()


def test_a_record_of_the_first_version_is_read(tmp_path: Path) -> None:
    path = journal(tmp_path, line(FIRST))
    found = known(path)
    assert found
    assert found[:4] == ("Rye needs a long rise.", "stop", Usage(12, 30, 4), 1.5)
    assert [(one.prompt, one.text) for one in read_journal(path)] == [(12, FIRST["text"])]


def test_a_record_says_its_format_first(tmp_path: Path) -> None:
    store = ReplayStore(tmp_path / "replay.jsonl")
    store.put(KEY, paid("teacher", "m", Reply("Rye.", "stop", Usage(1, 2), 0.1)))
    store.close()
    assert b' {"format":%d,' % FORMAT in (tmp_path / "replay.jsonl").read_bytes()


@pytest.mark.parametrize(
    "record", [{"format": FORMAT + 1} | FIRST, FIRST | {"format": FORMAT + 7}, {"format": 10**6, "content": []}], ids=str
)
def test_a_record_of_a_newer_version_is_refused_with_its_line_and_nothing_is_lost(record: dict[str, Any], tmp_path: Path) -> None:
    path = journal(tmp_path, line(FIRST, OTHER), line(record))
    before = path.read_bytes()
    for read in (lambda: known(path), lambda: list(read_journal(path))):
        with pytest.raises(BadInput, match=r"replay\.jsonl:2: a newer version wrote this record.*; fix: upgrade"):
            read()
    assert path.read_bytes() == before
    assert not path.with_name("replay.jsonl.damaged").exists()


def test_a_field_more_is_left_aside_and_the_reply_is_used(tmp_path: Path) -> None:
    for record in (FIRST | {"region": "eu"}, {"format": FORMAT, "region": {"a": [1]}} | FIRST):
        found = known(journal(tmp_path, line(record)))
        assert found
        assert found.text == FIRST["text"]


BROKEN: list[object] = [
    {name: value for name, value in FIRST.items() if name != "text"},
    {name: value for name, value in FIRST.items() if name != "prompt"},
    FIRST | {"text": None},
    FIRST | {"text": ["Rye"]},
    FIRST | {"prompt": "12"},
    FIRST | {"completion": 30.5},
    FIRST | {"cached": True},
    FIRST | {"role": 7},
    FIRST | {"format": "2"},
    FIRST | {"format": 0},
    FIRST | {"format": None},
    list(FIRST.values()),
    "Rye",
    None,
    {},
]


@pytest.mark.parametrize("record", BROKEN, ids=str)
def test_a_record_of_another_shape_is_left_aside_said_and_asked_again(
    record: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = journal(tmp_path, line(record), line(FIRST, OTHER))
    before = path.read_bytes()
    assert known(path) is None
    assert "left aside" in capsys.readouterr().err
    assert known(path, OTHER)
    assert [one.text for one in read_journal(path)] == [FIRST["text"]]
    store = ReplayStore(path)
    assert store.get(KEY) is None
    store.put(KEY, paid("teacher", "m", Reply("Rye again.", "stop", Usage(1, 2), 0.1)))
    store.close()
    again = known(path)
    assert again
    assert again.text == "Rye again."
    assert path.read_bytes().startswith(before)


@pytest.mark.parametrize("key", [b"x" * 64, b"\xff" * 64, b"0" * 63 + b"G", b"0" * 32], ids=repr)
def test_a_whole_line_without_a_key_is_left_aside(key: bytes, tmp_path: Path) -> None:
    path = journal(tmp_path, line(FIRST, key), line(FIRST, OTHER))
    assert known(path, OTHER)
    assert len(list(read_journal(path))) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIRST, "format"]), inner, max_size=3),
    max_leaves=8,
)


@given(JSON | st.dictionaries(st.sampled_from([*FIRST, "format", "more"]), JSON).map(lambda changes: FIRST | changes))
def test_whatever_json_is_in_a_record_it_is_read_refused_or_left_aside(record: object) -> None:
    found = decode(orjson.dumps(record), Paid)
    assert found is None or isinstance(found, Newer | Paid)
    if isinstance(found, Paid):
        assert isinstance(found.text, str)
        assert type(found.prompt) is int


def test_counts_that_cannot_be_true_in_an_old_journal_do_not_make_the_ledger_cheaper(tmp_path: Path) -> None:
    wrong = [FIRST | {"completion": -7_500_000_000}, FIRST | {"cached": 900_000_000}, FIRST | {"prompt": -5, "cached": 0}]
    path = journal(tmp_path, *(line(record, key_of(user(str(number)), {})) for number, record in enumerate(wrong)))
    account = totals(read_journal(path), {"m": Price(prompt=1, cached=0.1, completion=1)})["teacher", "m"]
    assert (account.prompt, account.completion, account.cached) == (24, 60, 4)
    assert account.dollars == pytest.approx((12 - 4 + 0.4 + 12 + 60) / 1e6)
