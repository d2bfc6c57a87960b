from pathlib import Path

import pytest

from tasks.text.prompt_leak import leaked

ASK = "Write about 2,000 words on how bread was baked in the valley towns before there were railways, with the people who baked it."
TEXT = "Bread was baked in clay ovens.\n\nEvery village had one."
PROMPT = (Path(__file__).parents[3] / "tasks/prompts/write.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "leak",
    [
        "<text>",
        "</instruction>",
        "Paragraph 4 - Main Point: the price of flour - Word Count: 200 words",
        "Give only the paragraph itself, with a small heading if it helps.",
        PROMPT.splitlines()[0],
        ASK,
        "<|im_start|>assistant",
        "[/INST]",
        "Writing steps: first the ovens, then the flour",
        "写作指令：写一篇文章",
    ],
)
def test_a_piece_of_a_prompt_is_found(leak: str) -> None:
    evidence = leaked(f"{TEXT}\n\n{leak}\n\n{TEXT}", request=ASK, language="en")
    assert evidence


@pytest.mark.parametrize("text", [TEXT, "He tagged it <b>bold</b>.", "The main point: bread is cheap.", "Write about 2,000 words."])
def test_an_answer_is_none(text: str) -> None:
    assert leaked(text, request=ASK, language="en") is None


def test_what_the_request_brings_is_no_leak() -> None:
    assert leaked("The mark <|im_end|> ends a turn.", request="Explain <|im_end|> to me.", language="en") is None
