"""The git commit of the code that ran, recorded with results."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class Commit(NamedTuple):
    """A git commit and the state of its checkout."""

    sha: str  # full hash
    dirty: bool  # tracked files have changes


def commit(folder: Path = Path()) -> Commit | None:
    """Returns the commit checked out in `folder`; None outside a repository or without git."""
    sha = _git("rev-parse", "HEAD", folder=folder)
    if sha is None:
        return None
    return Commit(sha, bool(_git("status", "--porcelain", "--untracked-files=no", folder=folder)))


def _git(*arguments: str, folder: Path) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
