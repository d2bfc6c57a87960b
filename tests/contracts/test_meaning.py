"""What asks for a new version of a stage, and what does not."""

import pytest

from tests.contracts.meaning import Code

STAGE = '''"""A stage."""
from tasks import progress
from tasks.text.counts import count

def run(path, out):
    """Count."""
    progress.say("begun")
    if not path:
        raise ValueError("no path")
    return count(path)
'''
LIBRARY = "LEAST = 3\n\ndef count(path: str) -> int:\n    return len(path) + LEAST\n\ndef other():\n    return 1\n"


def digest(stage: str = STAGE, library: str = LIBRARY, bars: str = "def say(text):\n    print(text)\n") -> str:
    return Code({"tasks/plan.py": stage, "tasks/text/counts.py": library, "tasks/progress.py": bars}).digest("plan")


@pytest.mark.parametrize(
    "changed",
    [
        digest(STAGE.replace('"""Count."""', '"""Count the path."""')),
        digest(STAGE.replace("no path", "give a path")),
        digest(STAGE.replace("begun", "here we go")),
        digest(library=LIBRARY.replace(": str", "").replace(" -> int", "")),
        digest(library=LIBRARY.replace("return 1", "return 2")),
        digest(library=f"# a comment\n{LIBRARY}"),
        digest(bars="def say(text):\n    print(text.upper())\n"),
    ],
    ids=["docstring", "message", "what is printed", "annotation", "a function that is not reached", "comment", "progress"],
)
def test_what_changes_no_output_asks_nothing(changed: str) -> None:
    assert changed == digest()


@pytest.mark.parametrize(
    "changed",
    [
        digest(library=LIBRARY.replace("= 3", "= 4")),
        digest(library=LIBRARY.replace("len(path)", "2")),
        digest(STAGE.replace("not path", "path")),
    ],
    ids=["constant", "function", "condition"],
)
def test_what_may_change_an_output_asks(changed: str) -> None:
    assert changed != digest()
