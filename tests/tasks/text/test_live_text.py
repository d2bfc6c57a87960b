"""While a reply is streamed: its thoughts are separated as in the whole reply, and a loop is noticed soon."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.live_loops import ends_in_loop
from tasks.text.live_thoughts import LivePart, LiveThoughts
from tasks.text.thoughts import split_thoughts

REPLIES = [
    "A plain answer.",
    "<think>\nFirst a plan.\n</think>\n\nThe answer, with a > b and [1].",
    "<think></think>The answer.",
    "  <thinking>one</thinking>\n<thinking>two</thinking> The answer.",
    "I should be short.\n</think>\n\nThe answer behind it.",
    "[THINK]a plan[/THINK]The answer.",
    "◁think▷a plan◁/think▷The answer.",
    "<|channel|>analysis<|message|>a plan<|end|><|start|>assistant<|channel|>final<|message|>The answer.",
    "Use the tag <think> in your prompt, and close it with </think> as usual.",
    "<b>bold</b> words and more of them, so that nobody holds them back for long.",
    "analysis of the matter: it is a text.",
    "<think>" + "a long plan of the mill. " * 40 + "</think>" + "The answer. " * 20,
    "<think>\nFirst a plan.\n</think>\n\nOne.\n\n<think>\nNow two.\n</think>\n\nTwo, with ``` and [1].\n\n<think>\nDone.\n</think>",
    "A plan.\n</think>\n\nOne.\n\n<think>\nNow two.\n</think>\n\n<think>\nYes.\n</think>\n\nTwo.\n\n<think>\ncut",
    "<think>a</think>\nOne.\n\n<think>\nb\n</think>\nTwo.\n\n<think>\nc </think> d\n</think> \n Three.\n\n<think>\ne\n</think>\n",
    "<think>a</think>\nAn example:\n\n<think>\nb\n</think>\n\nOr `<think>`.\n\n```\n\n<think>\nc\n</think>\n\n```\n",
    "",
]


def shown(parts: list[LivePart]) -> tuple[str, str]:
    """(thoughts, answer) as a screen has them at the end."""
    thoughts, answer = "", ""
    for part in parts:
        if part.answers_were_thoughts:
            thoughts, answer = thoughts + answer, ""
        if part.thought:
            thoughts += part.text
        else:
            answer += part.text
    return thoughts, answer


@pytest.mark.parametrize("reply", REPLIES)
@given(cuts=st.lists(st.integers(0, 1_500), max_size=40))
def test_the_pieces_make_what_the_whole_reply_is(reply: str, cuts: list[int]) -> None:
    live, places = LiveThoughts(), [0, *sorted(cut for cut in cuts if cut <= len(reply)), len(reply)]
    parts = [part for start, end in pairwise(places) for part in live.add(reply[start:end])]
    thoughts, answer = shown([*parts, *live.end()])
    whole = split_thoughts(reply)
    assert answer.split() == whole.text.split()
    if "channel" not in reply and reply.count("<thinking>") < 2:
        assert "".join(thoughts.split()) == "".join(whole.reasoning.split())


@pytest.mark.parametrize(
    "block", ["no, never, ", "He knew that it was the only thing. ", " ".join(f"word{number}" for number in range(120)) + ". "]
)
def test_an_end_that_repeats_a_block_is_a_loop(block: str) -> None:
    start = "The village lay by the river, and nobody there had seen the mill for years. "
    assert not ends_in_loop(start + block)
    assert ends_in_loop(start + block * (3 + 1_600 // len(block)))


def test_prose_and_lists_are_no_loops() -> None:
    assert not ends_in_loop(" ".join(f"word{number}" for number in range(3_000)))
    assert not ends_in_loop("")
