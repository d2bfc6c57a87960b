"""The trace of a draft: plan, steps and reflections with true numbers, and the draft's text without them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.corpus.samples import DraftFault, sample_of
from tasks.corpus.traces import opening, trace_of
from tasks.schema.params import Bounds, Recipe
from tasks.schema.records import Draft, Instruction, Language, Provenance, Reason, Sample, Step
from tasks.text.counts import count_words
from tasks.text.thoughts import split_thoughts

PLAIN = Recipe(words=Bounds(min=1, max=5000), explicit_only=False, min_s_l=0)
INTERLEAVED = PLAIN.model_copy(update={"form": "interleaved"})
BREAD = "Bread was baked in clay ovens long before anybody wrote down how, and people ground grain between two stones."
OVENS = "Later every village had one oven for all, and the day of baking was a day of talk for everybody who lived there."
MARKS = "The loaves were marked with the sign of each house, so that each of them found its way home in the evening."
CHINESE = ("很久以前人们就在土窑里烤面包，没有人写下做法。", "后来每个村子都有一座公共的烤炉，烤面包的日子也是聊天的日子。")
RECORDED = Provenance(kind="recorded", licence="CC0-1.0", source="a.jsonl:1")


def draft(*paragraphs: str, words: tuple[int, ...] = (), language: Language = "en", asked: int = 60, **given: object) -> Draft:
    planned = words or tuple(max(1, count_words(one)) for one in paragraphs)
    steps = tuple(Step(point=f"point {number}", words=count) for number, count in enumerate(planned, 1))
    text = "Write about bread." if language == "en" else "写一篇关于面包的文章。"
    instruction = Instruction(id="a", text=text, language=language, words=asked, length_kind="exact", source="pool.jsonl:1")
    return Draft(instruction=instruction, steps=steps, paragraphs=paragraphs, **given)  # type: ignore[arg-type]


def made(one: Draft, recipe: Recipe = INTERLEAVED) -> Sample:
    sample = sample_of(one, recipe, Counter())
    assert isinstance(sample, Sample), sample
    return sample


def thoughts_of(one: Draft) -> str:
    return split_thoughts(made(one).trace or "").reasoning


def test_a_trace_has_a_plan_then_a_step_a_part_and_a_reflection_for_each() -> None:
    assert made(draft(BREAD, OVENS, MARKS, words=(20, 22, 40))).trace == (
        "<think>\nPlan: 60 words; parts: 3.\n1. point 1 (20 words)\n2. point 2 (22 words)\n3. point 3 (40 words)\n\n"
        f"Part 1 of 3, about 20 words: point 1\n</think>\n\n{BREAD}\n\n"
        "<think>\nPart 1 of 3 is written: 19 words. In all 19 of 60. Parts left: 2; words left: 41.\nThe plan stays as it is.\n\n"
        f"Part 2 of 3, about 22 words: point 2\n</think>\n\n{OVENS}\n\n"
        "<think>\nPart 2 of 3 is written: 23 words. In all 42 of 60. Parts left: 1; words left: 18.\n"
        f"The plan changes: part 3 gets 20 words instead of 40.\n\nPart 3 of 3, about 20 words: point 3\n</think>\n\n{MARKS}\n\n"
        "<think>\nPart 3 of 3 is written: 22 words. In all 64 of 60. Parts left: 0. The text is complete.\n</think>"
    )


def test_a_plain_recipe_makes_the_same_sample_without_a_trace() -> None:
    one = draft(BREAD, OVENS)
    plain, traced = made(one, PLAIN), made(one)
    assert "trace" not in plain.model_dump()
    assert plain == traced.model_copy(update={"trace": None})
    assert split_thoughts(traced.trace or "").text == plain.messages[-1].content == f"{BREAD}\n\n{OVENS}"


def test_a_paragraph_that_is_left_out_is_in_no_plan_and_the_numbers_are_those_of_the_cleaned_text() -> None:
    thoughts = thoughts_of(draft(BREAD, "\u200b", f"Paragraph 3 – {OVENS}"))
    assert "parts: 2." in thoughts
    assert "point 2" not in thoughts
    assert "Part 2 of 2, about 24 words: point 3" in thoughts, "the planned words; what cleaning took is within the tolerance"
    assert "Part 2 of 2 is written: 23 words. In all 42 of 60. Parts left: 0." in thoughts


def test_a_recorded_answer_gets_its_plan_from_the_openings_of_its_parts() -> None:
    short = [f"# Ovens\n\n{BREAD}", "- clay", f"- stone, and {OVENS}", MARKS, "The end came late."]
    thoughts = thoughts_of(draft(*short, provenance=RECORDED))
    assert thoughts.startswith("Plan: 60 words; parts: 1.\n1. Ovens (")
    assert "point" not in thoughts


def test_the_teacher_s_reflections_stand_beside_the_counted_words() -> None:
    notes = ("The ovens are there.\nThe village must follow.", "")
    thoughts = thoughts_of(draft(BREAD, OVENS, reflections=notes))
    assert "Parts left: 1; words left: 41.\nThe ovens are there. The village must follow.\nThe plan stays as it is." in thoughts


def test_chinese_traces_think_in_chinese() -> None:
    thoughts = thoughts_of(draft(*CHINESE, language="zh"))
    assert thoughts.startswith("计划：共60字，共2部分。\n1. point 1（21字）")
    assert "第2部分（共2部分）已写完：28字。目前共49字，目标60字；还剩0部分。全文完成。" in thoughts


def test_a_draft_whose_trace_would_not_give_back_its_text_is_a_reject_with_one_line() -> None:
    fault = sample_of(draft(BREAD, f"The tag <think> begins thoughts. {OVENS}"), INTERLEAVED, Counter())
    assert isinstance(fault, DraftFault)
    assert fault == (Reason.UNREADABLE_TRACE, "a tag of thoughts is in passage 2: <think>")
    assert isinstance(sample_of(draft(BREAD, f"The tag <think> begins thoughts. {OVENS}"), PLAIN, Counter()), Sample)


ODD = ["As follows:", "```python\nprint()", "```", "# Heading", "  indented", "See <b>this</b>.", "因此：", "1. One\n2. Two", BREAD, OVENS]


@given(st.lists(st.sampled_from([*ODD, *CHINESE]), min_size=1, max_size=9), st.booleans(), st.sampled_from(["en", "zh"]))
def test_every_trace_gives_back_its_draft_byte_for_byte(paragraphs: list[str], recorded: bool, language: Language) -> None:
    one = draft(*paragraphs, language=language, provenance=RECORDED if recorded else None)
    found = trace_of(one, paragraphs, range(len(paragraphs)))
    if found.problem is None:
        assert split_thoughts(found.trace).text == "\n\n".join(paragraphs)
    else:
        text = "\n\n".join(paragraphs)
        left_open, example = text.count("```") % 2 == 1, text.endswith((":", "："))
        assert left_open or example or paragraphs[0][:1].isspace(), found.problem


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("## The ovens of Ghent\n\nThey were old.", "The ovens of Ghent"),
        ("Bread is old.", "Bread is old"),
        (f"{BREAD} {OVENS}", "Bread was baked in clay ovens long before anybody wrote down how, and people …"),
        ("***\n\n**Bold** words", "Bold** words"),
    ],
)
def test_the_point_of_a_part_is_its_heading_or_its_opening_words(text: str, point: str) -> None:
    assert opening(text, "en") == point
