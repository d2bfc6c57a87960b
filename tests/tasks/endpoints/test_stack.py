"""The wrappers around a request, observed by the endpoint's own handler while the caller waits for the reply."""

import asyncio
import threading
from collections.abc import Iterator
from types import CodeType
from typing import cast

from aiohttp import web

from tasks.endpoints.chat import user
from tasks.endpoints.roles import open_role
from tasks.schema.params import Model
from tests.conftest import ROOT
from tests.tasks.judging.endpoint import serving

MODEL = Model(name="some-model", revision="1", temperature=1.0, max_tokens=100)
ANSWER = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rye."}}]}
FOLDER = str(ROOT / "tasks/endpoints")


def waiting(coroutine: object) -> Iterator[CodeType]:
    """The code of a coroutine and of what it awaits, innermost last."""
    while (code := getattr(coroutine, "cr_code", None)) is not None:
        yield cast(CodeType, code)
        coroutine = getattr(coroutine, "cr_await", None)


def test_a_request_passes_four_wrappers_on_its_way_to_the_socket() -> None:
    on_the_way: list[CodeType] = []
    seen, release = threading.Event(), threading.Event()

    async def go() -> None:
        async with open_role("judge", MODEL) as chat:
            watching = asyncio.create_task(watch())
            await chat(user("Name a loaf."))
            await watching

    async def watch() -> None:
        while not seen.is_set():
            await asyncio.sleep(0.01)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        on_the_way.extend(code for task in tasks for code in waiting(task.get_coro()) if code.co_filename.startswith(FOLDER))
        release.set()

    async def complete(_: web.Request) -> web.Response:
        seen.set()
        await asyncio.to_thread(release.wait)
        return web.json_response(ANSWER)

    with serving(complete):
        asyncio.run(go())
    names = {code.co_qualname for code in on_the_way}
    assert {"CachedChat.__call__", "RetryingChat.__call__", "BudgetedChat.__call__", "HttpChat.__call__"} <= names
    assert len(on_the_way) <= 8, sorted(names)
    assert len({code.co_filename for code in on_the_way}) == 4
