"""write.memory state: the record, quotes of earlier passages, and prompts that do not grow with the text."""

import asyncio
import json
from itertools import pairwise
from statistics import fmean

import pytest

from tasks.agentwrite.context import common_prefix
from tasks.agentwrite.look_back import LookBack, passages, terms
from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.agentwrite.state import KINDS, RecordEntry, State, read_entries
from tasks.agentwrite.writer import Event, write_draft
from tasks.endpoints.chat import Reply, Request
from tasks.rehearsal import roles
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.params import Bounds
from tasks.schema.records import Draft, Reason, Usage
from tests.tasks.agentwrite.drafts import WRITE, plan

STATE = WRITE.model_copy(update={"memory": "state", "context": 4096, "tries": 3})


def entry(key: str, value: str = "it is so", *, kind: str = "event", status: str = "open") -> dict[str, str]:
    return {"kind": kind, "key": key, "value": value, "status": status}


def entries(*found: dict[str, str]) -> list[RecordEntry]:
    return [RecordEntry.model_validate(one) for one in found]


def said(*found: object) -> str:
    return json.dumps({"entries": found})


def test_an_entry_takes_the_place_of_the_one_with_the_same_kind_and_key() -> None:
    state = State().merged(entries(entry("Anna", "is a smith", kind="person"), entry("the fire")), limit=10_000)
    state = state.merged(entries(entry(" ANNA ", "is a smith in York", kind="person"), entry("Anna")), limit=10_000)
    assert state.render().splitlines() == ["person:", "- ANNA: is a smith in York", "event:", "- the fire: it is so", "- Anna: it is so"]


def test_closed_entries_are_dropped_first_and_the_oldest_before_the_newer() -> None:
    names = [f"event {number}" for number in range(6)]
    state = State().merged(entries(*(entry(name, status="closed" if name in names[2:4] else "open") for name in names)), limit=10_000)
    dropped = list[str]()
    for size in range(len(state.render()), 0, -1):
        left = State(state.entries).merged([], limit=size)
        gone = [name for name in names if name not in left.render()]
        if len(gone) > len(dropped):
            dropped = gone if not dropped else [*dropped, *(name for name in gone if name not in dropped)]
        assert len(left.render().encode()) <= size
    assert dropped == [names[2], names[3], names[0], names[1], names[4], names[5]]


def test_an_entry_that_was_touched_again_is_no_longer_the_oldest() -> None:
    state = State().merged(entries(entry("a"), entry("b")), limit=10_000).merged(entries(entry("a")), limit=10_000)
    assert [one.key for one in state.merged([], limit=len(state.render()) - 1).entries] == ["a"]


@pytest.mark.parametrize(
    "reply",
    [
        said(entry("Anna", kind="person")),
        f"<think>{said()}</think>Here:\n```json\n{said(entry('Anna', kind='person'))}\n```",
        f"{said()}\n{said(entry('Anna', kind='person'))}",
    ],
)
def test_a_record_is_read_in_the_forms_that_models_use(reply: str) -> None:
    assert [one.key for one in read_entries(reply)] == ["Anna"]
    assert read_entries(said()) == []


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("Anna is a smith.", "no JSON object with the list entries"),
        ("", "empty reply"),
        (said(entry("Anna"))[:-9], "cut off or broken"),
        ('{"entries": {}}', "entries"),
        (said("Anna"), "entries.1: is not an object"),
        (said(entry("Anna", kind="animal")), "entries.1.kind: is none of its values"),
        (said(entry("Anna"), entry("Bob", status="done")), "entries.2.status: is none of its values"),
        (said({"kind": "person", "key": "Anna", "value": "x"}), "entries.1.status: is missing"),
        (said(entry("Anna") | {"age": 3}), "entries.1.age: is no field of an entry"),
        (said(entry("  ")), "entries.1.key: is empty"),
        (said(entry("Anna") | {"value": 3}), "entries.1.value: is not a text"),
        (said(entry("Anna", "long " * 200)), "entries.1.value: String should have at most 600 characters"),
    ],
)
def test_a_reply_that_is_no_record_is_refused(reply: str, problem: str) -> None:
    with pytest.raises(ReplyError, match=problem):
        read_entries(reply)


def test_the_nearest_passages_are_quoted_exactly_in_the_order_of_the_text() -> None:
    look_back = LookBack()
    paragraphs = [
        "The miller hid the key under the third stone. Nobody saw it.",
        "Rain fell on the hills for days, and the road was gone.",
        "Years later the key was still under the stone, as only the miller knew.",
    ]
    assert look_back.find("the key", room=1000) == []
    for number, paragraph in enumerate(paragraphs, 1):
        look_back.add(number, paragraph)
    found = look_back.find("The miller's stone and its key", room=1000)
    assert [one.number for one in found if "key" in one.text] == [1, 3]
    assert all(one.text in paragraphs[one.number - 1] for one in found)
    assert look_back.find("zeppelin", room=1000) == look_back.find("...", room=1000) == look_back.find("the miller", room=10) == []
    assert len(look_back.find("miller stone key", room=len(paragraphs[0]) + 1)) == 1


def test_passages_are_whole_sentences_and_chinese_is_searched_by_pairs() -> None:
    paragraph = "# Heading\n" + " ".join(f"Sentence {number} of this paragraph says little." for number in range(30))
    found = passages(paragraph)
    assert len(found) > 2
    assert all(text in paragraph and text.endswith(".") for text in found)
    assert terms("Don't 铁匠安娜 2nd") == ["don", "t", "铁匠", "匠安", "安娜", "2nd"]
    look_back = LookBack()
    look_back.add(1, "铁匠安娜把钥匙藏在石头下面。")
    look_back.add(2, "雨下了很多天，路也没有了。")
    assert [one.number for one in look_back.find("钥匙在哪里", room=1000)] == [1]


class Teacher:
    """The rehearsal's teacher; `record` replies in its place when it is asked for the record."""

    def __init__(self, record: object = None):
        self.record, self.asked, self.updates = record, list[str](), 0

    async def __call__(self, request: Request) -> Reply:
        prompt = request.messages[0].content
        self.asked.append(prompt)
        if "<passage>" in prompt and self.record is not None:
            said = self.record(request) if callable(self.record) else self.record
            if isinstance(said, Exception):
                raise said
            return Reply(str(said), "stop", Usage(1, 1), 0.0)
        text = roles.answer("rehearsal-teacher", [("user", prompt)], seed=request.sample, schema=request.schema)
        return Reply(text, "stop", Usage(1, 1), 0.0)

    @property
    def steps(self) -> list[str]:
        return [prompt for prompt in self.asked if "<step>" in prompt]


def write(teacher: Teacher, paragraphs: int = 60, see: list[Event] | None = None, **changes: object) -> Draft:
    found = asyncio.run(
        write_draft(
            teacher,
            plan(paragraphs, text="Write about bread.", chapters=paragraphs // 20),
            write=STATE.model_copy(update=changes),
            bounds=Bounds(min=40, max=60),
            see=see.append if see is not None else lambda _: None,
        )
    )
    assert not isinstance(found, Unwritable), found
    return found


def test_beyond_the_context_prompts_show_the_record_and_quotes_in_place_of_the_beginning() -> None:
    teacher = Teacher()
    draft = write(teacher)
    assert len(draft.paragraphs) == 60
    assert draft.records_kept == 0
    last = teacher.steps[-1]
    assert "<record>\nperson:\n- the reader: follows the text" in last
    assert draft.paragraphs[0] not in last[: last.index("<quotes>")]
    assert draft.paragraphs[-2] in last
    quotes = last[last.index("<quotes>\n") + 9 : last.index("\n</quotes>")].splitlines()
    assert quotes
    for quote in quotes:
        if quote.startswith("Paragraph "):
            number, _, words = quote.removeprefix("Paragraph ").partition(": ")
            assert words.strip('"') in draft.paragraphs[int(number) - 1]
    assert last.index("</record>") < last.index(draft.paragraphs[-2]) < last.index("<quotes>") < last.index("<step>")


def test_a_text_within_the_context_has_the_same_requests_with_both_memories() -> None:
    state, summary = Teacher(), Teacher()
    write(state, 6, context=16_384)
    write(summary, 6, context=16_384, memory="summary")
    assert state.asked == summary.asked


def test_prompts_do_not_grow_with_the_text_and_keep_their_common_beginnings() -> None:
    teacher = Teacher()
    write(teacher, 240)
    sizes = [len(prompt) for prompt in teacher.steps]
    quarters = [fmean(sizes[start : start + 45]) for start in (60, 105, 150, 195)]
    assert max(quarters) < 1.1 * min(quarters)
    assert max(sizes) < 3 * 4096
    shared = [common_prefix(one, other) / len(one) for one, other in pairwise(teacher.steps)]
    summary = Teacher()
    write(summary, 240, memory="summary")
    plain = [common_prefix(one, other) / len(one) for one, other in pairwise(summary.steps)]
    assert fmean(shared) > fmean(plain) - 0.15


def test_a_reply_that_is_no_record_is_asked_for_again_with_a_new_sample() -> None:
    good = said(entry("the oven", kind="thing"))
    teacher, events = Teacher(lambda request: good if request.sample else "The text is about bread."), list[Event]()
    draft = write(teacher, see=events)
    assert draft.records_kept == 0
    assert "thing:\n- the oven: it is so" in teacher.steps[-1]
    updates = [event for event in events if event.name.startswith("record before paragraph")]
    assert [event.fault and event.fault.reason for event in updates] == [Reason.BAD_REPLY, None] * (len(updates) // 2)
    assert all(event.number is None for event in updates)


@pytest.mark.parametrize("reply", ["It goes on.", Unanswered("gone"), said(entry("Anna", kind="animal"))])
def test_without_a_readable_record_the_older_one_is_kept_and_counted(reply: object) -> None:
    first = said(entry("the oven", kind="thing"))

    class Once:
        left = 1

        def __call__(self, request: Request) -> object:
            self.left -= 1
            return first if self.left == 0 else reply

    teacher = Teacher(Once())
    draft = write(teacher)
    assert draft.records_kept > 0
    assert "- the oven: it is so" in teacher.steps[-1]
    assert Draft.model_validate_json(draft.model_dump_json()) == draft


def test_the_same_replies_give_the_same_requests_and_an_ordinary_draft_has_no_new_fields() -> None:
    one, other = Teacher(), Teacher()
    first, second = write(one), write(other)
    assert (one.asked, first) == (other.asked, second)
    assert not {"records_kept", "consistency"} & set(json.loads(first.model_dump_json()))
    assert len(set(KINDS)) == 7


def test_the_record_and_the_quotes_in_a_reply_are_a_fault() -> None:
    teacher, events = Teacher(), list[Event]()
    answered = 0

    async def leaking(request: Request) -> Reply:
        nonlocal answered
        reply = await teacher(request)
        answered += "<step>" in request.messages[0].content
        return reply._replace(text=f"<record>\n{reply.text}") if answered == 3 and request.sample == 0 else reply

    made = asyncio.run(
        write_draft(leaking, plan(4, text="Write about bread."), write=STATE, bounds=Bounds(min=40, max=60), see=events.append)
    )
    assert isinstance(made, Draft)
    assert [event.fault.reason for event in events if event.fault] == [Reason.LEAKED_PROMPT]
