import pytest

from tasks.text.meta_comments import strip_meta_comments
from tasks.text.offers import declined

TEXT = "The sea was calm.\n\nThen a wind rose, and the boats came home."


@pytest.mark.parametrize(
    "remark",
    [
        "Sure! Here is the third paragraph of the essay:",
        "Certainly! I'll write this paragraph now.",
        "Here is a story based on your prompt:",
        "Of course. Below is the next section of about 200 words:",
        "好的，以下是第三段的内容：",
        "当然可以！下面是您要的段落：",
    ],
)
def test_what_a_model_says_before_it_writes_goes(remark: str) -> None:
    cleaned = strip_meta_comments(f"{remark}\n\n{TEXT}", last=False)
    assert (cleaned.text, cleaned.removed) == (TEXT, (remark,))


@pytest.mark.parametrize(
    "remark",
    [
        "Let me know if you would like me to go on.",
        "I hope this paragraph meets your requirements!",
        "Would you like me to continue with the next part?",
        "Feel free to expand on this.",
        "(Word count: 212 words)",
        "**Word Count: 4,000**",
        "Note: The essay is approximately 2,200 words long.",
        "This paragraph is about 200 words.",
        "[To be continued in the next part]",
        "End of paragraph 3",
        "This outline should give you a foundation that you can expand upon.",
        "希望这段内容对您有帮助！",
        "如果您需要继续，请告诉我。",
        "（本段共约500字）",
        "（未完待续）",
        "字数：1024字",
    ],
)
def test_what_a_model_says_after_it_has_written_goes_with_the_rule_before_it(remark: str) -> None:
    cleaned = strip_meta_comments(f"{TEXT}\n\n---\n\n{remark}", last=False)
    assert cleaned.text == TEXT
    assert remark in cleaned.removed


@pytest.mark.parametrize(
    "text",
    [
        "Here is a house that nobody has entered for years.\n\nIts door is red.",
        "“Sure! Here is the story of my life,” she said.\n\nNobody spoke.",
        "Note how the light falls.\n\nIt was evening.",
        "The essay was 2,000 words long.\n\nHe tore it up.",
        "Dear Anna,\n\nIf you have any questions, please call me at the office.",
        "I hope that you are well.\n\nI hope it rains soon.",
        "Roses are red,\nviolets are blue.",
        "好的东西总是难得的。\n\n希望你一切都好。",
        "Let me know if you can hear me.",
    ],
)
def test_prose_that_sounds_alike_stays(text: str) -> None:
    assert strip_meta_comments(text).text == text


def test_the_end_belongs_to_the_last_paragraph_and_to_no_other() -> None:
    assert strip_meta_comments(f"{TEXT}\n\nThe End", last=False).text == TEXT
    assert strip_meta_comments(f"{TEXT}\n\nThe End", last=True).text == f"{TEXT}\n\nThe End"


def test_a_paragraph_that_is_nothing_but_a_remark_stays_for_the_checks_to_find() -> None:
    assert strip_meta_comments("Let me know if you need more.").text == "Let me know if you need more."


@pytest.mark.parametrize(
    "text",
    [
        "Creating a 16,000-word essay in this format is not feasible, but I can provide a detailed outline to get you started.\n\nI. Dogs",
        "I'm afraid I can't write a story that long in a single response. However, I can start the story for you.\n\nIt was dark.",
        f"{TEXT}\n\nNote: Due to the constraints of this platform, this is a condensed version of what you asked for.",
        "由于篇幅有限，我只能为您提供一个精简版本。\n\n从前有座山。",
    ],
)
def test_a_text_that_says_that_it_is_not_the_whole_is_named(text: str) -> None:
    evidence = declined(text)
    assert evidence
    assert evidence in " ".join(text.split())


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "The limits of this format were plain to every poet of the age. They wrote an outline first, and the poem later.",
        "Writing a novel of 50,000 words takes a year. Most people begin with an outline, and then expand on it.",
    ],
)
def test_a_text_about_limits_is_none(text: str) -> None:
    assert declined(text) is None
