"""A server with batches on loopback, in OpenAI's and in Anthropic's form, with the faults that such servers have."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from tests.web import served_app

Body = dict[str, Any]
STATES = ("validating", "in_progress", "finalizing")


def text_of(body: Body) -> str:
    """The reply to a request: it depends on the prompt, the seed and the schema."""
    prompt = body["messages"][-1]["content"]
    return f"Reply to {prompt!r}, seed {body.get('seed')}. It is a whole sentence."


@dataclass
class Faults:
    """What goes wrong. Numbers count the first requests that it happens to."""

    polls: int = 2  # questions about the state until a batch has ended
    limited: int = 0  # creations refused by 429
    lost: int = 0  # creations that are accepted, and the connection is lost then
    broken: int = 0  # creations answered by 500 and not accepted
    uploads: int = 0  # uploads answered by 503
    away: int = 0  # questions about the state answered by 502
    torn: int = 0  # downloads that end within a line
    silent: int = 0  # lists of batches answered by 503
    hidden: int = 0  # lists of batches that do not have the newest batch yet
    expired: int = 0  # batches that expire after half of their requests
    cancelled: int = 0  # batches that are cancelled after half of their requests
    forgotten: int = 0  # batches that are not known when their state is asked for
    most: int = 0  # requests that may wait at once; 0: any number
    result: Callable[[Body, int], tuple[int, Body] | None] = lambda _body, _times: None  # status and body of a result, by the try
    refused: Callable[[Body], str] = lambda _: ""  # why a request is refused when its batch is checked
    doubled: bool = False  # each result is there twice, and one of a stranger
    at: Callable[[str], None] = lambda _: None  # called at each step of the server


@dataclass
class Batch:
    id: str
    requests: list[tuple[str, Body]]
    metadata: Body
    created: float
    polls: int = 0
    state: str = "validating"
    lines: list[bytes] = field(default_factory=list)
    errors: list[bytes] = field(default_factory=list)
    refused: list[Body] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def ended(self) -> bool:
        return self.state in ("completed", "failed", "expired", "cancelled")


class BatchServer:
    """The server, and what it saw."""

    def __init__(self, faults: Faults | None = None, *, key: str = "", batches: bool = True):
        self.faults, self.key, self.has_batches = faults or Faults(), key, batches
        self.batches, self.files = dict[str, Batch](), dict[str, bytes]()
        self.direct = list[Body]()
        self.headers = list[dict[str, str]]()
        self.times = Counter[str]()  # that a request was run, by custom id
        self._numbers = itertools.count(1)

    @property
    def ran(self) -> list[Body]:
        """All requests of all batches that were run."""
        return [body for batch in self.batches.values() if batch.counts["done"] for _, body in batch.requests]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        application = web.Application(client_max_size=2**30, middlewares=[self._checked])
        router = application.router
        router.add_post("/v1/chat/completions", self.complete)
        if self.has_batches:
            router.add_post("/v1/files", self.upload)
            router.add_get("/v1/files/{file}/content", self.content)
            router.add_post("/v1/batches", self.create)
            router.add_get("/v1/batches", self.listed)
            router.add_get("/v1/batches/{id}", self.state)
            router.add_post("/v1/messages/batches", self.create_messages)
            router.add_get("/v1/messages/batches", self.listed_messages)
            router.add_get("/v1/messages/batches/{id}", self.state_of_messages)
            router.add_get("/v1/messages/batches/{id}/results", self.results_of_messages)
        async with served_app(application) as url:
            yield url

    @web.middleware
    async def _checked(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        if self.key and self.key not in (
            request.headers.get("x-api-key"),
            request.headers.get("Authorization", "").removeprefix("Bearer "),
        ):
            return web.json_response({"error": {"message": "Incorrect API key provided"}}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    async def complete(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        self.direct.append(body)
        return web.json_response(completion(body))

    # OpenAI's form

    async def upload(self, request: web.Request) -> web.Response:
        if self._take("uploads"):
            return web.json_response({"error": {"message": "try later"}}, status=503, headers={"Retry-After": "0"})
        form = await request.post()
        assert form["purpose"] == "batch"
        content = form["file"].file.read()  # type: ignore[union-attr]
        file = f"file-{next(self._numbers)}"
        self.files[file] = content
        self.faults.at("uploaded")
        return web.json_response({"id": file, "object": "file", "bytes": len(content), "purpose": "batch"})

    async def create(self, request: web.Request) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        if refusal := self._refusal():
            return refusal
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        lines = [orjson.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        assert all((line["method"], line["url"]) == ("POST", "/v1/chat/completions") for line in lines)
        batch = self._new([(line["custom_id"], line["body"]) for line in lines], asked["metadata"])
        self.faults.at("created")
        if self._take("lost"):
            assert request.transport
            request.transport.close()
        return web.json_response(self._openai(batch))

    async def listed(self, request: web.Request) -> web.Response:
        if self._take("silent"):
            return web.json_response({"error": {"message": "overloaded"}}, status=503)
        newest = list(reversed(self.batches.values()))[1 if self._take("hidden") else 0 :]
        page, after = newest, request.query.get("after")
        if after:
            page = newest[[one.id for one in newest].index(after) + 1 :]
        shown = page[:2]  # small pages
        return web.json_response(
            {"data": [self._openai(one) for one in shown], "has_more": len(page) > 2, "last_id": shown[-1].id if shown else None}
        )

    async def state(self, request: web.Request) -> web.Response:
        if self._take("away"):
            return web.Response(status=502, text="<html><h1>Bad gateway</h1></html>")
        batch = self.batches.get(request.match_info["id"])
        if batch is None or self._take("forgotten"):
            return web.json_response({"error": {"message": "No batch found"}}, status=404)
        self.faults.at("asked")
        self._step(batch)
        return web.json_response(self._openai(batch))

    async def content(self, request: web.Request) -> web.Response:
        self.faults.at("downloaded")
        return self._jsonl(self.files[request.match_info["file"]])

    def _openai(self, batch: Batch) -> Body:
        out: Body = {"id": batch.id, "object": "batch", "status": batch.state, "metadata": batch.metadata, "created_at": int(batch.created)}
        out["request_counts"] = {"total": len(batch.requests), "completed": batch.counts["done"], "failed": batch.counts["failed"]}
        if batch.refused:
            out["errors"] = {"object": "list", "data": batch.refused}
        for name, lines in (("output", batch.lines), ("error", batch.errors)):
            if batch.ended and lines:
                file = f"file-{batch.id}-{name}"
                self.files[file] = b"\n".join(lines) + (b"\n" if name == "output" else b"")
                out[f"{name}_file_id"] = file
        return out

    # Anthropic's form

    async def create_messages(self, request: web.Request) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        if refusal := self._refusal():
            return refusal
        batch = self._new([(one["custom_id"], one["params"]) for one in asked["requests"]], {})
        self.faults.at("created")
        if self._take("lost"):
            assert request.transport
            request.transport.close()
        return web.json_response(self._anthropic(batch))

    async def listed_messages(self, request: web.Request) -> web.Response:
        if self._take("silent"):
            return web.json_response({"error": {"message": "overloaded"}}, status=503)
        newest = list(reversed(self.batches.values()))
        for batch in newest:
            self._step(batch)
        page, after = newest, request.query.get("after_id")
        if after:
            page = newest[[one.id for one in newest].index(after) + 1 :]
        shown = page[:2]
        return web.json_response(
            {"data": [self._anthropic(one) for one in shown], "has_more": len(page) > 2, "last_id": shown[-1].id if shown else None}
        )

    async def state_of_messages(self, request: web.Request) -> web.Response:
        if self._take("away"):
            return web.Response(status=529, text="overloaded")
        batch = self.batches.get(request.match_info["id"])
        if batch is None or self._take("forgotten"):
            return web.json_response({"type": "error", "error": {"type": "not_found_error", "message": "not found"}}, status=404)
        self.faults.at("asked")
        self._step(batch)
        return web.json_response(self._anthropic(batch))

    async def results_of_messages(self, request: web.Request) -> web.Response:
        self.faults.at("downloaded")
        batch = self.batches[request.match_info["id"]]
        lines = [_anthropic_line(line) for line in (*batch.lines, *batch.errors)]
        return self._jsonl(b"\n".join(lines) + b"\n")

    def _anthropic(self, batch: Batch) -> Body:
        counts = {"processing": 0, "succeeded": batch.counts["done"], "errored": batch.counts["failed"], "canceled": 0, "expired": 0}
        counts["expired"] = batch.counts["expired"]
        counts["processing" if not batch.ended else "canceled"] = len(batch.requests) - sum(counts.values())
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if batch.ended else "in_progress",
            "request_counts": counts,
            "created_at": datetime.fromtimestamp(batch.created, UTC).isoformat().replace("+00:00", "Z"),
            "cancel_initiated_at": "2026-01-01T00:00:00Z" if batch.state == "cancelled" else None,
        }

    # Both

    def _take(self, name: str) -> bool:
        left = getattr(self.faults, name)
        setattr(self.faults, name, max(0, left - 1))
        return bool(left)

    def _refusal(self) -> web.Response | None:
        if self._take("limited"):
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0"})
        if self._take("broken"):
            return web.json_response({"error": {"message": "something broke"}}, status=500)
        return None

    def _new(self, requests: list[tuple[str, Body]], metadata: Body) -> Batch:
        number = next(self._numbers)
        batch = Batch(f"batch_{number}", requests, metadata, time.time() + number / 1000)
        self.batches[batch.id] = batch
        return batch

    def _step(self, batch: Batch) -> None:
        """One more question about a batch."""
        if batch.ended:
            return
        batch.polls += 1
        waiting = sum(len(one.requests) for one in self.batches.values() if not one.ended)
        if self.faults.most and waiting > self.faults.most:
            batch.state = "failed"
            batch.refused = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached for m", "line": None}]
            return
        refused = [(number, why) for number, (_, body) in enumerate(batch.requests, 1) if (why := self.faults.refused(body))]
        if refused:
            batch.state = "failed"
            batch.refused = [{"code": "invalid_request", "message": why, "line": number} for number, why in refused]
            return
        if batch.polls < self.faults.polls:
            batch.state = STATES[min(batch.polls, len(STATES) - 1)]
            return
        self._end(batch)

    def _end(self, batch: Batch) -> None:
        batch.state, half = "completed", (len(batch.requests) + 1) // 2
        if self._take("expired"):
            batch.state = "expired"
        elif self._take("cancelled"):
            batch.state = "cancelled"
        for number, (key, body) in enumerate(batch.requests):
            if batch.state != "completed" and number >= half:
                if batch.state == "expired":
                    error = {"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}
                    batch.errors.append(orjson.dumps({"custom_id": key, "response": None, "error": error}))
                    batch.counts["expired"] += 1
                continue
            self.times[key] += 1
            status, reply = self.faults.result(body, self.times[key]) or (200, completion(body))
            line = orjson.dumps({"id": "r", "custom_id": key, "response": {"status_code": status, "body": reply}, "error": None})
            (batch.lines if status == 200 else batch.errors).append(line)
            batch.counts["done" if status == 200 else "failed"] += 1
        random.Random(batch.id).shuffle(batch.lines)
        if self.faults.doubled:
            stranger = orjson.dumps(
                {"custom_id": "stranger", "response": {"status_code": 200, "body": completion({"messages": [{"content": "x"}]})}}
            )
            batch.lines = [*batch.lines, *batch.lines, stranger]

    def _jsonl(self, content: bytes) -> web.Response:
        torn = self._take("torn")
        return web.Response(body=content[: -len(content) // 3] if torn else content, content_type="application/jsonl")


def completion(body: Body) -> Body:
    message = {"role": "assistant", "content": text_of(body)}
    usage = {"prompt_tokens": 20, "completion_tokens": 10}
    return {"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}


def _anthropic_line(line: bytes) -> bytes:
    """A result of OpenAI's form as one of Anthropic's."""
    found = orjson.loads(line)
    if found.get("response") is None:
        return orjson.dumps({"custom_id": found["custom_id"], "result": {"type": "expired"}})
    body, status = found["response"]["body"], found["response"]["status_code"]
    if status != 200:
        kind = {400: "invalid_request_error", 429: "rate_limit_error", 529: "overloaded_error"}.get(status, "api_error")
        error = {"type": "error", "error": {"type": kind, "message": body["error"]["message"]}}
        return orjson.dumps({"custom_id": found["custom_id"], "result": {"type": "errored", "error": error}})
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": body["choices"][0]["message"]["content"]}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 12, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 10},
    }
    return orjson.dumps({"custom_id": found["custom_id"], "result": {"type": "succeeded", "message": message}})


async def until(question: Callable[[], Any]) -> None:
    """Waits until a question is true."""
    while not question():
        await asyncio.sleep(0.01)
