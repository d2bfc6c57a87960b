"""The one bar: done, total, rate and time left, on standard error. tqdm does the work."""

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def bar(*, total: int | None, unit: str, label: str | None) -> "tqdm[Any]":
    """A bar to update by hand: `with bar(total=…, unit="call", label="judge") as progress: progress.update()`. No label, no bar."""
    return tqdm(total=total, unit=unit, desc=label, disable=label is None, mininterval=1.0, dynamic_ncols=True, file=sys.stderr)


def track(items: Iterable[T], *, unit: str, label: str, total: int | None = None) -> Iterable[T]:
    """`items`, with a bar."""
    return tqdm(items, total=total, unit=unit, desc=label, mininterval=1.0, dynamic_ncols=True, file=sys.stderr)
