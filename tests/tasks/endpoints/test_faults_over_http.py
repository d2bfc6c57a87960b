"""A faulty endpoint over real HTTP: no reply is lost, no error counts as a reply, and retries do not flood the endpoint."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate

import pytest
from aiohttp import web

from tasks.endpoints import retrying
from tasks.endpoints.chat import Reply, map_async, user
from tasks.endpoints.ledger import cost
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.retrying import RetryingChat
from tasks.endpoints.roles import open_role
from tasks.rehearsal.endpoint import STORM_BEGINS, Rehearsal, Switches
from tasks.schema.errors import BadSettings, EndpointError, SpendCapReached, Unanswered
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.settings import Price, Settings, settings
from tests.web import served_app

TEACHER = Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=4096)
ASK = "Write a 100-word essay about bread, number "

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def all_answered(switches: Switches, count: int, **own: object) -> tuple[list[Reply], Rehearsal, RetryingChat]:
    async def go() -> tuple[list[Reply], Rehearsal, RetryingChat]:
        endpoint = Rehearsal(switches)
        async with (
            served_app(endpoint.application()) as url,
            openai_chat("teacher", url, TEACHER, Settings().model_copy(update=own)) as chat,
        ):
            requests = [user(f"{ASK}{n}")._replace(words=100) for n in range(count)]
            return await map_async(requests, chat, unit="call", label=None), endpoint, chat

    return asyncio.run(go())


def one(handler: Handler, **own: object) -> Reply:
    async def go() -> Reply:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", handler)
        async with (
            served_app(application) as url,
            openai_chat("teacher", url, TEACHER, Settings().model_copy(update={"retries": 1} | own)) as chat,
        ):
            return await chat(user(ASK))

    return asyncio.run(go())


def completion(**more: object) -> dict[str, object]:
    return {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Bread."}}], **more}


def test_a_mixture_of_passing_faults_loses_no_call() -> None:
    replies, endpoint, client = all_answered(Switches(rate_limited=0.1, failing=0.05, dropped=0.03, page=0.03), 150, concurrency=32)
    assert len(replies) == 150
    assert all(reply.text.startswith("Paragraph 1") for reply in replies)
    assert endpoint.answered == 150 < endpoint.requests
    assert client.account.retries == endpoint.requests - 150


def test_while_nobody_is_answered_people_are_told_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(retrying, "NOTICE", 0.3)
    all_answered(Switches(latency=0.01, storm=2.0), 60, concurrency=8)
    said = [line for line in capsys.readouterr().err.splitlines() if "asked again" in line]
    assert 1 <= len(said) <= 15  # after 0.3, 0.6, 1.2 seconds, and again after each answer; not one line per refusal
    assert "teacher at http://127.0.0.1:" in said[0]
    assert "429" in said[0]


def test_a_request_that_is_not_accepted_is_asked_once_and_says_no_more() -> None:
    seen: list[web.Request] = []

    async def too_long(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"error": {"message": "maximum context length is 4096"}}, status=400)

    with pytest.raises(Unanswered, match=r"400, the request is not accepted \(maximum context length is 4096\)$"):
        one(too_long, retries=7)
    assert len(seen) == 1


def test_in_a_storm_no_more_calls_are_sent_than_there_are_slots() -> None:
    start = time.monotonic()
    replies, endpoint, _ = all_answered(Switches(latency=0.01, storm=1.5), 200, concurrency=16)
    assert len(replies) == 200
    assert endpoint.answered > STORM_BEGINS
    assert endpoint.refused <= 2 * 16  # those under way when it begins, and what they let in before the first refusal is read
    assert time.monotonic() - start >= 1.5


def test_a_call_that_hangs_is_given_up_in_time_and_asked_again() -> None:
    start = time.monotonic()
    replies, _, client = all_answered(Switches(latency=0.02, hanging=0.02), 150, concurrency=8)
    assert len(replies) == 150
    assert client.account.retries >= 1
    assert time.monotonic() - start < 30  # not the hour that the endpoint would take, nor settings.timeout


@pytest.mark.parametrize(
    "body",
    [
        "<html>Bad gateway</html>",
        "",
        "[]",
        "{",
        '{"choices": []}',
        '{"choices": [{}]}',
        '{"choices": [{"message": null}]}',
        '{"choices": [{"message": {}}]}',
        '{"choices": [{"text": "Bread."}]}',
        '{"choices": {"message": {"content": "Bread."}}}',
        '"Bread."',
        'data: {"choices": [{"delta": {"content": "Bread."}}]}',
    ],
)
def test_a_body_that_is_no_completion_is_never_an_answer(body: str) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    with pytest.raises(Unanswered, match="no chat completion"):
        one(page)


def test_a_completion_without_usage_is_an_answer() -> None:
    async def plain(_: web.Request) -> web.Response:
        return web.json_response(completion())

    assert one(plain)[:3] == ("Bread.", "stop", Usage(14, 4096, 0))  # what the request was expected to take


def test_an_answer_of_megabytes_is_a_fault_of_the_transport_and_read_no_further() -> None:
    sent = 0

    async def huge(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(4000):
            await response.write(b"x" * 65536)
            sent += 65536
        return response

    with pytest.raises(Unanswered, match=r"the answer is over the size limit: 16 bytes for each of max_tokens, 65,536 bytes"):
        one(huge)
    assert sent < 2 * 64 * 2**20  # of 250 MB, twice


def test_an_answer_that_drips_for_ever_is_given_up() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(600):
            await response.write(b" ")
            await asyncio.sleep(0.1)
        return response

    with pytest.raises(Unanswered, match="no answer within 1 s; raise LONGWRITER_TIMEOUT"):
        one(drip, timeout=1.0, retries=0)


@pytest.mark.parametrize("said", [{"Retry-After": "0.6"}, {"retry-after-ms": "600"}, {"Retry-After": formatdate(time.time() + 3600)}])
def test_retry_after_is_honoured_as_seconds_milliseconds_and_date(said: dict[str, str]) -> None:
    times: list[float] = []

    async def slow_down(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        if len(times) > 1:
            return web.json_response(completion())
        date = {"Retry-After": formatdate(time.time() + 2.0, usegmt=True)} if "GMT" in str(said) or "," in str(said) else said
        return web.json_response({"error": {"message": "slow down"}}, status=429, headers=date)

    assert one(slow_down).text == "Bread."
    assert times[1] - times[0] >= 0.6


@pytest.mark.parametrize("status", [500, 502, 503, 529, 408, 409])
def test_a_fault_of_the_server_passes(status: int) -> None:
    answers = iter([status])

    async def shaky(_: web.Request) -> web.Response:
        return web.json_response(completion() if (now := next(answers, 200)) == 200 else {}, status=now)

    assert one(shaky).text == "Bread."


@pytest.mark.integration
def test_an_endpoint_that_refuses_everybody_for_too_long_stops_the_run() -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "overloaded"}}, status=529)

    with pytest.raises(EndpointError, match=r"529 \(overloaded\); no request was answered within LONGWRITER_PATIENCE, 1 s"):
        one(busy, patience=1.0)


def test_when_all_requests_fail_it_is_the_endpoint_and_when_one_does_it_is_the_request() -> None:
    async def go(poisoned: Callable[[str], bool]) -> list[object]:
        async def picky(request: web.Request) -> web.Response:
            bad = poisoned(await request.text())
            return web.json_response({} if bad else completion(), status=500 if bad else 200)

        application = web.Application()
        application.router.add_post("/v1/chat/completions", picky)
        async with served_app(application) as url, openai_chat("teacher", url, TEACHER, Settings(retries=1, concurrency=4)) as chat:
            return await asyncio.gather(*(chat(user(f"{n} of 20")) for n in range(20)), return_exceptions=True)

    results = asyncio.run(go(lambda text: '"7 of' in text))
    assert [n for n, result in enumerate(results) if isinstance(result, Unanswered)] == [7]
    assert sum(isinstance(result, Reply) for result in results) == 19
    assert any(isinstance(result, EndpointError) for result in asyncio.run(go(lambda _: True)))


def test_a_content_filter_is_an_answer_and_not_a_failure() -> None:
    async def filtering(_: web.Request) -> web.Response:
        return web.json_response({"error": {"code": "content_filter", "message": "blocked"}}, status=400)

    assert one(filtering).finish_reason == "content_filter"


def test_a_redirect_says_where_the_endpoint_is() -> None:
    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": "https://api.example.org/v1/chat/completions?key=secret"})

    with pytest.raises(
        EndpointError, match=r"301, it redirects to https://api\.example\.org/v1/chat/completions; set LONGWRITER_TEACHER_URL"
    ):
        one(moved)


def test_a_message_that_repeats_the_key_is_shown_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_TEACHER_API_KEY", "canary-91c4")

    async def telltale(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": f"bad {request.headers['Authorization']}"}}, status=400)

    with pytest.raises(Unanswered, match=r"400, the request is not accepted \(bad Bearer \*\*\*\)"):
        one(telltale)


def test_a_pause_that_is_longer_than_patience_is_not_waited_for() -> None:
    async def tomorrow(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "quota"}}, status=429, headers={"Retry-After": "86400"})

    with pytest.raises(EndpointError, match=r"429 \(quota\); no request was answered within LONGWRITER_PATIENCE"):
        one(tomorrow)


def test_the_environments_proxy_is_used_and_never_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(request.host)
        return web.json_response(completion())

    async def go() -> None:
        application = web.Application()
        application.router.add_post("/{path:.*}", proxy)
        async with served_app(application) as url:
            monkeypatch.setenv("HTTP_PROXY", url.removesuffix("/v1"))
            monkeypatch.setenv("NO_PROXY", "")
            async with openai_chat("teacher", "http://endpoint.invalid/v1", TEACHER, Settings(retries=0)) as chat:
                await chat(user(ASK))
            async with openai_chat("teacher", url, TEACHER, Settings(retries=0)) as chat:
                await chat(user(ASK))

    asyncio.run(go())
    assert asked[0] == "endpoint.invalid"
    assert asked[1].startswith("127.0.0.1:")


def priced(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    monkeypatch.setenv("LONGWRITER_PRICES", '{"rehearsal-teacher": {"prompt": 10, "cached": 1, "completion": 100}}')
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()


def spend(count: int, answers: list[Reply]) -> float:
    async def go() -> float:
        async with open_role("teacher", TEACHER) as chat:

            async def ask(n: int) -> None:
                answers.append(await chat(user(f"{ASK}{n}")._replace(words=100)))

            await map_async(range(count), ask, unit="call", label=None)
            return chat.account.dollars

    return asyncio.run(go())


def test_a_spend_cap_stops_before_it_is_passed_and_a_higher_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Reply] = []
    priced(monkeypatch, LONGWRITER_SPEND_CAP="0.10", LONGWRITER_CONCURRENCY="4")
    with pytest.raises(SpendCapReached, match=r"\$0\.\d\d of \$0\.10 are spent.*raise LONGWRITER_SPEND_CAP"):
        spend(40, answers)
    price = Price(prompt=10, cached=1, completion=100)
    paid = sum(cost(reply.usage, price) for reply in answers)
    assert 0.01 < paid <= 0.10
    priced(monkeypatch, LONGWRITER_SPEND_CAP="5")
    rest = spend(40, answers := [])
    assert len(answers) == 40
    assert sum(cost(reply.usage, price) for reply in answers) == pytest.approx(paid + rest, abs=0.05)


def test_a_cap_asks_for_no_price_of_what_the_pipeline_serves_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_SPEND_CAP", "0.01")
    settings.cache_clear()
    answers: list[Reply] = []
    assert spend(3, answers) == 0
    assert len(answers) == 3


def test_a_cap_over_a_model_without_a_price_is_refused_before_anything_is_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_SPEND_CAP", "1")
    monkeypatch.setenv("LONGWRITER_TEACHER_URL", "http://127.0.0.1:9/v1")
    settings.cache_clear()

    async def go() -> None:
        async with open_role("teacher", TEACHER.model_copy(update={"name": "gpt-4o"})):
            pass

    with pytest.raises(BadSettings, match="LONGWRITER_PRICES has no price for gpt-4o"):
        asyncio.run(go())


def test_many_requests_to_a_port_where_nobody_is_end_soon_and_in_one_line() -> None:
    async def go() -> None:
        own = Settings().model_copy(update={"retries": 3})
        async with asyncio.timeout(60), openai_chat("teacher", "http://127.0.0.1:9/v1", TEACHER, own) as chat:
            await map_async(range(120), lambda number: chat(user(f"{ASK} {number}")), unit="call", label=None)

    with pytest.raises(
        EndpointError, match=r"teacher at http://127\.0\.0\.1:9/v1: cannot connect .*; start the server or set LONGWRITER_TEACHER_URL"
    ):
        asyncio.run(go())


@pytest.mark.integration
def test_a_server_that_is_back_after_a_restart_gets_as_many_requests_at_once_as_before() -> None:
    """A server that is away is not overloaded: with long replies, a limit that fell to one would take hours to grow."""
    seen, waited = {"now": 0, "most": 0}, list[int]()

    async def answer(_: web.Request) -> web.Response:
        seen["now"] += 1
        seen["most"] = max(seen.values())
        await asyncio.sleep(5.0 if len(waited) else 0.0)
        seen["now"] -= 1
        return web.json_response(completion())

    async def serving(port: int) -> tuple[web.AppRunner, int]:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        return runner, int(runner.addresses[0][1])

    async def go() -> int:
        runner, port = await serving(0)
        own = Settings().model_copy(update={"concurrency": 32, "retries": 8})
        async with openai_chat("teacher", f"http://127.0.0.1:{port}/v1", TEACHER, own) as chat:
            await chat(user(ASK))
            await runner.cleanup()
            waiting = asyncio.create_task(map_async([user(f"{ASK}{n}") for n in range(32)], chat, unit="call", label=None))
            await asyncio.sleep(3)
            waited.append(1)
            runner, _ = await serving(port)
            replies = await waiting
            await runner.cleanup()
        return len(replies)

    assert asyncio.run(go()) == 32
    assert seen["most"] >= 16


def test_a_slow_server_of_the_pipeline_itself_is_waited_for_and_another_is_asked_again() -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(1.5)
        return web.json_response(completion())

    async def go(*, up: bool) -> str:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", slow)
        own = Settings().model_copy(update={"retries": 0, "timeout": 0.3})
        async with served_app(application) as url, openai_chat("teacher", url, TEACHER, own, up=up) as chat:
            return (await chat(user(ASK))).text

    assert asyncio.run(go(up=True)) == "Bread."
    with pytest.raises(Unanswered, match="no answer within"):
        asyncio.run(go(up=False))
