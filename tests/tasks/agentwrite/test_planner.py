import pytest

from tasks.agentwrite.planner import parse_plan, reconcile, render
from tasks.schema.errors import ReplyError
from tasks.schema.params import Bounds
from tasks.schema.records import Step

TWO = (Step(point="The start", words=300), Step(point="The end", words=200))


@pytest.mark.parametrize(
    "text",
    [
        "Paragraph 1 - Main Point: The start - Word Count: 300 words\n\nParagraph 2 - Main Point: The end - Word Count: 200 words",
        "Here is the plan for you, in 2 paragraphs:\n\n**Paragraph 1** - **Main Point:** The start - **Word Count:** 300 words\n"
        "**Paragraph 2** - **Main Point:** The end - **Word Count:** 200 words\n\nLet me know if you need more!",
        "- Paragraph 1: Main Point: The start – Word Count: 250-350 words\n- Paragraph 2: Main Point: The end – Word Count: 200",
        "1. Paragraph 1 - Main Point: [The start] - Word Count: [300 words]\n"
        "2. Paragraph 2 - Main Point: [The end] - Word Count: [200 words]",
        "段落1 - 要点：The start - 字数：300字\n段落2 - 要点：The end - 字数：200字",
        "第1段：要点：The start - 字数：３００字\n第2段：要点：The end - 字数：200至200字",
    ],
)
def test_a_plan_is_read_whatever_its_dress(text: str) -> None:
    assert parse_plan(text, max_paragraphs=50) == TWO


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no line of the form"),
        ("I'm sorry, I cannot plan this.", "no line of the form"),
        ("Paragraph 1 - Main Point: The start", "paragraph 1 has no word count"),
        ("Paragraph 1 - Main Point: The start - Word Count: 0 words", "word count of 0"),
        ("Paragraph 1 - Main Point: The start - Word Count: 1000000000 words", "word count of 1000000000"),
        ("Paragraph 1 - Main Point: - Word Count: 100 words", "no main point"),
        ("Paragraph 2 - Main Point: x - Word Count: 100 words", "paragraph 2 stands where paragraph 1 should"),
        ("\n".join(f"Paragraph {n} - Main Point: x - Word Count: 9 words" for n in range(1, 52)), "51 paragraphs, at most 50"),
    ],
)
def test_a_plan_that_cannot_be_used_says_why(text: str, says: str) -> None:
    with pytest.raises(ReplyError, match=says):
        parse_plan(text, max_paragraphs=50)


def test_a_rendered_plan_reads_back() -> None:
    assert parse_plan(render(TWO), max_paragraphs=2) == TWO


def test_budgets_far_from_the_asked_length_are_rescaled_within_bounds() -> None:
    steps = reconcile(TWO, 1000, bounds=Bounds(min=100, max=700), deviation=0.1)
    assert [step.words for step in steps] == [600, 400]
    assert reconcile(TWO, 520, bounds=Bounds(min=100, max=700), deviation=0.1) == TWO


def test_paragraphs_that_cannot_carry_the_asked_length_are_refused() -> None:
    with pytest.raises(ReplyError, match="2 paragraphs of 100 to 400 words cannot add up to the 5000"):
        reconcile(TWO, 5000, bounds=Bounds(min=100, max=400), deviation=0.1)
