"""Recorded answers for tests of the evaluator alone."""

import json
from pathlib import Path
from typing import Any

from tests.tasks.judging.endpoint import GOOD, Body, asked

ANSWERS = [
    {"prompt": f"Write {words} words on {topic}.", "response": f"The {topic} was long. " * (words // share), "length": words}
    for words, share in ((60, 4), (120, 5))
    for topic in ("winter", "summer")
]


def rows(path: Path, found: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(path)


def answer(body: Body) -> str:
    """As judge six grades, as candidate a text."""
    return GOOD if "judge" in body["model"] or "grade" in asked(body).lower() else "Bread is flour, water, salt and time. " * 10
