import json
from pathlib import Path

import pytest

from tasks.evaluation.recorded import read_recorded
from tasks.longbench.adapters import ADAPTERS, LIFEBENCH_LENGTHS, BenchmarkAdapter, read_items
from tasks.longbench.benchmark import BenchmarkPrompt, BenchmarkRow, asked, entries, items_of
from tasks.schema.errors import BadInput
from tests.conftest import SHARED
from tests.made_data import KINDS

ESSAY = {
    "id": "heuristic_text_generation_000",
    "instruction": "Write.\n6. Ensure the essay is no shorter than 4000 words.\n",
    "response": "r",
}
TEMPLATE = {"id": 1, "type": "QA", "lang": "en", "task": "Answer. It must be {word_count_type} {word_count} words long."}
QUERY = {"index": 3, "domain1": "Education", "query": "Write a lesson plan of 800 to 1000 words."}


def written(path: Path, *rows: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def model_of(data: Path) -> Path:
    """The folder of a model's recorded answers."""
    return sorted((data / "hellobench" / "length_constrained").iterdir())[0]


def test_hellobench_asks_each_prompt_at_four_lengths_and_each_ask_has_an_id_of_its_own(data: Path) -> None:
    items, skipped = read_items(model_of(data), "hellobench")
    prompts = 123 if data == SHARED else len(KINDS)
    assert (len(items), len({item.id for item in items}), skipped) == (4 * prompts, 4 * prompts, [])
    assert {length: sum(item.length == length for item in items) for length in (2000, 4000, 8000, 16000)} == dict.fromkeys(
        (2000, 4000, 8000, 16000), prompts
    )
    assert {item.type for item in items} == {
        "argumentative_writing",
        "keyword_writing",
        "roleplaying_writing",
        "screenplay_writing",
        "story_writing",
    }


def test_a_glob_names_one_length_of_hellobench(data: Path) -> None:
    items = read_items(model_of(data) / "*_4k_*.jsonl", "hellobench").items
    assert {item.length for item in items} == {4000}


def test_writingbench_leaves_out_what_states_no_words_and_says_how_many(data: Path) -> None:
    path = data / "instructions" / "writingbench_length.jsonl"
    items, skipped = read_items(path, "writingbench")
    assert (len(items), len(skipped)) == ((175, 47) if data == SHARED else (21, 5))
    assert skipped[0].startswith(f"{path}:")
    assert {item.language for item in items} == {"en", "zh"}


def test_lifebench_fills_each_template_with_its_ten_lengths(data: Path) -> None:
    items = read_items(data / "instructions" / "lifebench_lite.jsonl", "lifebench").items
    assert len(items) == 60 * len(LIFEBENCH_LENGTHS)
    assert not any("{word" in item.prompt for item in items)
    assert all(str(item.length) in item.prompt for item in items)


@pytest.mark.parametrize("name", ["longbench_write", "longwrite_ruler"])
def test_without_a_format_a_file_is_longbench_writes(name: str, data: Path) -> None:
    path = data / "longbench_write" / f"{name}.jsonl"
    assert read_items(path).items == list(items_of((entry, asked(entry)) for entry in entries(path)))


def test_a_length_that_only_the_material_states_is_not_taken_for_the_asked_one(tmp_path: Path) -> None:
    ask = (
        "Write an essay of 3000 words in the style of this text.\n" + "He wrote on. " * 60 + "It was a 90000 word book. " + "So on. " * 100
    )
    path = written(tmp_path / "w.jsonl", QUERY, QUERY | {"query": ask})
    items, skipped = read_items(path, "writingbench")
    assert ([item.length for item in items], skipped) == ([1000], [f"{path}:2"])


def test_a_chinese_template_is_filled_in_chinese(tmp_path: Path) -> None:
    path = written(tmp_path / "l.jsonl", TEMPLATE | {"lang": "cn", "task": "回答字数必须{word_count_type} {word_count}字。"})
    assert read_items(path, "lifebench").items[0].prompt == "回答字数必须等于 16字。"


@pytest.mark.parametrize(
    ("row", "format", "said"),
    [
        (ESSAY, None, "prompt: missing field; fix: give --format hellobench"),
        (QUERY, None, "prompt: missing field; fix: give --format writingbench"),
        (TEMPLATE, None, "prompt: missing field; fix: give --format lifebench"),
        (
            {"prompt": "p", "length": 5},
            "hellobench",
            "instruction: missing field; fix: give --format long",
        ),
        ({"text": "p"}, "hellobench", "instruction: missing field; fix: correct or remove the line"),
        ({"task": "Answer."}, "lifebench", "task: no {word_count} in it; fix: correct or remove the line"),
    ],
)
def test_a_row_of_another_format_is_named_with_the_format_that_it_looks_like(
    tmp_path: Path, row: dict[str, object], format: str | None, said: str
) -> None:
    path = written(tmp_path / "b.jsonl", row)
    with pytest.raises(BadInput) as error:
        read_items(path, format)
    assert str(error.value).startswith(f"{path}:1: {said}")


def test_recorded_rows_of_another_format_are_named_too(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", ESSAY)
    with pytest.raises(BadInput, match=r"r\.jsonl:1: length: missing field; fix: give --format hellobench"):
        list(read_recorded(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("prompt,response,length\np,r,5\n", "1: not JSON: .*; fix: write JSON Lines: one JSON object per line, no CSV"),
        ('[{"prompt": "p", "length": 5}]\n', "1: a JSON list, not an object; fix: a JSON array becomes one object a line by `jq"),
        ('[\n  {"prompt": "p", "length": 5}\n]\n', "1: not JSON: .*; fix: a JSON array becomes one object a line by `jq"),
        ("Write an essay.\n", "1: not JSON: .*; fix: write JSON Lines"),
    ],
)
def test_a_file_that_is_no_jsonl_is_told_what_it_has_to_be(tmp_path: Path, content: str, said: str) -> None:
    path = written(tmp_path / "b.jsonl", content)
    for read in (read_items, lambda path: list(read_recorded(path))):
        with pytest.raises(BadInput, match=rf"b\.jsonl:{said}"):
            read(path)


@pytest.mark.parametrize("path", ["", "*4k*.jsonl"])
def test_a_folder_or_a_pattern_without_files_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadInput, match=r"no \.jsonl file here; fix: give a JSONL file, a folder"):
        read_items(tmp_path / path)


def test_a_file_in_which_no_row_states_a_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="none of its 2 rows states a length that can be read"):
        read_items(written(tmp_path / "b.jsonl", *[QUERY | {"query": "A speech of ten minutes."}] * 2), "writingbench")


def test_an_unknown_format_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"no benchmark format 'longwrite'; fix: use one of longbench-write, hellobench, writingbench, lifebench"
    ):
        read_items(tmp_path / "b.jsonl", "longwrite")


def test_another_benchmark_is_one_more_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(entry: BenchmarkRow) -> list[BenchmarkPrompt]:
        return [BenchmarkPrompt(entry.text("task"), entry.length("words"), type="report")]

    monkeypatch.setitem(ADAPTERS, "mine", BenchmarkAdapter("mine", fits=lambda row: "words" in row, asks=mine))
    path = written(tmp_path / "m.jsonl", {"task": "Write.", "words": 300, "answer": "one two"})
    (item,) = read_items(path, "mine").items
    assert (item.prompt, item.length, item.type) == ("Write.", 300, "report")
    (recorded,) = read_recorded(path, format="mine")
    assert (recorded.item, recorded.response) == (item, "one two")
    with pytest.raises(BadInput, match="prompt: missing field; fix: give --format mine"):
        read_items(path)


def test_lifebenchs_results_are_read_though_they_leave_the_prompt_out(tmp_path: Path) -> None:
    rows = [
        {"index": n, "control_method": "at least", "length_constraint": words, "lang": "cn", "type": "QA", "response": "r"}
        for n in (1, 2)
        for words in (64, 128)
    ]
    found = list(read_recorded(written(tmp_path / "r.jsonl", *rows), format="lifebench"))
    assert len({one.item.id for one in found}) == 4
    assert [(one.item.length, one.item.language, one.item.type) for one in found[:2]] == [(64, "zh", "QA"), (128, "zh", "QA")]
