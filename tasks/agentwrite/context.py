"""What a write request shows of the text so far: all of it while it fits, later a running summary and the newest paragraphs.

The prompt has the instruction and the plan first, then the text, then the step, so that everything before the newest paragraph is, byte for
byte, the beginning of the next request: providers' prompt caches and vLLM's prefix cache serve it again. When the text has to
give way, it gives way by half, so that the beginning then stays the same for many requests.
"""

from typing import NamedTuple

from tasks.agentwrite.planner import render, render_step
from tasks.prompts import frame
from tasks.schema.records import Plan, Step

BYTES_PER_TOKEN = 3.0  # on the safe side without the teacher's tokenizer: English has 4 to 5, Chinese about 3
PLAN_SHARE = 1 / 3  # of the context, for the plan; a longer one shows its chapters and the paragraphs of the current one
SUMMARY_SHARE = 1 / 8  # of the context, for the summary


class Window(NamedTuple):
    """What is shown of the text so far."""

    first: int = 0  # of the paragraphs that stand there whole
    summary: str = ""  # of those before

    def text(self, paragraphs: list[str]) -> str:
        shown = paragraphs[self.first :]
        return "\n\n".join([f"<summary>\n{self.summary}\n</summary>", *shown] if self.summary else shown)


class Frame:
    """The parts of a draft's prompts that stay: made once for a whole plan, or once a chapter where the plan is too long to show."""

    def __init__(self, plan: Plan, *, context: int):
        self._plan, self._context = plan, context
        whole = render(plan.steps, plan.chapters)
        self.short = bool(plan.chapters) and tokens(whole) > PLAN_SHARE * context
        self.outline = whole
        self._pieces = self._frame(whole)
        self._chapter = 0

    def prompt(self, number: int, step: Step, text: str) -> str:
        """The request for paragraph `number`, from 1, after `text`."""
        if self.short and step.chapter != self._chapter:
            self._chapter = step.chapter
            self._pieces = self._frame(self._chapter_outline(step.chapter))
        head, middle, tail = self._pieces
        return f"{head}{text}{middle}{render_step(number, step)}{tail}"

    def room(self) -> int:
        """Bytes that the text so far may take."""
        return round(self._context * BYTES_PER_TOKEN) - sum(len(piece.encode()) for piece in self._pieces) - 1024

    def summary_words(self) -> int:
        """Words of a summary."""
        return round(self._context * SUMMARY_SHARE / 2)

    def _frame(self, outline: str) -> list[str]:
        return frame("write", ("text", "step"), instruction=self._plan.instruction.text, plan=outline)

    def _chapter_outline(self, chapter: int) -> str:
        """All chapters, and below the current one its paragraphs."""
        lines: list[str] = []
        for number, part in enumerate(self._plan.chapters, 1):
            lines.append(f"Chapter {number} - Main Point: {part.point} - Word Count: {part.words} words")
            if number == chapter:
                steps = enumerate(self._plan.steps, 1)
                lines += [render_step(place, step) for place, step in steps if step.chapter == chapter]
        return "\n".join(lines)


def overflow(window: Window, paragraphs: list[str], *, room: int) -> int | None:
    """None while the text fits into `room` bytes; else the first of the paragraphs that stay, which take half of the room at the most."""
    lengths = [len(paragraph.encode()) + 2 for paragraph in paragraphs]
    if len(window.summary.encode()) + sum(lengths[window.first :]) <= room:
        return None
    first, kept = len(paragraphs), 0
    while first > window.first and kept + lengths[first - 1] <= room / 2:
        first -= 1
        kept += lengths[first]
    return max(first, window.first + 1)


def tokens(text: str) -> float:
    """About how many tokens a text has, rather too many."""
    return len(text.encode()) / BYTES_PER_TOKEN


def common_prefix(one: str, other: str) -> int:
    """Characters of the longest common beginning of two texts."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if other.startswith(one[low:middle], low) else (low, middle - 1)
    return low
