"""A worker's clone before a run: brought to the commit that the run is for, if the clone is the worker's own.

`python flows/checkout.py` is prefect.yaml's pull step: it prints the workspace of LONGWRITER_WORKSPACE, at the newest commit of its
origin's LONGWRITER_WORKSPACE_REF where that is set. Set it only in a clone that nobody works in: what is not committed there is
thrown away. Runs before anything is known to be importable, so it needs Python alone.
"""

import os
import subprocess
import sys
from pathlib import Path

REF = "LONGWRITER_WORKSPACE_REF"


class CheckoutError(Exception):
    """The clone cannot be brought to the commit; one line."""


def refresh(folder: Path) -> None:
    """To the newest commit of the ref, where one is named."""
    if ref := os.environ.get(REF):
        _git("fetch", "--quiet", "origin", ref, folder=folder)
        _git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD", folder=folder)


def at(commit: str, folder: Path = Path()) -> None:
    """To this commit. Raises CheckoutError if it is another one and the clone may not be moved."""
    here = head(folder)
    if here == commit:
        return
    if not os.environ.get(REF):
        raise CheckoutError(f"{folder.resolve()}: is at commit {here[:9]}, the run is for {commit[:9]}; update this clone, or set {REF}")
    _git("fetch", "--quiet", "origin", folder=folder)
    _git("checkout", "--quiet", "--force", "--detach", commit, folder=folder)


def head(folder: Path = Path()) -> str:
    return _git("rev-parse", "HEAD", folder=folder).strip()


def changed(folder: Path = Path()) -> list[str]:
    """Tracked files that differ from the commit."""
    return [line[3:] for line in _git("status", "--porcelain", "--untracked-files=no", folder=folder).splitlines()]


def _git(*words: str, folder: Path) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise CheckoutError("git is not installed, and a worker needs it") from None
    if done.returncode:
        raise CheckoutError(f"{folder.resolve()}: git {words[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


def main() -> None:
    if not (workspace := os.environ.get("LONGWRITER_WORKSPACE")):
        sys.exit("error: LONGWRITER_WORKSPACE: not set; start the worker with `longwriter worker`")
    try:
        refresh(Path(workspace))
    except CheckoutError as error:
        sys.exit(f"error: {error}")
    print(workspace)


if __name__ == "__main__":
    main()
