"""The rewards by rule: each pays for one thing, and none can be had cheaply by writing loops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.rehearsal.prose import paragraph
from tasks.rewards.combine import advantages
from tasks.rewards.interface import WrittenAnswer
from tasks.rewards.registry import rewards
from tasks.rewards.rules import ended, length, repetition, substance
from tasks.schema.records import BenchmarkItem

RULES = ("length", "repetition", "ended", "substance")


def prompt(words: int, said: str = "Write a {}-word essay about bread.") -> BenchmarkItem:
    return BenchmarkItem(id="a", prompt=said.format(words), type="training", length=words, language="en")


def prose(words: int, *, seed: int = 1) -> str:
    parts = [paragraph(topic="bread", language="en", words=50, part=part, parts=9, seed=seed) for part in range(1, 2 + words // 50)]
    return " ".join(" ".join(parts).split()[:words])


def answer(text: str, *, whole: bool = True) -> WrittenAnswer:
    return WrittenAnswer(text, tokens=len(text.split()), ended=whole)


def plain(words: int) -> str:
    """So many different words."""
    return " ".join(f"w{number}" for number in range(words))


def test_the_length_is_paid_in_full_in_its_band_and_less_with_the_distance_from_it() -> None:
    paid = {words: length(prompt(200), answer(plain(words))) for words in (0, 90, 180, 200, 220, 330, 441, 600)}
    assert paid[180] == paid[200] == paid[220] == 1.0
    assert paid[0] == paid[441] == paid[600] == 0.0
    assert paid[90] == pytest.approx(0.5)
    assert paid[330] == pytest.approx(0.5)


def test_the_band_is_the_one_that_the_prompt_states() -> None:
    at_least = prompt(200, "Write an essay about bread of at least {} words.")
    assert length(at_least, answer(plain(390))) == 1.0
    assert length(at_least, answer(plain(100))) < 1.0


def test_a_policy_that_loops_to_reach_the_length_is_paid_less_than_one_that_stops_early() -> None:
    asked = prompt(200)
    looping = answer("The bread was warm and the oven was hot. " * 22)
    early = answer(prose(120))
    assert length(asked, looping) < length(asked, early)
    assert repetition(asked, looping) < 0.2
    scored = {one.name: [one.rule(asked, each) if one.rule else None for each in (looping, early)] for one in rewards(RULES)}
    loop, stop = advantages(scored, dict.fromkeys(RULES, 1.0), "average")
    assert loop < 0 < stop


def test_an_answer_without_words_is_worth_nothing_to_any_reward_but_its_end() -> None:
    for text in ("", " \n ", "…", "* * *"):
        paid = [rule(prompt(200), answer(text)) for rule in (length, substance)]
        assert paid == [0.0, 0.0]
    assert repetition(prompt(200), answer("")) == 0.0


@pytest.mark.parametrize(
    "text", ["I'm sorry, but I can't help with that request.", "I cannot write this essay for you.\n\n" + "bread " * 30]
)
def test_a_refusal_has_no_substance(text: str) -> None:
    assert substance(prompt(40), answer(text)) == 0.0
    assert substance(prompt(40), answer(prose(40))) == 1.0


def test_an_answer_that_the_limit_cut_off_is_not_paid_for_its_end() -> None:
    assert (ended(prompt(40), answer("x", whole=False)), ended(prompt(40), answer("x"))) == (0.0, 1.0)


@given(st.text(max_size=300), st.integers(1, 5000), st.booleans())
def test_every_rule_gives_a_number_from_0_to_1_for_any_text(text: str, words: int, whole: bool) -> None:
    for one in rewards(RULES):
        assert one.rule
        assert 0.0 <= (one.rule(prompt(words), answer(text, whole=whole)) or 0.0) <= 1.0
