"""The index finds every row, by text and by facts, and is used again only for the same files."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.reader import files
from tasks.reader.collections import Collection, DataFile, collections_of
from tasks.reader.entry import differences, entry_of
from tasks.reader.index import Index, Query, phrases
from tests.tasks.reader.material import STEPS, built, run_folder


def rows_file(path: Path, count: int) -> Path:
    """Answers about one of three places, some of them long."""
    places = ("harbour", "market", "station")
    with path.open("w") as file:
        for number in range(count):
            row = {"id": str(number), "prompt": f"Write {100 + number % 3} words", "response": f"{places[number % 3]} number{number} " * 5}
            file.write(json.dumps(row) + "\n")
    return path


def test_search_finds_words_beginnings_phrases_and_parts_of_chinese_sentences(tmp_path: Path) -> None:
    index = built(run_folder(tmp_path / "data"), tmp_path / "cache")
    found = {
        search: index.count(Query("evaluation", search))
        for search in (
            "river",
            "riv",
            '"the only thing"',
            '"only the thing"',
            "天来",
            "来天",
            "AND",
            '"',
            "control NOT x",
            "花开 夏天",
            "*",
        )
    }
    assert found == {
        "river": 2,
        "riv": 2,
        '"the only thing"': 2,
        '"only the thing"': 0,
        "天来": 2,
        "来天": 0,
        "AND": 2,
        '"': 0,
        "control NOT x": 0,
        "花开 夏天": 2,
        "*": 0,
    }


def test_a_search_is_never_syntax() -> None:
    """Whatever is typed, SQLite takes it as words."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
        database.execute("INSERT INTO words VALUES ('nothing of it')")
        for search in ('a "b OR c', "NEAR(a b)", "col:x", "-a", "a*b", "{a b}:c", "^a", '""', "a''b", "\x00a", "(", "春 天*", 'x"y"z'):
            if expression := phrases(search):
                assert database.execute("SELECT count(*) FROM words WHERE words MATCH ?", (expression,)).fetchone() == (0,)


def test_filters_and_scores_narrow_the_list(tmp_path: Path) -> None:
    index = built(run_folder(tmp_path / "data"), tmp_path / "cache")
    assert index.count(Query("evaluation")) == 6
    assert index.count(Query("evaluation", facets=(("model", "student"), ("language", "zh")))) == 1
    assert index.count(Query("evaluation", facets=(("bin", "[2000,4000)"),))) == 2
    assert index.count(Query("evaluation", least=90.0)) == sum(
        1 for row in index.page(Query("evaluation"), start=0, size=9) if (row.s_l or 0) >= 90
    )
    assert index.count(Query("evaluation", score="s_q", most=49.0)) == 0
    assert index.count(Query("rejects", facets=(("reason", "toxic"),))) == 1
    shortest = [row.written for row in index.page(Query("evaluation", sort="shortest"), start=0, size=9)]
    assert shortest == sorted(shortest, key=lambda words: words or 0)
    with pytest.raises(ValueError, match="no filter"):
        index.count(Query("evaluation", facets=(("title; DROP TABLE rows", "x"),)))


def test_two_models_stand_side_by_side_with_their_differences(tmp_path: Path) -> None:
    index = built(run_folder(tmp_path / "data"), tmp_path / "cache")
    [one] = [row for row in index.page(Query("evaluation"), start=0, size=9) if (row.model, row.key) == ("student", "b0")]
    [other] = index.others(one)
    assert (other.model, other.key) == ("control", "b0")
    found = {line.name: line.value for line in differences(entry_of(index, one), entry_of(index, other))}
    assert found["relevance"] == 2
    assert found["S_q"] == 0
    assert found["written"] == (one.written or 0) - (other.written or 0)
    assert entry_of(index, one).verdicts[0].grades == [4] * 6


def test_a_draft_and_its_sample_have_the_plan_beside_the_paragraphs_with_asked_and_written_words(tmp_path: Path) -> None:
    index = built(run_folder(tmp_path / "data"), tmp_path / "cache")
    for collection in ("write/drafts", "assemble/dataset"):
        [part] = entry_of(index, index.page(Query(collection), start=0, size=1)[0]).parts
        assert [[step.point for step in paragraph.steps] for paragraph in part.paragraphs] == [[step.point] for step in STEPS]
        assert [(paragraph.asked, paragraph.written) for paragraph in part.paragraphs][:2] == [(5, 5), (10, 10)]


def test_loops_are_marked_in_the_text_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    index = built(run_folder(tmp_path / "data"), tmp_path / "cache")
    row = index.page(Query("evaluation", facets=(("model", "student"), ("language", "en"))), start=0, size=1)[0]
    entry = entry_of(index, row)
    segments = [segment for paragraph in entry.parts[0].paragraphs for segment in paragraph.segments]
    assert "".join(segment.text for segment in segments) == entry.shape.parts[0].text
    [loop] = [segment.text for segment in segments if segment.mark == "loop"]
    assert loop.count("only thing") == 11  # the first copy is no repetition


def test_rows_can_be_read_and_counted_before_their_facts_are_known(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "answers.jsonl", 300)
    index = Index(collections_of(path), tmp_path / "cache")
    index._stop.set()  # the builder stops after the places of the first file
    index.open()
    index.wait()
    assert not index.progress.complete
    assert index.count(Query("answers.jsonl")) == 300
    row = index.page(Query("answers.jsonl"), start=299, size=1)[0]
    assert (row.key is not None, row.title) == (True, "Write 102 words")


def test_an_index_is_used_again_and_built_again_for_a_changed_file_or_after_a_stop(tmp_path: Path) -> None:
    path, cache = rows_file(tmp_path / "answers.jsonl", 30), tmp_path / "cache"
    first = built(path, cache)
    made = first.path.stat().st_ino
    again = Index(collections_of(path), cache)
    again.open()
    assert again.progress.complete  # at once, without a thread
    assert again.path.stat().st_ino == made
    rows_file(path, 31)
    os.utime(path, ns=(1, 1))
    assert built(path, cache).count(Query("answers.jsonl")) == 31
    stopped = Index(collections_of(path), tmp_path / "other")
    stopped._stop.set()
    stopped.open()
    stopped.wait()
    assert built(path, tmp_path / "other").count(Query("answers.jsonl", "harbour")) == 11


def test_every_line_is_listed_also_one_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt": "a", "response": "one"}\n\nnot json\n{"prompt": "b", "response": "\xff"}\n[1]\n{"prompt": "c", "resp')
    index = built(path, tmp_path / "cache")
    rows = index.page(Query("rows.jsonl"), start=0, size=9)
    assert [(row.line, row.kind) for row in rows] == [
        (1, "answer"),
        (3, "unreadable"),
        (4, "unreadable"),
        (5, "unreadable"),
        (6, "unreadable"),
    ]
    assert "torn last line" in (rows[-1].title or "")
    assert index.count(Query("rows.jsonl", facets=(("reason", "unreadable"),))) == 4


@pytest.mark.parametrize("group", [7, 300, 5_000])
def test_rows_of_parquet_are_read_one_by_one_whatever_its_row_groups(tmp_path: Path, group: int) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table({"id": [str(n) for n in range(1000)], "prompt": ["p"] * 1000, "response": [f"answer {n}" for n in range(1000)]})
    pq.write_table(table, path, row_group_size=group)
    index = built(path, tmp_path / "cache")
    for number in (0, 255, 256, 257, 512, 999):
        row = index.page(Query("rows.parquet"), start=number, size=1)[0]
        assert index.shape(row).parts[0].text == f"answer {number}"
    assert [row.place for row in files.rows(path)] == [place for place, _ in files.places(path)]


def test_a_json_array_and_a_compressed_file_are_read(tmp_path: Path) -> None:
    import gzip

    rows = [{"prompt": "p", "response": f"answer {n}"} for n in range(3)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    collection = Collection("all", tuple(DataFile(tmp_path / name) for name in ("a.json", "b.jsonl.gz")))
    index = Index([collection], tmp_path / "cache")
    index.open()
    index.wait()
    assert index.count(Query("all", '"answer 2"')) == 2


def test_lengths_that_no_record_states_are_read_from_the_prompt_and_counted(tmp_path: Path) -> None:
    index = built(rows_file(tmp_path / "answers.jsonl", 3), tmp_path / "cache")
    row = index.page(Query("answers.jsonl"), start=1, size=1)[0]
    assert (row.asked, row.written, row.language, row.bin) == (101, 5, "en", "[0,500)")


def test_blank_lines_and_marks_at_the_start_of_a_file_shift_no_row(tmp_path: Path) -> None:
    """Each file's rows have its own ids, whatever the file before it contains."""
    for name, start in (("a", b"\xef\xbb\xbf\n\n"), ("b", b""), ("c", b"\xef\xbb\xbf")):
        (tmp_path / f"{name}.jsonl").write_bytes(start + b'{"prompt": "p", "response": "from %s"}\n' % name.encode())
    (tmp_path / "empty.jsonl").write_bytes(b"\n\n")
    names = ("empty", "a", "empty", "b", "c")
    index = Index([Collection("all", tuple(DataFile(tmp_path / f"{name}.jsonl") for name in names))], tmp_path / "cache")
    index.open()
    index.wait()
    assert index.progress.complete
    rows = index.page(Query("all"), start=0, size=9)
    assert [index.shape(row).parts[0].text for row in rows] == ["from a", "from b", "from c"]
    assert [index.page(Query("all", f'"from {name}"'), start=0, size=9) for name in "abc"] == [[row] for row in rows]


def test_rows_that_are_added_while_the_index_is_built_do_not_shift_those_of_other_files(tmp_path: Path) -> None:
    first, second = rows_file(tmp_path / "a.jsonl", 3), rows_file(tmp_path / "b.jsonl", 3)
    index = Index([Collection("all", (DataFile(first, "m-a"), DataFile(second, "m-b")))], tmp_path / "cache")
    index._stop.set()
    index.open()
    index.wait()
    index._ids.clear()
    index._stop.clear()
    with closing(index._connection()) as database:
        database.execute("DELETE FROM rows")
        index._add_places(database)
        rows_file(first, 9)
        index._add_facts(database)
    assert [(row.model, row.key is not None) for row in index.page(Query("all"), start=0, size=9)] == [("m-a", True)] * 3 + [
        ("m-b", True)
    ] * 3


def test_a_damaged_parquet_file_stops_the_index_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"prompt": ["p"] * 9, "response": ["r"] * 9}), path)
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    path.write_bytes(content)
    index = Index(collections_of(path), tmp_path / "cache")
    index.open()
    index.wait()
    assert not index.progress.complete
    assert "rows.parquet" in index.progress.problem
    row = index.page(Query("rows.parquet"), start=0, size=1)[0]
    assert row.kind == "unreadable"
