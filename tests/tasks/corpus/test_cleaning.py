import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.corpus.cleaning import clean, refusal, repeated, strip_identifier
from tasks.longbench.length import count_words


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
    "paragraph",
    [
        "Paragraph 3 – The sea.",
        "Paragraph 3: The sea.",
        "**Paragraph 2**\n\nThe sea.",
        "**Paragraph 2:** The sea.",
        "## Paragraph 2\nThe sea.",
        "[Paragraph 12] The sea.",
        "Paragraph 4 (150 words): The sea.",
        "Paragraph 1 - Main Point: water - Word Count: 100 words\n\nThe sea.",
        "第三段：The sea.",
        "【第3段】The sea.",
        "段落2：The sea.",
        "```\nThe sea.\n```",
        "```markdown\nParagraph 1: The sea.\n```",
        "The sea.\n\n(Word count: 150 words)",
        "The sea.\n（字数：150字）",
    ],
)
def test_scaffolding_of_the_plan_is_taken_off(paragraph: str) -> None:
    assert strip_identifier(paragraph) == "The sea."


@pytest.mark.parametrize(
    "paragraph",
    [
        "Part 2 of 4\n\nThe sea.",
        "第2部分，共4部分\n海。",
        "Paragraph 3 of the contract says so.",
        "第三段路程很长。",
        "Use `code`.\n\n```\nx\n```\n\nThen go on.",
    ],
)
def test_the_text_s_own_headings_and_sentences_stay(paragraph: str) -> None:
    assert strip_identifier(paragraph) == paragraph


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


def test_a_paragraph_that_comes_twice_is_found_whatever_its_case_and_spaces() -> None:
    assert repeated(["The sea was calm that day.", "A wind rose.", "the sea  was calm\nthat day."]) == (
        "paragraphs 1 and 3 are the same: the sea was calm that day."
    )
    assert repeated(["The sea was calm that day.", "The sea was calm that night.", "* * *", "* * *"]) is None
