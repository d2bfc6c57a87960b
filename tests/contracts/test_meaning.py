"""What asks for a new version of a stage, and what does not."""

import pytest

from tests.contracts.meaning import Code

STAGE = '''"""A stage."""
from tasks import progress
from tasks.schema.errors import BadInput
from tasks.text.counts import count

def run(path, out):
    """Count."""
    progress.say("begun")
    if not path:
        raise BadInput("no path")
    return count(path)
'''
GROUND = {
    "tasks/schema/errors.py": "class BadInput(Exception):\n    pass\n",
    "tasks/tracking/live.py": "def recorded():\n    return 1\n",
}
LIBRARY = "LEAST = 3\n\ndef count(path: str) -> int:\n    return len(path) + LEAST\n\ndef other():\n    return 1\n"


ELSEWHERE = """\"\"\"The same, written by somebody else and elsewhere.\"\"\"
import logging
from tasks.progress import bar
from tasks.text.words import number_of_words as words_of
from tasks.schema.errors import BadInput

def run(source: str, target: str) -> int:
    if not source:
        near = ", ".join(sorted(source))
        fix = f"did you mean {near}?" if near else "give a path"
        raise BadInput(source, "no path", fix=fix)
    assert isinstance(source, str), "a path"
    logging.getLogger().info("begun")
    with bar(total=1) as shown:
        shown.update()
        return words_of(text=source)
"""
WORDS = "from typing import cast\nFEWEST = 3\n\ndef number_of_words(text: str) -> int:\n    return cast(int, len(text) + FEWEST)\n"


def digest(stage: str = STAGE, library: str = LIBRARY, bars: str = "def say(text):\n    print(text)\n") -> str:
    return Code({"tasks/plan.py": stage, "tasks/text/counts.py": library, "tasks/progress.py": bars} | GROUND).digest("plan")


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


def test_names_files_messages_and_bars_ask_nothing() -> None:
    sources = {"tasks/plan.py": ELSEWHERE, "tasks/text/words.py": WORDS, "tasks/progress.py": "def bar(total):\n    return total\n"}
    assert Code(sources | GROUND).digest("plan") == digest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return len(path) + LEAST", "return LEAST - len(path)"),
        ("LEAST = 3", "LEAST = -3"),
        ("len(path)", "len(path.strip())"),
        ("return len(path)", "if path:\n        raise KeyError(path)\n    return len(path)"),
    ],
)
def test_a_change_of_meaning_in_a_library_asks(old: str, new: str) -> None:
    assert digest(library=LIBRARY.replace(old, new)) != digest()


def test_an_error_that_a_caller_may_catch_asks_and_one_that_ends_the_stage_does_not() -> None:
    raising = LIBRARY.replace("return len(path)", "if not path:\n        raise KeyError(path)\n    return len(path)")
    assert digest(library=raising.replace("KeyError", "ValueError")) != digest(library=raising)
    ending = "from tasks.schema.errors import BadInput, PipelineError\n" + raising.replace("KeyError", "BadInput")
    assert digest(library=ending.replace("raise BadInput", "raise PipelineError")) == digest(library=ending)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return len(path) + LEAST", "return len(path) + 3"),
        ("return len(path) + LEAST", "length = len(path)\n    return length + LEAST"),
        ("return len(path) + LEAST", "with recorded() as live:\n        live.log(path)\n        return len(path) + LEAST"),
        ("def count(path: str) -> int:", "def count(path: str, *, unread: bool = False) -> int:"),
    ],
    ids=["a constant given a name", "a variable read once", "what records it", "an option that nothing reads"],
)
def test_the_same_computed_in_another_form_asks_nothing(old: str, new: str) -> None:
    library = "from tasks.tracking.live import recorded\n" + LIBRARY
    assert digest(library=library.replace(old, new)) == digest(library=library)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("kept = next(path)\n    return (next(path), kept)", "return (next(path), next(path))"),
        ("kept = next(path)\n    return [kept for _ in path]", "return [next(path) for _ in path]"),
        ("kept = next(path)\n    return path and kept", "return path and next(path)"),
        ("kept = next(path)\n    return lambda: kept", "return lambda: next(path)"),
        ("kept = next(path)\n    while kept:\n        pass", "while next(path):\n        pass"),
    ],
    ids=["after another call", "for each", "only if", "later", "again and again"],
)
def test_a_variable_that_is_not_read_first_and_once_is_not_its_value(before: str, after: str) -> None:
    assert digest(library=f"def count(path):\n    {before}\n") != digest(library=f"def count(path):\n    {after}\n")


def test_a_function_that_makes_an_error_says_a_message_only_if_its_error_ends_the_stage() -> None:
    imports = "from tasks.schema.errors import BadInput\n"
    made = "def made(path) -> {}:\n    return {}(path)\n\ndef count(path):\n    raise made(path)\n"
    written = imports + "def count(path):\n    raise BadInput('no path', path)\n"
    assert digest(library=imports + made.format("BadInput", "BadInput")) == digest(library=written)
    assert digest(library=imports + made.format("KeyError", "KeyError")) != digest(library=written)
