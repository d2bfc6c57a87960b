"""The two forms of batch APIs, OpenAI's and Anthropic's: how requests are written, sent and found again, and how results are read.

OpenAI: a JSONL file is uploaded, and a batch of it created; results are in an output file and an error file
(platform.openai.com/docs/guides/batch). vLLM's, Azure's and most gateways' batches have this form.
Anthropic: one JSON document has the requests of its Messages API; results are JSONL
(platform.claude.com/docs/en/build-with-claude/batch-processing). Requests and replies are translated from and to chat completions, so that
a reply has the same form, and the same key in the journal, as one that came directly.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import aiohttp
import orjson

from tasks.endpoints.batch_http import BatchHttp, BatchRefused
from tasks.endpoints.batch_records import SentBatch
from tasks.endpoints.completion import loads
from tasks.endpoints.refusals import reason, status_in
from tasks.schema.errors import EndpointError

PAGE, PAGES = 100, 20  # of a list of batches that is searched
CLOCKS = 600.0  # seconds that the endpoint's clock may be behind ours
TOKEN = "longwriter"  # name of the metadata that has a batch's token


class BatchState(NamedTuple):
    """What the endpoint says of a batch."""

    state: str  # the endpoint's own word
    ended: bool
    done: int = 0  # requests with a reply
    failed: int = 0
    cancelled: bool = False
    expired: bool = False
    problem: str = ""  # why the whole batch was refused
    refused: Mapping[int, str] = {}  # why, by the number of the request in the batch, from 1
    results: tuple[str, ...] = ()  # paths of its results


class BatchOutcome(NamedTuple):
    """One line of the results."""

    key: str  # custom id
    status: int  # HTTP status of the request; 0: it was not run
    body: bytes  # of the response, as a chat completion or an error
    why: str = ""  # why it was not run: expired, cancelled


class BatchForm(Protocol):
    """How an endpoint takes batches."""

    path: str  # of the list of batches
    requests: int  # a batch has at most so many requests
    size: int  # and so many bytes
    head: bytes  # before the first line of the upload
    between: bytes
    tail: bytes

    def line(self, key: str, body: bytes) -> bytes:
        """One request of the upload. `body`: of a chat completion."""
        ...

    async def submit(self, http: BatchHttp, upload: Path, token: str) -> str:
        """Sends a batch; returns its id. Raises Unsure if it may have been accepted, BatchRefused if not."""
        ...

    async def find(self, http: BatchHttp, batch: SentBatch, others: set[str], scratch: Path) -> str | None:
        """Returns the id of a batch that may have been accepted; None if it was not. `others`: ids of other batches; `scratch`: a file that
        may be written and removed.
        """
        ...

    async def state(self, http: BatchHttp, id: str) -> BatchState:
        """Returns the state of a batch. Raises BatchRefused if the endpoint does not know it."""
        ...

    def outcome(self, line: bytes) -> BatchOutcome | None:
        """Reads one line of the results; None if it is damaged."""
        ...


class OpenAIForm:
    """Files and batches of OpenAI's API."""

    path, requests, size = "batches", 50_000, 200_000_000
    head, between, tail = b"", b"\n", b"\n"

    def line(self, key: str, body: bytes) -> bytes:
        return b'{"custom_id":"%s","method":"POST","url":"/v1/chat/completions","body":%s}' % (key.encode(), body)

    async def submit(self, http: BatchHttp, upload: Path, token: str) -> str:
        def form() -> aiohttp.FormData:
            form = aiohttp.FormData()
            form.add_field("purpose", "batch")
            form.add_field("file", upload.open("rb"), filename=f"{TOKEN}-{token}.jsonl", content_type="application/jsonl")
            return form

        file = _id_of(await http.ask("POST", "files", content=form), http)
        created = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {TOKEN: token}}
        return _id_of(await http.ask("POST", "batches", content=_json(created), headers=_headers(token), unsure=True), http)

    async def find(self, http: BatchHttp, batch: SentBatch, others: set[str], scratch: Path) -> str | None:
        query = {"limit": str(PAGE)}
        for _ in range(PAGES):
            page = await http.ask("GET", "batches", query=query)
            for one in (listed := _listed(page)):
                if isinstance(one.get("metadata"), dict) and one["metadata"].get(TOKEN) == batch.token:
                    return str(one["id"])
            if not page.get("has_more") or not listed or all(_number(one.get("created_at")) < batch.sent - CLOCKS for one in listed):
                return None
            query["after"] = str(page.get("last_id") or listed[-1].get("id"))
        return None

    async def state(self, http: BatchHttp, id: str) -> BatchState:
        found = await http.ask("GET", f"batches/{id}")
        state = str(found.get("status", "unknown")).lower()
        counts = found.get("request_counts") if isinstance(found.get("request_counts"), dict) else {}
        assert isinstance(counts, dict)
        errors = found.get("errors")
        listed = [one for one in (errors.get("data") or [] if isinstance(errors, dict) else []) if isinstance(one, dict)]
        refused = {int(one["line"]): reason(one) for one in listed if isinstance(one.get("line"), int) and one["line"] > 0}
        general = "; ".join(dict.fromkeys(f"{one.get('code') or ''} {reason(one)}".strip() for one in listed if not one.get("line")))
        files = tuple(f"files/{found[name]}/content" for name in ("output_file_id", "error_file_id") if found.get(name))
        return BatchState(
            state,
            ended=state in ("completed", "failed", "expired", "cancelled", "canceled"),
            done=int(_number(counts.get("completed"))),
            failed=int(_number(counts.get("failed"))),
            cancelled=state.startswith("cancel"),
            expired=state == "expired",
            problem=general or ("no reason given" if state == "failed" and not refused else ""),
            refused=refused,
            results=files,
        )

    def outcome(self, line: bytes) -> BatchOutcome | None:
        found = _parsed(line)
        if found is None:
            return None
        response, error = found.get("response"), found.get("error")
        if isinstance(response, dict) and isinstance(response.get("status_code"), int):
            return BatchOutcome(str(found["custom_id"]), response["status_code"], orjson.dumps(response.get("body")))
        said = error if isinstance(error, dict) else {"message": "a result without a response"}
        code = str(said.get("code") or "")
        if "expired" in code or "cancel" in code:
            return BatchOutcome(str(found["custom_id"]), 0, b"", "cancelled" if "cancel" in code else "expired")
        return BatchOutcome(str(found["custom_id"]), status_in(said) or 500, orjson.dumps({"error": said}))


class AnthropicForm:
    """Anthropic's message batches."""

    path, requests, size = "messages/batches", 100_000, 256_000_000
    head, between, tail = b'{"requests":[\n', b",\n", b"\n]}"

    def line(self, key: str, body: bytes) -> bytes:
        return b'{"custom_id":"%s","params":%s}' % (key.encode(), orjson.dumps(messages_request(orjson.loads(body))))

    async def submit(self, http: BatchHttp, upload: Path, token: str) -> str:
        headers = _headers(token)
        return _id_of(await http.ask("POST", "messages/batches", content=lambda: upload.open("rb"), headers=headers, unsure=True), http)

    async def find(self, http: BatchHttp, batch: SentBatch, others: set[str], scratch: Path) -> str | None:
        """These batches have no metadata: one is recognised by its time and its number of requests, and then by its custom ids.

        Custom ids are known when a batch has ended, so this waits for batches that may be the one.
        """
        while True:
            likely = [one for one in await self._since(http, batch) if one["id"] not in others]
            for one in likely:
                if one.get("processing_status") == "ended" and await self._has(http, str(one["id"]), batch, scratch):
                    return str(one["id"])
            if all(one.get("processing_status") == "ended" for one in likely):
                return None
            await asyncio.sleep(http.poll)

    async def _since(self, http: BatchHttp, batch: SentBatch) -> list[dict[str, Any]]:
        """The batches of as many requests that were made since this one was sent."""
        found, query = list[dict[str, Any]](), {"limit": str(PAGE)}
        for _ in range(PAGES):
            page = await http.ask("GET", "messages/batches", query=query)
            listed = _listed(page)
            recent = [one for one in listed if _seconds(one.get("created_at")) >= batch.sent - CLOCKS]
            found += [one for one in recent if sum(_counts(one).values()) == len(batch.requests)]
            if not page.get("has_more") or not recent:
                break
            query["after_id"] = str(page.get("last_id") or listed[-1].get("id"))
        return found

    async def _has(self, http: BatchHttp, id: str, batch: SentBatch, scratch: Path) -> bool:
        """Whether the results of a batch are those of this one."""
        scratch.unlink(missing_ok=True)
        try:
            await http.download(f"messages/batches/{id}/results", scratch)
            with scratch.open("rb") as lines:
                return any(found.key in batch.keys for line in lines if (found := self.outcome(line)))
        except BatchRefused:  # its results were removed
            return False
        finally:
            scratch.unlink(missing_ok=True)

    async def state(self, http: BatchHttp, id: str) -> BatchState:
        found = await http.ask("GET", f"messages/batches/{id}")
        state, counts = str(found.get("processing_status", "unknown")), _counts(found)
        ended = state == "ended"
        return BatchState(
            state,
            ended=ended,
            done=counts.get("succeeded", 0),
            failed=counts.get("errored", 0) + counts.get("expired", 0) + counts.get("canceled", 0),
            cancelled=bool(found.get("cancel_initiated_at")) and ended,
            expired=bool(counts.get("expired")),
            results=(f"messages/batches/{id}/results",) if ended else (),
        )

    def outcome(self, line: bytes) -> BatchOutcome | None:
        found = _parsed(line)
        result = found.get("result") if found else None
        if found is None or not isinstance(result, dict):
            return None
        key, kind = str(found["custom_id"]), result.get("type")
        if kind == "succeeded" and isinstance(result.get("message"), dict):
            return BatchOutcome(key, 200, orjson.dumps(completion_of(result["message"])))
        if kind in ("canceled", "cancelled", "expired"):
            return BatchOutcome(key, 0, b"", "expired" if kind == "expired" else "cancelled")
        error = result.get("error")
        inner = error.get("error", error) if isinstance(error, dict) else {"message": f"a result of type {kind!r}"}
        return BatchOutcome(key, status_in(inner) or 500, orjson.dumps({"error": inner}))


def messages_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """A chat completion request as one of Anthropic's Messages API. It takes no seed; a JSON schema is `output_config.format`,
    and an effort `output_config.effort`."""
    system = [message["content"] for message in body["messages"] if message["role"] == "system"]
    rest = [message for message in body["messages"] if message["role"] != "system"]
    most = body.get("max_tokens") or body.get("max_completion_tokens")
    found: dict[str, Any] = {"model": body["model"], "max_tokens": most, "messages": rest}
    if system:
        found["system"] = "\n\n".join(system)
    if "temperature" in body:
        found["temperature"] = body["temperature"]
    form = body.get("response_format") or {}
    output: dict[str, Any] = {}
    if form.get("type") == "json_schema":
        output["format"] = {"type": "json_schema", "schema": form["json_schema"]["schema"]}
    if "thinking" in body:
        found["thinking"] = body["thinking"]
    elif body.get("reasoning_effort") == "none":
        found["thinking"] = {"type": "disabled"}
    elif effort := body.get("reasoning_effort"):
        output["effort"] = effort
    return found | ({"output_config": output} if output else {})


def completion_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of Anthropic's API as a chat completion. Its prompt tokens are the new, the cached and the newly cached ones."""
    usage = message.get("usage")
    said: dict[str, Any] = {"role": "assistant", "content": message.get("content")}
    found: dict[str, Any] = {"choices": [{"index": 0, "message": said, "finish_reason": message.get("stop_reason")}], "usage": None}
    if isinstance(usage, dict):
        cached = _number(usage.get("cache_read_input_tokens"))
        parts = (usage.get("input_tokens"), usage.get("cache_creation_input_tokens"), cached)
        known = isinstance(usage.get("input_tokens"), int)
        found["usage"] = {
            **({"prompt_tokens": int(sum(map(_number, parts)))} if known else {}),
            "completion_tokens": usage.get("output_tokens"),
            "prompt_tokens_details": {"cached_tokens": int(cached)},
        }
    return found


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line of results with a custom id."""
    try:
        found = loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("custom_id"), str) else None


def _json(value: object) -> Callable[[], bytes]:
    return lambda: orjson.dumps(value)


def _headers(token: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "Idempotency-Key": token}


def _id_of(created: Mapping[str, Any], http: BatchHttp) -> str:
    if not isinstance(created.get("id"), str) or not created["id"]:
        raise EndpointError(f"{http.where}: its reply has no id; it has no batch API, set {http.variable}_TRANSPORT=direct")
    return str(created["id"])


def _listed(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = page.get("data")
    return [one for one in data if isinstance(one, dict) and one.get("id")] if isinstance(data, list) else []


def _counts(batch: Mapping[str, Any]) -> dict[str, int]:
    counts = batch.get("request_counts")
    return {name: int(_number(value)) for name, value in counts.items()} if isinstance(counts, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _seconds(value: object) -> float:
    """An RFC 3339 time as seconds since 1970; now, if it cannot be read."""
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return time.time()
