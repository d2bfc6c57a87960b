"""How often the law of digests would have asked: `python -m tests.contracts.digest_history [COMMITS]` (100 without a number).

Prints each commit that changes the digest of a stage with a version, and the definitions that differ. Nothing is checked out or written.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from tests.conftest import ROOT
from tests.contracts.meaning import Code
from tests.contracts.normal_form import Place
from tests.contracts.stage_digests import versions


class Asking(NamedTuple):
    """A commit that changes a digest."""

    commit: str
    title: str
    stages: dict[str, list[Place]]  # the definitions that differ, by stage


def history(commits: int) -> Iterator[Asking]:
    """The commits among the last ones that change a digest, newest first. A merge is compared with its first parent."""
    named = [line.split(" ", 1) for line in _git("log", "--first-parent", f"-{commits + 1}", "--format=%h %s").decode().splitlines()]
    states = (_state(_git("rev-parse", f"{commit}:tasks").decode().strip()) for commit, _ in named)
    newer = next(states)
    for (commit, title), older in zip(named, states, strict=False):
        changed = {
            stage: _differences(older[stage], newer[stage]) for stage in newer if [*older[stage].values()] != [*newer[stage].values()]
        }
        if changed:
            yield Asking(commit, title, changed)
        newer = older


def _differences(older: dict[Place, str], newer: dict[Place, str]) -> list[Place]:
    """The definitions that differ in more than the numbers of the definitions that they name."""
    before, after = ({place: re.sub(r"definition_\d+", "definition", text) for place, text in state.items()} for state in (older, newer))
    kept = {*before.values()} & {*after.values()}
    return sorted(place for place in {*older, *newer} if {before.get(place), after.get(place)} - {None} - kept)


@lru_cache(maxsize=2)
def _state(tree: str) -> dict[str, dict[Place, str]]:
    """What each stage reaches in a tree of tasks/."""
    code = Code(dict(_sources(tree)))
    return {stage: code.reached(stage) for stage in versions()}


def _sources(tree: str) -> Iterator[tuple[str, str]]:
    names = [name for name in _git("ls-tree", "-r", "--name-only", tree).decode().splitlines() if name.endswith(".py")]
    asked = "".join(f"{tree}:{name}\n" for name in names).encode()
    rest = subprocess.run(["git", "cat-file", "--batch"], cwd=ROOT, input=asked, capture_output=True, check=True).stdout
    for name in names:
        head, _, rest = rest.partition(b"\n")
        size = int(head.split()[-1])
        yield f"tasks/{name}", rest[:size].decode()
        rest = rest[size + 1 :]


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    found = list(history(number))
    for one in found:
        print(f"{one.commit} {one.title[:100]}")
        for stage, places in one.stages.items():
            print(f"    {stage}: {', '.join(f'{place.module}:{place.name}' for place in places[:6])}{' …' if len(places) > 6 else ''}")
    print(f"{len(found)} of {number} commits would have asked")
