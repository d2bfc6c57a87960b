import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.agentwrite.plan_fields import PlanLine
from tasks.agentwrite.planner import make_plan, parse_plan, plan_or_reject, reconcile, render
from tasks.endpoints.chat import Chat, Reply, Request
from tasks.endpoints.openai_api import openai_chat
from tasks.rehearsal.endpoint import Switches, rehearsal_server
from tasks.schema.errors import ReplyError, Unanswered
from tasks.schema.params import Bounds, Model, PlanSection
from tasks.schema.records import Instruction, Plan, Reason, Reject, Step, Usage
from tasks.schema.settings import Settings

TWO = (Step(point="The start", words=300), Step(point="The end", words=200))
GOOD = render(TWO)
REHEARSAL = PlanSection(
    version=1, format="json", paragraph_words=Bounds(min=40, max=60), max_paragraphs=50, deviation=0.1, tries=2, max_rejects=0.1
)
PAPER = REHEARSAL.model_copy(update={"paragraph_words": Bounds(min=200, max=1000)})
TEACHER = Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=4096)


def lines(*words: int | None) -> list[PlanLine]:
    return [PlanLine(number, "x", count) for number, count in enumerate(words, 1)]


def budgets(words: list[int | None], asked: int, low: int, high: int, deviation: float = 0.1) -> list[int]:
    return [step.words for step in reconcile(lines(*words), asked, bounds=Bounds(min=low, max=high), deviation=deviation)]


def instruction(words: int, language: str = "en") -> Instruction:
    text = f"Write a {words}-word essay about the history of bread." if language == "en" else f"写一篇关于面包历史的文章，{words}字。"
    return Instruction.model_validate({"id": "1", "text": text, "language": language, "words": words, "source": "f:1"})


def test_budgets_near_the_asked_length_are_kept() -> None:
    assert budgets([300, 200], 520, 100, 700) == [300, 200]


def test_budgets_far_from_the_asked_length_are_rescaled_in_their_proportions() -> None:
    assert budgets([300, 200], 1000, 100, 700) == [600, 400]


@pytest.mark.parametrize(
    ("words", "asked", "expected"),
    [
        ([900, 100, 100], 1100, [700, 200, 200]),  # what clipping the first loses goes to the others
        ([10, 10, 1000], 900, [100, 100, 700]),
        ([1000, 400, 10], 1000, [643, 257, 100]),
        ([1, 1, 1], 1000, [334, 333, 333]),
    ],
)
def test_what_clipping_takes_from_one_budget_the_others_get(words: list[int | None], asked: int, expected: list[int]) -> None:
    assert budgets(words, asked, 100, 700) == expected


@pytest.mark.parametrize(
    ("words", "asked", "expected"),
    [
        ([None, None], 500, [250, 250]),
        ([300, None, None], 700, [300, 200, 200]),  # an equal share of what is left
        ([300, 300, None], 600, [200, 200, 200]),  # nothing is left: as long as the others, and all are rescaled
    ],
)
def test_a_missing_count_gets_its_share(words: list[int | None], asked: int, expected: list[int]) -> None:
    assert budgets(words, asked, 100, 700) == expected


@pytest.mark.parametrize(
    ("words", "asked", "says"),
    [
        ([200, 200], 5000, "2 paragraphs of 100 to 400 words cannot add up to the 5000 that are asked for; 12 to 55 would do"),
        ([200] * 20, 500, "20 paragraphs of 100 to 400 words cannot add up to the 500 that are asked for; 2 to 5 would do"),
        ([200], 50, "1 paragraph of 100 to 400 words cannot .* no number of them can"),
    ],
)
def test_paragraphs_that_cannot_carry_the_asked_length_are_refused_with_how_many_would_do(
    words: list[int | None], asked: int, says: str
) -> None:
    with pytest.raises(ReplyError, match=says):
        budgets(words, asked, 100, 400)


@given(
    st.lists(st.none() | st.integers(1, 100_000), min_size=1, max_size=60),
    st.floats(0, 1),
    st.integers(1, 1000),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.1]),
)
def test_whenever_the_bounds_allow_it_budgets_lie_within_them_and_add_up(
    words: list[int | None], share: float, low: int, width: int, deviation: float
) -> None:
    asked = len(words) * low + round(share * len(words) * width)  # within the bounds, whatever is drawn
    given_counts = [count for count in words if count is not None]
    found = budgets(words, asked, low, low + width, deviation)
    assert all(low <= count <= low + width for count in found)
    assert sum(found) == asked or (abs(sum(found) - asked) <= deviation * asked and (None in words or found == given_counts))


class Scripted:
    """A teacher that says its lines in order, then the last one for ever, and remembers what it was asked."""

    def __init__(self, *said: tuple[str, str] | Exception):
        self.said, self.asked = list(said), list[Request]()

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(said, Exception):
            raise said
        return Reply(*said, Usage(1, 1), 0.0)


BOUNDS = REHEARSAL.model_copy(update={"paragraph_words": Bounds(min=100, max=400), "max_paragraphs": 4})


@pytest.mark.parametrize(
    ("text", "finish", "says"),
    [
        ("", "stop", "the reply is empty"),
        ("I'm sorry, but I can't help with that request.", "stop", "not a plan; it begins \"I'm sorry, but I can't help"),
        (GOOD[:40], "length", "cut off at the token limit"),
        ("", "content_filter", "content filter"),
        ("Paragraph 1 - Main Point: x - Word Count: 0 words", "stop", "word count of 0"),
        ("Paragraph 1 - Main Point: x - Word Count: 100 words", "stop", "2 to 4 would do"),
    ],
)
def test_a_bad_plan_is_asked_for_again_with_what_was_wrong_and_then_a_reject(text: str, finish: str, says: str) -> None:
    teacher = Scripted((text, finish), (GOOD, "stop"))
    assert asyncio.run(make_plan(teacher, instruction(500), plan=BOUNDS)).steps == TWO
    assert [request.sample for request in teacher.asked] == [0, 1]
    if text:
        assert says in teacher.asked[1].messages[-1].content
    rejected = asyncio.run(plan_or_reject(Scripted((text, finish)), instruction(500), BOUNDS))
    assert isinstance(rejected, Reject)
    assert (rejected.reason, rejected.id) == (Reason.BAD_PLAN, "1")
    assert says in rejected.detail


def test_a_request_that_nobody_answers_is_a_reject_of_its_own_kind() -> None:
    rejected = asyncio.run(plan_or_reject(Scripted(Unanswered("teacher: 500, in 8 tries")), instruction(500), BOUNDS))
    assert isinstance(rejected, Reject)
    assert (rejected.reason, rejected.detail) == (Reason.UNANSWERED, "teacher: 500, in 8 tries")


def test_a_request_says_how_much_it_expects_and_how_urgent_it_is() -> None:
    teacher = Scripted((GOOD, "stop"))
    asyncio.run(make_plan(teacher, instruction(500), plan=BOUNDS))
    assert (teacher.asked[0].words, teacher.asked[0].urgency) == (50, 500.0)


def test_too_many_paragraphs_become_chapters_where_the_length_bears_them_and_are_refused_where_not() -> None:
    five = "\n".join(f"Paragraph {n} - Main Point: x - Word Count: 160 words" for n in range(1, 6))
    chapters = GOOD.replace("Paragraph", "Chapter")
    teacher = Scripted((five, "stop"), (chapters, "stop"), (GOOD, "stop"))
    plan = asyncio.run(make_plan(teacher, instruction(800), plan=BOUNDS))
    assert [chapter.words for chapter in plan.chapters] == [480, 320]
    assert [step.chapter for step in plan.steps] == [1, 1, 2, 2]
    short = Scripted((five, "stop"), (GOOD, "stop"))
    assert not asyncio.run(make_plan(short, instruction(480), plan=BOUNDS)).chapters
    assert "5 paragraphs, at most 4 are allowed" in short.asked[1].messages[-1].content


def test_a_chapter_that_cannot_be_planned_rejects_the_sample_and_names_the_chapter() -> None:
    chapters = GOOD.replace("Paragraph", "Chapter")
    teacher = Scripted((chapters, "stop"), ("I'm sorry, no.", "stop"))
    with pytest.raises(ReplyError, match=r"chapter 1 of 2: the reply is not a plan.* \(after 2 attempts\)"):
        asyncio.run(make_plan(teacher, instruction(1400), plan=BOUNDS))
    assert len(teacher.asked) == 5  # all chapters are asked for: what is under way is paid for


def rehearsed(work: Callable[[Chat], Awaitable[Plan | Reject]], **switches: float) -> Plan | Reject:
    async def go() -> Plan | Reject:
        async with (
            rehearsal_server(Switches(**switches)) as url,  # type: ignore[arg-type]
            openai_chat("teacher", url, TEACHER, Settings(retries=0)) as chat,
        ):
            return await work(chat)

    return asyncio.run(go())


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("words", "plan", "levels"),
    [
        (200, REHEARSAL, 1),
        (2_500, REHEARSAL, 1),
        (2_501, REHEARSAL, 2),
        (10_000, REHEARSAL, 2),
        (100_000, REHEARSAL, 2),
        (30_000, PAPER, 1),
        (100_000, PAPER, 2),
    ],
)
def test_any_length_is_planned_on_as_many_levels_as_it_takes(words: int, plan: PlanSection, levels: int, language: str) -> None:
    found = rehearsed(lambda chat: make_plan(chat, instruction(words, language), plan=plan))
    assert isinstance(found, Plan)
    assert 1 + bool(found.chapters) == levels
    assert all(step.words in plan.paragraph_words for step in found.steps)
    assert abs(sum(step.words for step in found.steps) - words) <= plan.deviation * words
    assert sum(chapter.words for chapter in found.chapters) == (words if levels == 2 else 0)
    assert sorted({step.chapter for step in found.steps}) == (list(range(1, len(found.chapters) + 1)) or [0])
    back = parse_plan(render(found.steps, found.chapters), max_paragraphs=2500)
    assert [(line.point, line.words) for line in back] == [(step.point, step.words) for step in found.steps]
    assert len({step.point for step in found.steps}) == len(found.steps)


def test_the_prompts_of_the_chapters_share_all_but_their_end() -> None:
    asked: list[str] = []

    async def watched(chat: Chat) -> Plan | Reject:
        async def seen(request: Request) -> Reply:
            asked.append(request.messages[0].content)
            return await chat(request)

        return await make_plan(seen, instruction(10_000), plan=REHEARSAL)

    assert isinstance(rehearsed(watched), Plan)
    heads = {prompt.rpartition("<chapter>")[0] for prompt in asked[1:]}
    assert len(asked) == 5
    assert len(heads) == 1
    assert "Chapter 4 - Main Point: " in heads.pop()


def test_a_text_that_two_levels_cannot_carry_is_a_reject_that_says_what_to_raise() -> None:
    found = rehearsed(lambda chat: plan_or_reject(chat, instruction(200_000), REHEARSAL))
    assert isinstance(found, Reject)
    assert "200000 words are more than 50 chapters of 50 paragraphs carry, about 125000; raise plan.max_paragraphs" in found.detail


@pytest.mark.parametrize("fault", ["empty", "refusing", "non_prose", "truncated", "filtered", "huge"])
@pytest.mark.parametrize("words", [500, 10_000])
def test_an_endpoint_that_never_gives_a_plan_gives_a_reject(fault: str, words: int) -> None:
    found = rehearsed(lambda chat: plan_or_reject(chat, instruction(words), REHEARSAL), **{fault: 1.0})
    assert isinstance(found, Reject)
    assert found.reason == (Reason.UNANSWERED if fault == "huge" else Reason.BAD_PLAN)
    assert len(found.detail) < 300
