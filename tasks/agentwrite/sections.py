"""Divide a text that was written in one call into the paragraphs of its plan, and find how far it follows the plan.

The text does not mark which of its passages belongs to which step. Headings decide if there are as many as steps. Otherwise the steps'
word counts decide: a border between two steps is the end of the passage that is nearest to it. Everything is linear in the text's length.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from tasks.schema.records import Step
from tasks.text.adherence import matched
from tasks.text.counts import count_words
from tasks.text.degeneration import repeated_spans

LOOP = 300  # characters of a loop from which a text is cut before it; shorter ones are refrains
UNEVEN = 3  # times its planned share of the words, or one third, that a part under a heading may have
OVER = 1.1  # a step counts as written from words / OVER on
_BORDERS = tuple(map(re.compile, (r"\n[^\S\n]*\n\s*", r"\n\s*", r"(?<=[.!?])\s+|(?<=[。！？])\s*")))  # blank lines, lines, sentences
_HEADING = re.compile(r"#{1,6}\s.*|\*\*[^\n]{1,120}\*\*:?|[^\n]{1,80}[^.!?。！？…,，;；:：\"”’』」)）\n]")
_ENDS = re.compile(r"[.!?…][\"'”’)*_\]]{0,3}(?=\s|\Z)|[。！？…][”’」』）]{0,2}")


class Passage(NamedTuple):
    """A passage of a text: a paragraph with its heading."""

    start: int  # character
    end: int
    words: int
    headed: bool


def passages(text: str, *, at_least: int) -> list[Passage]:
    """The paragraphs of a text, each with the headings above it; its lines or sentences if there are fewer paragraphs than `at_least`."""
    found: list[Passage] = []
    for border in _BORDERS:
        found = list(_joined(text, border))
        if len(found) >= at_least:
            break
    return found


def _joined(text: str, border: re.Pattern[str]) -> list[Passage]:
    """The parts between borders; a heading belongs to the part below it."""
    starts = [0, *(match.end() for match in border.finditer(text) if match.end() < len(text)), len(text)]
    found, begin, headed = list[Passage](), 0, False
    for start, end in pairwise(starts):
        part = text[start:end].strip()
        if not part:
            continue
        if _HEADING.fullmatch(part) and end < len(text):
            headed = True
            continue
        first, line, _ = part.partition("\n")
        found.append(Passage(begin, end, count_words(text[begin:end]), headed or bool(line and _HEADING.fullmatch(first.strip()))))
        begin, headed = end, False
    if text[begin:].strip():
        found.append(Passage(begin, len(text), count_words(text[begin:]), headed))
    return found


def divided(text: str, found: Sequence[Passage], budgets: Sequence[int]) -> list[str] | None:
    """The passages of a text as one part per budget (words), in order; None if there are fewer passages than budgets."""
    count = len(budgets)
    if len(found) < count or not count:
        return None
    heads = [place for place, passage in enumerate(found) if passage.headed]
    borders = (
        heads[1:]
        if len(heads) == count and heads[0] == 0 and _even(found, heads, budgets)
        else _nearest([passage.words for passage in found], budgets)
    )
    edges = [0, *borders, len(found)]
    return [text[found[first].start : found[end - 1].end].strip() for first, end in pairwise(edges)]


def _even(found: Sequence[Passage], heads: Sequence[int], budgets: Sequence[int]) -> bool:
    """Whether the passages between headings have about the budgets' shares of the words: a list of short headings may be within a step."""
    total, planned = sum(passage.words for passage in found), sum(budgets)
    for (first, end), budget in zip(pairwise([*heads, len(found)]), budgets, strict=True):
        share = sum(passage.words for passage in found[first:end]) / max(1, total)
        if not budget / planned / UNEVEN <= share <= UNEVEN * budget / planned:
            return False
    return True


def _nearest(words: Sequence[int], budgets: Sequence[int]) -> list[int]:
    """For each border between two budgets the passage that begins nearest to it; every budget gets at least one passage."""
    ends, wanted = list(accumulate(words)), list(accumulate(budgets))
    scale, borders, before = ends[-1] / wanted[-1], list[int](), 0
    for number, want in enumerate(wanted[:-1], 1):
        goal = want * scale
        place = bisect_left(ends, goal)
        place += place < len(ends) and abs(ends[place] - goal) <= abs((ends[place - 1] if place else 0) - goal)
        before = min(max(place, before + 1), len(words) - (len(budgets) - number))
        borders.append(before)
    return borders


def steps_reached(text: str, found: Sequence[Passage], steps: Sequence[Step], *, ended: bool) -> int:
    """How many of the steps a text has that is shorter than they are together.

    `ended`: the model ended the text itself. Then it may have all steps, each shorter than planned: it has if the last ones are found
    (text/adherence.py) at its end. Otherwise the steps' word counts say how far it came.
    """
    written = sum(passage.words for passage in found)
    whole = list(accumulate(step.words for step in steps))
    by_words = sum(total <= written * (OVER if ended else 1.0) for total in whole)
    if not ended or by_words == len(steps):
        return by_words
    heads = sum(passage.headed for passage in found)
    if found and found[0].headed and 1 < heads <= len(steps):
        return heads
    places = matched([step.point for step in steps], [text[passage.start : passage.end] for passage in found])
    known = sum(place is not None for place in places[:by_words])
    if 2 * known < by_words and 2 * written >= whole[-1]:  # the points say nothing; teachers with a plan rather shorten than stop
        return len(steps)
    late = [place is not None and place >= by_words and 2 * place >= len(found) - 1 for place in places[by_words:]]
    if late[-1] and 2 * sum(late) >= len(late):
        return len(steps)
    return max(1, by_words)


def before_loop(text: str) -> str:
    """The text up to its first loop of LOOP characters and more; the whole text without one. The first copy remains."""
    loop = next((span for span in repeated_spans(text) if span.loop and span.end - span.start >= LOOP), None)
    return text[: loop.start] if loop else text


def whole_sentences(text: str) -> str:
    """The text up to its last complete sentence; empty if there is none."""
    end = 0
    for match in _ENDS.finditer(text):
        end = match.end()
    return text[:end].rstrip()
