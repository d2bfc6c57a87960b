"""Replies in the formats of real servers, over real HTTP: one reader for all roles, and only the answer counts as text."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tasks.agentwrite.planner import plan_or_reject
from tasks.agentwrite.writer import write_draft
from tasks.corpus.selection import choose
from tasks.endpoints import dialect, openai_api
from tasks.endpoints.chat import Chat, Reply, Request, user, why_empty
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.replay import JOURNAL, ReplayStore, key_of, paid
from tasks.endpoints.roles import open_role
from tasks.judging.templates import read_template
from tasks.judging.verdicts import judge_all
from tasks.longbench.answers import Answers, answer_all, decoding_of
from tasks.rehearsal.endpoint import Switches, rehearsal_server
from tasks.schema.errors import EndpointError, ReplyError, Unanswered
from tasks.schema.finish import Finish, finish_of
from tasks.schema.params import Bounds, Model, PlanSection, Write
from tasks.schema.records import BenchmarkItem, Draft, Instruction, Plan, Prediction, Reject, Step, Usage, Verdict
from tasks.schema.settings import Role, Settings, settings
from tasks.store import Spool
from tests.tasks.judging.endpoint import GOOD, OURS
from tests.web import served_app

MODEL = Model(name="m", revision="1", temperature=0.5, max_tokens=1024)
TEXT = "The oven was lit at dawn, and the village woke to the smell of bread."
THOUGHTS = "The user wants a sentence about bread. I could say more."
Body = dict[str, Any]
Answer = Body | bytes | tuple[int, Body | bytes | str] | web.Response


def body(content: object = TEXT, *, finish: object = "stop", **message: object) -> Body:
    said = {"role": "assistant", "content": content} | message
    usage = {"prompt_tokens": 9, "completion_tokens": 20}
    return {"choices": [{"index": 0, "finish_reason": finish, "message": said}], "usage": usage}


def without_content(**message: object) -> Body:
    found = body(**message)
    del found["choices"][0]["message"]["content"]
    return found


@asynccontextmanager
async def serving(say: Callable[[Body], Answer], seen: list[Body] | None = None) -> AsyncIterator[str]:
    async def complete(request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        if seen is not None:
            seen.append(asked)
        said = say(asked)
        if isinstance(said, web.Response):
            return said
        status, content = said if isinstance(said, tuple) else (200, said)
        raw = json.dumps(content).encode() if isinstance(content, dict) else content.encode() if isinstance(content, str) else content
        return web.Response(body=raw, status=status, content_type="application/json")

    application = web.Application()
    application.router.add_post("/v1/chat/completions", complete)
    async with served_app(application) as url:
        yield url


def ask(
    say: Callable[[Body], Answer] | Answer,
    *requests: Request,
    role: Role = "candidate",
    seen: list[Body] | None = None,
    model: Model = MODEL,
    seed: int | None = None,
    **own: object,
) -> list[Reply]:
    """The replies to the requests, one after the other."""

    async def go() -> list[Reply]:
        answer = say if callable(say) else lambda _: say
        async with serving(answer, seen) as url:
            given = Settings().model_copy(update={"retries": 0} | own)
            async with openai_chat(role, url, model, given, seed=seed) as chat:
                return [await chat(request) for request in requests or (user("Write."),)]

    return asyncio.run(go())


CONTENTS: dict[str, tuple[Body, str]] = {
    "a string": (body(), ""),
    "text parts": (body([{"type": "text", "text": TEXT[:20]}, {"type": "text", "text": TEXT[20:]}]), ""),
    "an output part": (body([{"type": "output_text", "text": TEXT, "annotations": []}]), ""),
    "a part without a type": (body([{"text": TEXT}]), ""),
    "strings as parts": (body([TEXT[:20], TEXT[20:]]), ""),
    "one part, not in a list": (body({"type": "text", "text": TEXT}), ""),
    "a thinking part": (body([{"type": "thinking", "thinking": THOUGHTS}, {"type": "text", "text": TEXT}]), THOUGHTS),
    "a thinking part of parts": (
        body([{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHTS}]}, {"type": "text", "text": TEXT}]),
        THOUGHTS,
    ),
    "a reasoning part": (body([{"type": "reasoning", "text": THOUGHTS}, {"type": "text", "text": TEXT}]), THOUGHTS),
    "hidden thoughts": (body([{"type": "redacted_thinking", "data": "Zm9v"}, {"type": "text", "text": TEXT}]), ""),
    "reasoning_content": (body(reasoning_content=THOUGHTS), THOUGHTS),
    "reasoning": (body(reasoning=THOUGHTS), THOUGHTS),
    "reasoning and its details": (body(reasoning=THOUGHTS, reasoning_details=[{"type": "reasoning.text", "text": THOUGHTS}]), THOUGHTS),
    "thinking": (body(thinking=THOUGHTS), THOUGHTS),
    "empty thoughts": (body(reasoning_content=None, reasoning=""), ""),
    "think": (body(f"<think>\n{THOUGHTS}\n</think>\n\n{TEXT}"), THOUGHTS),
    "thinking tags": (body(f"<thinking>{THOUGHTS}</thinking>{TEXT}"), THOUGHTS),
    "reasoning tags": (body(f"<reasoning>{THOUGHTS}</reasoning>\n{TEXT}"), THOUGHTS),
    "no opening tag": (body(f"{THOUGHTS}\n</think>\n\n{TEXT}"), THOUGHTS),
    "harmony": (body(f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|start|>assistant<|channel|>final<|message|>{TEXT}"), THOUGHTS),
    "Kimi": (body(f"◁think▷{THOUGHTS}◁/think▷{TEXT}"), THOUGHTS),
    "Magistral": (body(f"[THINK]{THOUGHTS}[/THINK]{TEXT}"), THOUGHTS),
    "tags in a text part": (body([{"type": "text", "text": f"<think>{THOUGHTS}</think>{TEXT}"}]), THOUGHTS),
    "a refusal in a field of its own": (body(None, refusal=TEXT), ""),
}
MENTIONS = (
    "Models write <think> and </think> around their thoughts. That is all.",
    "The tag `</think>` ends the thoughts.",
    "An example:\n\n```\n<think>\nHm.\n</think>\n```\n\nThat is all.",
)


@pytest.mark.parametrize("name", CONTENTS)
def test_text_and_thoughts_are_told_apart_in_every_shape_of_content(name: str) -> None:
    said, thoughts = CONTENTS[name]
    (reply,) = ask(said)
    assert (reply.text, reply.reasoning, reply.finish) == (TEXT, thoughts, Finish.ENDED)


@pytest.mark.parametrize("text", MENTIONS)
def test_a_text_that_speaks_of_tags_stays_as_it_is(text: str) -> None:
    (reply,) = ask(body(text))
    assert (reply.text, reply.reasoning, reply.inline) == (text, "", False)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (body(f"<think>{THOUGHTS}", finish="length"), "only reasoning, cut at max_tokens 20: raise models.judge.max_tokens"),
        (body(None, finish="length", reasoning_content=THOUGHTS), "only reasoning, cut at max_tokens 20: raise models.judge.max_tokens"),
        (body("", finish="stop", reasoning=THOUGHTS), "only reasoning and no text after it"),
        (body(None, finish="content_filter"), "stopped by the endpoint's content filter"),
        (body(None, finish="tool_calls", tool_calls=[{"id": "1"}]), "the model called a tool"),
        (without_content(), "the reply is empty"),
    ],
)
def test_an_empty_reply_says_why_it_is_empty(said: Body, why: str) -> None:
    (reply,) = ask(said, role="judge")
    assert reply.text == ""
    assert why in why_empty(reply)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("stop eos eos_token end_turn stop_sequence STOP Stop FinishReason.STOP COMPLETE done", Finish.ENDED),
        ("length max_tokens MAX_TOKENS model_length max_output_tokens token_limit model_context_window_exceeded", Finish.CUT),
        ("content_filter SAFETY content_filtered recitation refusal guardrail_intervened sensitive", Finish.FILTERED),
        ("tool_calls function_call tool_use", Finish.TOOLS),
        ("error abort network_error insufficient_system_resource", Finish.FAILED),
        ("null none banana", Finish.UNKNOWN),
    ],
)
def test_finish_reasons_go_by_one_table(said: str, means: Finish) -> None:
    assert {finish_of(name) for name in said.split()} == {means}
    assert finish_of(None) is finish_of("") is Finish.UNKNOWN


@pytest.mark.parametrize("finish", ["eos_token", "MAX_TOKENS", "banana", None])
def test_the_servers_own_word_is_kept(finish: str | None) -> None:
    (reply,) = ask(body(finish=finish))
    assert reply.finish_reason == (finish or "")


@pytest.mark.parametrize(
    "said",
    [
        body([{"type": "image_url", "image_url": {"url": "x"}}]),
        body([{"type": "text", "text": TEXT}, {"type": "tool_use", "input": {}}]),
        body(5),
    ],
)
def test_content_that_is_no_text_is_refused(said: Body) -> None:
    why, seen = r"the content (has a part of type '(image_url|tool_use)', which is no text|is int, not text)", list[Body]()
    with pytest.raises(Unanswered, match=why):
        ask(said, seen=seen, retries=5)
    assert sum(asked["messages"][0]["content"] == "Write." for asked in seen) == 2


def in_choice(error: Body | None) -> Body:
    found = body(TEXT[:9], finish="error")
    found["choices"][0] |= {"error": error} if error else {}
    return found


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"error": {"message": "slow down", "code": 429}}, r"429 \(an error in a 200: slow down\)"),
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, r"429 \(an error in a 200: slow down\)"),
        ({"error": {"message": "no such key", "code": "invalid_api_key"}}, r"401, the key was refused; set LONGWRITER_CANDIDATE_API_KEY"),
        ({"error": "broken"}, r"an error in a 200 \(broken\)"),
        ({"error": {"message": "broken", "code": 502}}, r"502 \(an error in a 200: broken\)"),
        ({"object": "error", "message": "broken", "code": 500}, r"500 \(an error in a 200: broken\)"),
        ({"detail": "broken"}, r"an error in a 200 \(broken\)"),
        (in_choice({"message": "upstream died", "code": 502}), r"502 \(an error in a 200: upstream died\)"),
        (in_choice(None), r"the answer ended with finish_reason 'error'"),
    ],
)
def test_an_error_in_a_200_is_that_error(said: Body, match: str) -> None:
    with pytest.raises((Unanswered, EndpointError), match=match):
        ask(said, retries=0)


@pytest.mark.parametrize(
    "first", [{"error": {"message": "slow down", "code": 429}}, in_choice({"message": "x", "code": 503}), in_choice(None)]
)
def test_an_error_in_a_200_that_may_pass_is_asked_again(first: Body) -> None:
    answers = iter([first])
    (reply,) = ask(lambda _: next(answers, body()), retries=2)
    assert reply.text == TEXT


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (400, {"message": "bad roles"}, "bad roles"),
        (422, {"detail": "bad roles"}, "bad roles"),
        (422, {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "bad role", "type": "enum"}]}, "messages.0.role: bad role"),
        (400, {"error": "bad roles"}, "bad roles"),
        (400, {"error": {"error": {"message": "bad roles"}}}, "bad roles"),
        (400, {"error": {"message": json.dumps({"error": {"message": "bad roles"}})}}, "bad roles"),
        (400, {"error": {"message": "upstream", "metadata": {"raw": '{"detail": "bad roles"}'}}}, "upstream; bad roles"),
        (400, {"errors": [{"message": "bad roles"}]}, "bad roles"),
        (400, {"code": 1214, "msg": "bad roles"}, "bad roles"),
        (400, "bad\nroles", "bad roles"),
        (400, "<html><head><title>400 Bad\nRoles</title></head><body>x</body></html>", "400 Bad Roles"),
        (400, "<html><body><p>bad</p><p>roles</p></body></html>", "bad roles"),
        (400, "", "no reason given"),
    ],
)
def test_the_reason_of_a_refusal_is_shown_in_one_line(status: int, said: Body | str, reason: str) -> None:
    with pytest.raises(Unanswered) as raised:
        ask((status, said))
    assert str(raised.value).endswith(f"{status}, the request is not accepted ({reason})")


def test_a_long_reason_is_cut() -> None:
    with pytest.raises(Unanswered) as raised:
        ask((400, {"error": {"message": "no " * 10_000}}))
    assert len(str(raised.value)) < 320


def refusing(**refusals: str | tuple[int, Body]) -> Callable[[Body], Answer]:
    """An endpoint that refuses fields of the request, named by FIELD or FIELD__VALUE, with a message or a whole refusal."""

    def say(asked: Body) -> Answer:
        for name, said in refusals.items():
            field, _, value = name.partition("__")
            given = asked.get(field)
            if field in asked and (not value or (isinstance(given, dict) and given["type"] == value)):
                return said if isinstance(said, tuple) else (400, {"error": {"message": said}})
        return body(GOOD)

    return say


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("refused", "field"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "max_tokens"),
        ("Unrecognized request argument supplied: seed", "seed"),
        ("seed is not a valid parameter", "seed"),
        ((422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}), "seed"),
        ((400, {"error": {"message": "Bad value", "param": "seed", "code": "unsupported_parameter"}}), "seed"),
        ((200, {"error": {"message": "Unknown parameter: seed", "code": 400}}), "seed"),
    ],
)
def test_what_an_endpoint_cannot_take_is_learned_once_and_said(
    refused: str | tuple[int, Body], field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Body] = []
    replies = ask(refusing(**{field: refused}), *(user(f"Write {n}.") for n in range(3)), seen=seen, seed=7)
    assert [reply.text for reply in replies] == [GOOD] * 3
    assert [field in asked for asked in seen] == [True, False, False, False]
    assert [asked.get("max_completion_tokens", asked.get("max_tokens")) for asked in seen] == [1024] * 4
    assert capsys.readouterr().err.count(f"it takes no {field}") == 1


@pytest.mark.parametrize(
    ("refused", "forms"),
    [
        ({}, ["json_schema"]),
        ({"response_format__json_schema": "This response_format type is unavailable now"}, ["json_schema", "json_object"]),
        ({"response_format__json_schema": (422, {"detail": "response_format.type: Input should be 'text' or 'json_object'"})},
         ["json_schema", "json_object"]),
        ({"response_format__json_schema": (500, {"error": "json_schema is not supported here"})}, ["json_schema", "json_object"]),
        ({"response_format": "Unknown field: response_format"}, ["json_schema", "json_object", None]),
    ],
)  # fmt: skip
def test_without_a_json_schema_the_schema_is_put_into_the_prompt(refused: dict[str, Any], forms: list[str | None]) -> None:
    seen: list[Body] = []
    requests = [user("Judge.", schema=SCHEMA), user("Judge again.", schema=SCHEMA)]
    assert [reply.text for reply in ask(refusing(**refused), *requests, seen=seen, role="judge")] == [GOOD, GOOD]
    assert [asked.get("response_format", {}).get("type") for asked in seen] == [*forms, forms[-1]]
    last = seen[-1]["messages"][-1]["content"]
    assert last.startswith("Judge again.")
    assert (json.dumps(SCHEMA, separators=(",", ":")) in last) is (forms[-1] != "json_schema")


def test_a_temperature_that_is_refused_is_dropped_where_it_is_the_default_and_an_error_elsewhere() -> None:
    seen: list[Body] = []
    said = "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported."
    refusal = refusing(temperature=said)
    (reply,) = ask(refusal, seen=seen, model=MODEL.model_copy(update={"temperature": 1.0}))
    assert reply.text == GOOD
    assert ["temperature" in asked for asked in seen] == [True, False]
    with pytest.raises(
        EndpointError, match=r"accepts only its default temperature, and models\.candidate\.temperature is 0\.5; fix: set it to 1"
    ):
        ask(refusal)


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens is too large: 1024. This model supports at most 512 completion tokens",
        "This model's maximum context length is 512 tokens; lower max_tokens or max_completion_tokens",
        "seed must be less than 100",
        "temperature must be between 0 and 0.3",
        "messages: unknown role",
    ],
)
def test_a_value_that_is_refused_is_no_field_that_is(said: str) -> None:
    seen: list[Body] = []
    with pytest.raises(Unanswered, match="400, the request is not accepted"):
        ask((400, {"error": {"message": said}}), seen=seen, seed=7)
    assert len(seen) == 1


def test_an_endpoint_that_can_take_nothing_is_learned_step_by_step() -> None:
    seen: list[Body] = []
    picky = refusing(
        max_tokens="max_tokens is unsupported, use max_completion_tokens",
        seed="unknown parameter seed",
        response_format="response_format is not supported",
        temperature="temperature is not supported",
    )
    ask(picky, user("Judge.", schema=SCHEMA, sample=1), seen=seen, model=MODEL.model_copy(update={"temperature": 1.0}))
    assert set(seen[-1]) == {"model", "messages", "max_completion_tokens"}
    assert len(seen) == 6


def test_what_was_learned_is_known_to_the_next_stage_for_a_day_and_has_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage is a process: what a process knows in memory is taken away between the two."""
    seen: list[Body] = []
    known = settings().home / dialect.FILE

    async def stage(url: str, model: Model = MODEL) -> None:
        monkeypatch.setattr(openai_api, "_dialects", {})
        async with openai_chat("judge", url, model, settings(), seed=7) as chat:
            await chat(user("Judge.", schema=SCHEMA))

    async def go() -> list[int]:
        tries = []
        async with serving(refusing(seed="unknown parameter seed"), seen) as url:
            secret = url.replace("://", "://user:pass-word-1@") + "?key=abc-secret"

            async def tried() -> None:
                seen.clear()
                await stage(secret)
                tries.append(len(seen))

            await tried()
            await tried()
            assert "pass-word-1" not in known.read_text()
            assert "abc-secret" not in known.read_text()
            note = json.loads(known.read_text())
            for entry in note.values():
                entry["learned"] -= dialect.REMEMBERED + 1
            for text in ("{", "[]", '{"x": 1}', json.dumps(note)):  # damaged, or too old
                known.write_text(text)
                await tried()
        return tries

    assert asyncio.run(go()) == [2, 1, 2, 2, 2, 2]

    async def another_temperature() -> None:
        async with serving(refusing(temperature="temperature is not supported"), seen) as url:
            await stage(url, MODEL.model_copy(update={"temperature": 1.0}))
            with pytest.raises(EndpointError, match=r"accepts only its default temperature, and models\.judge\.temperature is 0\.5"):
                await stage(url)

    asyncio.run(another_temperature())


@pytest.mark.parametrize(
    "said",
    [
        "<html><title>Bad gateway</title></html>",
        {"choices": []},
        {"choices": [{"index": 0, "finish_reason": "stop"}]},
        {"error": {"message": "x", "code": 500}},
        body([{"type": "image_url"}]),
        body(finish="error"),
        web.Response(body=gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"}),
    ],
)
def test_what_is_no_answer_is_never_kept(said: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([said])

    async def go() -> tuple[str, int]:
        seen: list[Body] = []

        def say(_: Body) -> Answer:
            first = next(answers, body())
            return (200, first) if isinstance(first, str) else first

        async with serving(say, seen) as url:
            monkeypatch.setenv("LONGWRITER_TEACHER_URL", url)
            monkeypatch.setenv("LONGWRITER_RETRIES", "0")
            settings.cache_clear()
            async with open_role("teacher", MODEL) as chat:
                with pytest.raises((Unanswered, EndpointError)):
                    await chat(user("Write."))
                assert kept_in(settings().home / JOURNAL) == []
                return (await chat(user("Write."))).text, len(seen)

    assert asyncio.run(go())[0] == TEXT


def kept_in(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines() if b'"text"' in line]


def test_thoughts_come_out_of_the_journal_again_and_out_of_old_records(tmp_path: Path) -> None:
    store = ReplayStore(tmp_path / "journal")
    new, old, failed = (key_of(user(name), {}) for name in ("new", "old", "failed"))
    (reply,) = ask(body(f"<think>{THOUGHTS}</think>{TEXT}"), role="teacher")
    store.put(new, paid("teacher", "m", reply))
    store.put(old, paid("teacher", "m", Reply(f"<think>{THOUGHTS}</think>{TEXT}", "eos", Usage(1, 1), 0.0))._replace(reasoning=None))
    store.put(failed, paid("teacher", "m", Reply("", "oversize", Usage(1, 1), 0.0)))
    assert store.get(new) == reply
    found = store.get(old)
    assert found is not None
    assert (found.text, found.reasoning, found.inline, found.finish) == (TEXT, THOUGHTS, True, Finish.ENDED)
    assert store.get(failed) is None
    store.close()


INSTRUCTION = Instruction(id="1", text="Write 200 words about bread.", language="en", words=200, source="f:1")
BOUNDS = Bounds(min=50, max=150)
STEPS = (Step(point="the oven", words=100), Step(point="the flour", words=100))
PLAN = "Paragraph 1 - Main Point: the oven - Word Count: 100 words\nParagraph 2 - Main Point: the flour - Word Count: 100 words"
DRESSES: dict[str, Callable[[str], Body]] = {
    "parts": lambda text: body([{"type": "thinking", "thinking": THOUGHTS}, {"type": "text", "text": text}]),
    "tags": lambda text: body(f"<think>\nParagraph 1 has 900 words. {{}} {THOUGHTS}\n</think>\n\n{text}", finish="eos"),
    "a closing tag": lambda text: body(f"Paragraph 1 has 900 words. {THOUGHTS}\n</think>\n\n{text}", finish="end_turn"),
    "a field": lambda text: body(text, finish=None, reasoning_content=THOUGHTS),
    "harmony": lambda text: body(f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|start|>assistant<|channel|>final<|message|>{text}"),
}


def worked(say: Callable[[Body], Answer], work: Callable[[Chat], Any], role: Role = "teacher") -> Any:
    async def go() -> Any:
        async with serving(say) as url, openai_chat(role, url, MODEL, Settings(retries=0)) as chat:
            return await work(chat)

    return asyncio.run(go())


def paragraph(asked: Body) -> str:
    prompt = asked["messages"][-1]["content"]
    about = "oven" if "Paragraph 1 -" in prompt.rpartition("<step>")[2] else "flour"
    places = ("kitchen", "yard", "mill", "cellar", "market", "church", "school", "bridge", "field")
    return " ".join(f"The {about} of the {place} was known to everyone in the village by now." for place in places)


@pytest.mark.parametrize("dress", DRESSES)
def test_every_role_reads_the_same_reply(dress: str, tmp_path: Path) -> None:
    dressed = DRESSES[dress]
    section = PlanSection(version=1, format="json", paragraph_words=BOUNDS, deviation=0.1, max_paragraphs=20, tries=1, max_rejects=0.5)
    planned = worked(lambda _: dressed(PLAN), lambda chat: plan_or_reject(chat, INSTRUCTION, section))
    assert isinstance(planned, Plan)
    assert [step.words for step in planned.steps] == [100, 100]

    writing = Write(version=1, mode="serial", feedback=False, context=8000, tries=1, retakes=0, max_rejects=0.5)
    draft = worked(lambda asked: dressed(paragraph(asked)), lambda chat: write_draft(chat, planned, write=writing, bounds=BOUNDS))
    assert isinstance(draft, Draft), draft
    assert draft.paragraphs[0].startswith("The oven of the kitchen")

    choice = '{"needs_long_answer": true, "words": 200, "topic": "essay"}'
    assert worked(lambda _: dressed(choice), lambda chat: choose(chat, INSTRUCTION.text), "selector").words == 200

    item = BenchmarkItem(id="a", prompt="Write 100 words.", type="", length=100, language="en")
    decoding = decoding_of(MODEL, seed=None, checkpoint=None)
    answers = Answers(tmp_path)
    asked = partial(answer_all, items=[item], answers=answers, model="m", samples=1, decoding=decoding)
    worked(lambda _: dressed(TEXT), asked, "candidate")
    (answer,) = answers.predictions()
    assert (answer.response, THOUGHTS in answer.reasoning) == (TEXT, True)

    verdict = worked(lambda _: dressed(GOOD), lambda chat: judged(chat, answer), "judge")
    assert verdict.rubric is not None
    assert (verdict.replies, THOUGHTS in verdict.reasoning[0]) == ((GOOD,), True)


async def judged(chat: Chat, answer: Prediction) -> Any:
    template = read_template(OURS)
    said = Spool()
    await judge_all(chat, [answer], said, count=1, template=template, repeats=1, tries=1, judge="j", second=False, label=None)
    return said.at(0, Verdict)


@pytest.mark.parametrize("finish", [None, "banana"])
def test_without_a_finish_reason_a_paragraph_has_to_end_its_last_sentence(finish: str | None) -> None:
    writing = Write(version=1, mode="serial", feedback=False, context=8000, tries=1, retakes=0, max_rejects=0.5)
    plan = Plan(instruction=INSTRUCTION, steps=STEPS)
    work = partial(write_draft, plan=plan, write=writing, bounds=BOUNDS)
    cut = worked(lambda asked: body(paragraph(asked)[:-7], finish=finish), work)
    whole = worked(lambda asked: body(paragraph(asked), finish=finish), work)
    assert isinstance(whole, Draft)
    assert not isinstance(cut, Draft)
    assert cut.reason == "truncated"
    assert f"finish reason{f' {finish!r}' if finish else ''}, and no sentence ends it: …" in cut.detail


def test_a_plan_and_a_paragraph_of_thoughts_alone_say_what_to_raise() -> None:
    section = PlanSection(version=1, format="json", paragraph_words=BOUNDS, deviation=0.1, max_paragraphs=20, tries=1, max_rejects=0.5)
    said = body(f"<think>{THOUGHTS}", finish="length")
    rejected = worked(lambda _: said, lambda chat: plan_or_reject(chat, INSTRUCTION, section))
    assert isinstance(rejected, Reject)
    assert "only reasoning, cut at max_tokens 20: raise models.teacher.max_tokens" in rejected.detail
    writing = Write(version=1, mode="serial", feedback=False, context=8000, tries=1, retakes=0, max_rejects=0.5)
    plan = Plan(instruction=INSTRUCTION, steps=STEPS)
    lost = worked(lambda _: said, lambda chat: write_draft(chat, plan, write=writing, bounds=BOUNDS))
    assert lost.reason == "truncated"
    assert "raise models.teacher.max_tokens" in lost.detail
    with pytest.raises(ReplyError, match=r"only reasoning, cut at max_tokens 20: raise models\.selector\.max_tokens"):
        worked(lambda _: said, lambda chat: choose(chat, INSTRUCTION.text), "selector")


def test_a_draft_is_the_same_whether_its_teacher_thinks_aloud_or_not() -> None:
    short = Bounds(min=40, max=60)
    section = PlanSection(version=1, format="json", paragraph_words=short, deviation=0.1, max_paragraphs=20, tries=1, max_rejects=0.5)
    writing = Write(version=1, mode="serial", feedback=True, context=8000, tries=1, retakes=1, max_rejects=0.5)
    teacher = Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=4096)

    async def drafted(switches: Switches) -> Draft:
        async with rehearsal_server(switches) as url, openai_chat("teacher", url, teacher, Settings(retries=0)) as chat:
            planned = await plan_or_reject(chat, INSTRUCTION, section)
            assert isinstance(planned, Plan)
            draft = await write_draft(chat, planned, write=writing, bounds=short)
            assert isinstance(draft, Draft)
            return draft

    plain, thinking = asyncio.run(drafted(Switches())), asyncio.run(drafted(Switches(thinking=0.5, parts=1.0)))
    assert plain == thinking
