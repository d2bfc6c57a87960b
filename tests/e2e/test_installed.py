"""What `pip install` brings: the modules with their data files, the command, and the evaluator's own dependencies alone."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.flows.recorded_answers import ANSWERS, answer, rows
from tests.tasks.judging.endpoint import endpoint

HEAVY = ("torch", "prefect", "dvc", "mlflow", "trl", "ray", "great_expectations", "transformers", "boto3", "deepspeed", "sklearn")
DATA = {".txt", ".j2", ".css", ".yaml", ".jinja"}


@pytest.mark.integration
def test_the_wheel_has_every_module_and_data_file_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        commands = next(archive.read(name).decode() for name in packed if name.endswith("entry_points.txt"))
    modules = {path.relative_to(ROOT).as_posix() for package in ("flows", "tasks", "longwriter") for path in (ROOT / package).rglob("*.py")}
    data = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tasks").rglob("*") if path.is_file() and path.suffix in DATA}
    profiles = {f"tasks/schema/profiles/{path.name}" for path in (ROOT / "profiles").glob("*.yaml")}
    assert profiles
    assert not (modules | data | profiles) - packed
    assert not [name for name in packed if name.startswith(("tests", "benchmarks", "mlflow", "data", "study"))]
    assert "longwriter = flows.cli:main" in commands
    assert any(name.endswith("licenses/LICENSE") for name in packed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_evaluator_works_in_an_empty_environment(wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, env=environment)
    folder = tmp_path / "venv/bin"
    empty, started = size(tmp_path / "venv"), time.monotonic()
    subprocess.run([folder / "python", "-m", "pip", "install", "-q", str(wheel)], check=True, env=environment)
    seconds, megabytes = time.monotonic() - started, (size(tmp_path / "venv") - empty) / 2**20
    listed = subprocess.run([folder / "python", "-m", "pip", "list", "--format", "json"], check=True, env=environment, capture_output=True)
    with capsys.disabled():
        print(f"\nlongwriter-pipeline: {seconds:.0f} s, {megabytes:.0f} MB, {len(json.loads(listed.stdout))} packages")

    code = f"from importlib.util import find_spec; print([name for name in {HEAVY} if find_spec(name)])"
    found = subprocess.run([folder / "python", "-c", code], check=True, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"

    answers = rows(tmp_path / "answers.jsonl", ANSWERS)
    benchmark = rows(tmp_path / "benchmark.jsonl", [{"prompt": "Write 70 words on bread.", "type": "News", "length": 70}])
    with endpoint(answer), endpoint(answer, "candidate"):
        url, judge = os.environ["LONGWRITER_CANDIDATE_URL"], os.environ["LONGWRITER_JUDGE_URL"]
        for words in (
            ["score", answers, "--out", "one"],
            ["compare", "one", "one", "--json"],
            ["run", url, "--model", "some-model", "--benchmark", benchmark, "--out", "two", "--json"],
        ):
            own = environment | {"LONGWRITER_JUDGE_URL": judge}
            done = subprocess.run([folder / "longwriter", "eval", *words], cwd=tmp_path, env=own, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["s_q"] == 75.0


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
