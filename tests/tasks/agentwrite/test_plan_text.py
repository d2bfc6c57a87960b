"""Plans as text: the formats that a teacher may write, and how they are parsed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.agentwrite.plan_fields import tidy
from tasks.agentwrite.planner import parse_plan, render
from tasks.schema.errors import ReplyError
from tasks.schema.records import Step

Points = list[tuple[str, int | None]]
TWO: Points = [("The start", 300), ("The end", 200)]
UNCOUNTED: Points = [("The start", None), ("The end", None)]
FORM = "Paragraph {} - Main Point: {} - Word Count: {} words"
BOTH = f"{FORM.format(1, 'The start', 300)}\n{FORM.format(2, 'The end', 200)}"


def read(text: str, most: int = 50) -> Points:
    return [(line.point, line.words) for line in parse_plan(text, max_paragraphs=most)]


DRESSES = {
    "the form asked for": BOTH,
    "blank lines": BOTH.replace("\n", "\n\n\n") + "\n\n",
    "windows lines": BOTH.replace("\n", "\r\n"),
    "preamble and remark": f"Here is the plan for you, in 2 paragraphs:\n\n{BOTH}\n\nLet me know if you need more!",
    "a numbered list in the preamble": f"I thought about:\n1. the tone\n2. the readers\n3. the length (500 words)\n\n{BOTH}",
    "a total": f"{BOTH}\n\nTotal: 500 words",
    "a total in bold": f"{BOTH}\n**Total Word Count:** 500 words",
    "a fence": f"```\n{BOTH}\n```",
    "a heading": f"# Plan\n\n## Body\n{BOTH}\n\n# Notes\nWrite well.",
    "bold": "**Paragraph 1** - **Main Point:** The start - **Word Count:** 300 words\n"
    "**Paragraph 2** - **Main Point**: The end - **Word Count**: 200 words",
    "italics": "*Paragraph 1* - *Main Point:* The start - *Word Count:* 300 words\n"
    "_Paragraph 2_ - _Main Point:_ The end - _Word Count:_ 200 words",
    "bullets": "- Paragraph 1: Main Point: The start – Word Count: 250-350 words\n* Paragraph 2: Main Point: The end – Word Count: 200",
    "brackets": "1. Paragraph 1 - Main Point: [The start] - Word Count: [300 words]\n"
    "2. Paragraph 2 - Main Point: [The end] - Word Count: [200 words]",
    "quotes of Markdown": "> Paragraph 1 - Main Point: The start - Word Count: 300\n> Paragraph 2 - Main Point: The end - Word Count: 200",
    "headings": "### Paragraph 1\nMain Point: The start\nWord Count: 300 words\n\n"
    "### Paragraph 2\nMain Point: The end\nWord Count: 200 words\n",
    "bulleted fields": "**Paragraph 1**\n- **Main Point:** The start\n- **Word Count:** 300 words\n\n"
    "**Paragraph 2**\n- **Main Point:** The end\n- **Word Count:** 200 words\n\nI hope this helps!",
    "the count first": "Paragraph 1\nWord Count: 300\nMain Point: The start\n\nParagraph 2\nWord Count: 200\nMain Point: The end",
    "the count in front": "Paragraph 1 (300 words): The start\nParagraph 2 (200 words): The end",
    "the count behind a dash": "Paragraph 1 - 300 words - The start\nParagraph 2 - 200 words - The end",
    "text below": "Paragraph 1:\n\nThe start (300 words)\n\nParagraph 2:\n\nThe end (200 words)\n\nThat is all.",
    "numbered": "1. The start (300 words)\n2. The end (200 words)",
    "numbered with brackets": "1) The start - 300 words\n2) The end - 200 words",
    "numbered in brackets": "(1) The start: 300 words\n(2) The end: 200 words",
    "numbered in bold": "1. **The start** - Word Count: 300\n2. **The end** - Word Count: 200",
    "two numbered lists": "My steps:\n1. think\n2. plan\n\nThe plan:\n1. The start (300 words)\n2. The end (200 words)",
    "para": "Para 1: The start - 300 words\nPara. 2: The end - 200 words",
    "of how many": "Paragraph 1 of 2: The start (300 words)\nParagraph 2/2: The end (200 words)",
    "spelled": "Paragraph One: The start (300 words)\nParagraph Two: The end (200 words)",
    "a hash": "Paragraph #1: The start (300 words)\nParagraph No. 2: The end (200 words)",
    "capitals": BOTH.upper().replace("THE START", "The start").replace("THE END", "The end"),
    "sections": "Section 1: The start (300 words)\nSection 2: The end (200 words)",
    "steps": "Step 1: The start - about 300 words\nStep 2: The end - about 200 words",
    "about": "Paragraph 1: The start (approx. 300 words)\nParagraph 2: The end (~200 words)",
    "around": "Paragraph 1 - Main Point: The start - Word Count: approximately 300\n"
    "Paragraph 2 - Main Point: The end - Word Count: around 200 words",
    "ranges": "Paragraph 1 - Main Point: The start - Word Count: 250–350 words\n"
    "Paragraph 2 - Main Point: The end - Word Count: between 150 and 250",
    "ranges with units": "Paragraph 1: The start (250 words to 350 words)\nParagraph 2: The end (150-250 words)",
    "spelled counts": "Paragraph 1: The start - three hundred words\nParagraph 2: The end - two hundred words",
    "a running total": "Paragraph 1: The start (300 words) (total: 300)\nParagraph 2: The end (200 words) (total: 500)",
    "Chinese": "段落1 - 要点：The start - 字数：300字\n段落2 - 要点：The end - 字数：200字",
    "Chinese, full width": "第１段：要点：The start - 字数：３００字\n第２段：要点：The end - 字数：１５０至２５０字",
    "Chinese numerals": "第一段：The start（三百字）\n第二段：The end（二百字）",
    "Chinese, 段落一": "段落一：The start，约300字\n段落二：The end，大约200字左右",
    "Chinese list": "一、The start（300字）\n二、The end（200字）",
    "Chinese list in brackets": "（一）The start（300字）\n（二）The end（200字）",
    "Chinese range": "第1段：The start（250到350字）\n第2段：The end（150字至250字）\n总字数：500字",
    "Chinese fields": "好的，以下是计划：\n\n**第一段**\n主要内容：The start\n字数：300\n\n"
    "**第二段**\n主要内容：The end\n字数：200\n\n希望对你有帮助！",
    "Chinese parts": "第一部分：The start（300字）\n第二部分：The end（200字）",
    "circled": "① The start（300字）\n② The end（200字）",
    "with chapters between": f"Chapter 1 - Main Point: All of it - Word Count: 500 words\n{BOTH}",
}


@pytest.mark.parametrize("dress", DRESSES)
def test_a_plan_is_read_whatever_its_dress(dress: str) -> None:
    assert read(DRESSES[dress]) == TWO


@pytest.mark.parametrize(
    ("count", "words"),
    [
        ("1,200 words", 1200),
        ("1.5k words", 1500),
        ("１，２００ words", 1200),
        ("300-400 words", 350),
        ("300到400字", 350),
        ("二百字", 200),
        ("三百五十字", 350),
        ("一千两百字", 1200),
        ("一千二", 1200),
        ("350字左右", 350),
        ("N/A", None),
        ("待定", None),
        ("", None),
    ],
)
def test_a_count_is_read_in_its_many_forms(count: str, words: int | None) -> None:
    assert read(f"**Paragraph 1** - Main Point: The start - Word Count: {count}") == [("The start", words)]


@pytest.mark.parametrize(
    "text",
    [
        "Paragraph 1 - Main Point: The start\nParagraph 2 - Main Point: The end",
        "**Paragraph 1:** The start\n\n**Paragraph 2:** The end\n\nEach paragraph is about 300 words.",
        "第一段：The start\n第二段：The end",
    ],
)
def test_a_missing_count_is_no_fault(text: str) -> None:
    assert read(text) == UNCOUNTED


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("Paragraph 1: Introduction\nMain Point: The start\nWord Count: 300", "Introduction: The start"),
        ("**Paragraph 1: Introduction**\n\nSets the scene for all. (300 words)\n\nGood luck!", "Introduction: Sets the scene for all."),
        ("Paragraph 1 - Main Point: The start\n  - the mill\n  - the miller\nWord Count: 300 words", "The start; the mill; the miller"),
        ("Paragraph 1 - Main Point: a line that\nis wrapped - Word Count: 300 words", "a line that is wrapped"),
        ("Paragraph 1 - Main Point: A letter of 500 words is found - Word Count: 300 words", "A letter of 500 words is found"),
        ("第1段：要点：开篇，点题；“茶”与人生 - 字数：300字", "开篇，点题；“茶”与人生"),
    ],
)
def test_all_that_is_said_of_a_paragraph_is_kept(text: str, point: str) -> None:
    assert read(text) == [(point, 300)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the reply is empty"),
        (" \n\n", "the reply is empty"),
        ("I'm sorry, I cannot plan this.", "not a plan; it begins \"I'm sorry"),
        ("I can't help with that. You could:\n1. Ask a librarian\n2. Read a book\n3. Write it yourself", "not a plan"),
        ("The essay should open with the mill and close with the bread, in about 500 words.", "not a plan"),
        ("lorem %% ipsum {{{ 500 Internal error", "not a plan"),
        ("<html><body>502 Bad Gateway</body></html>", "not a plan"),
        ('{"error": {"message": "overloaded", "code": 529}}', "not a plan"),
        ("[]", "not a plan"),
        ("[" * 100_000, "not a plan"),
        (FORM.format(1, "The start", 0), "paragraph 1 has a word count of 0"),
        (FORM.format(1, "The start", 10**9), "paragraph 1 has a word count of more than 100000"),
        (FORM.format(1, "The start", "10^9"), "paragraph 1 has a word count of more than 100000"),
        (FORM.format(1, "The start", "10⁹"), "paragraph 1 has a word count of more than 100000"),
        (FORM.format(1, "The start", "9" * 5000), "paragraph 1 has a word count of more than 100000"),
        (FORM.format(1, "", 100), "paragraph 1 has no main point"),
        ("Paragraph 1\nWord Count: 100", "paragraph 1 has no main point"),
        (FORM.format(2, "x", 100), "expected paragraph 1, found paragraph 2"),
        (f"{BOTH}\n{FORM.format(2, 'x', 100)}", "expected paragraph 3, found paragraph 2"),
        (f"{BOTH}\n{FORM.format(4, 'x', 100)}", "expected paragraph 3, found paragraph 4"),
        ("\n".join(FORM.format(n, "x", 9) for n in range(1, 52)), "51 paragraphs, at most 50"),
        ("\n".join(f"{n}. x (9 words)" for n in range(1, 501)), "500 paragraphs, at most 50"),
        ("Chapter 1 - Main Point: x - Word Count: 100 words", "not a plan"),
    ],
)
def test_a_plan_that_cannot_be_used_says_why(text: str, says: str) -> None:
    with pytest.raises(ReplyError, match=says):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "Chapter 1 - Main Point: The start - Word Count: 300 words\nChapter 2 - Main Point: The end - Word Count: 200 words",
        "# Chapter One: The start (300 words)\n\n# Chapter Two: The end (200 words)",
        "第一章：The start（300字）\n第二章：The end（200字）",
    ],
)
def test_chapters_are_read_in_the_same_way(text: str) -> None:
    assert [(line.point, line.words) for line in parse_plan(text, max_paragraphs=50, noun="chapter")] == TWO


points = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs", "M"))).map(lambda text: tidy(text) or "x")
steps = st.lists(st.builds(Step, point=points, words=st.integers(1, 100_000)), min_size=1, max_size=8)


@given(steps)
@example([Step(point="Paragraph 2 - Main Point: x - Word Count: 5 words, he said", words=3)])
def test_a_rendered_plan_reads_back(plan: list[Step]) -> None:
    assert read(render(plan)) == [(step.point, step.words) for step in plan]


@given(steps, steps)
def test_a_rendered_plan_of_two_levels_reads_back(first: list[Step], chapters: list[Step]) -> None:
    plan = [step.model_copy(update={"chapter": number}) for number in range(1, len(chapters) + 1) for step in first]
    text = render(plan, chapters)
    assert read(text, most=100) == [(step.point, step.words) for step in plan]
    assert [line.point for line in parse_plan(text, max_paragraphs=50, noun="chapter")] == [chapter.point for chapter in chapters]


@given(st.text(max_size=400))
def test_any_text_is_a_plan_or_a_reply_error(text: str) -> None:
    try:
        lines = parse_plan(f"Paragraph 1: {text}", max_paragraphs=50)
    except ReplyError:
        return
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert all(line.point and (line.words is None or 0 < line.words <= 100_000) for line in lines)


HOSTILE = [
    f"{unit * (4000 // len(unit))}\n" * 20
    for unit in (
        " ",
        "-",
        "- ",
        "[",
        "(",
        "1",
        "1.",
        "1 ",
        "一",
        "|",
        "words ",
        "Word Count: ",
        "about ",
        "300 words ",
        "<think>",
        "```\n",
        "\u3000",
    )
]


@pytest.mark.timeout(60)  # what takes the square of the length would be at it for hours
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_what_would_hold_a_careless_pattern_for_ever_is_refused(hostile: str) -> None:
    with pytest.raises(ReplyError):
        read(f"Paragraph 2: {hostile}")
