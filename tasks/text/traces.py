"""Traces: a text with thoughts before, between and after its passages, as a thinking writer writes it (IS-CoT, arXiv 2606.09709).

A trace is stored with the tags <think> and </think>; a base model with tags of its own is trained with those. The reader of thoughts
(thoughts.py) removes the thoughts of a trace. The text that is left must be the text that the trace was made from, byte for byte.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.text.counts import count_words
from tasks.text.thoughts import FENCE, TAG, split_thoughts

JOINT = "\n\n"  # between paragraphs, and around thoughts
_EXAMPLE = (":", "：")  # after a line that ends so, the reader takes tags for an example
_SHOWN = 60  # characters of a text in a message


class Tags(NamedTuple):
    """The tags around thoughts."""

    open: str
    close: str


OURS = Tags("<think>", "</think>")
SPARE = (OURS, Tags("<thinking>", "</thinking>"), Tags("<thought>", "</thought>"))  # for bases that cannot write the first ones


class TraceBlock(NamedTuple):
    """Thoughts, and the passage that follows them; the last block of a trace has no passage."""

    thoughts: str
    passage: str = ""


def interleave(blocks: Sequence[TraceBlock]) -> str:
    """The trace of these blocks."""
    parts = ((f"{OURS.open}\n{block.thoughts}\n{OURS.close}", block.passage) for block in blocks)
    return JOINT.join(part for pair in parts for part in pair if part)


def trace_problem(blocks: Sequence[TraceBlock], text: str) -> str | None:
    """Why the blocks are no trace of the text; None: removing the thoughts gives the text, byte for byte.

    Tags inside thoughts or passages are refused, so that the trace has no tags but its own.
    """
    for number, block in enumerate(blocks, 1):
        for part, where in ((block.thoughts, "the thoughts before passage"), (block.passage, "passage")):
            if tag := TAG.search(part):
                return f"a tag of thoughts is in {where} {number}: {tag[0]}"
    stripped = split_thoughts(interleave(blocks)).text
    if stripped == text:
        return None
    place = next(
        (place for place, (one, other) in enumerate(zip(stripped, text, strict=False)) if one != other), min(len(stripped), len(text))
    )
    shown = repr(text[place : place + _SHOWN])
    return f"without its thoughts the trace is not the text: they differ from character {place}, before {shown}"


def retagged(trace: str, tags: Tags) -> str:
    """A trace with other tags."""
    return trace if tags == OURS else trace.replace(OURS.open, tags.open).replace(OURS.close, tags.close)


def strips_to(trace: str, text: str) -> bool:
    """Whether removing the thoughts of a trace, with any tags, gives the text, byte for byte."""
    return split_thoughts(trace).text == text


def pieces(trace: str, tags: Tags) -> Iterator[tuple[bool, str]]:
    """The pieces of a trace with these tags, each with a flag: is it a tag?"""
    for number, piece in enumerate(re.split(f"({re.escape(tags.open)}|{re.escape(tags.close)})", trace)):
        if piece:
            yield number % 2 == 1, piece


def passages(paragraphs: Sequence[str], *, least: int = 0) -> list[list[int]]:
    """The indices of the paragraphs that share a passage. Thoughts may stand between passages, but not inside them.

    `least`: words of a passage; shorter paragraphs are joined with the next ones, and a short end with the passage before it. The reader
    knows no thoughts within code, after a colon, or before an indented line: such paragraphs share a passage too.
    """
    found, fences, words = list[list[int]](), 0, least
    for place, paragraph in enumerate(paragraphs):
        before = paragraphs[place - 1].rstrip() if place else ""
        joined = fences % 2 == 1 or before.endswith(_EXAMPLE) or paragraph[:1].isspace() or words < least
        if found and joined:
            found[-1].append(place)
        else:
            found.append([place])
            words = 0
        words += count_words(paragraph) if least else 0
        fences += f"\n{paragraph}".count(FENCE)
    if words < least and len(found) > 1:
        last = found.pop()
        found[-1] += last
    return found
