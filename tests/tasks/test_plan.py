"""The plan stage: one call per instruction, in bounded memory, from a file of any length."""

import os
import signal
import subprocess
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import most_memory
from tasks import plan, store
from tasks.schema.errors import BadInput
from tasks.schema.params import Params, load
from tasks.schema.records import Instruction, Plan
from tasks.schema.settings import settings
from tests.conftest import ROOT
from tests.tasks.workspace import endpoint, environment, wait

MANY = 100_000


def instructions(count: int) -> Iterator[Instruction]:
    for number in range(count):
        words = 300 + number * 37 % 900
        text = f"Write a text of {words} words about lighthouse number {number} and the people who kept its lamp lit in winter."
        yield Instruction(id=f"i{number}", text=text, language="en", words=words, length_kind="exact", source=f"pool.jsonl:{number}")


@pytest.fixture
def params() -> Params:
    return load(ROOT / "params.yaml")


def planned(folder: Path, params: Params, url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    (folder / "out").mkdir()
    for name, value in {"HOME": str(folder / "home"), "TEACHER_URL": url, "CONCURRENCY": "16"}.items():
        monkeypatch.setenv(f"LONGWRITER_{name}", value)
    settings.cache_clear()
    metrics = plan.run(folder / "instructions.jsonl", folder, folder / "out", plan=params.plan, teacher_model=params.models.teacher)
    return dict(metrics)


def test_plans_are_written_in_the_order_of_the_instructions_whatever_was_asked_first(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "BLOCK", 16)
    store.write(tmp_path / "instructions.jsonl", instructions(40))
    with endpoint(latency=0) as served:
        metrics = planned(tmp_path, params, served.url, monkeypatch)
        assert served.health()["answered"] == 40
    plans = store.read_list(tmp_path / "out/plans.jsonl", Plan)
    assert [one.instruction for one in plans] == list(instructions(40))
    assert (tmp_path / "out/rejects.jsonl").read_bytes() == b""
    assert metrics == {
        "instructions": 40,
        "plans": 40,
        "rejects": 0,
        "paragraphs": sum(len(one.steps) for one in plans),
        "in_chapters": 0,
    }


def test_each_block_begins_with_its_longest_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BLOCK", 16)
    store.write(tmp_path / "instructions.jsonl", instructions(40))
    places = array("q")
    words = [one.words for one in plan._longest_first(tmp_path / "instructions.jsonl", places)]
    assert all(words[start : start + 16] == sorted(words[start : start + 16], reverse=True) for start in (0, 16, 32))
    assert Counter(places) == Counter(range(40))


def test_a_line_that_is_no_instruction_is_named_before_anything_is_asked(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(tmp_path / "instructions.jsonl", instructions(3))
    with (tmp_path / "instructions.jsonl").open("a") as file:
        file.write('{"id": "x"}\n')
    with endpoint(latency=0) as served:
        with pytest.raises(BadInput, match=r"instructions.jsonl:4"):
            planned(tmp_path, params, served.url, monkeypatch)
        assert not served.served()


@pytest.mark.integration
def test_a_long_file_is_begun_at_once_in_little_memory_and_ends_on_sigterm(tmp_path: Path) -> None:
    store.write(tmp_path / "instructions.jsonl", instructions(MANY))
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    with endpoint(latency=0.2) as served:
        own = environment(LONGWRITER_HOME=str(tmp_path / "home"), LONGWRITER_TEACHER_URL=served.url)
        command = [sys.executable, "-m", "tasks.plan", "instructions.jsonl", ".", "out"]
        with subprocess.Popen(command, cwd=tmp_path, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as stage:
            try:
                wait(lambda: served.health()["answered"] >= 100, 90, "nothing is asked")
                used = most_memory(stage.pid)
                stage.send_signal(signal.SIGTERM)
                assert stage.wait(60) == 143
            finally:
                stage.kill()
        assert served.health()["answered"] < MANY // 10
    assert used < 160 * 2**20  # a stage that holds the texts of all of them, and a task for each, takes several times that
    assert {name for name in os.listdir(tmp_path) if name.startswith(".out")} == set()
