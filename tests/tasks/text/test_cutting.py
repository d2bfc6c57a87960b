import pytest

from tasks.text.counts import count_words
from tasks.text.cutting import sentences_up_to, up_to

PROSE = "The mill stands. Dr. Hale owns it now. It grinds rye and oats! Who would sell it?"


@pytest.mark.parametrize(
    ("text", "most", "left"),
    [
        (PROSE, 3, "The mill stands."),
        (PROSE, 5, "The mill stands."),
        (PROSE, 8, "The mill stands. Dr. Hale owns it now."),
        (PROSE, 99, PROSE),
        ("A town sleeps.\n\n2. Bread rises slowly here.", 4, "A town sleeps."),
        ("A town sleeps.\n\n## Who wakes first?\n\nThe baker does.", 6, "A town sleeps."),
        ("A town sleeps.\n\n**Who wakes first?**\n\nThe baker does.", 6, "A town sleeps."),
        ("A town sleeps. “Wake up. The bread burns.” He ran.", 5, "A town sleeps."),
        ("A town sleeps. **Bread. And milk.** He ran.", 4, "A town sleeps."),
        ("一个小镇在睡觉。面包师起床了。他跑了。", 15, "一个小镇在睡觉。面包师起床了。"),
    ],
)
def test_a_text_ends_behind_the_last_whole_sentence_within_the_limit(text: str, most: int, left: str) -> None:
    assert sentences_up_to(text, most, least=1, longest=99) == left


def test_a_text_goes_on_to_the_next_end_when_the_sentences_within_the_limit_are_too_few() -> None:
    assert sentences_up_to(PROSE, 3, least=5, longest=99) == "The mill stands. Dr. Hale owns it now."
    assert sentences_up_to(PROSE, 3, least=5, longest=7) is None
    assert sentences_up_to("no end at all here", 3, least=1, longest=3) is None


def test_a_line_is_an_end_where_any_end_will_do() -> None:
    assert up_to("# Title\n\nOne two, three four.", 3) == "# Title"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("unit", [".", ". ", "?!", "…", '."', "*", ".\n", "1.\n"])
def test_a_text_of_many_signs_takes_linear_time(unit: str) -> None:
    text = "One. " + unit * 100_000
    assert count_words(sentences_up_to(text, 10, least=1, longest=99) or "") <= 10
