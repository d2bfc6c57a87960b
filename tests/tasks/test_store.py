import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import store
from tasks.schema.errors import BadInput
from tasks.schema.records import Abilities, ByName, Instruction, Metrics, ModelConfig, SavedTokenizer, Step
from tests.conftest import ROOT

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
    assert ";" in str(error.value)  # the correct
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


def test_a_document_is_read_as_the_record_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "steps.json"
    store.write_json(path, ByName[Step]({"a": Step(point="p", words=10)}))
    assert store.read_document(path, ByName[Step]).root == {"a": Step(point="p", words=10)}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "not JSON"),
        ('{"a": {"words": 1', "not JSON"),
        ("[]", r"Input should be an object, got \[\]"),
        ('{"a": {"words": 1}}', "a.point: missing field"),
        ('{"a": {"point": "p", "words": "ten"}}', "a.words: Input should be a valid integer, got 'ten'"),
        ('{"a": {"point": "p", "words": 1, "worlds": 2}}', "a.worlds: unknown field"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_document_that_does_not_fit_is_one_line_with_the_field(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "steps.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=line) as error:
        store.read_document(path, ByName[Step], fix="run plan again")
    assert str(error.value).startswith(str(path))
    assert str(error.value).endswith("; fix: run plan again")
    with pytest.raises(BadInput, match="no such file; fix: run plan again"):
        store.read_document(tmp_path / "nothing.json", ByName[Step], fix="run plan again")


def test_scores_and_metrics_are_numbers_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    path.write_text('{"loss": 1.5, "step": 3, "mfu": null}')
    assert store.read_document(path, Metrics).root == {"loss": 1.5, "step": 3, "mfu": None}
    path.write_text('{"student": {"facts": 0.5, "mmlu": null}}')
    assert store.read_document(path, Abilities).root == {"student": {"facts": 0.5, "mmlu": None}}
    for record, text in ((Metrics, '{"loss": true}'), (Metrics, '{"loss": "1"}'), (Abilities, '{"student": {"facts": 50}}')):
        path.write_text(text)
        with pytest.raises(BadInput):
            store.read_document(path, record)


def test_of_a_document_of_others_only_what_is_used_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"max_position_embeddings": 2048, "more": [1, {}]}')
    assert store.read_document(path, ModelConfig).max_position_embeddings == 2048
    path.write_text('{"added_tokens": [{"id": 3, "content": "<s>"}, {"id": 1}], "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}}}')
    assert store.read_document(path, SavedTokenizer).size == 3
    path.write_text('{"added_tokens": [{"id": 2}], "model": {"type": "Unigram", "vocab": [["a", -1.5], ["b", 0.0]]}}')
    assert store.read_document(path, SavedTokenizer).size == 3


def test_state_is_for_its_owner_alone_and_a_folder_of_somebody_elses_keeps_its_mode(tmp_path: Path) -> None:
    def mode(path: Path) -> int:
        return path.stat().st_mode & 0o777

    own = tmp_path / "project" / ".longwriter"
    store.private_folder(own)
    assert (mode(own), mode(own.parent)) == (0o700, 0o755)
    own.chmod(0o755)  # as an earlier version made it
    store.private_folder(own)
    assert mode(own) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    store.private_folder(shared)
    assert mode(shared) == 0o755
    store.private_file(own / "runs.db")
    assert mode(own / "runs.db") == 0o600
    (own / "runs.db").write_text("kept")
    (own / "runs.db").chmod(0o644)
    store.private_file(own / "runs.db")
    assert ((own / "runs.db").read_text(), mode(own / "runs.db")) == ("kept", 0o600)


@pytest.mark.parametrize("at", [".", "..", "/", "link", "dangling", "deep/.."])
def test_what_cannot_be_replaced_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    work = tmp_path / "work"
    (work / "deep").mkdir(parents=True)
    (work / "link").symlink_to(tmp_path, target_is_directory=True)
    (work / "dangling").symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(work)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match=r"replaced.*; fix: choose a separate folder"), store.replacing(Path(at)):
        raise AssertionError("it was begun")
    assert sorted(tmp_path.rglob("*")) == before


def run(code: str, folder: Path) -> "subprocess.Popen[str]":
    script = f"import os, time\nfrom pathlib import Path\nfrom tasks import store\n{code}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", script], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE)


def test_what_a_killed_process_left_is_removed_by_the_next_one_and_what_a_living_one_owns_stays(tmp_path: Path) -> None:
    work = "with store.replacing(Path('{}')) as scratch:\n scratch.mkdir(); (scratch / 'half').touch(); print(flush=True); time.sleep(300)"
    dead, alive = run(work.format("out"), tmp_path), run(work.format("other"), tmp_path)
    for process in (dead, alive):
        assert process.stdout
        process.stdout.readline()
    dead.kill()
    dead.wait()
    assert len(list(tmp_path.glob(".*.part"))) == 2
    third = run("store.write_text(Path('third'), 'whole')", tmp_path)
    assert third.wait() == 0
    assert [path.name.split(".")[1] for path in tmp_path.glob(".*.part")] == ["other"]
    alive.kill()
    alive.wait()


def test_a_folder_that_was_killed_between_its_two_moves_comes_back(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/whole").touch()
    work = "os.replace(Path('out'), store._scratch_name(Path('out'), 'old'))\nos._exit(9)"
    assert run(work, tmp_path).wait() == 9
    assert not (tmp_path / "out").exists()
    store.sweep(tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_the_journal_that_sqlite_left_beside_a_scratch_database_goes_with_it(tmp_path: Path) -> None:
    work = "scratch = store._scratch_name(Path('runs.db'), 'part')\n"
    work += "for end in ('', '-journal', '-wal', '-shm'): Path(scratch + end).touch()\nos._exit(9)"
    assert run(work, tmp_path).wait() == 9
    assert len(list(tmp_path.glob(".runs.db.*"))) == 4
    store.sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_another_machine_left_half_written_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / ".out.abcdef-1-1.0000.part").mkdir()
    (tmp_path / ".notes.part").touch()
    store.sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
