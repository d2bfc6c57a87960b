"""A trace gives back its text, byte for byte, for the one reader of thoughts; where it would not, it is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.thoughts import split_thoughts
from tasks.text.traces import OURS, SPARE, Tags, TraceBlock, interleave, passages, pieces, retagged, strips_to, trace_problem

LINES = st.text(st.sampled_from("ab 1.:：`#-\n\té。<>/"), min_size=1, max_size=20)
WORDS = st.sampled_from(
    ["Bread is old.", "As follows:", "```\ncode", "```", "  indented", "因此：", "# Heading", "The end.", "<b>", "a\n\nb"]
)
PARAGRAPHS = st.lists(st.one_of(WORDS, LINES), min_size=1, max_size=8)
OTHERS = (*SPARE, Tags("[THINK]", "[/THINK]"), Tags("◁think▷", "◁/think▷"), Tags("<seed:think>", "</seed:think>"))


def blocks_of(paragraphs: list[str], *, times: int = 1) -> list[TraceBlock]:
    said = "\n".join(["I have a plan."] * times)
    return [*(TraceBlock(said, "\n\n".join(paragraphs[n] for n in group)) for group in passages(paragraphs)), TraceBlock(said)]


@given(PARAGRAPHS, st.sampled_from(OTHERS))
def test_a_trace_gives_back_its_text_or_is_refused(paragraphs: list[str], tags: Tags) -> None:
    text, blocks = "\n\n".join(paragraphs), blocks_of(paragraphs)
    if (problem := trace_problem(blocks, text)) is not None:
        assert "\n" not in problem
        return
    trace = retagged(interleave(blocks), tags)
    assert strips_to(trace, text)
    assert strips_to(trace.removeprefix(f"{tags.open}\n"), text), "the chat template opened the thoughts already"
    assert split_thoughts(retagged(interleave(blocks_of(paragraphs, times=2)), tags)).text == text, "more thoughts change nothing"
    assert "".join(piece for _, piece in pieces(trace, tags)) == trace
    assert [piece for is_tag, piece in pieces(trace, tags) if is_tag] == [*tags] * len(blocks)


PLAIN = st.lists(
    st.text(st.sampled_from("abc é。,1"), min_size=1, max_size=30).map(lambda text: text.strip() or "d"), min_size=1, max_size=6
)


@given(PLAIN)
def test_a_text_of_plain_paragraphs_is_never_refused(paragraphs: list[str]) -> None:
    assert trace_problem(blocks_of(paragraphs), "\n\n".join(paragraphs)) is None


def test_no_thoughts_stand_in_code_after_a_colon_or_before_an_indented_line() -> None:
    paragraphs = ["One.", "As follows:", "- a list", "Two.", "```\ncode", "more\n```", "  indented", "Three."]
    assert passages(paragraphs) == [[0], [1, 2], [3], [4, 5, 6], [7]]
    assert trace_problem(blocks_of(paragraphs), "\n\n".join(paragraphs)) is None


def test_short_paragraphs_share_a_passage_and_a_short_end_belongs_to_the_one_before() -> None:
    paragraphs = ["One two three.", "Four.", "Five six seven.", "Eight."]
    assert passages(paragraphs, least=4) == [[0, 1], [2, 3]]
    assert passages(["One.", "Two."], least=9) == [[0, 1]]
    assert passages([], least=9) == []


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        ([TraceBlock("Plan.", "The tag <think> is old.")], "a tag of thoughts is in passage 1: <think>"),
        ([TraceBlock("Plan </think> on.", "Bread.")], "a tag of thoughts is in the thoughts before passage 1: </think>"),
        ([TraceBlock("Plan.", "As follows:"), TraceBlock("Next.", "Bread.")], "from character 13, before 'Bread.'"),
        ([TraceBlock("Plan.", " Bread.")], "from character 0, before ' Bread.'"),
        ([TraceBlock("Plan.", "```\ncode"), TraceBlock("Done.")], "without its thoughts the trace is not the text"),
    ],
)
def test_a_trace_that_would_not_give_back_its_text_says_where(blocks: list[TraceBlock], says: str) -> None:
    text = "\n\n".join(block.passage for block in blocks if block.passage)
    assert re.search(re.escape(says), trace_problem(blocks, text) or "")


def test_ours_are_the_tags_of_most_models() -> None:
    assert OURS == ("<think>", "</think>")
