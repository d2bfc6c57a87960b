import gzip
from pathlib import Path

import pytest

from tasks.longbench.adapters import read_items
from tasks.longbench.benchmark import language_of
from tasks.schema.errors import BadInput
from tests.conftest import ROOT, SHARED


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "benchmark.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_rehearsals_benchmark_reads() -> None:
    items = read_items(ROOT / "data/raw/benchmark.jsonl").items
    assert len({item.id for item in items}) == len(items)
    assert {item.language for item in items} == {"en", "zh"}
    assert {item.length for item in items} >= {100, 200, 400, 800}


@pytest.mark.parametrize(("name", "count"), [("longbench_write", 120), ("longbench_write_en", 60), ("longwrite_ruler", 48)])
def test_the_official_files_read(name: str, count: int, data: Path) -> None:
    items = read_items(data / "longbench_write" / f"{name}.jsonl").items
    assert len(items) == count
    assert len({item.id for item in items}) == count


def test_the_languages_of_the_official_items_are_told_apart(data: Path) -> None:
    folder = data / "longbench_write"
    english = {item.id for item in read_items(folder / "longbench_write_en.jsonl").items}
    mixed = [item for item in read_items(folder / "longbench_write.jsonl").items if (item.language == "en") != (item.id in english)]
    # One asks in both languages for an English essay; the other, of the official English half, asks in Chinese for English.
    assert [(item.prompt[:2], item.language) for item in mixed] == ([("请以", "en"), ("帮我", "zh")] if data == SHARED else [])


ROW = '{"prompt": "Write 100 words.", "type": "News", "length": 100}\n'


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROW * 2, "2: prompt: the same prompt and length are there twice, first in benchmark.jsonl:1; fix: remove the line"),
        ('{"id": 7, "prompt": "a", "length": 5}\n\n{"id": "7", "prompt": "b", "length": 5}', "3: id: 7 is there twice, first in benchmark"),
        ('{"id": " ", "prompt": "a", "length": 5}', "1: id: blank"),
        ('{"id": ["a"], "prompt": "a", "length": 5}', "1: id: not a string: ['a']"),
    ],
)
def test_an_item_that_is_there_twice_is_refused_as_it_would_count_as_two(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(BadInput) as error:
        read_items(written(tmp_path, rows))
    assert str(error.value).startswith(f"{tmp_path / 'benchmark.jsonl'}:{message}")


def test_a_rows_own_id_is_kept_and_lets_a_prompt_be_there_twice(tmp_path: Path) -> None:
    rows = ROW.replace("{", '{"id": "one", ') + ROW.replace("{", '{"id": 2, ') + ROW
    assert [item.id for item in read_items(written(tmp_path, rows)).items][:2] == ["one", "2"]


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (b'[{"prompt": "a", "length": 5}]', "jq -c '.[]' benchmark.jsonl"),
        (b'[\n  {"prompt": "a", "length": 5}\n]', "jq -c '.[]' benchmark.jsonl"),
        (b'{\n  "prompt": "a",\n  "length": 5\n}\n', "jq -c . benchmark.jsonl"),
        (b"prompt,type,length\na,b,5\n", "no CSV and no plain text"),
        (gzip.compress(b'{"prompt": "a", "length": 5}\n'), "this is gzip, unpack it first"),
        (b"PAR1\x15\x04\n", "this is Parquet"),
        ('{"prompt": "a", "length": 5}\n'.encode("utf-16"), "this is UTF-16"),
    ],
)
def test_a_file_of_another_kind_is_told_from_its_first_bytes(tmp_path: Path, content: bytes, fix: str) -> None:
    with pytest.raises(BadInput) as error:
        read_items(written(tmp_path, content))
    assert fix in str(error.value)


def test_an_id_stays_when_rows_are_reordered(tmp_path: Path) -> None:
    one, two = '{"prompt": "a", "length": 1}\n', '{"prompt": "b", "length": 1}\n'
    forth = read_items(written(tmp_path, one + two)).items
    back = read_items(written(tmp_path, two + one)).items
    assert {item.prompt: item.id for item in forth} == {item.prompt: item.id for item in back}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"prompt": "a", "type": "News"}', "2: length: missing field; fix: add the number of words"),
        ('{"prompt": "a", "length": 0}', "2: length: 0, but a length is positive; fix: correct"),
        ('{"prompt": "a", "length": -5}', "2: length: -5, but a length is positive; fix: correct"),
        ('{"prompt": "a", "length": "500"}', "2: length: not a whole number: '500'; fix: correct"),
        ('{"prompt": "a", "length": 1.5}', "2: length: not a whole number: 1.5; fix: correct"),
        ('{"prompt": "a", "length": true}', "2: length: not a whole number: True; fix: correct"),
        ('{"prompt": "a", "length": null}', "2: length: not a whole number: None; fix: correct"),
        ('{"length": 5}', "2: prompt: missing field; fix: correct"),
        ('{"prompt": 3, "length": 5}', "2: prompt: not a string: 3; fix: correct"),
        ('{"prompt": " ", "length": 5}', "2: prompt: blank; fix: correct"),
        ('{"prompt": "a", "length": 5, "type": 7}', "2: type: not a string: 7; fix: correct"),
        ("[1]", "2: a JSON list, not an object; fix: correct"),
        ('{"prompt": "a", "len', "2: torn last line"),
        ('{"prompt": "\\ud800", "length": 5}', "2: a lone surrogate escape"),
    ],
)
def test_a_row_that_is_no_item_is_named_with_its_line_and_field(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(BadInput) as error:
        read_items(written(tmp_path, '{"prompt": "fine", "length": 5}\n' + row))
    assert str(error.value).startswith(f"{tmp_path / 'benchmark.jsonl'}:{message}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_utf8_is_named_with_the_byte(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"benchmark\.jsonl:1: invalid UTF-8 at byte 12 of the file"):
        read_items(written(tmp_path, b'{"prompt": "\xff", "length": 5}\n'))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Write about 北京.", "en"),
        ("写一篇关于 GPT 的文章", "zh"),
        ("", "en"),
        ("123", "en"),
        ("Écris un essai de 500 mots sur la mer.", "fr"),
        ("海について800字で書いてください。", "ja"),
        ("Напиши эссе на 500 слов о море.", "ru"),
        ("כתוב חיבור של 500 מילים על הים", "he"),
    ],
)
def test_the_language_is_that_of_most_of_the_text(text: str, language: str) -> None:
    assert language_of(text) == language
