"""A tiny workspace with quick stages, and one Prefect API for all tests of the flows."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from tests.conftest import ROOT

SCRIPT = """
import os, subprocess, sys, time
from pathlib import Path

from tasks.processes import die_with_parent

die_with_parent()
source, output = map(Path, sys.argv[1:])
text = source.read_text()
print(f"{output.stem} reads {source.name}", flush=True)
Path("ran.log").open("a").write(f"{output.stem}\\n")
if "broken" in text and output.stem == "second":
    print("error: first.txt:1: text: broken; correct the line", file=sys.stderr)
    sys.exit(2)
if "crash" in text:
    raise ValueError("a defect")
if "slow" in text:
    sleep = "import time; from tasks.processes import die_with_parent; die_with_parent(); time.sleep(300)"
    child = subprocess.Popen([sys.executable, "-c", sleep])
    Path("pids").write_text(f"{os.getpid()} {child.pid}")
    child.wait()
for part in range(3):
    print(f"\\r{output.stem}: {part}/3", end="", file=sys.stderr, flush=True)
print(file=sys.stderr)
for percent in (0, 50, 100):
    print(f"\\r{output.stem}: {percent:3}%|bar| words", end="", file=sys.stderr, flush=True)
    time.sleep(0.5 if "patient" in text else 0)
print(file=sys.stderr)
output.write_text(f"{text.strip()} {output.stem}\\n")
"""

GRAPH = """
stages:
  third: {cmd: exec python work.py two.txt third.txt, deps: [two.txt], outs: [third.txt]}
  first: {desc: starts, cmd: exec python work.py in.txt first.txt, deps: [in.txt], params: [{toy.yaml: [words]}], outs: [first.txt]}
  second: {cmd: python work.py first.txt second.txt && cp second.txt two.txt, deps: [first.txt], outs: [second.txt, two.txt]}
"""


@pytest.fixture(scope="session")
def api() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "toy"
    folder.mkdir()
    (folder / "work.py").write_text(SCRIPT)
    (folder / "dvc.yaml").write_text(GRAPH)
    (folder / "toy.yaml").write_text("words: 1\n")
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "in.txt").write_text("words\n")
    (folder / ".gitignore").write_text("ran.log\npids\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, check=True)
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    return folder


@pytest.fixture(scope="session")
def finished(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "toy"
    shutil.copytree(template, folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=folder, env=environment, check=True)
    (folder / "ran.log").unlink()
    return folder


@pytest.fixture
def toy(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of its own with three stages in a row, standing in another order in dvc.yaml; the working directory."""
    return enter(template, tmp_path, monkeypatch)


@pytest.fixture
def done(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same after `dvc repro`."""
    return enter(finished, tmp_path, monkeypatch)


def enter(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "toy"
    shutil.copytree(source, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return folder
