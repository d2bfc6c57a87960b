"""Progress bars on standard error, by tqdm: done, total, rate and time left."""

import sys
import threading
import time
import weakref
from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from tqdm import tqdm as plain_bar

from tasks.schema.redaction import redact

T = TypeVar("T")

EVERY = 1.0  # seconds between two updates of a bar, also while no item ends
QUIET = 3.0  # seconds after which a wait is shown


class tqdm(plain_bar):
    """A bar that is redrawn every second. Plain tqdm redraws only when an item ends, so a run with long items looks hung."""

    _shown: ClassVar["weakref.WeakSet[tqdm]"] = weakref.WeakSet()
    _ticker: ClassVar[threading.Thread | None] = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not self.disable:
            self._shown.add(self)
            if tqdm._ticker is None or not tqdm._ticker.is_alive():  # none in a forked child
                tqdm._ticker = threading.Thread(target=_tick, name="bars", daemon=True)
                tqdm._ticker.start()

    def close(self) -> None:
        self._shown.discard(self)
        super().close()

    def tick(self) -> None:
        """Redraw the bar if it is visible and was not drawn for a second."""
        now = time.time()
        if now - self.start_t >= max(self.delay or 0.0, EVERY) and now - self.last_print_t >= EVERY:
            self.refresh()


def _tick() -> None:
    while True:
        time.sleep(EVERY)
        for one in list(tqdm._shown):
            one.tick()


def bar(*, total: int | None, unit: str, label: str | None, delay: float = 0.0) -> tqdm:
    """A bar to update by hand: `with bar(total=…, unit="call", label="judge") as progress: progress.update()`.

    Without `label` nothing is drawn. `delay` is in seconds before the first drawing, so that an early failure prints only its line.
    """
    hidden = label is None
    return tqdm(total=total, unit=unit, desc=label, disable=hidden, delay=delay, mininterval=1.0, dynamic_ncols=True, file=sys.stderr)


def byte_bar(*, total: int, label: str | None) -> tqdm:
    """A bar for bytes (KiB, MiB, GiB), drawn after one second. Without `label` nothing is drawn."""
    return tqdm(
        total=total,
        desc=label,
        disable=label is None,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        delay=1.0,
        mininterval=1.0,
        dynamic_ncols=True,
        file=sys.stderr,
    )


def track(items: Iterable[T], *, unit: str, label: str, total: int | None = None) -> Iterable[T]:
    """`items`, with a bar."""
    return tqdm(items, total=total, unit=unit, desc=label, mininterval=1.0, dynamic_ncols=True, file=sys.stderr)


def waiting(label: str) -> tqdm:
    """A line for a wait without countable parts: elapsed time, and a note by `set_postfix_str`. Shown after QUIET seconds, then removed."""
    form = "{desc}: {elapsed}{postfix}"
    return tqdm(
        total=None, desc=label, bar_format=form, delay=QUIET, mininterval=1.0, miniters=1, leave=False, dynamic_ncols=True, file=sys.stderr
    )


def say(line: str) -> None:
    """Print a line to standard error, above the bars, with secrets redacted."""
    tqdm.write(redact(line), file=sys.stderr)


def span(seconds: float) -> str:
    """Seconds as people say them: 40 s, 3 min, 1.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
