"""Replies that are stopped while they come: over real streams, from servers of several habits, with the journal behind them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from tasks.endpoints import openai_api
from tasks.endpoints.chat import Reply, Request, user
from tasks.endpoints.ledger import RoleTotals
from tasks.endpoints.replay import JOURNAL, Paid, read_journal
from tasks.endpoints.roles import open_role
from tasks.endpoints.usage import BYTES_PER_TOKEN
from tasks.endpoints.whole_answers import DRAWS, STOPS, WholeReply, whole_reply
from tasks.rehearsal.prose import paragraph
from tasks.schema.errors import Unanswered
from tasks.schema.params import Model
from tasks.schema.settings import settings
from tasks.text.live_checks import EVERY, Watch
from tests.web import served_app

MODEL = Model(name="m", revision="1", temperature=1.0, max_tokens=8000)
PARAGRAPHS = [paragraph(topic="the village baker", language="en", words=120, part=n, parts=30, seed=2) for n in range(1, 31)]
STORY = "\n\n".join(PARAGRAPHS[:6])
LOOP = "He knew that it was the only thing that he could do. "
LOOPED = STORY[:2000] + LOOP * 550
CHINESE = "\n\n".join(paragraph(topic="面包", language="zh", words=120, part=n, parts=30, seed=2) for n in range(1, 31))
WATCH = Watch("en", 600)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """An endpoint that streams a text in pieces and knows how much of it was taken."""

    def __init__(
        self, text: str, *, piece: int = 37, streams: bool = True, finish: str | None = "stop", done: bool = True, usage: bool = True
    ):
        self.text, self.piece, self.streams, self.finish, self.done, self.usage = text, piece, streams, finish, done, usage
        self.asked = list[dict[str, Any]]()
        self.sent = self.closed = 0

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        self.asked.append(body)
        usage = {"prompt_tokens": 9, "completion_tokens": len(self.text) // 4}
        if not body.get("stream") or not self.streams:
            message = {"role": "assistant", "content": self.text}
            choice = {"index": 0, "finish_reason": self.finish, "message": message}
            return web.json_response({"choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for place in range(0, len(self.text), self.piece):
                await self._say(response, {"choices": [{"index": 0, "delta": {"content": self.text[place : place + self.piece]}}]})
                self.sent = place + self.piece
                await asyncio.sleep(0)
                if request.transport is None or request.transport.is_closing():
                    raise ConnectionResetError
            if self.finish:
                await self._say(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": self.finish}]})
            if self.usage:
                await self._say(response, {"choices": [], "usage": usage})
            if self.done:
                await response.write(b"data: [DONE]\n\n")
        except ConnectionResetError:
            self.closed += 1
        return response

    @staticmethod
    async def _say(response: web.StreamResponse, event: dict[str, Any]) -> None:
        await response.write(b"data: " + orjson.dumps(event) + b"\n\n")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self.complete)
        async with served_app(application) as url:
            yield url


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LONGWRITER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LONGWRITER_RETRIES", "1")
    monkeypatch.setattr(openai_api, "_dialects", {})


def ask(server: Server, *requests: Request) -> tuple[list[Reply], RoleTotals]:
    async def go() -> tuple[list[Reply], RoleTotals]:
        async with server.running() as url, open_role("teacher", MODEL, url=url) as chat:
            return [await chat(request) for request in requests], chat.account

    return asyncio.run(go())


def lines() -> list[Paid]:
    return list(read_journal(settings().home / JOURNAL))


def watched(text: str = "Write 600 words about bread.", *, sample: int = 0) -> Request:
    return user(text, sample=sample)._replace(words=600, watch=WATCH)


def test_a_looping_reply_is_stopped_and_is_no_answer_in_the_journal() -> None:
    server = Server(LOOPED)
    (reply,), account = ask(server, watched())
    assert reply.stopped
    assert reply.stopped.cause == "loop"
    assert reply.text == ""
    assert server.closed == 1
    assert server.sent < len(LOOPED) / 3
    (line,) = lines()
    assert (line.text, line.stopped, line.finish) == ("", "loop", "stopped")
    assert (account.calls, account.stopped) == (1, 1)
    assert account.saved == line.saved == MODEL.max_tokens - line.completion > 2000
    assert server.sent / BYTES_PER_TOKEN * 0.8 <= line.completion <= len(LOOPED) / BYTES_PER_TOKEN / 3


def test_a_stopped_try_is_paid_once_and_asked_in_full_by_a_caller_that_stops_nothing() -> None:
    server = Server(LOOPED)
    (first,), _ = ask(server, watched())
    (again,), account = ask(server, watched())
    assert again == first
    assert (len(server.asked), account.calls, account.replayed) == (1, 0, 1)
    (whole,), account = ask(server, watched()._replace(watch=None))
    assert whole.text == LOOPED
    assert (len(server.asked), account.calls) == (2, 1)
    (judged,), account = ask(server, watched())  # now there is an answer, and it would have been stopped
    assert (judged.stopped, judged.text) == (first.stopped, "")
    assert account.calls == 0


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (LOOPED, "loop"),
        (f"<think>{LOOP * 100}</think>{STORY}", "loop"),
        ("I'm sorry, but I can't help with that request. " + STORY, "refusal"),
        (
            STORY[:1000] + CHINESE,
            "language",
        ),
        ("\n\n".join(PARAGRAPHS), "too_long"),
    ],
)
@pytest.mark.parametrize("streams", [True, False])
def test_what_cannot_become_an_answer_is_stopped_and_a_server_that_does_not_stream_gives_the_same_verdict(
    text: str, cause: str, streams: bool
) -> None:
    server = Server(text, streams=streams)
    (reply,), account = ask(server, watched())
    if cause == "loop" and "<think>" in text and not streams:
        assert reply.stopped is None  # thoughts that came whole harm nobody
        return
    assert reply.stopped
    assert reply.stopped.cause == cause
    assert account.saved > 0 if streams and cause in ("loop", "too_long") else account.saved == 0 or streams
    assert server.closed == streams


@pytest.mark.parametrize("piece", [1, 13, 400, 100_000])
def test_the_verdict_does_not_depend_on_the_pieces(piece: int) -> None:
    (reply,), _ = ask(Server(LOOPED, piece=piece), watched())
    assert reply.stopped
    assert reply.stopped.evidence.startswith("it repeats itself at character 3")


@pytest.mark.parametrize("finish", ["stop", None])
@pytest.mark.parametrize("usage", [True, False])
def test_a_good_reply_is_the_same_whether_it_is_streamed_or_not(finish: str | None, usage: bool) -> None:
    (streamed,), _ = ask(Server(STORY, finish=finish, usage=usage), watched())
    (plain,), _ = ask(Server(STORY, finish=finish), watched(sample=1)._replace(watch=None))
    assert (streamed.text, streamed.finish) == (plain.text, plain.finish) == (STORY, plain.finish)
    assert streamed.stopped is None


def test_a_stream_that_breaks_off_is_a_failed_try_and_no_answer() -> None:
    server = Server(STORY, finish=None, done=False)
    with pytest.raises(Unanswered, match="without a finish reason"):
        ask(server, watched())
    assert len(server.asked) >= 2
    assert not lines()


def test_a_server_that_refuses_streams_is_asked_for_the_whole() -> None:
    class Refusing(Server):
        async def complete(self, request: web.Request) -> web.StreamResponse:
            if orjson.loads(await request.read()).get("stream"):
                return web.json_response({"error": {"message": "streaming is not supported", "param": "stream"}}, status=400)
            return await super().complete(request)

    (reply,), _ = ask(Refusing(STORY), watched())
    assert reply.text == STORY


def test_a_secret_is_not_in_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "sk-abcdefghijklmnop1234567890"
    monkeypatch.setenv("LONGWRITER_TEACHER_API_KEY", secret)
    (reply,), _ = ask(Server(STORY[:1000] + f"The key is {secret} and it is the key. " * 200), watched())
    assert reply.stopped
    assert secret[:12] not in repr(reply)
    assert secret[:12] not in repr(lines())


def test_equal_requests_at_once_are_sent_once_and_one_that_is_not_watched_is_sent_by_itself() -> None:
    server = Server(LOOPED)

    async def go() -> list[Reply]:
        async with server.running() as url, open_role("teacher", MODEL, url=url) as chat:
            return list(await asyncio.gather(chat(watched()), chat(watched()), chat(watched()._replace(watch=None))))

    one, two, whole = asyncio.run(go())
    assert one == two
    assert one.stopped
    assert whole.text == LOOPED
    assert len(server.asked) == 2


@pytest.mark.parametrize("piece", [29, 5000])
def test_a_caller_that_can_use_the_beginning_gets_it_and_it_is_no_answer_either(piece: int) -> None:
    keeping = watched()._replace(watch=WATCH._replace(keeps=True))
    server = Server(LOOPED, piece=piece)
    (first,), _ = ask(server, keeping)
    (again,), account = ask(server, keeping)
    assert again == first
    assert account.calls == 0
    assert first.stopped
    assert LOOPED.startswith(first.text)
    assert len(first.text) % EVERY == 0
    assert 2000 < len(first.text) < 5000
    (whole,), account = ask(server, keeping._replace(watch=None))
    assert (whole.text, account.calls) == (LOOPED, 1)


@pytest.mark.parametrize("loops", [True, False])
def test_an_answer_that_is_stopped_is_asked_for_again_and_the_last_one_is_read_to_its_end(loops: bool) -> None:
    server = Server(LOOPED if loops else STORY, finish="stop")

    async def go() -> WholeReply:
        async with server.running() as url, open_role("candidate", MODEL, url=url, seed=5) as chat:
            return await whole_reply(chat, user("Write 600 words about bread."), WATCH)

    found = asyncio.run(go())
    assert found.stopped == (STOPS if loops else 0)
    assert found.reply.text == (LOOPED if loops else STORY)
    assert [body["seed"] for body in server.asked] == [5 + number * DRAWS for number in range(found.stopped + 1)]
    assert found.tokens == sum(line.completion for line in lines())
