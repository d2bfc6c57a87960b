"""Build the context of a write request: the whole text so far if it fits, otherwise the newest paragraphs and what replaces the others.

That is a running summary, or with write.memory state a typed record and quotes (memory.py).

The prompt contains the instruction, the plan, the text and the step, in this order. Everything before the newest paragraph is the
exact beginning of the next request, so prompt caches of providers and vLLM's prefix cache can reuse it. When the text does not fit,
it is shortened to half of the room, so that the beginning remains equal for many further requests.

With write.layout turns, the request is a conversation instead: the prompt with the first step, then each paragraph as the reply to its
request. The whole request with its reply is then the beginning of the next one, and a server's prefix cache has computed both.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.agentwrite.planner import render, render_step
from tasks.prompts import frame, located, placeholders
from tasks.schema.records import Message, Plan, Step

BYTES_PER_TOKEN = 3.0  # a low estimate, because the teacher's tokenizer is unknown: English has 4 to 5, Chinese about 3
PLAN_SHARE = 1 / 3  # of the context; of a longer plan, only the chapters and the paragraphs of the current chapter are shown
SUMMARY_SHARE = 1 / 8  # of the context, for the summary
TURN = 16  # tokens that a chat template adds around two messages, at most


class Window(NamedTuple):
    """The part of the text so far that a request shows."""

    first: int = 0  # index of the first paragraph that is shown in full
    summary: str = ""  # of the paragraphs before it
    record: str = ""  # in place of a summary: the record of what they established, as prompts show it

    @property
    def head(self) -> str:
        """What replaces the paragraphs before `first`."""
        return self.record or (f"<summary>\n{self.summary}\n</summary>" if self.summary else "")

    def text(self, paragraphs: list[str]) -> str:
        """The summary in tags or the record, then the paragraphs from `first` on."""
        return "\n\n".join([self.head, *paragraphs[self.first :]] if self.head else paragraphs[self.first :])


def pieces_of(template: Path, *, instruction: str, plan: str) -> list[str]:
    """The parts of a paragraph's request before the text, between text and step, and after the step. Raises BadPrompt."""
    where = template.stem, ("text", "step"), template.parent
    if "plan" not in placeholders(template):  # a prompt for a model that a plan would confuse
        return frame(*where, instruction=instruction)
    return frame(*where, instruction=instruction, plan=plan)


def turn_of(template: Path) -> list[str]:
    """The parts of a later paragraph's request (write.next_prompt) before and after the step. Raises BadPrompt."""
    return frame(template.stem, ("step",), template.parent)


class Frame:
    """The constant parts of a draft's prompts. Built once per plan, or once per chapter if the plan is too long.

    `context`: size of the teacher's context in tokens. `template`: the prompt file; it may leave the plan out. `following`: the file of
    write.next_prompt, for `conversation`. Raises BadPrompt.
    """

    def __init__(self, plan: Plan, *, context: int, template: str, following: str | None = None):
        self._plan, self._context, self._template = plan, context, located(Path(template))
        self._turn = turn_of(located(Path(following))) if following else []
        whole = render(plan.steps, plan.chapters)
        self.short = bool(plan.chapters) and tokens(whole) > PLAN_SHARE * context
        self.outline = whole
        self._chapter = plan.steps[0].chapter if self.short else 0
        self._pieces = self._frame(self.outline_for(plan.steps[0]) if self.short else whole)

    def prompt(self, number: int, step: Step, text: str) -> str:
        """The prompt for paragraph `number` (from 1). `text`: the text so far."""
        if self.short and step.chapter != self._chapter:
            self._chapter = step.chapter
            self._pieces = self._frame(self._chapter_outline(step.chapter))
        head, middle, tail = self._pieces
        return f"{head}{text}{middle}{render_step(number, step)}{tail}"

    def conversation(self, number: int, steps: Sequence[Step], paragraphs: Sequence[str], head: str) -> tuple[Message, ...]:
        """The request for the last of `steps` as a conversation, in which each paragraph is the reply to the request for its step.

        `number`: of the first of `steps`, from 1; `paragraphs`: of all steps but the last; `head`: what replaces the text before them.
        """
        messages = [Message(role="user", content=self.prompt(number, steps[0], head))]
        for place, paragraph in enumerate(paragraphs, 1):
            asked = self._asked(number + place, steps[place], new_chapter=steps[place].chapter != steps[place - 1].chapter)
            messages += [Message(role="assistant", content=paragraph), Message(role="user", content=asked)]
        return tuple(messages)

    def turn_bytes(self, number: int, steps: Sequence[Step]) -> int:
        """Bytes of the requests for these steps in a conversation, and of what a chat template adds. `number`: of the first, from 1."""
        asked = (self._asked(place, step, new_chapter=self.short) for place, step in enumerate(steps, number))
        return sum(len(text.encode()) + round(TURN * BYTES_PER_TOKEN) for text in asked)

    def _asked(self, number: int, step: Step, *, new_chapter: bool) -> str:
        """The request for a later paragraph of a conversation. If a prompt has one chapter's plan only, a new chapter's comes first."""
        before, after = self._turn
        outline = f"{self._chapter_outline(step.chapter)}\n\n" if self.short and new_chapter else ""
        return f"{outline}{before}{render_step(number, step)}{after}"

    def outline_for(self, step: Step) -> str:
        """The plan in a prompt for `step`: all of it; if it is too long, the chapters with the paragraphs of its chapter."""
        return self._chapter_outline(step.chapter) if self.short else self.outline

    def room(self) -> int:
        """Bytes that remain for the text so far; 0 or negative if instruction and plan alone are too long."""
        return round(self._context * BYTES_PER_TOKEN) - sum(len(piece.encode()) for piece in self._pieces) - 1024

    def summary_words(self) -> int:
        """The requested length of a summary in words."""
        return round(self._context * SUMMARY_SHARE / 2)

    def _frame(self, outline: str) -> list[str]:
        return pieces_of(self._template, instruction=self._plan.instruction.text, plan=outline)

    def _chapter_outline(self, chapter: int) -> str:
        """All chapters, with the paragraphs of the current chapter."""
        lines: list[str] = []
        for number, part in enumerate(self._plan.chapters, 1):
            lines.append(f"Chapter {number} - Main Point: {part.point} - Word Count: {part.words} words")
            if number == chapter:
                steps = enumerate(self._plan.steps, 1)
                lines += [render_step(place, step) for place, step in steps if step.chapter == chapter]
        return "\n".join(lines)


def overflow(window: Window, paragraphs: list[str], *, room: int) -> int | None:
    """None if the text fits into `room` bytes. Otherwise the index of the first paragraph to keep; the kept ones take at most half."""
    lengths = [len(paragraph.encode()) + 2 for paragraph in paragraphs]
    if len((window.record or window.summary).encode()) + sum(lengths[window.first :]) <= room:
        return None
    first, kept = len(paragraphs), 0
    while first > window.first and kept + lengths[first - 1] <= room / 2:
        first -= 1
        kept += lengths[first]
    return max(first, window.first + 1)


def tokens(text: str) -> float:
    """An estimate of the tokens of a text that is rather too high."""
    return len(text.encode()) / BYTES_PER_TOKEN


def common_prefix(one: str, other: str) -> int:
    """The length of the longest common prefix of two texts, in characters."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if other.startswith(one[low:middle], low) else (low, middle - 1)
    return low
