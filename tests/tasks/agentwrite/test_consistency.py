"""write.consistency: planted contradictions are found and patched, and nothing else changes."""

import asyncio
import json

import pytest

from tasks.agentwrite.consistency import read_replacement
from tasks.agentwrite.writer import Event, write_draft
from tasks.endpoints.chat import Reply, Request
from tasks.judging.contradiction_plants import plant
from tasks.judging.contradictions import KINDS
from tasks.rehearsal import roles
from tasks.rehearsal.statements import contradictory
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.records import Draft, Usage
from tests.tasks.agentwrite.drafts import BOUNDS, WRITE, plan, prose

PARAGRAPHS = 12
CHECKED = WRITE.model_copy(update={"consistency": True, "feedback": False})


def planted(place: int = 0) -> list[str]:
    """The rehearsal's paragraphs with one contradiction of each class."""
    text = "\n\n".join(prose(number, 90) for number in range(1, PARAGRAPHS + 1))
    return plant(text, "en", place=place).text.split("\n\n")


class Teacher:
    """Writes given paragraphs; checks and patches by the rehearsal's rules, or by `patch` and `check` in their place."""

    def __init__(self, paragraphs: list[str], patch: object = None, check: object = None):
        self.paragraphs, self.patch, self.check = paragraphs, patch, check
        self.asked = list[Request]()
        self.written = 0

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        prompt = request.messages[0].content
        if "<step>" in prompt:
            self.written += 1
            return Reply(self.paragraphs[self.written - 1], "stop", Usage(1, 1), 0.0)
        own = self.patch if "<wrong-" in prompt else self.check
        said = own(request) if callable(own) else own
        if isinstance(said, Exception):
            raise said
        text = str(said) if said is not None else roles.answer("rehearsal-teacher", [("user", prompt)], seed=request.sample)
        return Reply(text, "stop", Usage(1, 1), 0.0)


def write(teacher: Teacher, see: list[Event] | None = None, **changes: object) -> Draft:
    watch = see.append if see is not None else lambda _: None
    planned = plan(PARAGRAPHS, 100, text="Write about bread.")
    made = asyncio.run(write_draft(teacher, planned, write=CHECKED.model_copy(update=changes), bounds=BOUNDS, see=watch))
    assert isinstance(made, Draft), made
    return made


@pytest.mark.parametrize("place", range(5))
def test_planted_contradictions_are_patched_by_their_quoted_words_alone(place: int) -> None:
    paragraphs = planted(place)
    before = contradictory("\n\n".join(paragraphs))
    assert {pair.kind for pair in before} == set(KINDS)
    draft = write(Teacher(paragraphs))
    done = draft.consistency
    assert done
    assert (done.unread, len(done.patches)) == (0, len(before))
    assert [patch.problem for patch in done.patches] == [None] * len(before)
    assert contradictory("\n\n".join(draft.paragraphs)) == []
    restored = list(draft.paragraphs)
    for patch in done.patches:
        assert patch.after
        assert restored[patch.paragraph - 1].count(patch.after) == 1
        restored[patch.paragraph - 1] = restored[patch.paragraph - 1].replace(patch.after, patch.before)
    assert restored == paragraphs


def test_off_by_default_nothing_is_asked_and_the_draft_has_no_record_of_it() -> None:
    teacher = Teacher(planted())
    draft = write(teacher, consistency=False)
    assert len(teacher.asked) == PARAGRAPHS
    assert "consistency" not in json.loads(draft.model_dump_json())


def test_a_draft_without_contradictions_costs_its_checks_and_is_unchanged() -> None:
    paragraphs = [prose(number, 90) for number in range(1, PARAGRAPHS + 1)]
    teacher, events = Teacher(paragraphs), list[Event]()
    draft = write(teacher, see=events)
    assert draft.consistency
    assert list(draft.paragraphs) == paragraphs
    assert (draft.consistency.calls, draft.consistency.patches) == (draft.consistency.parts, ())
    assert [event.name for event in events][PARAGRAPHS:] == ["consistency"] * draft.consistency.parts


def test_checks_and_patches_are_labelled_for_the_ledger() -> None:
    teacher = Teacher(planted())
    write(teacher)
    extra = teacher.asked[PARAGRAPHS:]
    assert {(request.record, request.way) for request in extra} == {("1", "consistency")}
    assert {request.way for request in teacher.asked[:PARAGRAPHS]} == {""}


def again(request: Request) -> str:
    """A patch that changes nothing of substance: the contradiction remains."""
    wrong = request.messages[0].content.partition("<wrong-")[2].partition(">\n")[2].partition("\n</wrong-")[0]
    return json.dumps({"replacement": f"Indeed, {wrong}"})


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        (again, "the check finds a contradiction in the new words"),
        (json.dumps({"replacement": "word " * 60}), "the replacement has 60 words in place of"),
        (json.dumps({"replacement": "One.\n\nTwo."}), "the replacement has several lines"),
        ("I would change it.", "no JSON object with the text replacement"),
        (json.dumps({"replacement": "这里的文字现在是用另一种语言写的，而且写了很多很多，" * 2}), "in place of"),
        (Unanswered("nobody there"), "nobody there"),
    ],
)
def test_a_patch_that_fails_a_check_is_not_kept(patch: object, problem: str) -> None:
    paragraphs = planted()
    draft = write(Teacher(paragraphs, patch=patch))
    assert list(draft.paragraphs) == paragraphs
    assert draft.consistency
    assert len(draft.consistency.patches) == len(KINDS)
    for one in draft.consistency.patches:
        assert one.after is None
        assert one.problem
        assert problem in one.problem


def test_a_patch_that_repeats_its_neighbours_is_not_kept() -> None:
    paragraphs = planted()

    def neighbour(request: Request) -> str:
        prompt = request.messages[0].content
        right = prompt[prompt.index("<passage-") :].partition(">\n")[2].partition("\n</passage")[0]
        wrong = prompt[prompt.index("<wrong-") :].partition(">\n")[2].partition("\n</wrong")[0]
        sentence = right[right.index(wrong) + len(wrong) :].strip().partition(".")[0]
        return json.dumps({"replacement": f"{sentence}."})

    draft = write(Teacher(paragraphs, patch=neighbour))
    assert draft.consistency
    assert any("repeat their paragraph" in (one.problem or "") for one in draft.consistency.patches)
    assert all(one.after is None or one.after not in paragraphs[one.paragraph - 1] for one in draft.consistency.patches)


def test_a_second_wording_is_tried_where_the_first_fails() -> None:
    paragraphs = planted()
    teacher = Teacher(paragraphs)

    def patch(request: Request) -> str | None:
        return again(request) if request.sample == 0 else None

    teacher.patch = patch
    draft = write(teacher)
    assert draft.consistency
    assert all(one.after for one in draft.consistency.patches)


@pytest.mark.parametrize("check", ["All is well.", Unanswered("gone"), '{"contradictions": [{"kind": "factual_detail"}]}'])
def test_a_check_that_cannot_be_read_is_counted_and_changes_nothing(check: object) -> None:
    paragraphs = planted()
    draft = write(Teacher(paragraphs, check=check))
    assert list(draft.paragraphs) == paragraphs
    assert draft.consistency
    assert draft.consistency.unread == draft.consistency.parts > 0
    assert draft.consistency.patches == ()


def test_a_long_draft_is_checked_in_windows_of_the_context() -> None:
    paragraphs = planted()
    teacher = Teacher(paragraphs)
    draft = write(teacher, context=4096)
    assert draft.consistency
    assert draft.consistency.parts > 1
    assert contradictory("\n\n".join(draft.paragraphs)) == []
    checks = [request for request in teacher.asked if "<part-" in request.messages[0].content]
    assert max(len(request.messages[0].content.encode()) for request in checks) < 3 * 4096


def test_the_same_replies_give_the_same_draft_and_requests() -> None:
    one, other = Teacher(planted()), Teacher(planted())
    assert write(one) == write(other)
    assert one.asked == other.asked


def test_a_replacement_is_read_strictly() -> None:
    assert read_replacement('Here: {"replacement": " nine windows "}', "six windows") == "nine windows"
    for bad in ("{}", '{"replacement": 3}', '{"replacement": ""}', '{"replacement": "six windows"}', "nine windows"):
        with pytest.raises(ReplyError):
            read_replacement(bad, "six windows")
