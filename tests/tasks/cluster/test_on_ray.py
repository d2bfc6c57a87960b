"""On a real Ray cluster of two machines: what comes out is what one process gives, whoever is killed, and nothing is paid twice."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks import store
from tasks.rehearsal.wildchat import write_chats
from tasks.schema.settings import settings as where
from tasks.sources import splits
from tests.conftest import ROOT
from tests.tasks.filtering.chats import rules
from tests.tasks.filtering.test_pool import sifted
from tests.tasks.judging.endpoint import prediction
from tests.tasks.workspace import SLOTS, Endpoint, Workspace, endpoint, environment, kill_group, some_plans, wait

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LONG = 240  # seconds: joining a cluster and its workers' first imports take long on a busy machine


def run(space: Workspace, **settings: Any) -> int:
    return space.start(**settings).wait(timeout=LONG)


def alone(folder: Path, url: str) -> dict[str, bytes]:
    space = Workspace(folder, url, some_plans())
    assert run(space) == 0
    return space.outputs()


def paid(space: Workspace) -> int:
    return space.journal.read_bytes().count(b"\n") if space.journal.exists() else 0


def shards() -> list[psutil.Process]:
    """The workers that have a shard of the write stage, found by the name that Ray gives them."""
    return [process for process in psutil.process_iter(["cmdline"]) if (process.info["cmdline"] or [""])[0].startswith("ray::write")]


def twice(served: Endpoint) -> int:
    return sum(count - 1 for count in served.served().values())


def test_drafts_are_the_same_and_each_request_is_paid_once(cluster: str, tmp_path: Path) -> None:
    with endpoint() as one, endpoint() as many:
        expected = alone(tmp_path / "alone", one.url)
        space = Workspace(tmp_path / "shared", many.url, some_plans())
        assert run(space, cluster=cluster) == 0, space.said()
        assert space.outputs() == expected
        assert many.served() == one.served()
        assert paid(space) == sum(many.served().values())


def test_a_killed_worker_costs_the_calls_in_flight_and_changes_nothing(cluster: str, tmp_path: Path) -> None:
    with endpoint() as one, endpoint(latency=0.2) as many:
        expected = alone(tmp_path / "alone", one.url)
        space = Workspace(tmp_path / "shared", many.url, some_plans())
        process = space.start(cluster=cluster)
        wait(lambda: paid(space) > 100 and bool(shards()), LONG, "no shard begins")
        shards()[0].kill()
        assert process.wait(timeout=LONG) == 0, space.said()
        assert "cluster: a worker died" in space.said()
        assert space.outputs() == expected
        assert twice(many) <= SLOTS // 2


@pytest.mark.parametrize("end", [kill_group, lambda process: process.send_signal(signal.SIGINT)], ids=["kill -9", "Ctrl-C"])
def test_a_stage_that_ends_early_leaves_no_worker_and_its_rerun_goes_on(
    cluster: str, tmp_path: Path, end: Callable[["subprocess.Popen[str]"], None]
) -> None:
    with endpoint() as one, endpoint(latency=0.2) as many:
        expected = alone(tmp_path / "alone", one.url)
        space = Workspace(tmp_path / "shared", many.url, some_plans())
        process = space.start(cluster=cluster)
        wait(lambda: paid(space) > 100, LONG, "no shard begins")
        end(process)
        code = process.wait(timeout=60)
        assert code in (130, -signal.SIGKILL)
        many.wait_until_idle(30)
        wait(lambda: not shards(), 30, "a shard outlives its stage")
        assert run(space, cluster=cluster) == 0, space.said()
        assert space.outputs() == expected
        assert twice(many) <= (SLOTS if code != 130 else 0)


def test_the_spend_cap_holds_over_all_workers(cluster: str, tmp_path: Path) -> None:
    with endpoint(latency=0.05) as many:
        space = Workspace(tmp_path / "shared", many.url, some_plans())
        prices = '{"rehearsal-teacher": {"prompt": 0, "completion": 1000}}'
        assert run(space, cluster=cluster, prices=prices, spend_cap=10) == 1
        assert "spend cap: $" in space.said()
        spent = sum(reply.usage.completion for reply in space.replies().values()) / 1000
        assert 5 < spent <= 10


def test_a_key_reaches_the_workers_and_no_file_of_the_cluster(cluster: str, tmp_path: Path) -> None:
    with endpoint() as many:
        space = Workspace(tmp_path / "shared", many.url, some_plans())
        assert run(space, cluster=cluster, teacher_api_key="planted-canary-5b1f") == 0, space.said()
    session = Path("/tmp/ray/session_latest")
    found = [path for path in session.rglob("*") if path.is_file() and b"planted-canary-5b1f" in path.read_bytes()]
    assert list(session.rglob("*.log"))
    assert found == []


def test_verdicts_and_comparisons_are_the_same(cluster: str, tmp_path: Path) -> None:
    with endpoint(latency=0) as served:
        answers = [prediction(f"Bread {n} is old. " * 20, str(n), model=model) for n in range(70) for model in ("student", "control")]
        store.write(tmp_path / "predictions.jsonl", answers)
        lines = (ROOT / "profiles/rehearsal.yaml").read_text(encoding="utf-8")
        (tmp_path / "params.yaml").write_text(lines, encoding="utf-8")
        found = []
        for name, own in (("alone", {}), ("shared", {"LONGWRITER_CLUSTER": cluster})):
            command = [sys.executable, "-m", "tasks.judge", "predictions.jsonl", str(ROOT / "tasks/prompts/judge.txt"), name]
            env = environment(LONGWRITER_HOME=str(tmp_path / f"home-{name}"), LONGWRITER_JUDGE_URL=served.url, **own)
            done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=LONG, check=False)
            assert done.returncode == 0, done.stderr
            found.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
        assert found[0] == found[1]


def test_rows_are_sifted_to_the_same_bytes(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "PART_ROWS", 400)
    (tmp_path / "chats").mkdir()
    write_chats(tmp_path / "chats", 3_000, files=3)
    monkeypatch.setenv("LONGWRITER_SIFTERS", "1")
    where.cache_clear()
    expected = sifted(tmp_path / "chats", tmp_path / "alone", rules())
    monkeypatch.setenv("LONGWRITER_CLUSTER", cluster)
    where.cache_clear()
    assert sifted(tmp_path / "chats", tmp_path / "shared", rules()) == expected
    assert (tmp_path / "shared/rejects.jsonl").read_bytes() == (tmp_path / "alone/rejects.jsonl").read_bytes()
    assert Counter(reject["reason"] for reject in expected[1])


def test_a_local_cluster_is_gone_after_ctrl_c(tmp_path: Path) -> None:
    with endpoint(latency=0.2) as served:
        space = Workspace(tmp_path / "shared", served.url, some_plans())
        process = space.start(cluster="local")
        wait(lambda: paid(space) > 20, LONG, "no shard begins")
        group = psutil.Process(process.pid).children(recursive=True)
        assert any("raylet" in child.name() for child in group)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert psutil.wait_procs(group, timeout=30)[1] == []
