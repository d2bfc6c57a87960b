from collections import Counter
from pathlib import Path

from tasks.corpus.filters import FilteredPrompt
from tasks.rehearsal.raw import LENGTHS, PER_LENGTH, benchmark, good_prompts, main, pool
from tasks.sources.adapters import RawPrompt
from tasks.text.length_requests import parse_length_request

ROOT = Path(__file__).parents[3]


def test_the_committed_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    main(tmp_path)
    for name in ("pool.jsonl", "benchmark.jsonl"):
        assert (tmp_path / name).read_bytes() == (ROOT / "data/raw" / name).read_bytes()


def test_lengths_are_balanced_and_every_ask_says_its_own() -> None:
    for language in ("en", "zh"):
        texts = good_prompts(language)
        assert len(set(texts)) == len(texts)
        assert Counter(parse_length_request(text).target for text in texts) == dict.fromkeys(LENGTHS, PER_LENGTH)
        assert {FilteredPrompt(RawPrompt(text)).language for text in texts} == {language}


def test_the_benchmark_has_each_length_four_times_in_each_language() -> None:
    items = benchmark()
    assert all(parse_length_request(item["prompt"]).target == item["length"] for item in items)
    assert Counter((item["length"], item["prompt"].isascii()) for item in items) == {(n, e): 4 for n in LENGTHS for e in (True, False)}


def test_another_seed_mixes_the_same_kinds_of_rows() -> None:
    assert len(pool(1)) == len(pool(2)) >= 600
    assert pool(1) != pool(2)
