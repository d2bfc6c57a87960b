"""The one bar: done, total, rate and time left, on standard error. tqdm does the work."""

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

from tasks.schema.redaction import redact

T = TypeVar("T")

QUIET = 3.0  # seconds after which a wait says that it is one


def bar(*, total: int | None, unit: str, label: str | None, delay: float = 0.0) -> "tqdm[Any]":
    """A bar to update by hand: `with bar(total=…, unit="call", label="judge") as progress: progress.update()`. No label, no bar.

    `delay`: seconds before it shows, so that what fails at once is one line.
    """
    hidden = label is None
    return tqdm(total=total, unit=unit, desc=label, disable=hidden, delay=delay, mininterval=1.0, dynamic_ncols=True, file=sys.stderr)


def byte_bar(*, total: int, label: str | None) -> "tqdm[Any]":
    """The same for bytes, shown as KiB, MiB and GiB, once it takes more than a second."""
    scale: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024, "delay": 1.0}
    return tqdm(total=total, desc=label, disable=label is None, mininterval=1.0, dynamic_ncols=True, file=sys.stderr, **scale)


def track(items: Iterable[T], *, unit: str, label: str, total: int | None = None) -> Iterable[T]:
    """`items`, with a bar."""
    return tqdm(items, total=total, unit=unit, desc=label, mininterval=1.0, dynamic_ncols=True, file=sys.stderr)


def waiting(label: str) -> "tqdm[Any]":
    """A line for a wait that has no parts to count: the time gone by, and a note by `set_postfix_str`. Gone with the wait, unless short."""
    form = "{desc}: {elapsed}{postfix}"
    return tqdm(
        total=None, desc=label, bar_format=form, delay=QUIET, mininterval=1.0, miniters=1, leave=False, dynamic_ncols=True, file=sys.stderr
    )


def say(line: str) -> None:
    """A line on standard error, above the bars."""
    tqdm.write(redact(line), file=sys.stderr)
