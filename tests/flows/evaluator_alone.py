"""`python evaluator_alone.py HIDDEN WORDS…`: the command `longwriter` where packages outside the evaluator's dependencies cannot be
imported, and, with HIDDEN `windows`, nothing that POSIX alone has: fcntl, resource, pwd, os.getuid, SIGTERM of an event loop.
"""

import asyncio
import os
import sys
from importlib import metadata
from types import ModuleType

from packaging.requirements import Requirement

PROJECT = {"flows", "tasks", "infra"}
POSIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios"}
POSIX_FUNCTIONS = ("getuid", "geteuid", "getsid", "setsid", "fchmod", "fstatvfs", "statvfs", "pread", "pwrite", "fork", "O_CLOEXEC")


def closure(requirements: list[str]) -> set[str]:
    """Every distribution that these requirements bring."""
    found, waiting = set[str](), [Requirement(line) for line in requirements]
    while waiting:
        one = waiting.pop()
        name = plain(one.name)
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += [Requirement(line) for line in metadata.requires(one.name) or ()]
    return found


class Wall:
    """An importer that refuses packages by their top-level name."""

    def __init__(self, hidden: set[str]):
        self._hidden = hidden

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self._hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def others(distributions: set[str]) -> set[str]:
    """Top-level names of all installed packages that none of these distributions has."""
    tops = metadata.packages_distributions()
    return {top for top, owners in tops.items() if not any(plain(owner) in distributions for owner in owners)}


def plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def windows_locks() -> ModuleType:
    """A stand-in for Windows' module of locks."""
    import fcntl

    module = ModuleType("msvcrt")
    module.LK_NBLCK = 2  # type: ignore[attr-defined]
    module.locking = lambda file, mode, size: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[attr-defined]
    return module


def no_signals(*_: object) -> None:
    raise NotImplementedError


def main() -> None:
    import tomllib
    from pathlib import Path

    system, *words = sys.argv[1:]
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    hidden = others(closure(project["dependencies"])) - PROJECT
    if system == "windows":
        sys.modules["msvcrt"] = windows_locks()
        hidden |= POSIX_MODULES
        for name in [name for name in POSIX_FUNCTIONS if hasattr(os, name)]:
            delattr(os, name)
        asyncio.SelectorEventLoop.add_signal_handler = no_signals  # type: ignore[assignment, method-assign]
    sys.path[0] = str(root)
    for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
        del sys.modules[name]
    sys.meta_path.insert(0, Wall(hidden))
    from flows.cli import main as longwriter

    longwriter(words)


if __name__ == "__main__":
    main()
