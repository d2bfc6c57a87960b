"""`longwriter data check` on files of many kinds: its findings, and its errors for unreadable files."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.contracts.__main__ import app
from tasks.contracts.external_data import Columns, read
from tasks.schema.errors import BadInput
from tests.commands import called
from tests.conftest import ROOT

ASK = "Explain in a few words why the number {n} bus comes late, and what could be done."
ANSWER = "The bus number {n} comes late as the bridge is narrow. A second lane would help, and so would fewer stops in street {n}."


def chats(count: int = 6) -> list[dict[str, object]]:
    return [{"prompt": ASK.format(n=n), "response": ANSWER.format(n=n)} for n in range(count)]


def jsonl(path: Path, rows: list[dict[str, object]], *more: bytes) -> Path:
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows) + b"".join(more))
    return path


def command(path: Path, out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return called(app, ("check", path, "--out", out, *options))


def test_rows_of_every_public_shape_are_read_the_same(tmp_path: Path) -> None:
    from datasets import Dataset

    asked, answered = ASK.format(n=1), ANSWER.format(n=1)
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    shapes: dict[str, dict[str, object]] = {
        "plain": {"prompt": asked, "response": answered},
        "alpaca": {"instruction": asked, "input": "", "output": answered},
        "messages": {"messages": turns},
        "sharegpt": {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": answered}]},
    }
    paths = [jsonl(tmp_path / f"{name}.jsonl", [row]) for name, row in shapes.items()]
    pq.write_table(pa.Table.from_pylist([shapes["messages"]]), tmp_path / "rows.parquet")
    Dataset.from_list([shapes["plain"]]).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "array.json").write_text(json.dumps([shapes["plain"]]))
    (tmp_path / "hub/data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([shapes["messages"]]), tmp_path / "hub/data/train-00000-of-00001.parquet")
    for path in (*paths, tmp_path / "rows.parquet", tmp_path / "saved", tmp_path / "array.json", tmp_path / "hub"):
        (row,) = read(path, Columns())
        assert [(message.role, message.content) for message in row.messages] == [("user", asked), ("assistant", answered)], path


def test_columns_of_any_name_can_be_told(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"frage": "Why?", "antwort": "Because.", "n": 12}])
    with pytest.raises(BadInput, match=r"no columns with a conversation; the columns are frage, antwort, n; fix: name the columns"):
        list(read(path, Columns()))
    (row,) = read(path, Columns(prompt="frage", response="antwort", length="n"))
    assert (row.messages[0].content, row.asked) == ("Why?", 12)
    with pytest.raises(BadInput, match="no column fragen; the columns are frage, antwort, n; fix: check the column name"):
        list(read(path, Columns(prompt="fragen", response="antwort")))


def test_the_length_that_a_request_names_is_what_its_answer_is_held_to(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "rows.jsonl", [{"prompt": "Write 2,000 words about tea.", "response": "Tea."}, {"prompt": "Tea?", "response": "Yes."}]
    )
    assert [row.asked for row in read(path, Columns())] == [2000, None]


def test_a_length_column_is_no_asked_length_unless_it_is_named(tmp_path: Path) -> None:
    asked: dict[str, object] = {"prompt": "Write 300 words about tea.", "response": "Tea is good.", "length": 8213, "word_count": 3}
    path = jsonl(tmp_path / "rows.jsonl", [asked, {**asked, "prompt": "Tea?"}])
    assert [row.asked for row in read(path, Columns())] == [300, None]
    assert [row.asked for row in read(path, Columns(length="word_count"))] == [3, 3]


def test_of_a_folder_every_data_file_is_read_of_any_format_and_any_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("constraints.jsonl", "data/train-00000-of-00001.jsonl", "data/test-00000-of-00001.jsonl", "state.jsonl", "one.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        jsonl(tmp_path / name, chats(1))
    pq.write_table(pa.Table.from_pylist(chats(2)), tmp_path / "train.parquet")
    for name in ("dataset_infos.json", "README.md", "notes.csv", ".hidden.jsonl"):
        (tmp_path / name).write_text('{"default": {}}')
    (tmp_path / "contract.json").write_text('{\n  "rows": 7\n}\n')
    assert len(list(read(tmp_path, Columns()))) == 7
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}: left out: contract.json, notes.csv; what is read ends in .jsonl,")


def test_columns_beside_a_named_one_count_as_they_do_elsewhere(tmp_path: Path) -> None:
    row: dict[str, object] = {"frage": "Why?", "antwort": "Because.", "system": "Be brief.", "tools": "[]"}
    path = jsonl(tmp_path / "rows.jsonl", [row, {**row, "tools": "[{}]"}, {**row, "frage": None}])
    good, calls, null = read(path, Columns(prompt="frage", response="antwort"))
    assert [message.role for message in good.messages] == ["system", "user", "assistant"]
    assert (calls.problem or "").startswith("tools: tools that the model may call")
    assert null.problem == "frage: null, a text is wanted"


def test_rows_that_are_there_twice_are_named_with_their_files_and_lines(tmp_path: Path) -> None:
    first, second = chats(2)
    (tmp_path / "in").mkdir()
    jsonl(tmp_path / "in/a.jsonl", [first | {"id": "x"}, second])
    jsonl(tmp_path / "in/b.jsonl", [second, {**chats(3)[2], "id": "x"}])
    done = command(tmp_path / "in", tmp_path / "out")
    found = [json.loads(line) for line in (tmp_path / "out/failed.jsonl").read_text().splitlines()]
    said = {(row["expectation"], row["source"]): row["value"] for row in found}
    assert said["unique_ids", "a.jsonl:1"] == "x: also in b.jsonl:2"
    assert said["unique_answers", "b.jsonl:1"].endswith(": also in a.jsonl:2")
    assert "a.jsonl:2: " in done.stdout
    assert ": also in b.jsonl:1" in done.stdout


def test_each_bad_row_is_named_with_its_file_and_line_and_the_others_are_checked(tmp_path: Path) -> None:
    bad = (
        b'{"prompt": "caf\xe9", "response": "x"}\n',
        b'{"prompt": "\\ud800", "response": "x"}\n',
        b"[1]\n",
        b'{"prompt": null, "response": null}\n',
    )
    deep = b'{"prompt": ' + b"[" * 100_000 + b"\n"
    huge = json.dumps({"prompt": "big", "response": "x" * (17 * 2**20)}).encode() + b"\n"
    refused: dict[str, object] = {"prompt": "Tell me.", "response": "I'm sorry, but I can't help with that request."}
    path = jsonl(tmp_path / "rows.jsonl", [*chats(), refused], *bad, deep, huge, b'{"prompt": "Go on", "response": "It was')
    done = command(path, tmp_path / "out")
    assert done.returncode == 1
    found = [json.loads(line) for line in (tmp_path / "out/failed.jsonl").read_text().splitlines()]
    unread = {row["source"]: row["value"] for row in found if row["expectation"] == "readable"}
    assert sorted(unread) == sorted(f"rows.jsonl:{line}" for line in range(8, 15))
    assert "invalid UTF-8 at byte" in unread["rows.jsonl:8"]
    assert "surrogate" in unread["rows.jsonl:9"]
    assert "more than 16 MiB" in unread["rows.jsonl:13"]
    assert "cut off" in unread["rows.jsonl:14"]
    assert [row["source"] for row in found if row["expectation"] == "no_refusals"] == ["rows.jsonl:7"]
    assert "rows.jsonl:7: I'm sorry, but I can't help" in done.stdout
    assert "14 rows; 8 of them break something critical" in done.stdout


@pytest.mark.integration
def test_good_data_passes_with_exit_code_0_and_docs(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", chats())
    words = [sys.executable, "-m", "tasks.contracts", "check", str(path), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["rows"] == 6
    assert "Outside data" in (tmp_path / "out/docs/index.html").read_text()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.jsonl", b"", "empty file"),
        ("rows.jsonl", b"\xff\xfe{\x00}\x00", "UTF-16, not UTF-8"),
        ("rows.parquet", b"PAR1 no", "not readable as Parquet"),
        ("rows.csv", b"a,b\n1,2\n", "not a kind of file that is read"),
        ("rows.json", b"[]", "empty file"),
        ("rows.jsonl", b'{"text": "no conversation"}\n', "no columns with a conversation; the columns are text"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_one_line(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says) as error:
        list(read(tmp_path / name, Columns()))
    assert "\n" not in str(error.value)


def test_a_path_that_is_not_there_and_a_folder_without_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file or folder"):
        list(read(tmp_path / "nowhere", Columns()))
    with pytest.raises(BadInput, match="no data file in this folder"):
        list(read(tmp_path, Columns()))


def test_recorded_chats_are_hardly_ever_taken_for_leaks_or_cut_off(tmp_path: Path, data: Path) -> None:
    [recorded] = [path for path in data.glob("hellobench/main/*/chat_results.jsonl") if path.parent.name in ("made", "gpt4o_0806")]
    done = command(recorded, tmp_path / "out", "--json")
    found = {outcome["name"]: outcome["unexpected_count"] for outcome in json.loads(done.stdout.splitlines()[-1])["expectations"]}
    assert (found["readable"], found["no_leaked_prompts"], found["no_identifiers"], found["roles_in_order"]) == (0, 0, 0, 0)
    assert found["not_cut_off"] <= 2
