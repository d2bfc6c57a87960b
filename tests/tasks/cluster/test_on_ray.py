"""A real Ray cluster of two machines gives the result of a single process, even if a worker is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tasks.rehearsal.wildchat import write_chats
from tasks.schema.settings import settings as where
from tasks.sources import splits
from tests.conftest import ROOT
from tests.tasks.filtering.chats import rules, sifted
from tests.tasks.workspace import environment, wait

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LONG = 240  # seconds: joining a cluster and its workers' first imports take long on a busy machine
SIFT = """
import sys
from pathlib import Path
from tasks.sources import splits
from tasks.stage import one_line_errors
from tests.tasks.filtering.chats import rules, sifted
splits.PART_ROWS = 200
with one_line_errors():
    sifted(Path(sys.argv[1]), Path(sys.argv[2]), rules())
"""


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chats")
    write_chats(folder, 12_000, files=3)
    return folder


def start(chats: Path, out: Path, cluster: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SIFT, str(chats), str(out)]
    env = environment(LONGWRITER_CLUSTER=cluster)
    return subprocess.Popen(command, cwd=ROOT, env=env, text=True, stderr=subprocess.PIPE, start_new_session=True)


def sifting() -> list[psutil.Process]:
    """Workers that have a part, found by the name that Ray gives them."""
    return [process for process in psutil.process_iter(["cmdline"]) if (process.info["cmdline"] or [""])[0].startswith("ray::sift")]


def test_rows_are_sifted_and_copies_found_to_the_same_bytes(
    cluster: str, chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "PART_ROWS", 1_500)
    monkeypatch.setenv("LONGWRITER_SIFTERS", "1")
    where.cache_clear()
    expected = sifted(chats, tmp_path / "alone", rules())
    monkeypatch.setenv("LONGWRITER_CLUSTER", cluster)
    where.cache_clear()
    assert sifted(chats, tmp_path / "shared", rules()) == expected
    assert (tmp_path / "shared/rejects.jsonl").read_bytes() == (tmp_path / "alone/rejects.jsonl").read_bytes()


def test_a_part_whose_worker_is_killed_is_tried_again_and_nothing_changes(
    cluster: str, chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "PART_ROWS", 200)
    sifted(chats, tmp_path / "alone", rules())
    process = start(chats, tmp_path / "shared", cluster)
    wait(lambda: bool(sifting()), LONG, "no part begins")
    sifting()[0].kill()
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 0, said
    assert "cluster: a worker died" in said
    assert (tmp_path / "shared/rejects.jsonl").read_bytes() == (tmp_path / "alone/rejects.jsonl").read_bytes()


def test_a_local_cluster_is_gone_after_ctrl_c(chats: Path, tmp_path: Path) -> None:
    process = start(chats, tmp_path / "shared", "local")
    wait(lambda: bool(sifting()), LONG, "no part begins")
    group = psutil.Process(process.pid).children(recursive=True)
    assert any("raylet" in child.name() for child in group)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert psutil.wait_procs(group, timeout=30)[1] == []
