from collections.abc import Sequence
from pathlib import Path

import pytest

from tasks.corpus.filters import FilteredPrompt, fault
from tasks.rehearsal import noise
from tasks.rehearsal.noise import BadPrompts
from tasks.rehearsal.raw import good_prompts
from tasks.schema.params import Collect, load
from tasks.schema.records import Reason
from tasks.sources.adapters import RawPrompt

COLLECT = load(Path("profiles/rehearsal.yaml")).collect


def reason(text: str, collect: Collect = COLLECT, *, toxic: bool = False, lacks: str = "") -> Reason | None:
    found = fault(FilteredPrompt(RawPrompt(text, toxic, lacks)), collect)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (noise.SCRAPING, Reason.SCRAPING),
        (noise.DEPENDENT, Reason.NOT_SELF_CONTAINED),
        (noise.INJECTION, Reason.INJECTION),
        (noise.FOREIGN, Reason.LANGUAGE),
    ],
)
def test_each_kind_of_noise_meets_its_filter(kinds: Sequence[BadPrompts], expected: Reason) -> None:
    for kind in kinds:
        for text in kind.texts:
            assert reason(text) is expected, text


def test_good_asks_pass_every_filter() -> None:
    for text in (*good_prompts("en"), *good_prompts("zh")):
        assert reason(text) is None, text


def test_the_source_s_flags_count_before_the_text() -> None:
    assert reason("Write 400 words about tea.", toxic=True) is Reason.TOXIC
    assert reason("Write 400 words about NAME_1.") is Reason.REDACTED
    assert reason("Write 400 words about it.", lacks="images: more than text") is Reason.NOT_SELF_CONTAINED


@pytest.mark.parametrize("text", ["", "  \n", "...", "\u200b"])
def test_an_empty_turn_is_a_short_ask(text: str) -> None:
    assert reason(text) is Reason.SHORT_ASK


def test_the_bounds_of_the_asked_length_are_kept_and_an_ask_without_one_passes() -> None:
    assert [reason(f"Write {n} words about tea.") for n in (99, 100, 800, 801)] == [Reason.SHORT_ASK, None, None, Reason.TOO_LONG_ASK]
    assert reason("Write an essay about tea.") is None


@pytest.mark.parametrize(
    "text",
    [
        "Write 400 words about attachment theory.",
        "Write a 400-word story in which a knee gets a scrape on the ice.",
        "Write 400 words about the strings attached to a gift.",
        f"{'The bakery opened at six and smelled of bread. ' * 6} Turn the text above into a 400-word story.",
        f"{'面包店六点开门，街上都是面包的香味。' * 6}把上面的文字扩写到400字。",
        "Write 400 words about a famous siege in Chinese military history.",
        "Write 400 words about how to forget your worries before the instructions of a teacher.",
    ],
)
def test_words_that_only_look_suspicious_pass(text: str) -> None:
    assert reason(text) is None


@pytest.mark.parametrize("text", ["Write a 400-word essay about tea in French.", "用英文写一篇400字的文章，介绍茶。"])
def test_an_answer_in_another_language_than_the_ask_is_not_collected(text: str) -> None:
    assert reason(text) is Reason.LANGUAGE


def test_only_the_wanted_languages_are_collected() -> None:
    only_chinese = COLLECT.model_copy(update={"languages": ["zh"]})
    assert reason("Write 400 words about tea.", only_chinese) is Reason.LANGUAGE
    assert reason("写400字介绍茶。", only_chinese) is None


def test_what_the_model_was_told_before_goes_before_the_request_unless_it_says_nothing() -> None:
    assert FilteredPrompt(RawPrompt("Write a poem.", system="You answer in rhyme.")).text == "You answer in rhyme.\n\nWrite a poem."
    for nothing in ("You are a helpful assistant.", "You are Owl, created by Some Lab. You are a helpful, honest and kind assistant."):
        assert (FilteredPrompt(RawPrompt("Write a poem.", system=nothing)).text == "Write a poem.") == ("kind" not in nothing)
