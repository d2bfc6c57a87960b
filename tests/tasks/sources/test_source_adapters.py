import json
from math import nan
from typing import Any

import numpy as np
import pytest

from tasks.schema.records import Message
from tasks.sources.adapters import RawPrompt, messages_of, raw_prompt_of
from tasks.sources.turns import Misfit

TURNS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Write."}, {"role": "assistant", "content": "No."}]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"conversation": TURNS, "toxic": True, "redacted": False}, RawPrompt("Write.", toxic=True, system="Be kind.")),
        ({"conversation": TURNS, "toxic": False, "redacted": True}, RawPrompt("Write.", system="Be kind.")),
        ({"conversation": TURNS, "openai_moderation": [{"flagged": True}]}, RawPrompt("Write.", toxic=True, system="Be kind.")),
        ({"conversation": []}, RawPrompt("")),
        ({"conversation": [{"role": "user", "content": None}]}, RawPrompt("", lacks="conversation.0.content: null, a text is wanted")),
        ({"conversations": [{"from": "human", "value": "Write."}]}, RawPrompt("Write.")),
        ({"messages": TURNS}, RawPrompt("Write.", system="Be kind.")),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Write."}]}]}, RawPrompt("Write.")),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Write."}, {"type": "image_url"}]}]},
            RawPrompt("Write.", lacks="messages.0.content.1: a part of type image_url; only text is read"),
        ),
        ({"prompt": "Write."}, RawPrompt("Write.")),
        ({"prompt": TURNS}, RawPrompt("Write.", system="Be kind.")),
        ({"instruction": "Write.", "input": "More."}, RawPrompt("Write.\n\nMore.")),
        ({"instruction": "Write.", "input": ""}, RawPrompt("Write.")),
        ({"query": "Write."}, RawPrompt("Write.")),
        ({"task": "Wr\u2028ite."}, RawPrompt("Wr\u2028ite.")),
    ],
)
def test_rows_of_every_known_shape_become_the_first_ask_of_the_user(row: dict[str, Any], expected: RawPrompt) -> None:
    assert raw_prompt_of(row) == expected


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
    assert raw_prompt_of(row, adapter).text == "Write."
    with pytest.raises(Misfit, match="missing field"):
        raw_prompt_of({"text": "Write."}, adapter)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"id": 1}, "missing field: none of conversation, messages"),
        ({"prompt": 7}, "prompt: a text is wanted, got a number (7)"),
        ({"conversation": "hi"}, "conversation: a list of turns is wanted, got a text ('hi')"),
        ({"conversation": [3]}, "conversation.0: an object is wanted, got a number (3)"),
        ({"conversation": [None]}, "conversation.0: null, an object is wanted"),
        ({"conversation": [{"content": "x"}]}, "conversation.0.role: missing field"),
        ({"conversation": [{"role": "user", "content": {}}]}, "conversation.0.content: a text is wanted, got an object"),
        ({"prompt": "x", "toxic": "yes"}, "toxic: true or false is wanted, got a text ('yes')"),
    ],
)
def test_a_row_that_does_not_fit_says_which_field_and_what_was_wanted(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(Misfit) as error:
        raw_prompt_of(row)
    assert str(error.value).startswith(problem)


def test_a_whole_conversation_has_the_usual_roles() -> None:
    asked, answered = Message(role="user", content="Write."), Message(role="assistant", content="No.")
    assert messages_of({"conversation": TURNS}) == (Message(role="system", content="Be kind."), asked, answered)
    assert messages_of({"conversations": [{"from": "human", "value": "Write."}, {"from": "gpt", "value": "No."}]}) == (asked, answered)
    assert messages_of({"instruction": "Write.", "output": "No."}) == (asked, answered)
    assert messages_of({"prompt": "Write.", "response": "No."}) == (asked, answered)
    with pytest.raises(Misfit, match=r"conversations\.0\.from: a turn of a tool"):
        messages_of({"conversations": [{"from": "tool", "value": "Write."}]})


POEM, SONG = {"role": "user", "content": "Write a poem."}, {"role": "assistant", "content": "Roses."}
ASKED, ANSWERED = Message(role="user", content="Write a poem."), Message(role="assistant", content="Roses.")
TOLD = Message(role="system", content="Rhyme.")
EARLIER = (Message(role="user", content="Hello?"), Message(role="assistant", content="Hello."))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [POEM, SONG]},
        {"Messages": [{"Role": "USER", "Content": "Write a poem."}, {"Role": "Assistant ", "Content": "Roses."}]},
        {"messages": json.dumps([POEM, SONG])},
        {"messages": [json.dumps(POEM), json.dumps(SONG)]},
        {"messages": np.array([POEM, SONG], object)},
        {"messages": {"role": ["user", "assistant"], "content": ["Write a poem.", "Roses."]}},
        {"messages": [list(POEM.items()), list(SONG.items())]},
        {"messages": [{"role": "prompter", "text": "Write a poem."}, {"role": "model", "text": "Roses."}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Write a poem."}]}, {"role": "bot", "content": "Roses."}]},
        {"conversations": [{"from": "Human", "value": "Write a poem."}, {"from": "GPT", "value": "Roses."}]},
        {"conversations": [{"human": "Write a poem.", "assistant": "Roses."}]},
        {"conversation": [{"input": "Write a poem.", "output": "Roses."}]},
        {"conversation": [["Write a poem.", "Roses."]]},
        {"data": ["Write a poem.", "Roses."], "id": "7"},
        {"prompt": "Write a poem.", "response": "Roses."},
        {"Question": "Write a poem.", "Answer": "Roses."},
        {"input": "Write a poem.", "output": "Roses."},
        {"user": "Write a poem.", "assistant": "Roses."},
        {"prompt": [POEM], "response": [SONG]},
        {"prompt": '["Write a poem."]', "response": '["Roses."]'},
        {"prompt": "Write a poem.", "messages": [POEM, SONG], "tools": "[]", "system": None, "images": []},
        {"conversation": [], "prompt": "Write a poem.", "response": "Roses."},
        *(
            {"instruction": "Write a poem.", "input": absent, "output": "Roses."}
            for absent in (None, "", " <noinput> ", "nan", "None", nan)
        ),
    ],
    ids=str,
)
def test_one_conversation_is_the_same_in_every_shape(row: dict[str, Any]) -> None:
    assert messages_of(row) == (ASKED, ANSWERED)
    assert raw_prompt_of(row) == RawPrompt("Write a poem.")


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        ({"system": "Rhyme."}, (TOLD, ASKED, ANSWERED)),
        ({"System Prompt": "Rhyme."}, (TOLD, ASKED, ANSWERED)),
        ({"history": [["Hello?", "Hello."]]}, (*EARLIER, ASKED, ANSWERED)),
        ({"history": '[["Hello?", "Hello."]]'}, (*EARLIER, ASKED, ANSWERED)),
        ({"history": ["Hello?", "Hello."], "system": "Rhyme."}, (TOLD, *EARLIER, ASKED, ANSWERED)),
    ],
    ids=str,
)
@pytest.mark.parametrize("row", [{"messages": [POEM, SONG]}, {"instruction": "Write a poem.", "output": "Roses."}])
def test_a_system_column_and_a_history_column_are_turns(row: dict[str, Any], beside: dict[str, Any], expected: tuple[Message, ...]) -> None:
    assert messages_of(row | beside) == expected


@pytest.mark.parametrize("column", ["input", "context", "Context"])
def test_material_beside_a_request_follows_it_once(column: str) -> None:
    row = {"instruction": "Sum it up.", column: "It rained.", "response": "Rain."}
    assert messages_of(row)[0].content == raw_prompt_of(row).text == "Sum it up.\n\nIt rained."
    assert raw_prompt_of(row | {"instruction": "Sum it up: It rained."}).text == "Sum it up: It rained."
    assert raw_prompt_of({"instruction": "Answer in rhyme.", "question": "Why?"}).text == "Answer in rhyme.\n\nWhy?"


@pytest.mark.parametrize(
    ("beside", "says"),
    [
        ({"tools": [{"name": "search"}]}, "tools: tools that the model may call"),
        ({"tools": '[{"name": "search"}]'}, "tools: tools that the model may call"),
        ({"images": ["a.png"]}, "images: more than text"),
        ({"audio": {"path": "a.wav"}}, "audio: more than text"),
        ({"context": "It rained."}, "context: a text ('It rained.') beside messages; it is not known where it belongs"),
        ({"messages": [POEM | {"content": [{"type": "image_url"}]}, SONG]}, "messages.0.content.0: a part of type image_url"),
        ({"messages": [POEM | {"images": ["a.png"]}, SONG]}, "messages.0.images: more than text"),
        ({"messages": [{"from": "human", "value": None}, SONG]}, "messages.0.value: null, a text is wanted"),
        ({"messages": [{"role": "user"}, SONG]}, "messages.0.content: missing field"),
    ],
    ids=str,
)
def test_what_cannot_be_used_sets_the_row_aside_by_its_name(beside: dict[str, Any], says: str) -> None:
    row = {"messages": [POEM, SONG]} | beside
    with pytest.raises(Misfit) as error:
        messages_of(row)
    assert str(error.value).startswith(says)
    assert raw_prompt_of(row).lacks == str(error.value)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"messages": [POEM, SONG | {"tool_calls": [{}]}]}, "messages.1.tool_calls: a call of a tool"),
        ({"messages": [POEM, SONG | {"reasoning_content": "Hm."}]}, "messages.1.reasoning_content: thoughts beside the text"),
        ({"messages": [POEM, SONG | {"weight": 0}]}, "messages.1.weight: a number (0), this turn is not to be learned"),
        ({"messages": [POEM, {"role": "observation", "content": "x"}, SONG]}, "messages.1.role: a turn of a tool"),
        (
            {"messages": [POEM, {"role": "narrator", "content": "x"}]},
            "messages.1.role: one of user, assistant, system is wanted, got a text",
        ),
        ({"messages": [POEM, {"role": None, "content": "x"}]}, "messages.1.role: null, a role is wanted"),
        ({"system": "Rhyme.", "messages": [{"role": "system", "content": "Do not."}, POEM, SONG]}, "system: a text beside the system turn"),
        ({"prompt": "Write.", "response": None}, "response: null, a text is wanted"),
        ({"prompt": None, "response": "x"}, "prompt: null, a text is wanted"),
        ({"prompt": "nan", "response": "x"}, "prompt: no text, got a text ('nan')"),
        ({"prompt": "Write.", "label": False, "completion": "x"}, "label: false"),
        ({"prompt": ["One.", "Two."], "response": "x"}, "response: a list of 2 answers is wanted"),
        ({"prompt": "Write a poem.", "question": "Why?", "answer": "x"}, "question: a text ('Why?') beside prompt"),
        ({"text": "### Human: hi"}, "missing field: none of conversation, "),
        ({"messages": "User: hi"}, "messages: a list of turns is wanted, got a text ('User: hi')"),
    ],
    ids=str,
)
def test_a_conversation_that_is_not_understood_names_its_field(row: dict[str, Any], says: str) -> None:
    with pytest.raises(Misfit) as error:
        messages_of(row)
    assert str(error.value).startswith(says)


def test_for_the_pool_the_first_request_counts_whoever_speaks_first_and_whatever_follows_it() -> None:
    greeted = [{"role": "system", "content": "Rhyme."}, SONG, POEM, {"role": "narrator"}, 3]
    assert raw_prompt_of({"messages": greeted}) == RawPrompt("Write a poem.", system="Rhyme.")
    assert (
        raw_prompt_of({"messages": [POEM], "history": [["Hello?", "Hello."]]}).lacks
        == "history: earlier turns, on which the request depends"
    )


def test_an_output_that_stands_for_none_is_no_text_of_an_answer() -> None:
    assert messages_of({"instruction": "Write.", "output": "<nooutput>"})[1].content == ""
