import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.__main__ import ReadPrompt
from tasks.text.length_requests import parse_length_request
from tasks.text.words import constraint
from tests.conftest import ROOT

LONGBENCH = Path("../shared/data/longbench_write")
CASES = Path("../shared/cases/evaluation")
# A prompt, both bounds as a person reads them ("-" for none), and the target where it is not the upper bound (±).
PHRASINGS = Path(__file__).with_name("length_phrasings.tsv")
WITHOUT_A_LENGTH = 3  # prompts of LongBench-Write that state none: 15 emojis, ten questions, a text to rewrite


@pytest.mark.parametrize(
    ("text", "target", "kind"),
    [
        ("10,000 words", 10_000, "exact"),
        ("a 10000-word novel", 10_000, "exact"),
        ("about 5k words", 5_000, "exact"),
        ("1.500 words", 1_500, "exact"),
        ("2,000 to 2,500 words", 2_500, "range"),
        ("between 800 and 1000 words", 1_000, "range"),
        ("2-3k words", 3_000, "range"),
        ("at least 1500 words", 1_500, "least"),
        ("no less than 1500 words", 1_500, "least"),
        ("500+ words", 500, "least"),
        ("no more than 300 words", 300, "most"),
        ("in under 10 words", 10, "most"),
        ("a two-thousand-word report", 2_000, "exact"),
        ("fifteen hundred words", 1_500, "exact"),
        ("Length: 400 words.", 400, "exact"),
        ("word count: 1200", 1_200, "exact"),
        ("一万五千字", 15_000, "exact"),
        ("1万5千字", 15_000, "exact"),
        ("一万五字", 15_000, "exact"),
        ("一万零五百字", 10_500, "exact"),
        ("3万字", 30_000, "exact"),
        ("1.5万字", 15_000, "exact"),
        ("十二字", 12, "exact"),
        ("8000字以上", 8_000, "least"),
        ("不少于600字", 600, "least"),
        ("两千字左右", 2_000, "exact"),
        ("800-1000字", 1_000, "range"),
        ("5000字到8000字", 8_000, "range"),
        ("不少于500字，不超过800字", 800, "range"),
        ("30字以内", 30, "most"),
        ("字数要求：2000左右", 2_000, "exact"),
        ("１２００字", 1_200, "exact"),
        ("五篇日记，每篇400字左右", 2_000, "exact"),
        ("3 letters, 200 words each", 600, "exact"),
        ("a 50-page novel", 10_000, "exact"),
        ("about ten pages", 2_000, "exact"),
        ("an essay of 4 to 6 pages", 1_200, "range"),
        ("at least 3 pages long", 600, "least"),
        ("写十页左右的报告", 5_000, "exact"),
        ("10 pages, 4000 words", 4_000, "exact"),
        ("an island that moves every winter, about 800 words", 800, "exact"),
    ],
)
def test_an_asked_length_is_read_in_words_and_in_characters(text: str, target: int, kind: str) -> None:
    assert parse_length_request(text)[:2] == (target, kind)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2,000 to 2,500 words", 2_000, 2_500),
        ("2-3k words", 2_000, 3_000),
        ("1-2万字", 10_000, 20_000),
        ("不少于500字，不超过800字", 500, 800),
        ("at least 1500 words", 1_500, None),
        ("8000字以上", 8_000, None),
        ("no more than 300 words", None, 300),
        ("about 5k words", 5_000, 5_000),
        ("4 to 6 pages", 800, 1_200),
        ("Write a poem", None, None),
    ],
)
def test_a_request_has_the_bounds_that_the_text_sets(text: str, low: int | None, high: int | None) -> None:
    assert parse_length_request(text)[2:4] == (low, high)


@pytest.mark.parametrize("line", PHRASINGS.read_text(encoding="utf-8").splitlines())
def test_an_odd_phrasing_is_read_as_a_person_reads_it(line: str) -> None:
    text, *labels = line.replace("\\n", "\n").split("\t")
    low, high, *target = (None if label == "-" else int(label) for label in labels)
    request = parse_length_request(text)
    assert (request.low, request.high) == (low, high)
    assert request.target == (target[0] if target else high or low)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Write a poem",
        "a vocabulary of 5000 words",
        "四字成语",
        "0 words",
        "《千字文》",
        "see page 12",
        "第12页",
        "Summarize the 30-page report",
    ],
)
def test_what_is_no_length_is_none(text: str) -> None:
    assert parse_length_request(text) == (None, "none", None, None, "")


def test_the_words_of_a_title_are_not_the_length_of_the_text() -> None:
    assert parse_length_request("标题不超过20字。请写一篇关于茶的文章，2000字。").target == 2_000
    assert parse_length_request(f"Write a brochure. {'It has many facts. ' * 10} The slogan should have 12 words.").target is None


@given(st.integers(5, 10**6))
def test_any_number_of_words_is_read_back(words: int) -> None:
    assert parse_length_request(f"Write {words} words.").target == parse_length_request(f"Write {words:,} words.").target == words
    assert parse_length_request(f"写{words}字。").target == words


@given(st.text(alphabet=st.sampled_from("0123456789,.-~ kwords字万千百一二不少于超过每篇\n")))
def test_no_text_is_too_odd(text: str) -> None:
    request = parse_length_request(text)
    assert (request.target is None) == (request.kind == "none")
    assert request.target is None or request.target > 0


@pytest.mark.parametrize(
    "piece",
    [
        *("1,", "9", "1 000 ", "one hundred and ", "a half of a ", "一千", "每篇", "1-", "word count ", "字数：", "each of ", "每篇400字"),
        *(
            "two words each ",
            "not more than ",
            "no more no less ",
            "不得少于",
            "5 to ",
            "1万",
            "字",
            "이천 자 ",
            "各100字",
            "min. 5 / ",
            "(" * 9,
            "the ",
        ),
    ],
)
@pytest.mark.timeout(60)  # what takes the square of the length would take hours
def test_a_megabyte_of_one_shape_is_read_in_linear_time(piece: str) -> None:
    request = parse_length_request(piece * (1_000_000 // len(piece)))
    assert (request.target is None) == (request.kind == "none")


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Please write at least two thousand words.", "at least two thousand words"),
        ("Write 52 entries of 200 words each.", "52 entries … 200 words"),
        ("請寫一篇不得少於兩千字的報告", "不得少於兩千字"),
        ("between 800\nand 1,000 words", "between 800 and 1,000 words"),
        ("Minimum 800 words. Maximum 900 words.", "Minimum 800 words … Maximum 900 words"),
        ("1000자를 넘지 마세요", "1000자를 넘지 마"),
    ],
)
def test_the_phrase_is_what_was_read(text: str, phrase: str) -> None:
    assert parse_length_request(text).phrase == phrase


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("at least 1,000 words", (1_000, 2_000)),
        ("at most 1,001 words", (501, 1_001)),
        ("500-800 words", (500, 800)),
        ("1000 words ± 10%", (900, 1_100)),
        ("exactly 700 words", (700, 700)),
        ("a poem", None),
    ],
)
def test_a_band_are_the_lengths_that_satisfy_the_request(text: str, band: tuple[int, int] | None) -> None:
    assert parse_length_request(text).band == band


def test_lengths_prints_one_json_line_for_each_row(tmp_path: Path) -> None:
    rows = [{"id": "a", "prompt": "Write no fewer than 1.5k words."}, {"text": "写800~1000字"}, {"text": "Write a poem."}]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    done = run("lengths", str(path), "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"id": "a", "target": 1500, "kind": "least", "low": None, "high": None, "phrase": "no fewer than 1.5k words", "band": [1500, 3000]},
        {"target": 1000, "kind": "range", "low": 800, "high": 1000, "phrase": "800~1000字", "band": [800, 1000]},
        {"target": None, "kind": "none", "low": None, "high": None, "phrase": None, "band": None},
    ]
    table = run("lengths", "-", stdin=path.read_text(encoding="utf-8")).stdout
    assert "no fewer than 1.5k words" in table
    assert "2 of 3 prompts ask for a length" in table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt": "a"}\n{"question": "b"}\n', ":2: no field `prompt` or `text`; fix: "),
        ('{"prompt": 5}\n', ":1: prompt: not a text, got 5; fix: "),
        ('{"prompt": "a\n', ":1: not JSON"),
        ("", "empty"),
    ],
)
def test_bad_input_is_one_line_and_a_non_zero_exit(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(content, encoding="utf-8")
    done = run("lengths", str(path), "--json", fails=True)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def run(*arguments: str, stdin: str = "", fails: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.text", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done


@pytest.mark.skipif(not CASES.exists(), reason="needs ../shared/cases")
def test_the_shared_cases_are_read_as_labelled() -> None:
    names = {"at_least": "least", "at_most": "most"}
    for line in (CASES / "length_requests.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        fields = ReadPrompt(1, None, parse_length_request(row["text"])).fields()
        right = {**row["right"], "kind": names.get(row["right"]["kind"], row["right"]["kind"])}
        assert {name: fields[name] for name in right} == right, row["text"]
    for line in (CASES / "bounds.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert list(constraint(row["text"], row["length"])) == row["right"], row["text"]


def test_the_lengths_of_longbench_write_are_read_as_its_authors_did(data: Path) -> None:
    files = [data / "longbench_write" / f"{name}.jsonl" for name in ("longbench_write", "longwrite_ruler")]
    rows = [json.loads(line) for file in files for line in file.open(encoding="utf-8")]
    missed = [row for row in rows if parse_length_request(row["prompt"]).target != row["length"]]
    assert len(missed) <= WITHOUT_A_LENGTH
    assert all(parse_length_request(row["prompt"]).target is None for row in missed)


def test_the_middle_of_a_long_prompt_is_material() -> None:
    material = f"{'The committee met again. ' * 400}The report had 7,000 words and 90 pages. {'The committee met again. ' * 400}"
    assert parse_length_request(f"Summarise this.\n{material}").kind == "none"
    assert parse_length_request(f"Summarise this in 300 words.\n{material}").target == 300
    assert parse_length_request(f"{material}\nSummarise this in 300 words.").target == 300
    for shift in range(12):  # a number at the cut is not read by half
        text = f"{'字' * (1_990 + shift)}12000字{'字' * 9_000}"
        assert parse_length_request(text).target in (None, 12_000)


@pytest.mark.parametrize(
    "text",
    [
        "Write a text twice as long as a 500-word essay.",
        "An essay three times the length of a 300-word abstract",
        "Make it longer than the 500-word original.",
        "写一副千字文风格的对联",
        "《千字文》是什么？",
    ],
)
def test_a_multiple_of_another_text_and_the_name_of_a_book_are_no_length(text: str) -> None:
    assert parse_length_request(text).target is None
