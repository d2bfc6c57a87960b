"""How texts end, by kind of ending, in English and Chinese."""

import pytest

from tasks.text.endings import broken_off, ending, markup, strip_markup, strip_tokens

PROSE = "The boats came home late. Nobody had seen such a storm before, and nobody wanted to see another one."
BROKEN = {
    "an article": "It was late. He walked to the door, opened it, and looked at the",
    "speech": "It was late.\n\n“You have to go,” she said. “They will be here in an hour, and nobody knows what they",
    "Chinese": "天色已晚。他走到门口，打开门，看见外面站着一个他从来没有见过的人，那个人手里拿着",
    "a short sentence": "Anna looks at",
    "a comma": f"{PROSE} And then,",
    "a Chinese comma": "天色已晚，他走到门口，",
    "a colon": f"{PROSE} The steps are as follows:",
    "a half word": f"{PROSE} The harbour master wrote down their names, one after the oth",
    "a whole word": f"{PROSE} The harbour master wrote down their names and the weather",
    "a new paragraph's first words": f"{PROSE}\n\nHe returned to the harbour",
    "a speech": f"{PROSE}\n\nTom nods,",
    "an open quotation": f'{PROSE}\n\n"We only',
    "an open bracket": f"{PROSE}\nAnna: (",
    "a speaker without a speech": "ANNA\nWho is there?\n\nTOM\nIt is me.\n\nANNA\nCome in.\n\nTOM\nThank you.\n\nAnna",
    "a speech in a play": "Anna: Who is there?\nTom: It is me.\nAnna: Come in.\nTom: Did you know",
    "a list's item": "Bring:\n- a warm coat\n- enough bread for the",
    "a table's row": "| a | b |\n|---|---|\n| one | two |\n| three | fo",
    "code": "Run this:\n\n```python\nfor x in range(3):\n    print(",
    "a rule behind": f"{PROSE} The harbour master wrote down their names and the\n\n---",
    "a loop": "the " * 200,
}
WHOLE = {
    "a full stop": PROSE,
    "a quotation": "“It was late.”",
    "bold": "**It was late.**  \n",
    "Chinese brackets": "（全文完）",
    "the end": "And so they lived.\n\nThe End",
    "the end, in stars": f"{PROSE}\n\n*** END ***",
    "the end of a part": f"{PROSE}\n\nTHE END (OF PART ONE)",
    "curtain": f"{PROSE}\n\nCURTAIN",
    "fade": "**FADE TO BLACK**",
    "Chinese end": "结束\n完",
    "Chinese play": "很久以前，有一个村庄。\n\n剧终",
    "a signature": "Yours sincerely,\nAnna Berg",
    "a farewell": f"{PROSE}\n\nBest regards,",
    "a placeholder": "Best regards,\n[Your Name]",
    "a Chinese signature": "此致\n敬礼\n\n申请人：李华\n2023年6月2日",
    "a word count": f"{PROSE}\n\n**Word Count: 8,021** (including the title)",
    "a list": "Things to bring:\n- a warm coat and enough bread for two days on the road",
    "a numbered list": "Bring:\n1. Milk\n2. Bread",
    "a table": "| a | b |\n|---|---|\n| one | two |",
    "code": '```python\nprint("hi")\n```',
    "a formula": "Hence\n$$x = 1$$",
    "hashtags": f"{PROSE}\n\n#sea #storm",
    "a reference": "Smith, J. (2019). A history of bread in the valley towns. Retrieved from https://example.org/bread",
    "a link": "WHO. (2016). The outbreak. Retrieved from <https://example.org/a-b>",
    "a rule": f"{PROSE}\n\n---",
    "a tilde": "今天真开心，大家一起加油哦～",
    "an emoji": "See you there 😊",
    "a short poem": "The river runs to the sea\nAnd never looks at me",
    "verse": "the wind goes over the hills and the grass lies down before it\nthe river takes the light of the moon to the sea\n"
    "the boats come home from the water that nobody has seen\nand nobody asks where they have been all these years",
}
OFFERS = {
    "in brackets": f"{PROSE}\n\n(To be continued)",
    "a line": f"{PROSE}\n\nTo be continued…",
    "the next part": f"{PROSE}\n\n[Continued in the next part, as this one is full...]",
    "on the same line": f"{PROSE} *(continued in the next message)*",
    "Chinese": "很久以前，有一个村庄，村里住着一个渔夫。\n\n未完待续",
    "a question": f"{PROSE}\n\nWould you like me to continue with the next chapter?",
    "the first part only": f"{PROSE}\n\nThis is only the first part of the story; I can continue if you like.",
    "a request": f'{PROSE}\n\nI stop here for now. Please reply "continue" to get the rest.',
    "the rest": f"{PROSE}\n\n[The remaining chapters would follow in the same way.]",
    "a Chinese question": "很久以前，有一个村庄。\n\n以上是故事的第一部分，需要我继续写吗？",
    "a Chinese offer": "很久以前，有一个村庄。\n\n如果您想看后续章节，请告诉我。",
}
NO_OFFER = {
    "politeness": f"{PROSE}\n\nLet me know if you'd like any changes!",
    "the end of a story": f"{PROSE} And that was only the beginning.",
    "a speech": f'{PROSE}\n\n"Would you like me to continue?" she asked.',
    "advice": "Write every day. If you stop for a week, simply continue where you were.",
}
DECLINED = (
    "I cannot write 16,000 words in this format, so here is a condensed version of the essay.\n\n" + PROSE,
    PROSE + "\n\nDue to the platform's length limit, I have given you a detailed outline that you can expand.",
    "由于篇幅限制，我只能提供一个精简版本。\n\n很久以前，有一个村庄。",
)


@pytest.mark.parametrize("name", BROKEN)
def test_a_text_that_stops_in_a_sentence_is_broken_off(name: str) -> None:
    assert broken_off(BROKEN[name])
    assert ending(BROKEN[name]).cause == "broken_off"


@pytest.mark.parametrize("name", WHOLE)
def test_what_ends_without_a_full_stop_is_not_broken_off_for_it(name: str) -> None:
    assert ending(WHOLE[name]) == ("ended", "", "")


@pytest.mark.parametrize("name", OFFERS)
def test_a_text_that_says_it_goes_on_offers_to_continue(name: str) -> None:
    assert ending(OFFERS[name]).cause == "offers_to_continue"


@pytest.mark.parametrize("name", NO_OFFER)
def test_politeness_and_fiction_offer_nothing(name: str) -> None:
    assert ending(NO_OFFER[name]).cause == "ended"


@pytest.mark.parametrize("text", DECLINED)
def test_a_text_that_says_it_is_less_than_was_asked_has_declined(text: str) -> None:
    assert ending(text).cause == "declined"


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
def test_an_answer_at_the_token_limit_is_cut_whatever_it_ends_with(reason: str) -> None:
    assert ending(PROSE, finish_reason=reason).cause == "cut_by_limit"
    assert ending(PROSE, finish_reason="stop").cause == "ended"


def test_an_empty_text_does_not_end() -> None:
    assert ending(" \n").cause == "broken_off"


@pytest.mark.parametrize(
    "token", ["</s>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<eos>", "<｜end▁of▁sentence｜>", "<|endoftext|>", "[/INST]"]
)
def test_a_token_left_behind_the_text_is_stripped_and_named(token: str) -> None:
    assert ending(f"{PROSE}{token}") == ("ended", "", token)
    assert strip_tokens(f"{PROSE} {token}\n") == (PROSE, token)
    assert ending(f"{PROSE} And he saw that the{token}").cause == "broken_off"


def test_end_marks_behind_a_text_go_and_those_within_are_found() -> None:
    assert strip_markup("He slept. <|eot_id|>\n<|im_end|>") == "He slept."
    assert strip_tokens("He slept. <|eot_id|>\n<|im_end|>")[1] == "<|eot_id|> <|im_end|>"
    assert strip_markup("He slept.\n") == "He slept.\n"
    assert markup("He slept.<|im_end|>\n<|im_start|>user\nGo on.") == "<|im_end|>"
    assert markup("x < y and a <s of b") is None
