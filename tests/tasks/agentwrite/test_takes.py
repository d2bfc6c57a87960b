"""write.takes, and chapters that are written at the same time: what is chosen, what it costs; a rerun makes the same requests."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from tasks.agentwrite.chapters import ranges
from tasks.agentwrite.estimate import EndpointPace, estimate_one
from tasks.agentwrite.paragraph_checks import Earlier, Unwritable
from tasks.agentwrite.seams import seam_fault
from tasks.agentwrite.takes import penalty, ranked
from tasks.agentwrite.writer import Event, write_draft
from tasks.endpoints.chat import Chat, Reply, Request
from tasks.rehearsal import roles
from tasks.schema.errors import Unanswered
from tasks.schema.params import Write, load
from tasks.schema.records import Draft, Instruction, Plan, Reason, Usage
from tasks.text.counts import count_words
from tests.conftest import ROOT
from tests.tasks.agentwrite.drafts import BOUNDS, WRITE, plan, prose

STEP = re.compile(r"<step>\nParagraph (\d+)")


class Teacher:
    """The rehearsal's rules over an event loop that answers in any order; some replies are replaced."""

    def __init__(self, *, miss: float = 0.0, luck: int = 0, change: Callable[[int, Request, str], str | Exception] | None = None):
        self.miss, self.random, self.change = miss, random.Random(luck), change
        self.asked = list[Request]()

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        prompt = request.messages[0].content
        text: str | Exception = roles.answer("rehearsal-teacher", [("user", prompt)], seed=request.sample, miss=self.miss)
        number = int(found[1]) if (found := STEP.search(prompt)) else 0
        if self.change and isinstance(text, str):
            text = self.change(number, request, text)
        for _ in range(self.random.randrange(5)):
            await asyncio.sleep(0)
        if isinstance(text, Exception):
            raise text
        return Reply(text, "stop", Usage(1, 1), 1.0)

    @property
    def requests(self) -> Counter[tuple[str, int]]:
        return Counter((request.messages[0].content, request.sample) for request in self.asked)


def write(chat: Chat, planned: Plan, see: list[Event] | None = None, **changes: object) -> Draft | Unwritable:
    watch = see.append if see is not None else lambda _: None
    return asyncio.run(write_draft(chat, planned, write=WRITE.model_copy(update=changes), bounds=BOUNDS, see=watch))


def earlier(*paragraphs: str) -> Earlier:
    known = Earlier(plan(2).instruction, "")
    for one in paragraphs:
        known.add(one)
    return known


def test_of_several_takes_the_one_near_its_words_that_repeats_least_is_kept() -> None:
    short, right, looping = prose(1, 20), prose(2, 50), " ".join([prose(3, 10)] * 5)
    assert ranked([short, looping, right], earlier(), asked=50)[0] == right
    before = prose(5, 50)
    assert penalty(before, earlier(before), asked=50) > penalty(prose(6, 50), earlier(before), asked=50)
    equal = [" ".join(f"{name}{number}" for number in range(50)) for name in ("oven", "loaf", "dough")]
    assert ranked(equal, earlier(), asked=50) == equal, "equally good ones stay in their order"


def test_takes_are_asked_for_at_once_and_the_best_is_kept() -> None:
    def change(number: int, request: Request, text: str) -> str:
        return prose(number + 10, {0: 30, 1: 51, 2: 75}[request.sample])

    teacher = Teacher(change=change)
    draft = write(teacher, plan(3), takes=3, feedback=False)
    assert isinstance(draft, Draft)
    assert draft.paragraphs == (prose(11, 51), prose(12, 51), prose(13, 51))
    assert len(teacher.asked) == 9


def test_faulty_takes_are_left_out_and_asked_for_again_only_if_none_is_usable() -> None:
    def change(number: int, request: Request, text: str) -> str | Exception:
        if number == 1:
            return "" if request.sample < 2 else text
        return Unanswered("busy") if request.sample == 0 else text

    teacher = Teacher(change=change)
    draft = write(teacher, plan(2), takes=2, tries=3)
    assert isinstance(draft, Draft)
    assert [request.sample for request in teacher.asked] == [0, 1, 2, 0, 1]
    lost = write(Teacher(change=lambda *_: ""), plan(1), takes=2, tries=2)
    assert isinstance(lost, Unwritable)
    assert lost.reason == Reason.EMPTY
    assert "2 tries" in lost.detail
    gone = write(Teacher(change=lambda *_: Unanswered("busy")), plan(1), takes=2)
    assert isinstance(gone, Unwritable)
    assert gone.reason == Reason.UNANSWERED


def test_the_last_paragraph_is_the_take_that_brings_the_text_to_its_length() -> None:
    def change(number: int, request: Request, text: str) -> str:
        return prose(number + 10 + request.sample, 50 if number == 1 else (40, 58)[request.sample])

    draft = write(Teacher(change=change), plan(2), takes=2)
    assert isinstance(draft, Draft)
    assert draft.paragraphs == (prose(11, 50), prose(13, 58)), "100 words are asked for: 108 are closer than 90"


@pytest.mark.parametrize("clear", [True, False])
def test_duels_choose_what_both_orders_name_and_the_rules_decide_otherwise(clear: bool) -> None:
    def change(number: int, request: Request, text: str) -> str:
        prompt = request.messages[0].content
        if "<first-" not in prompt:
            return prose(request.sample + 1, 50)
        first = prompt.index(prose(1, 50)) < prompt.index(prose(2, 50))
        return '{"winner": "%s"}' % ("first" if first and clear else "second")

    events = list[Event]()
    draft = write(Teacher(change=change), plan(1), events, takes=2, chooser="duels", feedback=False)
    assert isinstance(draft, Draft)
    assert ranked([prose(1, 50), prose(2, 50)], earlier(), asked=50)[0] == prose(2, 50)
    assert draft.paragraphs == (prose(1 if clear else 2, 50),)
    assert sum("comparison" in event.name for event in events) == 2


def chapters(count: int = 3, each: int = 4) -> Plan:
    return plan(count * each, chapters=count)


def test_chapters_are_written_at_the_same_time_with_the_plan_and_their_own_text() -> None:
    teacher = Teacher()
    draft = write(teacher, chapters(), parallel="chapters")
    assert isinstance(draft, Draft)
    assert len(draft.paragraphs) == 12
    firsts = teacher.asked[:3]
    assert [STEP.search(request.messages[0].content)[1] for request in firsts] == ["1", "5", "9"]  # type: ignore[index]
    for request in teacher.asked[:12]:
        prompt = request.messages[0].content
        number = int(STEP.search(prompt)[1])  # type: ignore[index]
        own = range((number - 1) // 4 * 4, number - 1)
        assert all((draft.paragraphs[place] in prompt) == (place in own) for place in range(12))
        assert "Paragraph 12 - Main Point" in prompt
    assert sum(map(count_words, draft.paragraphs)) == pytest.approx(600, rel=0.1)


def test_the_requests_do_not_depend_on_the_order_of_the_replies() -> None:
    """So a rerun from the journal makes the same requests and the same draft."""
    for changes in ({"parallel": "chapters"}, {"takes": 3}, {"takes": 2, "parallel": "chapters", "chooser": "duels"}):
        teachers = [Teacher(miss=0.3, luck=luck) for luck in range(3)]
        drafts = [write(teacher, chapters(), retakes=1, **changes) for teacher in teachers]
        assert drafts[0] == drafts[1] == drafts[2]
        assert teachers[0].requests == teachers[1].requests == teachers[2].requests
        assert max(teachers[0].requests.values()) == 1, "nothing is asked for twice"


def test_a_plan_without_chapters_is_written_serially() -> None:
    one, other = Teacher(), Teacher()
    assert write(one, plan(4), parallel="chapters") == write(other, plan(4))
    assert one.requests == other.requests


def test_a_chapter_that_begins_like_the_end_of_the_one_before_is_asked_for_again_with_the_text_before_it() -> None:
    ending = prose(40, 50)

    def change(number: int, request: Request, text: str) -> str:
        alone = request.messages[0].content.count("the chapter before") == 0 and ending not in request.messages[0].content
        return ending if number == 4 or (number == 5 and alone) else text

    events, teacher = list[Event](), Teacher(change=change)
    draft = write(teacher, chapters(), events, parallel="chapters", feedback=False)
    assert isinstance(draft, Draft)
    assert draft.paragraphs[3] == ending
    assert ending not in draft.paragraphs[4]
    seams = [event for event in events if event.name.startswith("seam")]
    assert [event.name for event in seams] == ["seam at paragraph 5 of 12"]
    assert ending in seams[0].request.messages[0].content
    stubborn = write(Teacher(change=lambda number, _, text: ending if number in (4, 5) else text), chapters(), parallel="chapters")
    assert isinstance(stubborn, Unwritable)
    assert stubborn.reason == Reason.REPEATED


def test_a_paragraph_that_repeats_an_earlier_chapter_is_asked_for_again() -> None:
    def change(number: int, request: Request, text: str) -> str:
        return prose(2, 50) if number == 2 or (number == 10 and prose(2, 50) not in request.messages[0].content) else text

    teacher = Teacher(change=change)
    draft = write(teacher, chapters(), parallel="chapters", feedback=False)
    assert isinstance(draft, Draft)
    assert len(set(draft.paragraphs)) == 12
    assert len(teacher.asked) == 13


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (
            "# The oven\nIt was hot, and the loaves were dark on top.",
            "The oven\nAnother day had begun for the bakers.",
            "heading",
        ),
        (prose(3, 60), "It was late. " + prose(3, 60).partition("\n")[2], "runs of eight words"),
        (
            "The old bakery in Lyon was founded in 1874 by two brothers. They were poor.",
            "Nobody knew. The old bakery in Lyon was founded in 1901 by two brothers.",
            "other figures",
        ),
        ("里昂的老面包店由两兄弟于1874年在河边创立。", "没有人知道。里昂的老面包店由两兄弟于1901年在河边创立。", "other figures"),
        (prose(3, 60), prose(4, 60), ""),
        (prose(3, 450), prose(4, 450), ""),
        ("It was founded in 1874 by two brothers from the hills.", "In 1901 the bakery moved to the square beside the church.", ""),
        ("Hot.", "Hot.", ""),
    ],
)
def test_a_seam_shows_what_is_repeated_or_contradicted(before: str, after: str, why: str) -> None:
    found = seam_fault(after, ["Something else was said first.", before])
    assert (found is not None) == bool(why)
    if found:
        assert why in found.detail


def test_chapters_are_ranges_of_steps() -> None:
    assert ranges(chapters(2, 3)) == [(0, 3), (3, 6)]
    assert ranges(plan(4)) == [(0, 4)]


def test_combinations_that_mean_nothing_are_refused() -> None:
    for changes, said in (
        ({"mode": "direct", "takes": 2}, "set takes: 1"),
        ({"mode": "direct", "parallel": "chapters"}, "set mode: serial"),
        ({"mode": "parallel", "parallel": "chapters"}, "set mode: serial"),
        ({"takes": 0}, "greater than or equal to 1"),
    ):
        with pytest.raises(ValidationError, match=said):
            Write.model_validate(WRITE.model_dump() | changes)


def test_the_estimate_counts_takes_duels_and_the_batches_that_follow_each_other() -> None:
    params = load(ROOT / "params.yaml")
    asked = Instruction(id="0" * 16, text="Write a 3,000-word essay about bread.", language="en", words=3000, source="a:1")
    pace = EndpointPace(1.0, 50.0, "assumed")

    def of(**changes: object) -> tuple[float, int, float]:
        section = params.write.model_copy(update={"mode": "serial", **changes})
        found = estimate_one(asked, plan=params.plan, write=section, pace=pace)
        return found.calls, found.rounds, found.longest

    calls, rounds, longest = of()
    assert calls == rounds
    more, same, near = of(takes=3)
    assert more == pytest.approx(3 * calls, abs=6)
    assert same == rounds
    assert near == pytest.approx(longest, rel=0.2)
    assert of(takes=2, chooser="duels")[1] > rounds
    assert of(mode="parallel")[1] < rounds
