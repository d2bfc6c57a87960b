"""The rehearsal endpoint: a real HTTP server that speaks the OpenAI API and answers for every role by rules.

It proves the machinery and estimates a real run before money is spent. It is no language model, and nothing may call it
one. Answers are deterministic for a request (its messages and its seed), in English and Chinese. Switches add latency and
faults. `python -m tasks.endpoints.rehearsal --port 8000` runs one by hand.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NamedTuple

import orjson
import typer
from aiohttp import web

from tasks.endpoints import rehearsal_roles
from tasks.schema.errors import ServerError

HOST = "127.0.0.1"


class Switches(NamedTuple):
    """How the endpoint misbehaves. Rates are shares of all requests, drawn from the seed and the count of the request."""

    latency: float = 0.0  # seconds before an answer
    tokens_per_second: float = 0.0  # of one answer; 0: at once
    rate_limited: float = 0.0  # 429 with Retry-After: 0
    failing: float = 0.0  # 500
    dropped: float = 0.0  # the connection is closed without an answer
    empty: float = 0.0  # 200 with no text
    refusing: float = 0.0  # 200 with a refusal
    garbage: float = 0.0  # 200 with text that is not what was asked for
    truncated: float = 0.0  # finish_reason length, half of the text
    api_key: str = ""  # 401 for any other
    seed: int = 0


class Rehearsal:
    """One endpoint. `answered` counts the completions that were sent whole, `active` those under way."""

    def __init__(self, switches: Switches):
        self.switches = switches
        self.requests = self.answered = self.active = 0

    def application(self) -> web.Application:
        application = web.Application(client_max_size=64 * 2**20)
        application.router.add_post("/v1/chat/completions", self.complete)
        application.router.add_get("/v1/models", self.models)
        application.router.add_get("/health", self.health)
        return application

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"requests": self.requests, "answered": self.answered, "active": self.active})

    async def models(self, _: web.Request) -> web.Response:
        names = [f"rehearsal-{role}" for role in ("teacher", "selector", "judge", "candidate")]
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "rehearsal"} for name in names]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.active += 1
        try:
            return await self._complete(request)
        except ConnectionResetError:  # the caller went away in the middle of its request; nobody is there to be answered
            return _error(400, "the request was not sent whole")
        finally:
            self.active -= 1

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        switches = self.switches
        if switches.api_key and request.headers.get("Authorization") != f"Bearer {switches.api_key}":
            return _error(401, "the API key is wrong")
        try:
            body = orjson.loads(await request.read())
            messages = [(str(message["role"]), str(message["content"])) for message in body["messages"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return _error(400, "not a chat completion request")
        luck = random.Random(f"{switches.seed} {self.requests}").random
        await asyncio.sleep(switches.latency)
        if luck() < switches.rate_limited:
            return _error(429, "slow down", {"Retry-After": "0"})
        if luck() < switches.failing:
            return _error(500, "something broke")
        if luck() < switches.dropped and request.transport:
            request.transport.close()
            return _error(500, "dropped")
        text, finish = self._text(body, messages, luck)
        if len(tokens := text.split()) and switches.tokens_per_second:
            await asyncio.sleep(len(tokens) / switches.tokens_per_second)
        response = web.json_response(_completion(body, messages, text, finish), dumps=lambda value: orjson.dumps(value).decode())
        self.answered += 1
        return response

    def _text(self, body: dict[str, Any], messages: list[tuple[str, str]], luck: Any) -> tuple[str, str]:
        text = rehearsal_roles.answer(str(body.get("model", "")), messages, seed=int(body.get("seed") or 0) + self.switches.seed)
        if luck() < self.switches.empty:
            return "", "stop"
        if luck() < self.switches.refusing:
            return "I'm sorry, but I can't help with that request.", "stop"
        if luck() < self.switches.garbage:
            return "lorem %% ipsum {{{ 500 Internal error", "stop"
        if luck() < self.switches.truncated:
            return text[: len(text) // 2], "length"
        return text, "stop"


def _completion(body: dict[str, Any], messages: list[tuple[str, str]], text: str, finish: str) -> dict[str, Any]:
    prompt = sum(_tokens(content) for _, content in messages)
    digest = hashlib.sha256(orjson.dumps([messages, text])).hexdigest()[:16]
    return {
        "id": f"chatcmpl-{digest}",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", ""),
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": _tokens(text), "total_tokens": prompt + _tokens(text)},
    }


def _tokens(text: str) -> int:
    """A rough count, as no tokenizer is involved: 4 UTF-8 bytes a token."""
    return len(text.encode()) // 4 + 1


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "rehearsal"}}, status=status, headers=headers)


@asynccontextmanager
async def rehearsal_server(switches: Switches, *, port: int = 0) -> AsyncIterator[str]:
    """Serve on loopback for the block; yields the base URL. Raises ServerError when `port` is taken (0: any free one)."""
    runner = web.AppRunner(Rehearsal(switches).application(), access_log=None)
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
    latency: Annotated[float, typer.Option(min=0, help="seconds before an answer")] = 0.0,
    tokens_per_second: Annotated[float, typer.Option(min=0, help="of one answer; 0: at once")] = 0.0,
    rate_limited: Annotated[float, typer.Option(min=0, max=1, help="share of 429s")] = 0.0,
    failing: Annotated[float, typer.Option(min=0, max=1, help="share of 500s")] = 0.0,
    dropped: Annotated[float, typer.Option(min=0, max=1, help="share of dropped connections")] = 0.0,
    empty: Annotated[float, typer.Option(min=0, max=1)] = 0.0,
    refusing: Annotated[float, typer.Option(min=0, max=1)] = 0.0,
    garbage: Annotated[float, typer.Option(min=0, max=1)] = 0.0,
    truncated: Annotated[float, typer.Option(min=0, max=1)] = 0.0,
    api_key: Annotated[str, typer.Option(envvar="REHEARSAL_API_KEY", help="401 for any other")] = "",
    seed: int = 0,
) -> None:
    """Run the rehearsal endpoint until Ctrl-C."""
    rates = (rate_limited, failing, dropped, empty, refusing, garbage, truncated)
    switches = Switches(latency, tokens_per_second, *rates, api_key=api_key, seed=seed)

    async def forever() -> None:
        async with rehearsal_server(switches, port=port) as url:
            print(f"rehearsal endpoint (rules, not a language model) at {url}", flush=True)
            await asyncio.Event().wait()

    from tasks.stage import one_line_errors

    with one_line_errors():
        asyncio.run(forever())


if __name__ == "__main__":
    typer.run(serve)
