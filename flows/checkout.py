"""Check out a run's commit in a worker's clone, if the clone belongs to the worker alone.

`python flows/checkout.py` is the pull step of prefect.yaml. It prints LONGWRITER_WORKSPACE. If LONGWRITER_WORKSPACE_REF is set, it first
checks out the newest commit of that ref of origin. Set it only in a clone that nobody edits, because uncommitted changes are discarded.
The module needs only Python, because it runs before the environment is known to work.
"""

import os
import subprocess
import sys
from pathlib import Path

REF = "LONGWRITER_WORKSPACE_REF"


class CheckoutError(Exception):
    """The commit cannot be checked out. The message is one line."""


def refresh(folder: Path) -> None:
    """Check out the newest commit of LONGWRITER_WORKSPACE_REF, if it is set."""
    if ref := os.environ.get(REF):
        _git("fetch", "--quiet", "origin", ref, folder=folder)
        _git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD", folder=folder)


def at(commit: str, folder: Path = Path()) -> None:
    """Check out this commit. Raises CheckoutError if the clone has another commit and LONGWRITER_WORKSPACE_REF is not set."""
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
