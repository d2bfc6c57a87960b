from typing import Any

import pytest

from tasks.schema.records import Message
from tasks.sources.adapters import Ask, Misfit, ask_of, messages_of

TURNS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Write."}, {"role": "assistant", "content": "No."}]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"conversation": TURNS, "toxic": True, "redacted": False}, Ask("Write.", toxic=True)),
        ({"conversation": TURNS, "toxic": False, "redacted": True}, Ask("Write.")),
        ({"conversation": TURNS, "openai_moderation": [{"flagged": True}]}, Ask("Write.", toxic=True)),
        ({"conversation": []}, Ask("")),
        ({"conversation": [{"role": "user", "content": None}]}, Ask("")),
        ({"conversations": [{"from": "human", "value": "Write."}]}, Ask("Write.")),
        ({"messages": TURNS}, Ask("Write.")),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Write."}]}]}, Ask("Write.")),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Write."}, {"type": "image_url"}]}]},
            Ask("Write.", attachment=True),
        ),
        ({"prompt": "Write."}, Ask("Write.")),
        ({"prompt": TURNS}, Ask("Write.")),
        ({"instruction": "Write.", "input": "More."}, Ask("Write.\n\nMore.")),
        ({"instruction": "Write.", "input": ""}, Ask("Write.")),
        ({"query": "Write."}, Ask("Write.")),
        ({"task": "Wr\u2028ite."}, Ask("Wr\u2028ite.")),
    ],
)
def test_rows_of_every_known_shape_become_the_first_ask_of_the_user(row: dict[str, Any], expected: Ask) -> None:
    assert ask_of(row) == expected


@pytest.mark.parametrize(
    ("adapter", "row"),
    [
        ("wildchat", {"conversation": TURNS, "prompt": "no"}),
        ("lmsys", {"conversation": TURNS}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "Write."}], "prompt": "no"}),
        ("alpaca", {"instruction": "Write.", "input": "", "output": "No.", "prompt": "no"}),
        ("messages", {"messages": TURNS, "conversation": []}),
        ("prompt", {"prompt": "Write.", "messages": []}),
    ],
)
def test_a_named_adapter_reads_its_own_fields_and_no_other(adapter: str, row: dict[str, Any]) -> None:
    assert ask_of(row, adapter).text == "Write."
    with pytest.raises(Misfit, match="missing field"):
        ask_of({"text": "Write."}, adapter)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"id": 1}, "missing field: none of conversation, messages"),
        ({"prompt": 7}, "prompt: a text is wanted, got a number (7)"),
        ({"conversation": "hi"}, "conversation: a list of turns is wanted, got a text ('hi')"),
        ({"conversation": [3]}, "conversation.0: an object is wanted, got a number (3)"),
        ({"conversation": [None]}, "conversation.0: an object is wanted, got null (None)"),
        ({"conversation": [{"content": "x"}]}, "conversation.0.role: missing field"),
        ({"conversation": [{"role": "user"}]}, "conversation.0.content: missing field"),
        ({"conversation": [{"role": "user", "content": {}}]}, "conversation.0.content: a text is wanted, got an object"),
        ({"prompt": "x", "toxic": "yes"}, "toxic: true or false is wanted, got a text ('yes')"),
    ],
)
def test_a_row_that_does_not_fit_says_which_field_and_what_was_wanted(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(Misfit) as error:
        ask_of(row)
    assert str(error.value).startswith(problem)


def test_a_whole_conversation_has_the_usual_roles() -> None:
    asked, answered = Message(role="user", content="Write."), Message(role="assistant", content="No.")
    assert messages_of({"conversation": TURNS}) == (Message(role="system", content="Be kind."), asked, answered)
    assert messages_of({"conversations": [{"from": "human", "value": "Write."}, {"from": "gpt", "value": "No."}]}) == (asked, answered)
    assert messages_of({"instruction": "Write.", "output": "No."}) == (asked, answered)
    assert messages_of({"prompt": "Write.", "response": "No."}) == (asked, answered)
    with pytest.raises(Misfit, match=r"conversations\.0\.role: one of user"):
        messages_of({"conversations": [{"from": "tool", "value": "Write."}]})
