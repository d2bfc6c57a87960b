"""`python -m tasks.judging verdicts FILE` prints one line for each recorded reply."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

GRADES = {"relevance": 4, "accuracy": 3, "coherence": 4, "clarity": 5, "breadth_and_depth": 3, "reading_experience": 4}
FIVES = dict.fromkeys(GRADES, 5)


def read(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tasks.judging", "verdicts", str(path), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_each_row_has_its_six_grades_or_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    rows = [
        {"id": "a", "reply": json.dumps(GRADES)},
        {"reply": json.dumps(FIVES), "answer": f"Bread. {json.dumps(FIVES)}"},
        {"reply": None},
        {"id": "d", "replies": ["Hm.", json.dumps(GRADES)]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = read(path, "--json")
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    nothing = dict.fromkeys(GRADES)
    assert found == [
        {"line": 1, "id": "a", **GRADES, "reason": None},
        {"line": 2, "id": "2", **nothing, "reason": "the verdict is one that is in the answer"},
        {"line": 3, "id": "3", **nothing, "reason": "empty reply"},
        {"line": 4, "id": "d", **GRADES, "reason": None},
    ]
    assert read(path).stdout.splitlines()[-1] == "4 replies, 2 of them unscored"


def test_a_row_without_a_reply_is_named(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text('{"reply": "Sure."}\n{"text": "Sure."}\n')
    ran = read(path, "--json")
    assert ran.returncode == 2
    assert ran.stderr.strip().splitlines()[-1].startswith(f"error: {path}:2: reply: missing field")
