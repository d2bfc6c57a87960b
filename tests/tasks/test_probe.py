"""The stage probe: lm-evaluation-harness for real, against an endpoint that knows some of the answers."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tasks import probe, store
from tasks.harness.measure import HarnessFailed
from tasks.schema.params import Model, Probe
from tasks.schema.settings import settings
from tests.conftest import ROOT

FACTS = "profiles/general/facts.yaml"
CANDIDATE = Model(name="some-model", revision="1", temperature=0.5, max_tokens=64)
KNOWN = {row["question"]: row["answer"] for row in map(json.loads, (ROOT / "profiles/general/facts.jsonl").read_text().splitlines())}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Task files name their data from the repository's root; what the harness caches stays with the test."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


@contextmanager
def endpoint(monkeypatch: pytest.MonkeyPatch, *, knows: int, status: int = 200) -> Iterator[list[web.Request]]:
    """A chat endpoint that answers the first `knows` questions right; yields the requests."""
    loop, application, seen = asyncio.new_event_loop(), web.Application(), list[web.Request]()
    right = dict(list(KNOWN.items())[:knows])

    async def complete(request: web.Request) -> web.Response:
        seen.append(request)
        question = (await request.json())["messages"][-1]["content"]
        message = {"role": "assistant", "content": right.get(question, "a long story")}
        return web.json_response({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}, status=status)

    application.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(application)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    monkeypatch.setenv("LONGWRITER_CANDIDATE_URL", f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    monkeypatch.setenv("LONGWRITER_CANDIDATE_API_KEY", "a-secret")
    settings.cache_clear()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield seen
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def run(tmp_path: Path, *tasks: str, limit: int | None = None) -> dict[str, float]:
    (tmp_path / "checkpoints" / "student").mkdir(parents=True, exist_ok=True)
    (tmp_path / "out").mkdir(exist_ok=True)
    own = Probe(version=1, tasks=list(tasks), limit=limit, fewshot=None)
    return dict(probe.run(tmp_path / "checkpoints", tmp_path / "out", probe=own, candidate_model=CANDIDATE))


def test_the_score_is_the_share_of_right_answers_and_the_key_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(monkeypatch, knows=18) as seen:
        assert run(tmp_path, FACTS) == {"tasks": 1, "facts": 18 / 24}
    assert {request.headers["Authorization"] for request in seen} == {"Bearer a-secret"}
    assert store.read_json(tmp_path / "out/general.json") == {"facts": 0.75}
    raw = store.read_json(tmp_path / "out/harness.json")
    assert (raw["scores"][0]["metric"], raw["scores"][0]["questions"]) == ("exact_match", 24)
    assert set(raw["sources"]) == {FACTS, "profiles/general/facts.jsonl"}
    assert "a-secret" not in (tmp_path / "out/harness.json").read_text()


def test_an_endpoint_that_fails_is_named_and_no_score_is_made_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_RETRIES", "0")
    with (
        endpoint(monkeypatch, knows=2, status=400) as seen,
        pytest.raises(HarnessFailed, match=rf"{FACTS}: the endpoint at http://127\.0\.0\.1:\d+/v1 cannot answer it"),
    ):
        run(tmp_path, FACTS, limit=1)
    assert seen
    assert not (tmp_path / "out/general.json").exists()


def test_without_tasks_nothing_is_served_and_nothing_measured(tmp_path: Path) -> None:
    assert run(tmp_path) == {"tasks": 0}
    assert store.read_json(tmp_path / "out/general.json") == {}


def test_a_task_file_that_is_not_there_is_named_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(HarnessFailed, match=r"nowhere\.yaml: no such task file; mend probe\.tasks in params\.yaml"):
        run(tmp_path, "nowhere.yaml")


def test_an_unknown_task_is_named_with_what_comes_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        endpoint(monkeypatch, knows=0),
        pytest.raises(HarnessFailed, match=r"hellaswagg: lm-evaluation-harness knows no such task; did you mean hellaswag"),
    ):
        run(tmp_path, "hellaswagg")
