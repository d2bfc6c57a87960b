"""A real endpoint in its own thread with scripted replies, for lm-evaluation-harness."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from tasks.harness.job import HarnessJob


class Seen(NamedTuple):
    path: str
    key: str | None
    body: dict[str, Any]


Reply = tuple[int, Any]  # status, 0 for none at all; JSON, or bytes as they are
Answer = Callable[[Seen, int], Reply]  # to a request and its number from 0


class Endpoint(NamedTuple):
    url: str
    seen: list[Seen]


def said(text: str | list[dict[str, str]] | None) -> Reply:
    return 200, {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}


def weighed(weights: list[float | None]) -> Reply:
    """A completion with the log-probabilities of the prompt's tokens and of one more."""
    top = [None if weight is None else {"token": weight} for weight in weights]
    return 200, {"choices": [{"index": 0, "text": "", "logprobs": {"token_logprobs": weights, "top_logprobs": top}}]}


def job(url: str, checkpoint: Path, **other: Any) -> HarnessJob:
    given = {"concurrency": 4, "retries": 0, "patience": 0.0, "timeout": 20.0, "limit": None, "fewshot": None} | other
    return HarnessJob(tasks=("facts",), files=(), local=True, url=url, model="student", checkpoint=checkpoint, folder=checkpoint, **given)


@contextmanager
def endpoint(answer: Answer) -> Iterator[Endpoint]:
    loop, application, seen, over = asyncio.new_event_loop(), web.Application(), list[Seen](), asyncio.Event()

    async def reply(request: web.Request) -> web.Response:
        seen.append(Seen(request.path, request.headers.get("Authorization"), json.loads(await request.read())))
        status, body = answer(seen[-1], len(seen) - 1)
        if status == 0:
            await over.wait()
            return web.Response()
        return web.Response(status=status, body=body if isinstance(body, bytes) else json.dumps(body), content_type="application/json")

    application.router.add_post("/v1/{kind:.*}", reply)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", seen)
    finally:
        loop.call_soon_threadsafe(over.set)
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
