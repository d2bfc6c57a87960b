"""A stage as a real process: exit codes, one-line errors, complete outputs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import stage
from tasks.schema.errors import BadInput
from tests.conftest import ROOT

STAGE = """'''toy: a stage.'''
import os, sys, time
from functools import partial
from pathlib import Path
from tasks import stage

def run(source: Path, out: Path, *, seed: int) -> stage.Metrics:
    (out / "first.txt").write_text("half")
    {body}
    return {{"seed": seed}}

stage.main("SOURCE OUT", lambda params: partial(run, seed=params.seed))
"""


def start(tmp_path: Path, body: str, **more: object) -> "subprocess.Popen[str]":
    (tmp_path / "toy.py").write_text(STAGE.format(body=body))
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "toy.py", "in.jsonl", "out"]
    return subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **more)  # type: ignore[call-overload]


def test_a_stage_leaves_its_files_and_its_metrics(tmp_path: Path) -> None:
    process = start(tmp_path, "pass")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["first.txt", "metrics.json"]
    assert out == "out: seed 42\n"


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (
            "from tasks.schema.records import Plan; from tasks import store; store.read_list(source, Plan)",
            2,
            "error: in.jsonl: no such file; fix: check",
        ),
        ("raise OSError(28, 'No space left on device', 'out/x')", 1, "error: out/x: No space left on device; free some space"),
        ("from tasks.schema.errors import GateFailed; raise GateFailed('a\\nb')", 1, "error: a b"),
    ],
)
def test_an_error_for_people_is_one_line_and_nothing_is_left_behind(tmp_path: Path, body: str, code: int, says: str) -> None:
    process = start(tmp_path, body)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.startswith(says)
    assert err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "__pycache__") == ["params.yaml", "toy.py"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_stage_and_leaves_no_half_output(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = start(tmp_path, "print('ready', flush=True); time.sleep(60)")
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == code
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_a_full_disk_is_reported_as_one(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk: a write fails with EFBIG, as it would with ENOSPC."""
    import resource

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))

    body = "from tasks.store import write_json; write_json(out / 'big.json', 'x' * 10**6)"
    process = start(tmp_path, body, preexec_fn=small_disk)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("error: ")
    assert "File too large; free some space and run again" in err
    assert not (tmp_path / "out").exists()


def test_a_stage_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(STAGE.format(body="Path('pid').write_text(str(os.getpid())); time.sleep(60)"))
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    code = f"import subprocess, sys; subprocess.run([sys.executable, 'toy.py', 'in', 'out'], env={{'PYTHONPATH': {str(ROOT)!r}}})"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_a_whole_number_is_handed_over_as_one_and_anything_else_is_refused() -> None:
    assert stage.whole_number(Path("300")) == 300
    with pytest.raises(BadInput, match=r"3\.5: not a whole number"):
        stage.whole_number(Path("3.5"))


@pytest.mark.parametrize("arguments", [[], ["in.jsonl"], ["in.jsonl", "out", "more"], ["--fast", "out"]])
def test_other_arguments_than_the_stages_are_refused_with_its_usage(arguments: list[str], tmp_path: Path) -> None:
    ended = _called(tmp_path, *arguments)
    assert (ended.returncode, ended.stderr) == (2, "error: usage: python -m toy SOURCE OUT\n")
    assert not (tmp_path / "out").exists()


def test_help_is_the_usage_and_what_the_stage_does(tmp_path: Path) -> None:
    ended = _called(tmp_path, "--help")
    assert (ended.returncode, ended.stdout) == (0, "usage: python -m toy SOURCE OUT\n\ntoy: a stage.\n")


def _called(tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "toy.py").write_text(STAGE.format(body="pass"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "toy", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
