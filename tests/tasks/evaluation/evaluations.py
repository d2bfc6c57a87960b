"""Evaluations for tests: items with scores, and an endpoint that answers."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

from tasks.longbench.summary import score_item
from tasks.rehearsal.endpoint import Switches, rehearsal_server
from tasks.schema.records import BenchmarkItem, Language, ScoredItem

LENGTHS = (200, 1000, 3000, 6000)
WORDS = ["".join(letters) for letters in product("abcdefgh", repeat=3)]


def items(share: float, *, count: int = 24, s_q: float | None = 70.0, seed: int = 1, languages: str = "en zh") -> list[ScoredItem]:
    """Answers that write about `share` of what is asked."""
    noise, found = random.Random(seed), []
    for place in range(count):
        language: Language = "zh" if languages.split()[place % len(languages.split())] == "zh" else "en"
        asked = LENGTHS[place % 4]
        prompt = f"Write {asked} words on subject {place}."
        item = BenchmarkItem(id=f"i{place}", prompt=prompt, type="News", length=asked, language=language)
        text = " ".join(noise.choices(WORDS, k=round(asked * share * (0.95 + 0.1 * noise.random()))))
        found.append(score_item(item, "student", text, None if s_q is None else s_q + noise.random(), finish_reason="stop"))
    return found


@contextmanager
def candidate(switches: Switches = Switches()) -> Iterator[str]:
    """The rehearsal endpoint in a thread of its own; its base URL."""
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with rehearsal_server(switches) as url:
            urls.append(url)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
