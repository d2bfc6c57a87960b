"""A real vLLM on a tiny checkpoint: started by the pipeline, spoken to over the API, ended whole. A start takes a minute."""

import asyncio
from pathlib import Path

import aiohttp
import psutil
import pytest

from benchmarks.prefix_cache import BLOCK, counted, make_checkpoint
from tasks.endpoints.chat import Reply, user
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.server import model_server
from tasks.schema.params import Model
from tasks.schema.settings import PREFIX, Settings, settings

VLLM = Settings().vllm_python
STUDENT = Model(name="student", revision="1", temperature=0.0, max_tokens=8)
PLAN = "Write about bread. " + "Paragraph 1 - Main Point: bread, part 1 of 4 - Word Count: 50 words\n" * 40
SHARED_MEMORY = Path("/dev/shm")


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.mark.e2e
@pytest.mark.skipif(not VLLM.is_file(), reason=f"no interpreter at {VLLM}; {PREFIX}VLLM_PYTHON names one that has vLLM")
def test_vllm_serves_a_long_prefix_again_from_its_cache_and_ends_with_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_API_KEY", "somebody's")
    own = settings().model_copy(update={"server": "vllm", "vllm_python": VLLM, "startup_timeout": 300.0})
    checkpoint = tmp_path / "student"
    tokenizer = make_checkpoint(checkpoint, [PLAN, "Bread is old. 面包"])
    segments = set(SHARED_MEMORY.glob("psm_*"))

    async def go() -> tuple[list[Reply], tuple[int, int], set[psutil.Process]]:
        before = children()
        async with model_server(checkpoint, own) as url:
            async with openai_chat("candidate", url, STUDENT, own, name=str(checkpoint)) as chat:
                replies = [await chat(user(PLAN + end)) for end in ("", "Bread is old.")]
            async with aiohttp.ClientSession() as session:
                return replies, await counted(session, url.removesuffix("/v1")), children() - before

    (first, second), (queries, hits), started = asyncio.run(go())
    assert first.usage.prompt > len(tokenizer(PLAN)["input_ids"]) > 3 * BLOCK
    assert first.usage.cached == 0
    assert first.usage.prompt - BLOCK - 2 <= second.usage.cached < second.usage.prompt
    assert second.usage.cached % BLOCK == 0
    assert (queries, hits) == (first.usage.prompt + second.usage.prompt, second.usage.cached)
    assert 0 < second.usage.completion <= STUDENT.max_tokens
    assert len(started) > 1
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in started)
    assert set(SHARED_MEMORY.glob("psm_*")) <= segments
