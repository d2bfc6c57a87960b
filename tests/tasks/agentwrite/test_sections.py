import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.agentwrite.sections import before_loop, divided, passages, steps_reached, whole_sentences
from tasks.rehearsal.prose import paragraph
from tasks.schema.records import Step
from tasks.text.counts import count_words


def text(*words: int, heading: bool = False) -> str:
    parts = [paragraph(topic="bread", language="en", words=count, part=n, parts=len(words), seed=3) for n, count in enumerate(words, 1)]
    return "\n\n".join(part if heading else part.partition("\n")[2] or part for part in parts)


def test_borders_are_where_the_planned_words_end() -> None:
    whole = text(30, 30, 30, 60, 40, 20)
    parts = divided(whole, passages(whole, at_least=3), [90, 60, 60])
    assert parts is not None
    assert [part.count("\n\n") for part in parts] == [2, 0, 1]
    assert "\n\n".join(parts) == whole


def test_headings_decide_if_there_are_as_many_as_steps() -> None:
    whole = text(20, 120, 20, heading=True)
    parts = divided(whole, passages(whole, at_least=3), [60, 60, 60])
    assert parts is not None
    assert [part.partition("\n")[0] for part in parts] == ["Part 1 of 3", "Part 2 of 3", "Part 3 of 3"]


def test_a_heading_is_never_the_end_of_a_part() -> None:
    whole = "# One\n\nThe first thing is flour.\n\n## Two\n\nThe second thing is water."
    assert divided(whole, passages(whole, at_least=2), [5, 5]) == [
        "# One\n\nThe first thing is flour.",
        "## Two\n\nThe second thing is water.",
    ]


def test_a_text_in_one_paragraph_is_divided_between_sentences() -> None:
    whole = "Flour is first. Water is next. Salt comes then. Heat comes last."
    parts = divided(whole, passages(whole, at_least=2), [6, 6])
    assert parts == ["Flour is first. Water is next.", "Salt comes then. Heat comes last."]
    assert divided("One sentence.", passages("One sentence.", at_least=2), [6, 6]) is None


@given(st.lists(st.integers(12, 40), min_size=1, max_size=12), st.integers(1, 12))
def test_no_word_is_lost_and_no_part_is_empty(words: list[int], steps: int) -> None:
    whole = text(*words, heading=True)
    parts = divided(whole, passages(whole, at_least=steps), [50] * steps)
    if parts is not None:
        assert len(parts) == steps
        assert all(map(count_words, parts))
        assert "".join("".join(parts).split()) == "".join(whole.split())


def test_a_text_that_ended_early_has_the_steps_that_its_words_are_enough_for() -> None:
    steps = [Step(point=f"part {n}: {about}", words=50) for n, about in enumerate(("flour", "water", "salt", "yeast", "the oven"), 1)]
    early = "\n\n".join(
        f"This is about {about}. " + "It goes on for a while with plain words. " * 5 for about in ("flour", "water", "salt")
    )
    found = passages(early, at_least=5)
    assert steps_reached(early, found, steps, ended=True) == 3
    assert steps_reached(early, passages(early, at_least=1), steps, ended=False) == 2


def test_a_condensed_text_has_all_steps() -> None:
    names = ("flour", "water", "salt", "yeast", "the oven", "the table")
    steps = [Step(point=f"what {about} does for bread", words=100) for about in names]
    short = "\n\n".join(
        f"Now {about}. {about.capitalize()} is what a baker thinks of first. " + "More of it is better. " * 3 for about in names
    )
    assert steps_reached(short, passages(short, at_least=6), steps, ended=True) == 6


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("One sentence. Another one and a ha", "One sentence."),
        ('He said: "Come in." Then he', 'He said: "Come in."'),
        ("面包很好。炉子也", "面包很好。"),
        ("no sentence at all", ""),
        ("All is whole.", "All is whole."),
    ],
)
def test_the_last_whole_sentence(given: str, kept: str) -> None:
    assert whole_sentences(given) == kept


def test_a_text_is_cut_before_a_loop_and_a_refrain_is_none() -> None:
    story = text(60, 60)
    assert before_loop(story + "\n\nAnd then it was over. " * 60).startswith(story)
    assert len(before_loop(story + "\n\nAnd then it was over. " * 60)) < len(story) + 60
    song = "Row, row, row your boat. " * 3
    assert before_loop(story + song) == story + song
