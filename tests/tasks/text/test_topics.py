"""Prompts that differ only in their requested length are one topic; others are not."""

from itertools import combinations

import pytest

from tasks.text.topics import prompt_digest, topic_of

ONE_TOPIC = [
    [("Write a 500-word essay on tea.", 500), ("Write a 2,000-word essay on tea.", 2000), ("Write a 2k word essay on tea.", 2000)],
    [("Tell a story, no shorter than 4000 words.", 4000), ("Tell a story, no shorter than 16000 words.", 16000)],
    [("写一篇500字的散文", 500), ("写一篇 3000 字的散文", 3000), ("写一篇一万字的散文", 10000), ("写一篇两千五百字的散文", 2500)],
    [
        ("On rivers, two hundred and fifty words", 250),
        ("On rivers, 900 to 1,100 words", 1000),
        ("On rivers, 90 words", 90),
    ],
    [("Essay on dogs. Length: 300", 300), ("Essay on dogs. Length: 1,200", 1200)],
]


@pytest.mark.parametrize("prompts", ONE_TOPIC)
def test_prompts_at_several_lengths_are_one_topic(prompts: list[tuple[str, int]]) -> None:
    assert len({topic_of(prompt, length) for prompt, length in prompts}) == 1
    assert len({prompt_digest(prompt) for prompt, _ in prompts}) == len(prompts)


def test_prompts_that_differ_by_another_number_or_a_word_are_topics_of_their_own() -> None:
    prompts = [
        ("Explain chapter 3 in 500 words.", 500),
        ("Explain chapter 4 in 500 words.", 500),
        ("Explain chapter 4 in 500 words!", 500),
        ("Explain part 4 in 500 words.", 500),
        ("Essay number 17 about bread, 900 words", 900),
        ("Essay number 18 about bread, 1900 words", 1900),
        ("What happened in 1914?", 800),
        ("What happened in 1918?", 800),
    ]
    for (one, of_one), (other, of_other) in combinations(prompts, 2):
        assert topic_of(one, of_one) != topic_of(other, of_other), (one, other)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("shape", ["1", "1 ", "1,", "one ", "one-", "一", "1 and ", "2000 words ", "k", "至", " ", "1'", "and to "])
def test_a_million_characters_of_any_shape_are_read_in_linear_time(shape: str) -> None:
    assert len(topic_of(shape * (10**6 // len(shape)), 500)) == 16


def test_a_lone_surrogate_has_a_digest_too() -> None:
    assert len(prompt_digest("half \ud800")) == 16
