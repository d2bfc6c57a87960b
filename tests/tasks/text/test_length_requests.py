import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.length_requests import parse_length_request

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
        ("at least 1500 words", 1_500, "at_least"),
        ("no less than 1500 words", 1_500, "at_least"),
        ("500+ words", 500, "at_least"),
        ("no more than 300 words", 300, "at_most"),
        ("in under 10 words", 10, "at_most"),
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
        ("8000字以上", 8_000, "at_least"),
        ("不少于600字", 600, "at_least"),
        ("两千字左右", 2_000, "exact"),
        ("800-1000字", 1_000, "range"),
        ("5000字到8000字", 8_000, "range"),
        ("不少于500字，不超过800字", 800, "range"),
        ("30字以内", 30, "at_most"),
        ("字数要求：2000左右", 2_000, "exact"),
        ("１２００字", 1_200, "exact"),
        ("五篇日记，每篇400字左右", 2_000, "exact"),
        ("3 letters, 200 words each", 600, "exact"),
        ("a 50-page novel", 10_000, "exact"),
        ("about ten pages", 2_000, "exact"),
        ("an essay of 4 to 6 pages", 1_200, "range"),
        ("at least 3 pages long", 600, "at_least"),
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
    "piece", ["1,", "9", "one hundred and ", "一千", "每篇", "1-", "word count ", "字数：", "each of ", "每篇400字", "two words each "]
)
@pytest.mark.timeout(60)  # what takes the square of the length would be at it for hours
def test_a_long_text_is_read_in_linear_time(piece: str) -> None:
    request = parse_length_request(piece * (100_000 // len(piece)))
    assert (request.target is None) == (request.kind == "none")


@pytest.mark.skipif(not LONGBENCH.exists(), reason="needs ../shared/data/longbench_write")
def test_the_lengths_of_longbench_write_are_read_as_its_authors_did() -> None:
    rows = [
        json.loads(line) for name in ("longbench_write", "longwrite_ruler") for line in (LONGBENCH / f"{name}.jsonl").open(encoding="utf-8")
    ]
    missed = [row for row in rows if parse_length_request(row["prompt"]).target != row["length"]]
    assert len(missed) <= WITHOUT_A_LENGTH
    assert all(parse_length_request(row["prompt"]).target is None for row in missed)
