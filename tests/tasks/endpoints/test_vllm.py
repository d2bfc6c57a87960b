"""A real vLLM on a tiny checkpoint with random weights: started by the pipeline, spoken to over the API, killed, back again, ended whole.

A start takes a minute, so that one server is asked everything, and the tests look at what it said.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psutil
import pytest

from benchmarks.prefix_cache import BLOCK, counted, make_checkpoint
from tasks.endpoints.chat import Chat, Reply, map_async, user
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.roles import only_model
from tasks.endpoints.server import ServedCheckpoint, model_server
from tasks.judging.rubric import SCHEMA, parse_rubric
from tasks.schema.errors import ReplyError
from tasks.schema.params import Model
from tasks.schema.settings import Settings

VLLM = Settings().vllm_python
STUDENT = Model(name="student", revision="1", temperature=0.0, max_tokens=8)
JUDGE = Model(name="judge", revision="1", temperature=1.0, max_tokens=1000)
PLAN = "Write about bread. " + "Paragraph 1 - Main Point: bread, part 1 of 4 - Word Count: 50 words\n" * 40
JUDGE_IT = "Judge this answer about bread, with a number from 1 to 5 for each of the six dimensions."
VERDICTS = 8
SHARED_MEMORY = Path("/dev/shm")

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not VLLM.is_file(), reason=f"no interpreter at {VLLM}; python -m infra.serve_env --cpu makes it"),
]


class Seen(NamedTuple):
    """What one server said and did."""

    prompt: int  # tokens that our tokenizer makes of PLAN
    prefixed: list[Reply]  # to PLAN, then to PLAN with more after it
    counters: tuple[int, int]  # of the prefix cache: tokens looked up, tokens found
    statuses: list[int]  # of /v1/models: without a key, with another's, with the server's own
    name: str  # of the one model that is served
    served: ServedCheckpoint
    words: list[str]  # of the command lines of all its processes
    verdicts: list[Reply]
    prose: list[Reply]  # to the same request, without the schema
    killed: set[psutil.Process]
    revived: set[psutil.Process]
    afterwards: list[Reply]  # to requests that were sent when it was just killed
    log: str
    shared: set[Path]  # memory, of the revived


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("vllm")
    own = Settings(home=folder / "home", server="vllm", vllm_python=VLLM, startup_timeout=300.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_API_KEY", "somebody's")
        checkpoint = folder / "student"
        tokenizer = make_checkpoint(checkpoint, [PLAN, "Bread is old. 面包"])
        yield asyncio.run(ask_everything(checkpoint, own, len(tokenizer(PLAN)["input_ids"])))


async def ask_everything(checkpoint: Path, own: Settings, prompt: int) -> Seen:
    before = children()
    said: dict[str, Any] = {"prompt": prompt}
    async with model_server(checkpoint, own) as served:
        said["killed"] = children() - before
        said["words"] = [word for process in said["killed"] for word in process.cmdline()]
        async with (
            openai_chat("candidate", served.url, STUDENT, own, name=served.name, api_key=served.api_key, up=True) as chat,
            openai_chat("judge", served.url, JUDGE, own, name=served.name, api_key=served.api_key, up=True) as judge,
        ):
            said["prefixed"] = [await chat(user(PLAN + end)) for end in ("", "Bread is old.")]
            async with aiohttp.ClientSession() as session:
                said["counters"] = await counted(session, served.url.removesuffix("/v1"))
                said["statuses"] = [await status(session, served.url, key) for key in keys(served)]
            said["name"], said["served"] = await only_model(served.url, served.api_key), served
            said["verdicts"] = await draw(judge, schema=SCHEMA)
            said["prose"] = await draw(judge, schema=None)
            crashed = shared_memory(said["killed"])  # which killed processes cannot give back
            kill(said["killed"])
            said["afterwards"] = await draw(chat, schema=None)
            said["revived"] = children() - before
            said["shared"] = shared_memory(said["revived"])
    for path in crashed:
        path.unlink(missing_ok=True)
    (log,) = (own.home / "logs").iterdir()
    return Seen(**said, log=log.read_text())


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def kill(processes: set[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def shared_memory(processes: set[psutil.Process]) -> set[Path]:
    """The files in shared memory that processes have mapped: by inode, since a semaphore is mapped before it gets its name."""
    maps = [line.split() for process in processes for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines()]
    inodes = {int(words[4]) for words in maps if len(words) > 5 and words[5].startswith(f"{SHARED_MEMORY}/")}
    return {path for path in SHARED_MEMORY.iterdir() if path.stat().st_ino in inodes}


def keys(served: ServedCheckpoint) -> list[str | None]:
    return [None, "somebody's", served.api_key.get_secret_value()]


async def status(session: aiohttp.ClientSession, url: str, key: str | None) -> int:
    async with session.get(f"{url}/models", headers={"Authorization": f"Bearer {key}"} if key else {}) as response:
        return response.status


async def draw(chat: Chat, *, schema: dict[str, Any] | None) -> list[Reply]:
    return await map_async(range(VERDICTS), lambda sample: chat(user(JUDGE_IT, sample=sample, schema=schema)), unit="answer", label=None)


def test_vllm_serves_a_long_prefix_again_from_its_cache(seen: Seen) -> None:
    first, second = seen.prefixed
    assert first.usage.prompt > seen.prompt > 3 * BLOCK
    assert first.usage.cached == 0
    assert first.usage.prompt - BLOCK - 2 <= second.usage.cached < second.usage.prompt
    assert second.usage.cached % BLOCK == 0
    assert seen.counters == (first.usage.prompt + second.usage.prompt, second.usage.cached)
    assert 0 < second.usage.completion <= STUDENT.max_tokens


def test_vllm_serves_nobody_without_the_key_that_was_drawn_for_it(seen: Seen) -> None:
    assert seen.statuses == [401, 401, 200]
    key = seen.served.api_key.get_secret_value()
    assert key not in seen.log
    assert key not in repr(seen.served)
    assert not any(key in word for word in seen.words)


def test_vllm_says_which_model_it_serves(seen: Seen) -> None:
    assert seen.name == seen.served.name


def test_a_judge_behind_vllm_can_only_answer_with_a_verdict(seen: Seen) -> None:
    """Even with random weights, which otherwise write noise."""
    assert [reply.finish_reason for reply in seen.verdicts] == ["stop"] * VERDICTS
    for verdict, prose in zip(seen.verdicts, seen.prose, strict=True):
        parse_rubric(verdict.text)
        with pytest.raises(ReplyError):
            parse_rubric(prose.text)
    assert len({parse_rubric(reply.text) for reply in seen.verdicts}) > 1


def test_a_vllm_that_was_killed_comes_back_and_answers(seen: Seen) -> None:
    assert len(seen.killed) > 1
    assert len(seen.revived) > 1
    assert not seen.killed & seen.revived
    assert len(seen.afterwards) == VERDICTS
    assert all(reply.usage.completion for reply in seen.afterwards)


def test_vllm_ends_whole_with_its_block(seen: Seen) -> None:
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in seen.killed | seen.revived)
    assert seen.shared
    assert not any(path.exists() for path in seen.shared)
