"""Error messages are kept in one table, tell the user what to do, and use plain words."""

import re

import pytest

from tests.contracts.messages import TABLE, Message, classes, messages, table, takes_fix

ARCHAIC = re.compile(r"\b(?:whose|anew|mend\w*|at the most|for good|thereof|whom|lest|naught|till|purse)\b", re.IGNORECASE)
CAUGHT = {"tasks/tracking/champion_scores.py"}  # caught there, and one fix added to all
ALL = list(messages())
BAD_INPUT = [m for m in ALL if takes_fix(m.error, classes()) and m.file not in CAUGHT]


def test_the_table_of_messages_is_up_to_date() -> None:
    assert table() == TABLE.read_text(encoding="utf-8"), "review the new messages with `python -m tests.contracts.messages` and `git diff`"


@pytest.mark.parametrize("message", BAD_INPUT, ids=lambda m: f"{m.file}: {m.problem[:40]}")
def test_bad_input_says_what_to_do(message: Message) -> None:
    assert message.fix or ";" in message.problem or "fix:" in message.problem


def test_messages_use_plain_words() -> None:
    assert [message for message in ALL if ARCHAIC.search(message.problem + message.fix)] == []
