"""A judge on loopback with scripted replies, and the judge stage run against it; shared by the tests of judging."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from tasks import judge, store
from tasks.schema.errors import ReplyError
from tasks.schema.params import Judge, Model
from tasks.schema.records import BenchmarkItem, Duel, Prediction, Verdict
from tasks.schema.settings import settings
from tests.conftest import ROOT

OURS = ROOT / "tasks/prompts/judge.txt"
DIMENSIONS = ("relevance", "accuracy", "coherence", "clarity", "breadth_and_depth", "reading_experience")
GOOD = json.dumps(dict.fromkeys(DIMENSIONS, 4))
ASK = "Write 40 words about bread."

Body = dict[str, Any]


def prediction(response: str, id: str = "a", *, model: str = "student", sample: int = 0) -> Prediction:
    item = BenchmarkItem(id=id, prompt=ASK, type="News", length=40, language="en")
    return Prediction(item=item, model=model, sample=sample, response=response, finish_reason="stop", tokens=1, seconds=0.1)


class Ran(NamedTuple):
    metrics: dict[str, float]
    verdicts: list[Verdict]
    duels: list[Duel]


def run(folder: Path, *predictions: Prediction, **options: Any) -> Ran:
    """The stage, on these predictions; options as of `judged`."""
    store.write(folder / "predictions.jsonl", predictions)
    return judged(folder / "predictions.jsonl", folder / "out", **options)


def judged(
    predictions: Path,
    out: Path,
    *,
    model: str = "some-judge",
    second: str | None = None,
    prompt: Path = OURS,
    tries: int = 3,
    repeats: int = 1,
    pairwise: bool = False,
    unread: bool = False,
) -> Ran:
    """The stage, on a file of predictions. `unread`: it may find that not one verdict can be read, which is an error."""
    out.mkdir(parents=True, exist_ok=True)
    metrics: Mapping[str, float] = {}
    try:
        metrics = judge.run(
            predictions,
            prompt,
            out,
            judge=Judge(version=1, prompt=str(prompt), tries=tries, repeats=repeats, pairwise=pairwise),
            judge_model=Model(name=model, revision="1", temperature=0.5, max_tokens=1024),
            second_judge_model=Model(name=second, revision="1", temperature=0.5, max_tokens=1024) if second else None,
        )
    except ReplyError:
        if not unread:
            raise
    duels = out / "duels.jsonl"
    found = store.read_list(duels, Duel) if duels.stat().st_size else []
    return Ran(dict(metrics), store.read_list(out / "verdicts.jsonl", Verdict), found)


@contextmanager
def endpoint(say: Callable[[Body], str | tuple[str, str]], role: str = "judge") -> Iterator[list[Body]]:
    """The role's URL, where `say(body)` is answered, with its finish reason if it gives one; yields the bodies that were sent."""
    seen: list[Body] = []

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        seen.append(body)
        said = say(body)
        content, finish = said if isinstance(said, tuple) else (said, "stop")
        choices = [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}]
        return web.json_response({"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": choices})

    with serving(complete, role):
        yield seen


@contextmanager
def serving(complete: Callable[[web.Request], Awaitable[web.Response]], role: str = "judge") -> Iterator[None]:
    """The role's URL for as long as the block lasts, answered by `complete`."""
    loop, application = asyncio.new_event_loop(), web.Application(client_max_size=64 * 2**20)
    application.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(application)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(f"LONGWRITER_{role.upper()}_URL", f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
            settings.cache_clear()
            yield
    finally:
        settings.cache_clear()
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def asked(body: Body) -> str:
    """The prompt that was sent."""
    return str(body["messages"][0]["content"])
