"""The git commit of the code that ran, for people who look at a result later."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class Commit(NamedTuple):
    sha: str  # full
    dirty: bool  # tracked files differ from it


def commit(folder: Path = Path()) -> Commit | None:
    """The commit that is checked out in `folder`, or None outside a repository and where git is not installed."""
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
