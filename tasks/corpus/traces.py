"""Make the trace of a draft: what a writer that plans and reflects while it writes is trained on (IS-CoT, arXiv 2606.09709).

A trace is a global plan, then for each part its step of the plan, the text of the part, and a reflection: what is done, what changes in
the plan, and how many words are left. The plan is the draft's own; for recorded answers, which have none, it is made of the parts' opening
words. The numbers are counted in the finished text, so they are always true: if a part missed its planned words by more than a tenth, the
reflection before it announces the words that it has. Each reflection names its part, the number of parts and the parts that are left: a
small model that had to look up their number in the plan ended too early (docs/results.md). The teacher's reflections (write.reflect) are
added where a draft has them.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from tasks.schema.records import Draft, Language, Step
from tasks.text.counts import count_words
from tasks.text.traces import JOINT, TraceBlock, interleave, passages, trace_problem

PART_WORDS = 60  # words, or characters, of a part of a recorded answer at least: its paragraphs can be single lines
TOLERANCE = 0.1  # share of a part's planned words by which it may miss them before the plan changes
ROUNDED = 10  # words: numbers that were counted, not planned, are multiples of it
POINT = {"en": 80, "zh": 40}  # characters of a point that is made of a part's opening words

WORDINGS: dict[Language, dict[str, str]] = {
    "en": {
        "plan": "Plan: {words} words; parts: {parts}.",
        "line": "{number}. {point} ({words} words)",
        "step": "Part {number} of {parts}, about {words} words: {point}",
        "done": "Part {number} of {parts} is written: {words} words. In all {total} of {target}. Parts left: {rest}; words left: {left}.",
        "end": "Part {number} of {parts} is written: {words} words. In all {total} of {target}. Parts left: 0. The text is complete.",
        "change": "The plan changes: part {number} gets {words} words instead of {planned}.",
        "same": "The plan stays as it is.",
    },
    "zh": {
        "plan": "计划：共{words}字，共{parts}部分。",
        "line": "{number}. {point}（{words}字）",
        "step": "第{number}部分（共{parts}部分），约{words}字：{point}",
        "done": "第{number}部分（共{parts}部分）已写完：{words}字。目前共{total}字，目标{target}字；还剩{rest}部分，{left}字。",
        "end": "第{number}部分（共{parts}部分）已写完：{words}字。目前共{total}字，目标{target}字；还剩0部分。全文完成。",
        "change": "计划调整：第{number}部分由{planned}字改为{words}字。",
        "same": "计划不变。",
    },
}


class TracedPart(NamedTuple):
    """A part of the text. Lengths are in words (Chinese: characters)."""

    point: str
    planned: int
    written: int
    passage: str
    reflection: str  # the teacher's; empty: none

    @property
    def words(self) -> int:
        """The words that its step announces: the planned ones, or about the written ones if it missed those."""
        return self.planned if abs(self.written - self.planned) <= TOLERANCE * self.planned else rounded(self.written)


class DraftTrace(NamedTuple):
    """A trace, or why there is none."""

    trace: str
    problem: str | None


def trace_of(draft: Draft, paragraphs: Sequence[str], places: Sequence[int]) -> DraftTrace:
    """The trace of a draft's cleaned paragraphs; `places` are their indices in the draft.

    A trace that would not give back the text without its thoughts is a problem.
    """
    parts = _parts(draft, paragraphs, places)
    blocks = _blocks(parts, draft.instruction.language, target=draft.instruction.words)
    problem = trace_problem(blocks, JOINT.join(paragraphs))
    return DraftTrace("" if problem else interleave(blocks), problem)


def _parts(draft: Draft, paragraphs: Sequence[str], places: Sequence[int]) -> list[TracedPart]:
    recorded, language = draft.provenance is not None, draft.instruction.language
    found = list[TracedPart]()
    for group in passages(paragraphs, least=PART_WORDS if recorded else 0):
        text = JOINT.join(paragraphs[number] for number in group)
        written = count_words(text)
        steps = [draft.steps[places[number]] for number in group if places[number] < len(draft.steps)]
        notes = [draft.reflections[places[number]] for number in group if places[number] < len(draft.reflections)]
        reflection = " ".join(" ".join(note.split()) for note in notes if note.strip())
        if recorded or not steps:
            found.append(TracedPart(opening(text, language), rounded(written), written, text, reflection))
        else:
            point = "; ".join(_one_line(step) for step in steps)
            found.append(TracedPart(point, sum(step.words for step in steps), written, text, reflection))
    return found


def _one_line(step: Step) -> str:
    return " ".join(step.point.split())


def _blocks(parts: Sequence[TracedPart], language: Language, *, target: int) -> list[TraceBlock]:
    """A block for each part, with its thoughts before it, and one after the last part."""
    say, totals = WORDINGS[language], list(accumulate(part.written for part in parts))
    lines = [
        say["line"].format(number=number, point=part.point, words=part.words if number == 1 else part.planned)
        for number, part in enumerate(parts, 1)
    ]
    thoughts = JOINT.join(["\n".join([say["plan"].format(words=target, parts=len(parts)), *lines]), _step(parts, 1, say)])
    blocks = list[TraceBlock]()
    for number, (part, total) in enumerate(zip(parts, totals, strict=True), 1):
        blocks.append(TraceBlock(thoughts, part.passage))
        counted = {"number": number, "parts": len(parts), "words": part.written, "total": total, "target": target}
        if number == len(parts):
            thoughts = "\n".join(filter(None, [say["end"].format(**counted), part.reflection]))
        else:
            done = say["done"].format(**counted, left=max(0, target - total), rest=len(parts) - number)
            thoughts = JOINT.join(
                ["\n".join(filter(None, [done, part.reflection, _change(parts, number + 1, say)])), _step(parts, number + 1, say)]
            )
    return [*blocks, TraceBlock(thoughts)] if parts else []


def _step(parts: Sequence[TracedPart], number: int, say: dict[str, str]) -> str:
    part = parts[number - 1]
    return say["step"].format(number=number, parts=len(parts), words=part.words, point=part.point)


def _change(parts: Sequence[TracedPart], number: int, say: dict[str, str]) -> str:
    part = parts[number - 1]
    changes = part.words != part.planned
    return say["change"].format(number=number, words=part.words, planned=part.planned) if changes else say["same"]


def rounded(words: int) -> int:
    """A number of words as a plan names it."""
    return max(ROUNDED, round(words / ROUNDED) * ROUNDED)


def opening(text: str, language: Language) -> str:
    """The opening words of a part, as its point: its heading, or the beginning of its first sentence, on one line without marks."""
    line = next((line for line in text.splitlines() if any(sign.isalnum() for sign in line)), text)
    line = " ".join(line.strip(" \t#*_>-–—•").split())
    most = POINT[language]
    if len(line) <= most:
        return line.rstrip(" .:。：,，;；")
    cut = line[:most]
    words, space, _ = cut.rpartition(" ")
    return f"{(words if space else cut).rstrip(' .:。：,，;；')} …"
