import pytest

from tasks.corpus.endings import cut_off, markup, strip_markup


@pytest.mark.parametrize(
    "text",
    [
        "It was late. He walked to the door, opened it, and looked at the",
        "It was late.\n\n“You have to go,” she said. “They will be here in an hour, and nobody knows what they",
        "天色已晚。他走到门口，打开门，看见外面站着一个他从来没有见过的人，那个人手里拿着",
        "Anna looks at",
    ],
)
def test_a_text_that_stops_in_a_sentence_is_cut_off(text: str) -> None:
    assert cut_off(text)


@pytest.mark.parametrize(
    "text",
    [
        "It was late.",
        "“It was late.”",
        "The End",
        "Yours sincerely,\nAnna Berg",
        "Things to bring:\n- a warm coat and enough bread for two days on the road",
        "Smith, J. (2019). A history of bread in the valley towns. Retrieved from https://example.org/bread",
        "**FADE TO BLACK**",
        "the wind goes over the hills and the grass lies down before it\nthe river takes the light of the moon to the sea\n"
        "the boats come home from the water that nobody has seen\nand nobody asks where they have been all these years",
        "结束\n完",
    ],
)
def test_signatures_lists_references_and_verse_are_not(text: str) -> None:
    assert cut_off(text) is None


def test_end_marks_behind_a_text_go_and_those_within_are_found() -> None:
    assert strip_markup("He slept.</s>") == "He slept."
    assert strip_markup("He slept. <|eot_id|>\n<|im_end|>") == "He slept."
    assert markup("He slept.<|im_end|>\n<|im_start|>user\nGo on.") == "<|im_end|>"
    assert markup("x < y and a <s of b") is None
