"""Every row becomes a candidate or a reject, in one process or several; and unusual contents of pools."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.corpus.duplicates import text_id
from tasks.filtering.candidates import Candidates
from tasks.filtering.pool import Rejects, fill
from tasks.rehearsal.wildchat import SCHEMA, write_chats
from tasks.schema.errors import BadInput, PipelineError
from tasks.schema.settings import settings as where
from tasks.sources import splits
from tests.conftest import ROOT
from tests.tasks.filtering.chats import rules, sifted


def lines(path: Path, *rows: object) -> Path:
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chats")
    write_chats(folder, 3_000, files=3)
    return folder


def test_the_generator_writes_wildchat_s_layout_and_the_same_bytes_again(chats: Path, tmp_path: Path) -> None:
    paths = write_chats(tmp_path, 3_000, files=3)
    assert [path.read_bytes() for path in paths] == [(chats / path.name).read_bytes() for path in paths]
    table = pq.read_table(paths[0])
    assert table.schema == SCHEMA
    assert table.num_rows == 1_000


@pytest.mark.integration
def test_several_processes_give_what_one_gives(chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "PART_ROWS", 400)
    found = {}
    for processes in (1, 2):
        monkeypatch.setenv("LONGWRITER_SIFTERS", str(processes))
        where.cache_clear()
        found[processes] = sifted(chats, tmp_path / str(processes), rules())
    assert found[1] == found[2]
    assert len(found[1][0]) > 500
    assert 3_000 - len(found[1][0]) - len(found[1][1]) > 300, "copies, equal and near"
    reasons = Counter(reject["reason"] for reject in found[1][1])
    assert all(reasons[reason] for reason in ("language", "toxic", "scraping", "injection"))


ASKS = st.lists(
    st.tuples(st.sampled_from(["Write", "write", " Write "]), st.sampled_from("abcdefgh"), st.sampled_from(["", " Thanks!"])), max_size=14
)


@pytest.mark.integration
@settings(max_examples=12)
@given(ASKS, st.integers(0, 14), st.randoms(use_true_random=False))
def test_what_stays_is_the_same_for_any_order_and_any_files(
    tmp_path_factory: pytest.TempPathFactory, asks: list[tuple[str, str, str]], cut: int, luck: object
) -> None:
    base = tmp_path_factory.mktemp("law")
    rows = [{"prompt": f"{verb} 400 words about the history of {topic * 5}, its tools and its people.{end}"} for verb, topic, end in asks]
    rows.append({"prompt": "Write 400 words about the sea."})
    mixed = luck.sample(rows, len(rows))  # type: ignore[attr-defined]
    (base / "one").mkdir()
    (base / "two").mkdir()
    lines(base / "one" / "a.jsonl", *rows)
    for name, part in (("b.jsonl", mixed[:cut]), ("c.jsonl", mixed[cut:])):
        if part:
            lines(base / "two" / name, *part)
    found = [sorted(text for text, _ in sifted(base / name, base / f"{name}-out", rules("*.jsonl"))[0]) for name in ("one", "two")]
    assert found[0] == found[1]


def test_fifty_thousand_copies_of_one_prompt_leave_one(tmp_path: Path) -> None:
    same = ["Write 400 words about tea, its makers and its history in the old port."] * 50_000
    pq.write_table(pa.table({"prompt": same}), tmp_path / "a.parquet")
    stays, rejects = sifted(tmp_path, tmp_path / "out", rules("a.parquet"))
    assert len(stays) == 1
    assert rejects == []


@pytest.mark.timeout(300)  # comparing each with each would take longer
def test_thousands_of_near_copies_leave_one(tmp_path: Path) -> None:
    text = "Write 400 words about tea, its makers, its ships and its long history in the old port of the town, for readers who like {}."
    lines(tmp_path / "a.jsonl", *({"prompt": text.format(f"x{number}")} for number in range(2_000)))
    stays, _ = sifted(tmp_path, tmp_path / "out", rules("a.jsonl"))
    assert len(stays) == 1


def test_empty_conversations_nulls_right_to_left_and_emoji_are_rows_like_others(tmp_path: Path) -> None:
    rows: list[object] = [
        {"conversation": []},
        {"conversation": None},
        {"conversation": [None]},
        {"conversation": [{"role": "user", "content": None}]},
        {"conversation": [{"role": "assistant", "content": "Hi"}]},
        {"prompt": "\u202eاكتب مقالة من ٤٠٠ كلمة عن الشاي وتاريخه الطويل"},
        {"prompt": "😀👩‍👩‍👧‍👦🎉"},
        {"prompt": "Write 400 words about 👩‍👩‍👧‍👦 families 😀, their\u200b days and their \u202ehomes\u202c."},
        {"prompt": "כתוב מאמר של 400 מילים על תה"},
    ]
    stays, rejects = sifted(lines(tmp_path / "a.jsonl", *rows).parent, tmp_path / "out", rules("a.jsonl"))
    assert [text for text, _ in stays] == ["Write 400 words about 👩‍👩‍👧‍👦 families 😀, their days and their homes."]
    reasons = [reject["reason"] for reject in rejects]
    assert reasons == ["short_ask", "malformed", "malformed", "short_ask", "short_ask", "language", "short_ask", "language"]


def test_personal_data_is_masked_and_copies_that_differ_in_it_alone_are_copies(tmp_path: Path) -> None:
    ask = "Write 400 words that thank {} for the old clock and its history."
    lines(tmp_path / "a.jsonl", {"prompt": ask.format("ann@mail.example.org")}, {"prompt": ask.format("bob@post.example.com")})
    stays, _ = sifted(tmp_path, tmp_path / "out", rules("a.jsonl"))
    assert [text for text, _ in stays] == [ask.format("[EMAIL]")]
    kept = rules("a.jsonl")
    kept = kept._replace(collect=kept.collect.model_copy(update={"personal_data": "keep"}))
    assert ask.format("ann@mail.example.org") in {text for text, _ in sifted(tmp_path, tmp_path / "kept", kept)[0]}


def test_a_source_that_vanishes_half_way_stops_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "PART", 2_000)
    path = lines(tmp_path / "a.jsonl", *({"prompt": f"Write 400 words about tea number {n}."} for n in range(500)))
    monkeypatch.setenv("LONGWRITER_SIFTERS", "1")
    where.cache_clear()
    seen = []

    def vanishing(refused: object) -> None:
        seen.append(refused)
        path.unlink(missing_ok=True)

    monkeypatch.setattr(Candidates, "add", lambda *_, **__: vanishing(None))
    with pytest.raises(PipelineError, match=r"a\.jsonl: vanished while it was read"):
        sifted(tmp_path, tmp_path / "out", rules("a.jsonl"))
    assert not (tmp_path / "out" / "rejects.jsonl").exists()


def test_an_unreadable_row_behind_other_parts_is_named_by_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "PART", 1_000)
    path = lines(tmp_path / "a.jsonl", *({"prompt": f"Write 400 words about tea number {n}."} for n in range(100)))
    content = path.read_bytes().split(b"\n")
    content[76] = b'{"prompt": "caf\xe9"}'
    path.write_bytes(b"\n".join(content))
    strict = rules("a.jsonl")
    strict = strict._replace(collect=strict.collect.model_copy(update={"max_malformed": 0.0}))
    with pytest.raises(BadInput, match=r"a\.jsonl:77: invalid UTF-8 at byte \d+ of the file"):
        sifted(tmp_path, tmp_path / "out", strict)


GIANT = """
import sys, time
from pathlib import Path
from benchmarks.processes import most_memory
from tasks.sources.reading import plain, rows_of_file
import tasks.sources.splits
before = most_memory()
start = time.process_time()
found = [(row.number, row.problem) for row in rows_of_file(plain(Path(sys.argv[1])))]
print(found, (most_memory() - before) // 2**20, round(time.process_time() - start))
"""


@pytest.mark.slow
def test_a_line_of_a_gigabyte_is_one_bad_row_in_bounded_memory_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"prompt": "one"}\n{"prompt": "')
        for _ in range(1024):
            file.write(b"x" * 2**20)
        file.write(b'"}\n{"prompt": "two"}\n')
    done = subprocess.run([sys.executable, "-c", GIANT, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    found, mebibytes, seconds = done.stdout.rsplit(maxsplit=2)
    assert found == "[(1, None), (2, 'line of more than 16 MiB'), (3, None)]"
    assert int(mebibytes) < 200
    assert int(seconds) < 10


def test_ids_are_of_the_text_and_no_row_has_anothers(chats: Path, tmp_path: Path) -> None:
    with Candidates(tmp_path, threshold=0.8) as pool, Rejects(tmp_path / "rejects.jsonl") as rejects:
        fill(pool, rejects, chats, rules())
        assert all(pool[place].id == text_id(pool[place].text) for place in range(len(pool)))
