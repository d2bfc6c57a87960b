import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.cleaning import clean, refusal, repeated
from tasks.text.counts import count_words


@pytest.mark.parametrize(
    ("raw", "tidy"),
    [
        ("a\u200bb\ufeffc\u2060d", "abcd"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("e\u0301", "é"),
        ("a\x00b\x1bc", "abc"),
        ("a  b \t c   \n\n\n\n d", "a b c\n\n d"),
        ("\u202eabc\u202c", "abc"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("क्\u200dष", "क्\u200dष"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("x\u200dy 中\u200d文\u200d", "xy 中文"),
        ("\ud800a", "a"),
        ("    indented\n        code", "indented\n        code"),
    ],
)
def test_what_cannot_be_seen_goes_and_what_joins_a_grapheme_stays(raw: str, tidy: str) -> None:
    assert clean(raw) == tidy


@given(st.text())
def test_cleaning_is_idempotent_and_leaves_normal_form(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)


@given(st.lists(st.sampled_from(["sea", "wind", "海", "风", "\n", " ", "\t", "."])))
def test_cleaning_never_changes_the_count_of_words(parts: list[str]) -> None:
    text = " ".join(parts)
    assert count_words(clean(text)) == count_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I cannot write this story.",
        "I apologize, but I'm unable to provide this.",
        "I am unable to help with that request.",
        "As an AI language model, I have no feelings.",
        "The sea was calm.\n\nSorry, I cannot continue.",
        "抱歉，我无法完成这个请求。",
        "作为一个人工智能，我不能写。",
        "I’m sorry for any confusion, but I can't assist with that request as it exceeds the limit.",
        "I apologize, but I won't be able to provide so many words.",
        "**Paragraph 3**\nI cannot fulfill this request.",
        "As an AI, I can't physically write a novel.",
        "您好，非常抱歉，我暂时无法提供这些信息。",
        "作为AI语言模型，我没有能力撰写这样的文章。",
        "我无法满足您的此类请求。",
    ],
)
def test_a_refusal_is_named_with_its_words(text: str) -> None:
    evidence = refusal(text)
    assert evidence
    assert evidence in text


@pytest.mark.parametrize(
    "text",
    [
        "“I'm sorry, but I can't help,” she said.",
        "I'm sorry to say that he left. I cannot write of it.",
        "Dear Anna,\n\nI'm sorry, but I can't help you on Saturday.",
        "She read the poem:\nI am sorry, I cannot write\nto you tonight.",
        "As an AI assistant learns, its answers improve.",
        "As a language model grows, it needs more text.",
        "他说：“抱歉，我无法来。”",
        "对不起，我不能陪你走下去了。",
        "作为人工智能领域的研究者，我认为这不能一概而论。",
        "",
    ],
)
def test_a_character_who_is_sorry_is_no_refusal(text: str) -> None:
    assert refusal(text) is None


LONG = "The sea was calm that day, and the boats lay in the harbour as if nobody would ever want to leave it again."


def test_a_paragraph_that_comes_twice_is_found_whatever_its_case_and_spaces() -> None:
    assert repeated([LONG, "A wind rose.", LONG.lower().replace(" and ", "\nand  ")]) == (
        "paragraphs 1 and 3 are the same: the sea was calm that day, and the boats"
    )
    assert repeated(["海面那天很平静，船只都停在港口里，好像再也没有人想要离开这里一样，只有海鸥在叫，声音传得很远。"] * 2)


def test_headings_places_of_scenes_and_refrains_may_come_again() -> None:
    assert repeated(["### Origins and history", "**INT. ETHAN'S HOUSE, LIVING ROOM - NIGHT**", "第三章 归来", "* * *"] * 2) is None
