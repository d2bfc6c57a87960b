"""Real stages as real processes, killed and without resources: nothing is half-written, lost or paid twice."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import collect, predict
from tasks.schema.errors import PipelineError
from tasks.schema.params import load
from tests.conftest import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the stages read."""
    return inputs(tmp_path)


def inputs(folder: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "raw").mkdir()
    shutil.copy(ROOT / "data/raw/pool.jsonl", folder / "raw")
    shutil.copy(ROOT / "data/raw/benchmark.jsonl", folder)
    return folder


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after collect, in `out`, with its replies in the journal."""
    folder = inputs(tmp_path_factory.mktemp("collected"))
    assert finish(folder, *COLLECT)[0] == 0
    return folder


@pytest.fixture
def after_collect(collected: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(collected, tmp_path / "copy"))


def start(folder: Path, *words: str, limit: Callable[[], None] | None = None, **environment: str) -> "subprocess.Popen[str]":
    own = os.environ | {"PYTHONPATH": str(ROOT), "LONGWRITER_HOME": str(folder / "home")} | environment
    command = [sys.executable, "-m", *words]
    return subprocess.Popen(command, cwd=folder, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limit)


def finish(folder: Path, *words: str, **more: object) -> tuple[int, str]:
    process = start(folder, *words, **more)  # type: ignore[arg-type]
    _, err = process.communicate(timeout=120)
    return process.returncode, err


COLLECT = ("tasks.collect", "raw", "benchmark.jsonl", "out")
PLAN = ("tasks.plan", "out/instructions.jsonl", "passed.json", "plans")


def journal(folder: Path) -> Path:
    return folder / "home/replay.jsonl"


def answered(folder: Path) -> int:
    """Paid replies that are kept: whole lines of the journal, counted without its lock."""
    return journal(folder).read_bytes().count(b"\n")


@pytest.mark.integration
@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_collect_leaves_nothing_and_its_rerun_the_same_bytes(folder: Path, collected: Path, kills: int) -> None:
    clean = {path.name: path.read_bytes() for path in (collected / "out").iterdir()}
    luck = random.Random(1)
    for _ in range(kills):
        process = start(folder, *COLLECT)
        time.sleep(luck.uniform(0.3, 2.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (folder / "out").exists():  # it was quicker
            assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == clean
            shutil.rmtree(folder / "out")
    assert finish(folder, *COLLECT)[0] == 0
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == clean


@pytest.mark.integration
def test_ctrl_c_keeps_every_answer_and_the_rerun_goes_on_from_there(after_collect: Path) -> None:
    folder, before = after_collect, answered(after_collect)
    process = start(folder, *PLAN, LONGWRITER_REHEARSAL_LATENCY="0.2")
    while answered(folder) < before + 20:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.rstrip().endswith("error: interrupted; run again to go on from here")
    assert not (folder / "plans").exists()
    kept = answered(folder)
    assert finish(folder, *PLAN)[0] == 0
    assert before + 20 <= kept < answered(folder) == before + 400


@pytest.mark.slow  # test_fault_run.py has it for the stage write
def test_a_full_disk_under_the_journal_is_one_line_and_the_rerun_goes_on(after_collect: Path) -> None:
    """A file size limit stands in for the full disk: a write is cut short, and the next one fails."""
    folder, before = after_collect, answered(after_collect)
    limit = journal(folder).stat().st_size + 30_000

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    code, err = finish(folder, *PLAN, limit=small)
    assert code == 1
    assert "error: " in err
    assert "free some space and run again, what is done is kept" in err
    assert "Traceback" not in err
    assert not (folder / "plans").exists()
    assert before < answered(folder) < before + 400
    assert finish(folder, *PLAN)[0] == 0
    assert answered(folder) == before + 400


def test_a_bad_pool_stops_the_process_with_one_line_and_no_outputs(folder: Path) -> None:
    (folder / "raw/pool.jsonl").write_bytes(b"")
    code, err = finish(folder, *COLLECT)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: raw/pool.jsonl: empty file;")
    assert not (folder / "out").exists()


def problem(run: Callable[..., object], *paths: str, **given: object) -> str:
    """The message of the input error with which a stage's `run` ends, in this process."""
    Path(paths[-1]).mkdir()
    with pytest.raises(PipelineError) as told:
        run(*map(Path, paths), **given)
    assert told.value.exit_code == 2
    assert "\n" not in str(told.value)
    assert ";" in str(told.value), "it says what to do"
    return str(told.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "raw/pool.jsonl: empty file;"),
        (b'{"prompt": "Write 200 words about bread."}\n{"prompt": "Wri', "raw/pool.jsonl:2: torn last line"),
        (b'{"prompt": "\xff"}\n', "raw/pool.jsonl:1: invalid UTF-8 at byte 12"),
        (b'{"prompt": "\\ud83d"}\n', "raw/pool.jsonl:1: a lone surrogate"),
        (b'{"topic": "bread"}\n', "raw/pool.jsonl:1: "),
        (b'{"prompt": 7}\n', "raw/pool.jsonl:1: "),
    ],
)
def test_a_bad_pool_stops_collect_with_file_line_and_fix(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str) -> None:
    (folder / "raw/pool.jsonl").write_bytes(content)
    monkeypatch.chdir(folder)
    params = load()
    given = {"seed": params.seed, "collect": params.collect, "selector_model": params.models.selector}
    assert problem(collect.run, *COLLECT[1:], **given).startswith(says)


@pytest.mark.parametrize(
    "row", ['{"prompt": "a", "type": "x"}', '{"prompt": "a", "type": "x", "length": 0}', '{"prompt": "a", "type": "x", "length": -5}']
)
def test_a_benchmark_row_without_a_proper_length_stops_predict(folder: Path, monkeypatch: pytest.MonkeyPatch, row: str) -> None:
    (folder / "bad.jsonl").write_text(row + "\n")
    (folder / "checkpoints/student").mkdir(parents=True)
    (folder / "aligned").mkdir()
    (folder / "reinforced").mkdir()
    monkeypatch.chdir(folder)
    params = load()
    given = {"seed": params.seed, "base": params.base, "predict": params.predict, "candidate_model": params.models.candidate}
    assert problem(predict.run, "bad.jsonl", "checkpoints", "aligned", "reinforced", "out", **given).startswith("bad.jsonl:1: length: ")
