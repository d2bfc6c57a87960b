"""A prompt of the benchmark never enters the data: neither exactly, nor nearly, nor with another length, nor inside a longer prompt."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.corpus.contamination import LONG as LONG_PROMPT
from tasks.corpus.contamination import BenchmarkIndex, Match
from tasks.corpus.duplicates import shingled, text_id, tokens_of
from tasks.rehearsal.raw import benchmark, good_prompts
from tasks.text.languages import language_of

LONG = "Write an essay about the craft of clockmaking, its tools, its masters and its place in the life of a small town."
TALK = "I was walking through the market yesterday and thought of many things that my grandmother told me about cooking. " * 15
OTHER = "Write a speech of about 400 words for the start of a chess club."


def match(prompts: BenchmarkIndex, text: str) -> Match | None:
    return prompts.match(shingled(text, language_of(text)), tokens_of(text))


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        LONG.upper(),
        f"Please: {LONG}",
        f"{TALK}{LONG} {TALK}",
        LONG.replace("craft", "art").replace("small", "little"),
        f"{LONG} 5,000 words.",
        f"请翻译成中文并扩写：{LONG} 谢谢",
    ],
)
def test_a_prompt_is_found_as_it_is_nearly_so_and_inside_a_longer_text(text: str) -> None:
    found = match(BenchmarkIndex([LONG, OTHER]), text)
    assert found
    assert found.id == text_id(LONG)


def test_the_same_ask_for_another_length_is_the_same_ask() -> None:
    assert match(BenchmarkIndex([LONG, OTHER]), OTHER.replace("400", "5,000"))
    assert match(BenchmarkIndex(["写一篇关于大唐历史的演讲稿，一万字。", LONG]), "写一篇关于大唐历史的演讲稿，3000字。")


def test_another_topic_in_the_same_words_is_another_ask() -> None:
    assert match(BenchmarkIndex([LONG, OTHER]), "Write a speech of about 400 words for the end of a fishing season.") is None


def test_nothing_to_compare_with_finds_nothing() -> None:
    assert match(BenchmarkIndex([]), LONG) is None
    assert match(BenchmarkIndex(["", "  "]), "") is None


def test_good_asks_of_the_rehearsal_s_pool_are_no_prompts_but_for_three_that_share_all_but_their_topic() -> None:
    prompts = BenchmarkIndex(item["prompt"] for item in benchmark())
    assert sum(match(prompts, ask) is not None for language in ("en", "zh") for ask in good_prompts(language)) == 3


def _scored(data: Path) -> list[str]:
    files = [data / "longbench_write" / f"{name}.jsonl" for name in ("longbench_write", "longbench_write_en", "longwrite_ruler")]
    return [json.loads(line)["prompt"] for file in files for line in file.open(encoding="utf-8")]


def _some_replaced(text: str, share: float) -> str:
    luck = random.Random(text)
    if language_of(text) == "zh":
        return "".join("的" if luck.random() < share and not sign.isspace() else sign for sign in text)
    return " ".join("thing" if luck.random() < share else word for word in text.split(" "))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda text: text, 1.0),
        (lambda text: text.upper(), 1.0),
        (lambda text: re.sub(r"\d+", lambda number: str(int(number[0]) * 3 + 7), text), 1.0),
        (lambda text: f"{TALK}{text} {TALK}", 1.0),
        (lambda text: f"Hi! {text} Thank you so much, you are great.", 1.0),
        (lambda text: _some_replaced(text, 0.05), 0.96),
        (lambda text: f"{TALK}{_some_replaced(text, 0.05)} {TALK}", 0.95),
        (lambda text: _some_replaced(text, 0.1), 0.92),
        (lambda text: _some_replaced(text, 0.15), 0.8),
    ],
    ids=[
        "same",
        "upper case",
        "other lengths",
        "inside",
        "courtesies",
        "5% other words",
        "5% inside",
        "10% other words",
        "15% other words",
    ],
)
def test_copies_of_longbench_write_and_its_ruler_are_found(change: Callable[[str], str], found: float, data: Path) -> None:
    scored = _scored(data)
    prompts = BenchmarkIndex(scored)
    assert sum(match(prompts, change(text)) is not None for text in scored) >= found * len(scored)


@pytest.mark.parametrize(("share", "found"), [(0.1, 1.0), (0.15, 0.98), (0.2, 0.95)])
def test_near_copies_of_prompts_of_more_than_a_sentence_are_found_with_many_other_words(share: float, found: float, data: Path) -> None:
    scored = [text for text in dict.fromkeys(_scored(data)) if len(tokens_of(text)) >= LONG_PROMPT]
    prompts = BenchmarkIndex(scored)
    assert len(scored) > 50
    assert sum(match(prompts, _some_replaced(text, share)) is not None for text in scored) >= found * len(scored)


def test_asks_of_other_origin_are_no_copies_of_longbench_write(data: Path) -> None:
    prompts, seen = BenchmarkIndex(_scored(data)), 0
    for file in sorted((data / "instructions").glob("*.jsonl")):
        for line in file.open(encoding="utf-8"):
            row = json.loads(line)
            text = next(row[field] for field in ("query", "prompt", "instruction", "task", "chat") if isinstance(row.get(field), str))
            assert match(prompts, text) is None, text[:200]
            seen += 1
    assert seen > 450
