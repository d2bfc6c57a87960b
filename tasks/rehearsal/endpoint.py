"""The rehearsal endpoint: a real HTTP server with the OpenAI API that answers for every role by rules.

It tests the pipeline and estimates a run before money is spent. It is not a language model and must not be called one. Replies
are deterministic for a request (messages and seed), in English and Chinese. Switches add latency and faults. Start one with
`python -m tasks.rehearsal.endpoint --port 8000`.
"""

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Annotated, Any, NamedTuple

import orjson
import typer
from aiohttp import web

from tasks.rehearsal import prose, roles
from tasks.schema.errors import BadSettings, ServerError
from tasks.text.counts import count_words

HOST = "127.0.0.1"
BLOCK = 256  # bytes of a prompt per block of the prefix cache


class Switches(NamedTuple):
    """Latency, limits and faults of the endpoint. Faults are rates from 0 to 1 unless noted.

    Transport faults are temporary: they depend on the seed and the number of the request, so a second try may succeed. Text faults are
    permanent: they depend on the request itself, so the same request always gets the same bad text.
    """

    latency: float = 0.0  # seconds before the first token
    tokens_per_second: float = 0.0  # per reply; 0: no delay
    slots: int = 0  # concurrent replies; other requests wait; 0: no limit
    most: int = 0  # concurrent requests; 429 for any more; 0: no limit
    rate_limited: float = 0.0  # 429 with Retry-After: 0
    failing: float = 0.0  # 500
    dropped: float = 0.0  # the connection is closed without an answer
    hanging: float = 0.0  # no answer for an hour
    page: float = 0.0  # 200 with an HTML page
    storm: float = 0.0  # seconds, after STORM_BEGINS replies, in which every request gets 429 with Retry-After
    empty: float = 0.0  # 200 with no text
    refusing: float = 0.0  # 200 with a refusal
    non_prose: float = 0.0  # 200 with text that does not answer the request
    truncated: float = 0.0  # finish_reason length, half of the text
    filtered: float = 0.0  # finish_reason content_filter
    huge: float = 0.0  # HUGE bytes of text
    repeating: float = 0.0  # the last paragraph of the prompt is repeated
    thinking: float = 0.0  # reasoning before the text, in <think> tags
    parts: float = 0.0  # content as a list of parts, with a separate part for the reasoning
    miss: float = 0.0  # largest relative error of a paragraph's length
    reach: int = 0  # words that a teacher writes at most in one reply of many paragraphs; 0: no limit
    short: float = 0.0  # such replies that have only 40% to 90% of the words asked for, also within `reach`
    condensing: float = 0.0  # such replies with too few words that shorten each paragraph; the others end early
    looping: float = 0.0  # the second half of the text is one sentence, repeated up to max_tokens
    switching: float = 0.0  # the second half of the text is in the other language
    overlooking: float = 0.0  # contradictions of a text that the judge and the teacher do not report
    api_key: str = ""  # 401 for any other
    seed: int = 0


STORM_BEGINS = 20
HUGE = 4 * 2**20
PIECE = 64  # characters of an event of a stream
THOUGHTS = 'Paragraph 1 could have 900 words, and {"relevance": 5} could be said, but first things first.'


class Rehearsal:
    """One endpoint. `answered`: complete replies sent; `active`: requests in progress; `busy`: seconds of all slots together."""

    def __init__(self, switches: Switches):
        self.switches = switches
        self.requests = self.answered = self.active = self.refused = self.stopped = 0
        self.tokens = 0  # of all replies, as far as they were sent
        self.busy = 0.0
        self.served: Counter[str] = Counter()  # complete replies per request; more than 1 means that the caller paid twice
        self._slots = asyncio.Semaphore(switches.slots) if switches.slots else nullcontext()
        self._storm_ends: float | None = None
        self._seen: set[bytes] = set()  # digests of prompt prefixes, to imitate a prefix cache

    def application(self) -> web.Application:
        application = web.Application(client_max_size=64 * 2**20)
        application.router.add_post("/v1/chat/completions", self.complete)
        application.router.add_get("/v1/models", self.models)
        application.router.add_get("/health", self.health)
        application.router.add_get("/served", self.list_served)
        return application

    async def health(self, _: web.Request) -> web.Response:
        counts = {"requests": self.requests, "answered": self.answered, "active": self.active, "refused": self.refused}
        return web.json_response({**counts, "busy_s": self.busy, "stopped": self.stopped, "tokens": self.tokens})

    async def list_served(self, _: web.Request) -> web.Response:
        return web.json_response(self.served)

    async def models(self, _: web.Request) -> web.Response:
        names = [f"rehearsal-{role}" for role in ("teacher", "selector", "judge", "judge-strict", "candidate")]
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "rehearsal"} for name in names]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.active += 1
        try:
            return await self._complete(request)
        except ConnectionResetError:  # the caller closed the connection during its request
            return _error(400, "the request was not sent whole")
        finally:
            self.active -= 1

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        switches = self.switches
        if switches.api_key and request.headers.get("Authorization") != f"Bearer {switches.api_key}":
            return _error(401, "the API key is wrong")
        raw = await request.read()
        try:
            body = orjson.loads(raw)
            messages = [(str(message["role"]), str(message["content"])) for message in body["messages"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return _error(400, "not a chat completion request")
        luck = random.Random(f"{switches.seed} {self.requests}").random if any(switches[3:10]) else None
        if luck and (fault := await self._fault(request, luck)):
            return fault
        asked = hashlib.sha256(raw).hexdigest()[:32]
        async with self._slots:
            start = time.monotonic()
            text, finish = self._text(body, messages, asked)
            if body.get("stream"):
                return await self._stream(request, body, messages, text, finish, asked, start)
            if wait := switches.latency + (_tokens(text) / switches.tokens_per_second if switches.tokens_per_second else 0.0):
                await asyncio.sleep(wait - (time.monotonic() - start))
            self.busy += time.monotonic() - start
        cached = self._cached(messages)
        completion = _completion(body, messages, text, finish, cached)
        self._dress(completion["choices"][0]["message"], asked)
        response = web.Response(body=orjson.dumps(completion), content_type="application/json")
        self.answered += 1
        self.served[asked] += 1
        self.tokens += completion["usage"]["completion_tokens"]
        return response

    async def _stream(
        self,
        request: web.Request,
        body: dict[str, Any],
        messages: list[tuple[str, str]],
        text: str,
        finish: str,
        asked: str,
        start: float,
    ) -> web.StreamResponse:
        """Send the text as server-sent events. A reply counts as stopped if the caller closes the connection."""
        completion = _completion(body, messages, text, finish, self._cached(messages))
        message = completion["choices"][0].pop("message")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await asyncio.sleep(self.switches.latency)
        await response.prepare(request)
        pieces = [message["content"][place : place + PIECE] for place in range(0, len(message["content"]), PIECE)]
        base = {name: completion[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        try:
            for piece in pieces:
                await response.write(_event({**base, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}))
                self.tokens += (sent := _tokens(piece))
                await asyncio.sleep(sent / self.switches.tokens_per_second if self.switches.tokens_per_second else 0)
                if request.transport is None or request.transport.is_closing():
                    raise ConnectionResetError
            await response.write(_event({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
            if (body.get("stream_options") or {}).get("include_usage"):
                await response.write(_event({**base, "choices": [], "usage": completion["usage"]}))
            await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        except ConnectionResetError:
            self.stopped += 1
            return response
        finally:
            self.busy += time.monotonic() - start
        self.answered += 1
        self.served[asked] += 1
        return response

    async def _fault(self, request: web.Request, luck: Callable[[], float]) -> web.StreamResponse | None:
        """The response of a transport fault, or None."""
        switches, now = self.switches, time.monotonic()
        if switches.storm and self._storm_ends is None and self.answered >= STORM_BEGINS:
            self._storm_ends = now + switches.storm
        if self._storm_ends and now < self._storm_ends:
            self.refused += 1
            return _error(429, "slow down", {"Retry-After": f"{self._storm_ends - now + 0.01:.2f}"})
        if luck() < switches.rate_limited or 0 < switches.most < self.active:
            self.refused += 1
            return _error(429, "slow down", {"Retry-After": "0"} if luck() < switches.rate_limited else {})
        if luck() < switches.failing:
            return _error(500, "something broke")
        if luck() < switches.dropped and request.transport:
            request.transport.close()
            return _error(500, "dropped")
        if luck() < switches.page:
            return web.Response(text="<html><body>Bad gateway</body></html>", content_type="text/html")
        if luck() < switches.hanging:
            await _hang(request)
            return _error(500, "it took too long")
        return None

    def _text(self, body: dict[str, Any], messages: list[tuple[str, str]], asked: str) -> tuple[str, str]:
        switches, luck = self.switches, random.Random(f"{self.switches.seed} {asked}").random

        def luck_of(name: str) -> float:
            return random.Random(f"{switches.seed} {asked} {name}").random()

        seed = int(body.get("seed") or 0) + switches.seed
        share = 0.4 + 0.5 * luck_of("share") if luck_of("short") < switches.short else 1.0
        reach = roles.TeacherReach(switches.reach, share, condensed=luck_of("condensed") < switches.condensing)
        text = roles.answer(
            str(body.get("model", "")),
            messages,
            seed=seed,
            miss=switches.miss,
            schema=_schema(body),
            reach=reach,
            overlooking=switches.overlooking,
        )
        if luck_of("switch") < switches.switching:
            text = _switched(text)
        if luck_of("loop") < switches.looping:
            return _looped(text, most=int(body.get("max_tokens") or 4096)), "length"
        if roles.asks_many(messages) and (most := int(body.get("max_tokens") or 0)) and _tokens(text) > most:
            return text.encode()[: 4 * most].decode("utf-8", "ignore"), "length"
        if not any(switches[10:17]):
            return text, "stop"
        bad = (
            (switches.empty, "", "stop"),
            (switches.refusing, "I'm sorry, but I can't help with that request.", "stop"),
            (switches.non_prose, "lorem %% ipsum {{{ 500 Internal error", "stop"),
            (switches.truncated, text[: len(text) // 2], "length"),
            (switches.filtered, text[: len(text) // 2], "content_filter"),
            (switches.huge, "word " * (HUGE // 5), "stop"),
            (switches.repeating, roles.text_so_far(messages) or text, "stop"),
        )
        return next(((said, finish) for rate, said, finish in bad if luck() < rate), (text, "stop"))

    def _dress(self, message: dict[str, Any], asked: str) -> None:
        """Change the message to the forms in which servers of reasoning models send the same text."""
        luck = random.Random(f"{self.switches.seed} {asked} dress").random
        if luck() < self.switches.thinking:
            message["content"] = f"<think>\n{THOUGHTS}\n</think>\n\n{message['content']}"
        elif luck() < self.switches.parts:
            message["content"] = [{"type": "thinking", "thinking": THOUGHTS}, {"type": "text", "text": message["content"]}]

    def _cached(self, messages: list[tuple[str, str]]) -> int:
        """Tokens of the longest prefix, in blocks, that an earlier prompt had too, as in an unlimited prefix cache."""
        digest, cached = hashlib.blake2b(digest_size=16), 0
        text = "\0".join(content for _, content in messages).encode()
        for place in range(BLOCK, len(text) + 1, BLOCK):
            digest.update(text[place - BLOCK : place])
            if digest.digest() in self._seen:
                cached = place
            else:
                self._seen.add(digest.digest())
        return cached // 4


async def _hang(request: web.Request) -> None:
    """Wait for an hour, or until the caller closes the connection; then the request no longer counts towards `most`."""
    end = time.monotonic() + 3600
    while time.monotonic() < end and request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.05)


def _completion(body: dict[str, Any], messages: list[tuple[str, str]], text: str, finish: str, cached: int) -> dict[str, Any]:
    prompt = sum(_tokens(content) for _, content in messages)
    # The count is rough, and no endpoint reports more tokens than it was allowed.
    written = min(_tokens(text), int(body.get("max_tokens") or body.get("max_completion_tokens") or _tokens(text)))
    return {
        "id": "chatcmpl-rehearsal",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", ""),
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": min(cached, prompt)},
        },
    }


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _switched(text: str) -> str:
    """The first half of a text, and as much in the other language."""
    half = text[: len(text) // 2]
    english = roles.language(text) == "en"
    words = count_words(text) // 2 + 1
    other = prose.paragraph(
        topic="天气" if english else "the weather", language="zh" if english else "en", words=words * 3, part=2, parts=3, seed=1
    )
    return f"{half}\n\n{other}"


def _looped(text: str, *, most: int) -> str:
    """The first half of a text, then its last whole sentence until it has `most` tokens."""
    half = text[: len(text) // 2]
    end = max(half.rfind("."), half.rfind("。")) + 1
    whole = half[:end] or "It goes on."
    begin = max(whole.rfind(".", 0, -1), whole.rfind("。", 0, -1), whole.rfind("\n")) + 1
    sentence = f"{whole[begin:].strip()} "
    return whole + " " + sentence * max(3, (4 * most - len(whole.encode())) // len(sentence.encode()))


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema for the reply, or None."""
    form = body.get("response_format") or {}
    return form["json_schema"]["schema"] if form.get("type") == "json_schema" else None


def _tokens(text: str) -> int:
    """An approximate token count without a tokenizer: 4 UTF-8 bytes per token."""
    return len(text.encode()) // 4 + 1


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "rehearsal"}}, status=status, headers=headers)


@asynccontextmanager
async def rehearsal_server(switches: Switches, *, port: int = 0) -> AsyncIterator[str]:
    """Serve on the loopback address inside the block; yields the base URL. Raises ServerError if `port` is in use (0: any free port)."""
    runner = web.AppRunner(Rehearsal(switches).application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            raise ServerError(f"rehearsal endpoint: port {port} on {HOST} is in use ({error.strerror}); name another port") from None
        yield f"http://{HOST}:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    switch: Annotated[list[str] | None, typer.Option(help="name=value, as in Switches: latency=0.2, failing=0.05, …")] = None,
    api_key: Annotated[str, typer.Option(envvar="REHEARSAL_API_KEY", help="401 for any other")] = "",
) -> None:
    """Run the rehearsal endpoint until Ctrl-C."""

    async def forever() -> None:
        async with rehearsal_server(switches, port=port) as url:
            print(f"rehearsal endpoint (rules, not a language model) at {url}", flush=True)
            await asyncio.Event().wait()

    from tasks.stage import one_line_errors

    with one_line_errors():
        switches = _switches(switch or [], api_key)
        asyncio.run(forever())


def _switches(given: list[str], api_key: str) -> Switches:
    """The switches from `name=value` pairs. Raises BadSettings for an unknown name or a value that is not a number."""
    values: dict[str, Any] = {"api_key": api_key}
    for pair in given:
        name, _, value = pair.partition("=")
        default = Switches._field_defaults.get(name)
        if not isinstance(default, int | float):
            raise BadSettings(f"--switch {name}: no such switch; there are {', '.join(n for n in Switches._fields if n != 'api_key')}")
        try:
            values[name] = type(default)(value)
        except ValueError:
            raise BadSettings(f"--switch {name}: {value!r} is no number") from None
    return Switches(**values)


if __name__ == "__main__":
    typer.run(serve)
