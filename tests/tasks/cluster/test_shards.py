"""Shards and their letters, without Ray: the same code in one event loop, where a worker can be killed at will."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tasks import store, write
from tasks.cluster import line
from tasks.cluster.engine import Lost
from tasks.cluster.post import Post
from tasks.cluster.shards import share_each
from tasks.endpoints.chat import Chat, user
from tasks.endpoints.roles import JOURNAL, open_role
from tasks.schema.errors import EndpointError, PipelineError, SpendCapReached
from tasks.schema.params import Params, load
from tasks.schema.records import Plan
from tasks.schema.settings import settings
from tests.conftest import ROOT
from tests.tasks.workspace import endpoint, some_plans


class _Remote:
    """`post.send.remote(…)`, as Ray has it."""

    def __init__(self, method: Callable[..., Any]):
        self.remote = method


class _Here:
    """An engine whose workers are tasks of this event loop; the first `deaths` shards die after some letters."""

    def __init__(self, deaths: int = 0):
        self.deaths, self.sizes = deaths, list[int]()

    def workers(self) -> int:
        return 2

    def post(self) -> Any:
        post = Post()
        shown: Any = type("Handle", (), {"send": _Remote(post.send), "receive": _Remote(post.receive)})()
        return shown

    def put(self, value: Any) -> Any:
        return value

    def submit(self, name: str, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        assert work is line.run
        self.sizes.append(len(arguments[2].items))
        future: Future[Any] = Future()
        dies, self.deaths = self.deaths > 0, self.deaths - 1

        async def run() -> None:
            try:
                async with asyncio.timeout(0.4 if dies else None):
                    await line._run(*arguments)
                future.set_result(None)
            except TimeoutError:
                future.set_exception(Lost("killed"))
            except Exception as error:  # noqa: BLE001 (as Ray hands it over)
                future.set_exception(error)

        self._kept = asyncio.ensure_future(run()), getattr(self, "_kept", None)
        return future


@pytest.fixture
def params() -> Params:
    return load(ROOT / "params.yaml")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> _Here:
    there = _Here()
    monkeypatch.setattr("tasks.cluster.engine._engine", lambda address: there)
    return there


def written(folder: Path, params: Params, plans: list[Plan], url: str, monkeypatch: pytest.MonkeyPatch, **more: str) -> dict[str, Any]:
    folder.mkdir()
    store.write(folder / "plans.jsonl", plans)
    for name, value in {"HOME": str(folder / "home"), "TEACHER_URL": url, "TRACES": "0", "CONCURRENCY": "16", **more}.items():
        monkeypatch.setenv(f"LONGWRITER_{name}", value)
    settings.cache_clear()
    metrics = write.run(folder / "plans.jsonl", folder, write=params.write, plan=params.plan, teacher_model=params.models.teacher)
    return {"metrics": dict(metrics), "drafts": (folder / "drafts.jsonl").read_bytes()}


def test_shards_write_what_one_process_writes_and_pay_once(
    tmp_path: Path, params: Params, here: _Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = some_plans(same=3)
    with endpoint(latency=0) as served:
        alone = written(tmp_path / "alone", params, plans, served.url, monkeypatch)
        before = served.served()
        shared = written(tmp_path / "shared", params, plans, served.url, monkeypatch, CLUSTER="HOST:1")
        assert shared == alone
        assert here.sizes == [32, 32]
        assert served.served() - before == before  # also those that two shards want at once


def test_what_a_dead_worker_had_not_finished_is_written_by_another(
    tmp_path: Path, params: Params, here: _Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endpoint() as served:
        alone = written(tmp_path / "alone", params, some_plans(), served.url, monkeypatch)
        here.deaths = 2
        assert written(tmp_path / "shared", params, some_plans(), served.url, monkeypatch, CLUSTER="HOST:1") == alone
        assert len(here.sizes) >= 4
        assert (tmp_path / "shared/home" / JOURNAL).read_bytes().count(b"\n") == alone["metrics"]["calls"]


def test_a_shard_that_kills_every_worker_ends_the_run(tmp_path: Path, params: Params, here: _Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.deaths = 100
    with endpoint(latency=5) as served, pytest.raises(PipelineError, match="3 workers of the cluster died over one shard"):
        written(tmp_path / "shared", params, some_plans(), served.url, monkeypatch, CLUSTER="HOST:1")


def test_the_spend_cap_is_one_for_all_shards(tmp_path: Path, params: Params, here: _Here, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"PRICES": '{"rehearsal-teacher": {"prompt": 0, "completion": 1000}}', "SPEND_CAP": "10"}
    with endpoint(latency=0) as served, pytest.raises(SpendCapReached):
        written(tmp_path / "shared", params, some_plans(), served.url, monkeypatch, CLUSTER="HOST:1", **own)


def test_an_endpoint_that_refuses_the_key_stops_all_shards(
    tmp_path: Path, params: Params, here: _Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EndpointError, match="cannot connect"):
        written(tmp_path / "shared", params, some_plans(), "http://127.0.0.1:9/v1", monkeypatch, CLUSTER="HOST:1", RETRIES="0")


async def _answer(chat: Chat, ask: str, ending: str, _: object) -> str:
    return (await chat(user(ask + ending))).text


def test_results_come_in_the_order_of_the_records(params: Params, here: _Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_CLUSTER", "HOST:1")
    settings.cache_clear()
    asks = [f"Write {number} words about bread" for number in range(20, 180)]

    async def go() -> list[str]:
        async with open_role("teacher", params.models.teacher) as chat:
            here_too = [await _answer(chat, ask, ".", None) for ask in asks[:3]]
            found = await share_each(chat, asks, _answer, ".", unit="answer", label=None)
            assert found[:3] == here_too
            return found

    assert len(asyncio.run(go())) == len(asks)
    assert here.sizes == [64, 64, 32]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (
            "127.0.0.1:9",
            r"cluster 127\.0\.0\.1:9: cannot be reached \(Connection refused\); start it, or correct or unset LONGWRITER_CLUSTER",
        ),
        ("ray://127.0.0.1:9", r"cluster ray://127\.0\.0\.1:9: cannot be reached"),
        ("somewhere", "LONGWRITER_CLUSTER: neither `local`, HOST:PORT nor ray://HOST:PORT"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line_before_any_work(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    with endpoint(latency=0) as served:
        with pytest.raises(PipelineError, match=said):
            written(tmp_path / "shared", params, some_plans(), served.url, monkeypatch, CLUSTER=address)
        assert not served.served()
