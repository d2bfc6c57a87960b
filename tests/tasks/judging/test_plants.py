"""The texts that an exam plants: lengths, faults, languages, and that they are the same every time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.judging.plants import MEANINGS, Plant, filler, loop, pad, planted, truncate
from tasks.rehearsal.prose import paragraph
from tasks.schema.records import Language
from tasks.text.degeneration import degeneration
from tasks.text.endings import ending
from tasks.text.languages import language_of
from tasks.text.words import count_fixed
from tests.tasks.judging.examined import answer_text

EN = answer_text("bread", 40)
ZH = "\n\n".join(
    paragraph(topic="面包", language="zh", words=120, part=part, parts=6, seed=part).partition("\n")[2] for part in range(1, 7)
)
LANGUAGES: list[tuple[str, Language]] = [(EN, "en"), (ZH, "zh")]


@pytest.mark.parametrize(("text", "language"), LANGUAGES)
def test_padding_adds_half_as_many_words_and_keeps_the_answer(text: str, language: Language) -> None:
    padded = pad(text, language, 0)
    assert count_fixed(padded) == pytest.approx(1.5 * count_fixed(text), rel=0.06)
    assert all(block in padded for block in text.split("\n\n"))
    assert degeneration(padded).looped <= degeneration(text).looped + 0.01


@pytest.mark.parametrize(("text", "language"), LANGUAGES)
def test_a_loop_doubles_the_answer_with_its_end(text: str, language: Language) -> None:
    looped = loop(text, language, 0)
    assert looped.startswith(text)
    assert count_fixed(looped) == pytest.approx(2 * count_fixed(text), rel=0.15)
    assert degeneration(looped).looped > 0.3


@pytest.mark.parametrize(("text", "language"), LANGUAGES)
def test_a_truncated_answer_is_its_first_half_and_does_not_end(text: str, language: Language) -> None:
    cut = truncate(text, language, 0)
    assert text.startswith(cut)
    assert count_fixed(cut) == pytest.approx(count_fixed(text) / 2, rel=0.1)
    assert ending(cut).cause == "broken_off"


@pytest.mark.parametrize(("text", "language"), LANGUAGES)
def test_the_other_language_begins_in_the_middle(text: str, language: Language) -> None:
    (switched,) = (one.text for one in planted(text, language, place=0) if one.plant is Plant.LANGUAGE)
    assert switched.startswith(truncate(text, language, 0))
    tail = switched[len(truncate(text, language, 0)) :]
    assert language_of(tail) == ("en" if language == "zh" else "zh")


@pytest.mark.parametrize("text", [EN, ZH])
@pytest.mark.parametrize("language", ["en", "zh", "de", "ja"])
def test_every_plant_is_made_in_every_language_and_is_the_same_every_time(text: str, language: str) -> None:
    for place in range(7):
        found = planted(text, language, place=place)
        assert found == planted(text, language, place=place)
        assert [one.plant for one in found] == [plant for plant in Plant if plant is not Plant.OWN_STYLE]
        assert all(one.text.strip() and one.text != text for one in found)
    assert set(MEANINGS) == set(Plant)


def test_filler_does_not_repeat_itself_within_thousands_of_words() -> None:
    sentences = filler("en", first=5)
    assert len({next(sentences) for _ in range(320)}) == 320


@given(st.text(min_size=1, max_size=400), st.integers(0, 50))
def test_any_text_can_be_planted(text: str, place: int) -> None:
    for one in planted(text, "en", place=place):
        assert isinstance(one.text, str)
