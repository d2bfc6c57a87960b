"""Find plug-ins by entry point: this project's own and those of other installed distributions."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from tasks.schema.errors import BadInput

T = TypeVar("T")


def found(group: str, own: Mapping[str, str]) -> dict[str, str]:
    """`module:attribute` by name: the project's own plug-ins first, then those of other distributions, which cannot replace an own one."""
    others = {point.name: point.value for point in sorted(entry_points(group=group))}
    return {**own, **{name: value for name, value in others.items() if name not in own}}


def loaded(name: str, value: str, kind: type[T]) -> T:
    """Import the plug-in at `module:attribute`. Raises BadInput if it cannot be imported or is no `kind`."""
    point = EntryPoint(name, value, "")
    try:
        plugin = getattr(import_module(point.module), point.attr)
    except (ImportError, AttributeError) as error:
        raise BadInput(name, f"the plug-in {value} cannot be imported: {error}", fix="reinstall or remove its package") from None
    if not isinstance(plugin, kind):
        raise BadInput(name, f"{value} is no {kind.__module__}.{kind.__name__}", fix="correct the entry point of its package")
    return plugin
