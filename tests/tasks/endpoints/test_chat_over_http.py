"""The client, the journal and the rehearsal endpoint, over real HTTP."""

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp import web

from tasks.endpoints.chat import Reply, Request, user
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.replay import key_of
from tasks.endpoints.roles import open_role
from tasks.endpoints.wire import shown
from tasks.prompts import fill
from tasks.rehearsal.endpoint import Rehearsal, Switches, rehearsal_server
from tasks.schema.errors import BadSettings, EndpointError, ServerError, Unanswered
from tasks.schema.params import Model
from tasks.schema.settings import Settings, settings
from tasks.text.counts import count_words
from tests.web import served_app

TEACHER = Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=4096)
ASK = "Write a 200-word essay about the history of bread."


def plan_request(sample: int = 0) -> Request:
    form = fill("plan_lines", noun="paragraph", Noun="Paragraph")
    return user(fill("plan", instruction=ASK, words="200", min_words="40", max_words="60", form=form), sample=sample)


def ask(url: str, request: Request, **own: object) -> Reply:
    async def go() -> Reply:
        async with openai_chat("teacher", url, TEACHER, Settings(retries=0).model_copy(update=own)) as chat:
            return await chat(request)

    return asyncio.run(go())


def with_server(switches: Switches, request: Request, **own: object) -> Reply:
    async def go() -> Reply:
        async with (
            rehearsal_server(switches) as url,
            openai_chat("teacher", url, TEACHER, Settings(retries=0).model_copy(update=own)) as chat,
        ):
            return await chat(request)

    return asyncio.run(go())


def test_the_same_request_gets_the_same_answer_and_counts_its_tokens() -> None:
    first, again = with_server(Switches(), plan_request()), with_server(Switches(), plan_request())
    assert first.text == again.text
    assert first.text.startswith("Paragraph 1 - Main Point: ")
    assert first.finish_reason == "stop"
    assert first.usage.prompt > 0
    assert first.usage.completion > 0


@pytest.mark.parametrize("fault", ["rate_limited", "failing", "dropped"])
def test_passing_faults_are_retried_by_the_client(fault: str) -> None:
    async def go() -> list[str]:
        async with (
            rehearsal_server(Switches(**{fault: 0.3})) as url,  # type: ignore[arg-type]
            openai_chat("teacher", url, TEACHER, Settings(retries=8)) as chat,
        ):
            return [(await chat(plan_request(sample))).text for sample in range(6)]

    assert all(text.startswith("Paragraph 1") for text in asyncio.run(go()))


def test_a_fault_that_stays_is_one_clear_error() -> None:
    with pytest.raises(Unanswered, match=r"^teacher: 500 \(something broke\)$"):
        with_server(Switches(failing=1.0), plan_request())


def test_a_wrong_key_names_the_variable_and_never_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_TEACHER_API_KEY", "canary-5ae1")
    with pytest.raises(EndpointError, match="401, the key was refused; set LONGWRITER_TEACHER_API_KEY") as error:
        with_server(Switches(api_key="another"), plan_request())
    assert "canary" not in repr(error.value)
    assert "canary" not in repr(Settings())


def test_a_refused_connection_names_the_url_and_what_to_set() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(EndpointError, match=rf"teacher at http://127\.0\.0\.1:{port}/v1: cannot connect .*set LONGWRITER_TEACHER_URL"):
        ask(f"http://127.0.0.1:{port}/v1", plan_request())


def test_a_password_in_a_url_is_never_shown() -> None:
    assert shown("https://me:secret@host:8000/v1?token=secret") == "https://host:8000/v1"


def test_a_page_instead_of_a_completion_is_an_error() -> None:
    async def go() -> None:
        async def page(_: web.Request) -> web.Response:
            return web.json_response({"hello": "there"})

        application = web.Application()
        application.router.add_post("/v1/chat/completions", page)
        async with served_app(application) as url, openai_chat("teacher", url, TEACHER, Settings(retries=0)) as chat:
            await chat(plan_request())

    with pytest.raises(Unanswered, match="no chat completion"):
        asyncio.run(go())


def test_a_port_in_use_is_named() -> None:
    async def go() -> None:
        async with rehearsal_server(Switches()) as url:
            port = int(url.split(":")[-1].removesuffix("/v1"))
            async with rehearsal_server(Switches(), port=port):
                pass

    with pytest.raises(ServerError, match=r"port \d+ on 127\.0\.0\.1 is in use"):
        asyncio.run(go())


@pytest.mark.parametrize(
    "change", [{"model": "n"}, {"revision": "2"}, {"temperature": 0.1}, {"max_tokens": 2}, {"seed": 1}, {"checkpoint": "c"}]
)
def test_whatever_a_completion_means_is_in_its_key(change: dict[str, object]) -> None:
    identity = {"model": "m", "revision": "1", "temperature": 1.0, "max_tokens": 1, "seed": None, "checkpoint": None}
    assert key_of(user("a"), identity) != key_of(user("a"), identity | change)
    assert len({key_of(r, identity) for r in (user("a"), user("b"), user("a", sample=1), user("a", schema={"type": "object"}))}) == 4


def test_a_url_a_key_and_the_concurrency_are_not_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> tuple[str, int]:
        endpoint = Rehearsal(Switches())
        async with served_app(endpoint.application()) as url:
            monkeypatch.setenv("LONGWRITER_TEACHER_URL", url)
            settings.cache_clear()
            async with open_role("teacher", TEACHER) as chat:
                return (await chat(plan_request())).text, endpoint.answered

    first, answered = asyncio.run(go())
    assert answered == 1
    monkeypatch.setenv("LONGWRITER_CONCURRENCY", "3")
    monkeypatch.setenv("LONGWRITER_TEACHER_API_KEY", "canary-77b0")
    again, answered = asyncio.run(go())
    assert (again, answered) == (first, 0)
    for path in (tmp_path / "home").rglob("*"):
        assert path.is_dir() or b"canary" not in path.read_bytes()


def test_a_model_that_nobody_serves_says_which_url_to_set() -> None:
    async def go() -> None:
        async with open_role("judge", TEACHER.model_copy(update={"name": "gpt-4o"})):
            pass

    with pytest.raises(BadSettings, match=r"models\.judge\.name is gpt-4o, which has no endpoint; set LONGWRITER_JUDGE_URL"):
        asyncio.run(go())


@pytest.mark.parametrize(("text", "words"), [(ASK, 50), ("请写一篇200字的关于面包历史的文章。", 50)])
def test_the_rehearsal_writer_keeps_to_the_words_of_the_step(text: str, words: int) -> None:
    step = f"Paragraph 2 - Main Point: bread - Word Count: {words} words"
    plan = f"Paragraph 1 - Main Point: bread - Word Count: {words} words\n{step}"
    reply = with_server(Switches(), user(fill("write", instruction=text, plan=plan, text="Before.", step=step)))
    assert count_words(reply.text) == words


def test_concurrency_bounds_the_requests_in_flight() -> None:
    async def go() -> int:
        endpoint, most = Rehearsal(Switches(latency=0.02)), 0
        async with (
            served_app(endpoint.application()) as url,
            openai_chat("teacher", url, TEACHER, Settings(concurrency=3)) as chat,
        ):

            async def one(sample: int) -> None:
                nonlocal most
                await chat(plan_request(sample))
                most = max(most, endpoint.active)

            await asyncio.gather(*(one(sample) for sample in range(12)))
        return most

    assert asyncio.run(go()) <= 3


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "localhost:8000/v1", "ftp://host/v1", "http:///v1"])
def test_a_url_that_cannot_be_called_names_the_variable_at_once(url: str) -> None:
    with pytest.raises(BadSettings, match="LONGWRITER_TEACHER_URL: not a URL that begins with http"):
        ask(url, plan_request())


def test_prices_that_are_no_json_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_PRICES", "gpt-4o=2.5")
    settings.cache_clear()
    with pytest.raises(BadSettings, match="LONGWRITER_PRICES: not JSON"):
        settings()
