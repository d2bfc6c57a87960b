"""Plans by JSON schema: the request, the parsing of replies, and the fallback for an endpoint without schemas."""

import asyncio

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tasks.agentwrite.plan_fields import tidy
from tasks.agentwrite.plan_json import plan_schema, read_plan
from tasks.agentwrite.planner import make_plan
from tasks.endpoints.roles import open_role
from tasks.rehearsal import roles
from tasks.schema.errors import ReplyError
from tasks.schema.params import Bounds, Model, PlanSection
from tasks.schema.records import Instruction, Plan
from tests.tasks.judging.endpoint import serving

JSON = PlanSection(
    version=1, format="json", paragraph_words=Bounds(min=40, max=60), max_paragraphs=5, deviation=0.1, tries=2, max_rejects=0.1
)
TEXT = JSON.model_copy(update={"format": "text"})
TEACHER = Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=4096)
ASK = Instruction.model_validate({"id": "1", "text": "Write a 200-word essay about tea.", "language": "en", "words": 200, "source": "f:1"})
LONG = ASK.model_copy(update={"text": "Write a 900-word essay about tea.", "words": 900})


def plan(*parts: object, **more: object) -> str:
    return orjson.dumps({"paragraphs": parts, **more}).decode()


START = {"main_point": "The start", "word_count": 300}


class Teacher:
    """An endpoint with the rehearsal's rules that remembers the bodies it got, and may refuse every response_format."""

    def __init__(self, *, refuses: bool = False):
        self.refuses, self.bodies = refuses, list[dict[str, object]]()

    async def complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        form = body.get("response_format")
        if form and self.refuses:
            return web.json_response({"error": {"message": "This response_format type is unavailable now"}}, status=400)
        messages = [(message["role"], message["content"]) for message in body["messages"]]
        text = roles.answer(TEACHER.name, messages, seed=0, schema=form and form["json_schema"]["schema"])
        return web.json_response({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": text}}]})

    def planned(self, section: PlanSection, instruction: Instruction = ASK) -> Plan:
        async def go() -> Plan:
            async with open_role("teacher", TEACHER) as chat:
                return await make_plan(chat, instruction, plan=section)

        with serving(self.complete, role="teacher"):
            return asyncio.run(go())

    def forms(self) -> list[bool]:
        return ["response_format" in body for body in self.bodies]


def test_a_plan_is_asked_for_by_schema_and_read_as_json() -> None:
    teacher = Teacher()
    found = teacher.planned(JSON)
    assert [step.words for step in found.steps] == [50, 50, 50, 50]
    form = teacher.bodies[0]["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": "reply", "schema": plan_schema("paragraph"), "strict": True}}


def test_chapters_and_their_paragraphs_are_asked_for_by_schema() -> None:
    teacher = Teacher()
    found = teacher.planned(JSON, LONG)
    assert len(found.chapters) > 1
    assert all(teacher.forms())
    assert sum(step.words for step in found.steps) == 900


def test_an_endpoint_without_schemas_is_asked_for_lines_of_text_and_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    teacher = Teacher(refuses=True)
    found = teacher.planned(JSON, LONG)
    assert teacher.forms() == [True] + [False] * (1 + len(found.chapters))
    assert all("Main Point: [" in str(body["messages"]) for body in teacher.bodies[1:])
    assert all("main_point" not in str(body["messages"]) for body in teacher.bodies[1:])
    said = [line for line in capsys.readouterr().err.splitlines() if "JSON schema" in line]
    assert len(said) == 1
    assert said[0].endswith("it takes no JSON schema: free text is asked for instead")


def test_a_reply_from_the_fallback_is_paid_once() -> None:
    first, again = Teacher(refuses=True), Teacher(refuses=True)
    assert first.planned(JSON) == again.planned(JSON)
    assert again.bodies == []


def test_params_may_ask_for_lines_of_text_alone() -> None:
    teacher = Teacher()
    assert teacher.planned(TEXT).steps == Teacher().planned(JSON).steps
    assert not any(teacher.forms())
    assert "Paragraph 1 - Main Point: [" in str(teacher.bodies[0]["messages"])


def test_a_plan_with_a_fault_is_asked_for_again_by_the_same_schema() -> None:
    said = [plan(START, {"main_point": "The end"}), plan(*[{"main_point": f"part {n}", "word_count": 50} for n in range(4)])]
    bodies: list[dict[str, object]] = []

    async def complete(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.json_response({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": said.pop(0)}}]})

    async def go() -> Plan:
        async with open_role("teacher", TEACHER) as chat:
            return await make_plan(chat, ASK, plan=JSON)

    with serving(complete, role="teacher"):
        assert len(asyncio.run(go()).steps) == 4
    assert bodies[0]["response_format"] == bodies[1]["response_format"]
    assert "paragraph 2: word_count is missing. Give the whole plan again" in str(bodies[1]["messages"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (plan(), "the plan has no paragraphs"),
        (plan(*[START] * 6), "6 paragraphs, at most 5 are allowed"),
        (plan(START, {"main_point": "x"}), "paragraph 2: word_count is missing"),
        (plan({"word_count": 3}), "paragraph 1: main_point is missing"),
        (plan({**START, "title": "x"}), "paragraph 1: title is no field of a plan"),
        (plan({**START, "word_count": "300"}), "paragraph 1: word_count is not a whole number"),
        (plan({**START, "word_count": 3.5}), "paragraph 1: word_count is not a whole number"),
        (plan({**START, "word_count": True}), "paragraph 1: word_count is not a whole number"),
        (plan({**START, "word_count": 0}), "paragraph 1: word_count is below 1"),
        (plan({**START, "word_count": -5}), "paragraph 1: word_count is below 1"),
        (plan({**START, "word_count": 10**9}), "paragraph 1: word_count is above 100000"),
        (plan({**START, "word_count": 1e300}), "paragraph 1: word_count is above 100000"),
        (plan({**START, "main_point": 7}), "paragraph 1: main_point is not a text"),
        (plan({**START, "main_point": " — "}), "paragraph 1: main_point is empty"),
        (plan("The start"), "paragraph 1: it is not an object with main_point and word_count"),
        (plan(START, title="x"), "not a JSON object with the one field paragraphs, a list"),
        (orjson.dumps([START]).decode(), "not a JSON object with the one field paragraphs, a list"),
        ('{"chapters": []}', "not a JSON object with the one field paragraphs, a list"),
        ('{"error": {"message": "overloaded", "code": 529}}', "not a JSON object with the one field paragraphs, a list"),
        (plan(START)[:-3], "the plan is not valid JSON"),
        ("[" * 100_000, "not a plan"),
        ("I'm sorry, I cannot plan this.", "not a plan"),
        ("", "the reply is empty"),
    ],
)
def test_a_plan_that_is_not_as_the_schema_says_is_a_fault_that_says_where(text: str, says: str) -> None:
    with pytest.raises(ReplyError, match=says):
        read_plan(text, max_paragraphs=5)


@pytest.mark.parametrize(
    "text",
    [
        plan(START),
        plan({**START, "word_count": 300.0}),
        f"```json\n{plan(START)}\n```",
        f"Here is the plan:\n\n{plan(START)}\n\nGood luck!",
        f"Sure!\n```\n{plan(START)}\n```\nDone.",
        "Paragraph 1 - Main Point: The start - Word Count: 300 words",
    ],
)
def test_json_is_read_with_a_fence_and_words_around_it_and_text_where_text_comes(text: str) -> None:
    assert [(line.number, line.point, line.words) for line in read_plan(text, max_paragraphs=5)] == [(1, "The start", 300)]


points = st.text(st.characters(codec="utf-8")).map(lambda text: tidy(text) or "x")


@pytest.mark.integration
@given(st.lists(st.tuples(points, st.integers(1, 100_000)), min_size=1, max_size=8))
def test_a_plan_of_any_words_is_read_as_it_was_written(parts: list[tuple[str, int]]) -> None:
    text = orjson.dumps({"chapters": [{"main_point": point, "word_count": words} for point, words in parts]}).decode()
    found = read_plan(text, max_paragraphs=8, noun="chapter")
    assert [(line.point, line.words) for line in found] == parts
