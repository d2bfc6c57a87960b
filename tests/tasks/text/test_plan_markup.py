import pytest

from tasks.text.plan_markup import identifiers, strip_plan_markup


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
        "Paragraph 2 of 9: The sea.",
        "Paragraph Two\nThe sea.",
        "```markdown\nThe sea.",
        "Main Point: water - Word Count: 100 words\n\nThe sea.",
    ],
)
def test_scaffolding_of_the_plan_is_taken_off(paragraph: str) -> None:
    assert strip_plan_markup(paragraph) == "The sea."


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
    assert strip_plan_markup(paragraph) == paragraph


@pytest.mark.parametrize(
    ("first", "point"),
    [
        ("The river rises in the hills", "The river rises in the hills."),
        ("**The river rises in the hills**", "the river rises in the hills"),
        ("Main Point: The river rises in the hills - Word Count: 200 words", "The river rises in the hills"),
        ("# 河流从山中流出", "河流从山中流出。"),
    ],
)
def test_the_main_point_as_a_first_line_is_an_echo_of_the_plan(first: str, point: str) -> None:
    assert strip_plan_markup(f"{first}\n\nThe sea.", point=point) == "The sea."


def test_a_heading_of_its_own_and_a_paragraph_that_is_only_its_point_stay() -> None:
    assert strip_plan_markup("The Hills\n\nThe sea.", point="The river rises in the hills") == "The Hills\n\nThe sea."
    assert strip_plan_markup("The river rises in the hills", point="The river rises in the hills") == "The river rises in the hills"


def test_identifiers_within_a_text_are_counted_and_taken_off_without_joining_its_lines() -> None:
    text = "Paragraph 1: The sea.\n\nParagraph 2: The wind.\n\n第三段：海风。"
    assert identifiers(text) == 3
    assert strip_plan_markup(text) == "The sea.\n\nThe wind.\n\n海风。"
    assert identifiers("The sea.\n\nParagraph 3 of the contract says so.") == 0


@pytest.mark.parametrize("text", ["$STEP$ and {INST}", "{{instruction}} stays", "a {step} b $INST$", "%s {0} ${PLAN}"])
def test_text_that_looks_like_a_placeholder_goes_through_as_it_is(text: str) -> None:
    assert strip_plan_markup(text, point="$STEP$") == text
