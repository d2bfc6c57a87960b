"""Show a text while AgentWrite writes it: the plan, each paragraph as it comes, and one moving line with words, cost and time left."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from tasks.agentwrite.writer import Event
from tasks.endpoints.ledger import RoleTotals
from tasks.interactive.terminal_text import harmless
from tasks.progress import span
from tasks.schema.records import Plan
from tasks.schema.redaction import mask
from tasks.text.counts import count_words


class DraftScreen:
    """The screen of one draft. In a terminal its last line moves four times a second; elsewhere it prints whole lines only.

    `account`: running totals of the model's calls. `price`: what is known of the cost, such as `$0.10 expected`; empty: nothing.
    """

    def __init__(self, console: Console, *, asked: int, account: Callable[[], RoleTotals], expected: str, priced: bool):
        self.paragraphs: dict[int, str] = {}  # accepted ones by number, from 1
        self._console, self._asked, self._account, self._expected, self._priced = console, asked, account, expected, priced
        self._steps = self._shown = 0
        self._begun = time.monotonic()
        self._paid_words = 0.0  # words that were not in the journal, for the pace
        self._paid_since: float | None = None
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), _Figures(self)]
        self._bar = Progress(*columns, console=console, transient=True, refresh_per_second=4, disable=not console.is_terminal)
        self._task = self._bar.add_task("planning", total=asked)

    def __enter__(self) -> "DraftScreen":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    @property
    def words(self) -> int:
        """Words written so far."""
        return sum(map(count_words, self.paragraphs.values()))

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def planned(self, plan: Plan) -> None:
        """Show the plan."""
        self._steps = len(plan.steps)
        table = Table(title=f"Plan: {self._steps} paragraphs", title_justify="left", box=None, padding=(0, 1), show_header=False)
        table.add_column(justify="right", style="cyan")
        table.add_column(justify="right", style="dim", no_wrap=True)
        table.add_column()
        chapter = 0
        for number, step in enumerate(plan.steps, 1):
            if plan.chapters and step.chapter != chapter:
                chapter = step.chapter
                head = plan.chapters[chapter - 1]
                table.add_row("", "", Text(f"Chapter {chapter}: {_safe(head.point)} ({head.words:,} words)", style="bold"))
            table.add_row(str(number), f"{step.words:,} words", Text(_safe(step.point)))
        self._print(table)
        self._print("")
        self._describe(1)

    def see(self, event: Event) -> None:
        """Called with each request and its reply."""
        if event.fault and event.parts:
            self._print(
                Text(f"{event.name}: {len(event.parts)} are kept ({event.fault.reason}: {_safe(event.fault.detail)})", style="yellow")
            )
        elif event.fault:
            self._print(Text(f"{event.name}: asked again ({event.fault.reason}: {_safe(event.fault.detail)})", style="yellow"))
            return
        if event.parts:
            self._several(event)
        if event.number is None:
            return
        new = event.number not in self.paragraphs
        self.paragraphs.setdefault(event.number, event.reply.text.strip())
        self._pace(event, new=new)
        while self._shown + 1 in self.paragraphs and self._shown + 1 < self._steps:  # the last one may be asked again for its length
            self._shown += 1
            self._paragraph(self._shown)
        self._describe(min(self._shown + 1, self._steps))
        self._bar.update(self._task, completed=min(self._asked, self.words))

    def _several(self, event: Event) -> None:
        """Paragraphs that came in one reply. They are shown when the draft is complete, because some may be written again."""
        calls = self._account().calls
        if calls and self._paid_since is None:
            self._paid_since = time.monotonic() - event.reply.seconds
        for number, part in event.parts.items():
            self.paragraphs[number] = part
            self._paid_words += count_words(part) if calls else 0
        self._describe(min(len(self.paragraphs) + 1, self._steps))
        self._bar.update(self._task, completed=min(self._asked, self.words))

    def finished(self, paragraphs: tuple[str, ...]) -> None:
        """The draft is complete. Shows what was not shown yet."""
        self.paragraphs = dict(enumerate(paragraphs, 1))
        for number in range(self._shown + 1, len(paragraphs) + 1):
            self._paragraph(number)
        self._shown = len(paragraphs)

    def figures(self) -> str:
        """Words, cost, and time left."""
        said = [f"{self.words:,} of {self._asked:,} words"]
        if self._priced:
            said.append(f"${self._account().dollars:.4f}" + (f" of about {self._expected}" if self._expected else ""))
        left = self._seconds_left()
        said.append(f"{span(time.monotonic() - self._begun)}" + (f", about {span(left)} left" if left is not None else ""))
        return " · ".join(said)

    def _pace(self, event: Event, *, new: bool) -> None:
        """Only paid calls tell how quickly the model writes: replies of the journal come at once."""
        calls = self._account().calls
        if calls and self._paid_since is None:
            self._paid_since = time.monotonic() - event.reply.seconds
        if calls and new:
            self._paid_words += count_words(event.reply.text)

    def _seconds_left(self) -> float | None:
        if self._paid_since is None or not self._paid_words:
            return None
        pace = self._paid_words / max(0.001, time.monotonic() - self._paid_since)
        left = max(0, self._asked - self.words) / pace
        return left or None

    def _describe(self, number: int) -> None:
        self._bar.update(self._task, description=f"paragraph {number} of {self._steps}")

    def _paragraph(self, number: int) -> None:
        text = _safe(self.paragraphs[number])
        self._print(Text(text))
        written, so_far = count_words(text), sum(count_words(self.paragraphs[n]) for n in range(1, number + 1))
        line = f"paragraph {number} of {self._steps}: {written:,} words; {so_far:,} of {self._asked:,} in all"
        if not self._console.is_terminal:
            line = f"{line} · {self.figures().partition(' · ')[2]}"
        self._print(Text(line, style="dim"))
        self._print("")

    def _print(self, what: Text | Table | str) -> None:
        self._bar.console.print(escape(what) if isinstance(what, str) else what)


class _Figures(ProgressColumn):
    """The figures behind the bar, new at each refresh."""

    def __init__(self, screen: DraftScreen):
        self._screen = screen
        super().__init__()

    def render(self, task: Task) -> Text:
        return Text(self._screen.figures(), style="dim")


def _safe(text: str) -> str:
    return harmless(mask(text))
