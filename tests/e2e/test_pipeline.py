"""The whole pipeline on a smaller rehearsal: raw pool to promoted model, twice, and what a change reruns. No part is replaced.

The tests run in order on one workspace, a copy of this checkout: each starts where the one before ended.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import canaries
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(1800)

STAGES = ["collect", "validate_instructions", "plan", "write", "validate_drafts", "assemble", "validate_dataset", "pack", "train"]
STAGES += ["sample", "build_pairs", "align", "reinforce", "predict", "judge", "score", "evaluate_general", "promote", "serve", "report"]
SMALLER = {
    "benchmark": "data/raw/smaller.jsonl",
    "collect.count": 48,
    "collect.words.max": 400,
    "validate_instructions.min_rows": 30,
    "validate_instructions.min_explicit": 20,
    "validate_instructions.lengths": {quantile: {"min": 50, "max": 500} for quantile in ("p10", "p50", "p90")},
    "validate_drafts.min_rows": 30,
    "validate_dataset.min_rows": 30,
    "train.epochs": 1,
    "align.epochs": 1,
    "sample.prompts": 4,
    "build_pairs.max_rejects": 1.0,
    "validate_dataset.lengths": {quantile: {"min": 50, "max": 500} for quantile in ("p10", "p50", "p90")},
    "promote.min_s_bar": 0.0,
    "promote.min_s_l": 0.0,
    "serve.words": 100,
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "clone"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for command in ("init -q", "add -A", "-c user.name=test -c user.email=test@localhost commit -qm start"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    items = [json.loads(line) for line in (ROOT / "data/raw/benchmark.jsonl").read_text().splitlines()]
    (folder / "data/raw/smaller.jsonl").write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items[::8]))
    change(folder, SMALLER)
    return folder


def change(folder: Path, values: dict[str, object]) -> None:
    yaml = YAML()
    tree = yaml.load(folder / "params.yaml")
    for key, value in values.items():
        *path, last = key.split(".")
        section = tree
        for name in path:
            section = section[name]
        assert last in section, key
        section[last] = value
    yaml.dump(tree, folder / "params.yaml")


def command(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LONGWRITER_", "PREFECT_", "MLFLOW_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Only the long stages are recorded: each recorder imports MLflow.
    own = kept | {"PATH": path, "LONGWRITER_RECORD_AFTER": "15", **canaries.PLANTED} | environment
    return subprocess.run([sys.executable, "-m", *words], cwd=folder, env=own, capture_output=True, text=True)


def flow(folder: Path, **environment: str) -> dict[str, str]:
    """Run the main flow; the state of every stage, read from the summary that people see."""
    done = command(folder, "flows.cli", "run", **environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    shown = done.stdout + done.stderr
    return {stage: found[-1] for stage in STAGES if (found := re.findall(rf"\b{stage}\b\W+(Completed|Cached|Restored|Failed)\b", shown))}


def repro(folder: Path, *options: str) -> list[str]:
    """Run `dvc repro`; the stages that it ran."""
    done = command(folder, "dvc", "repro", *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return re.findall(r"^Running stage '(\w+)'", done.stdout, re.MULTILINE)


def test_one_command_takes_raw_instructions_to_a_promoted_model(workspace: Path) -> None:
    assert flow(workspace) == dict.fromkeys(STAGES, "Completed")
    scores = json.loads((workspace / "metrics/scores.json").read_text())
    assert scores
    decision = json.loads((workspace / "data/promote/decision.json").read_text())
    assert decision["alias"] == "champion"
    assert (workspace / "data/report/report.html").stat().st_size > 10_000
    assert (workspace / "data/validate_dataset/docs/index.html").is_file()


def test_every_raw_row_ends_as_an_instruction_or_as_a_reject(workspace: Path) -> None:
    rows = (workspace / "data/raw/pool.jsonl").read_bytes().count(b"\n")
    ends = sum((workspace / f"data/collect/{name}.jsonl").read_bytes().count(b"\n") for name in ("instructions", "rejects"))
    assert ends == rows


REPOSITORY_WIDE = [  # each with words that its output has
    ("status", "Data and pipelines are up to date"),
    ("data status", ""),
    ("metrics show", "data/score/metrics.json"),
    ("metrics diff", "metrics/scores.json"),
    ("params diff", "collect.count"),
    ("plots show", "index.html"),
    ("plots diff", "index.html"),
    ("remote add --default local ../remote", ""),
    ("push --run-cache", "pushed"),
    ("pull --run-cache", "up to date"),
    ("exp show --csv", "workspace"),
    ("exp run", "Experiment results have been applied"),  # all stages are up to date
    ("gc --workspace --dry --force", ""),
    ("dag --mermaid", "promote"),
]


def test_the_commands_of_dvc_work_on_the_whole_repository(workspace: Path) -> None:
    """All in one process, as each would load DVC again."""
    code = (
        "import contextlib, io, json, sys\nfrom dvc.cli import main\nfound = []\n"
        "for words in json.load(sys.stdin):\n    with contextlib.redirect_stdout(io.StringIO()) as out:\n        code = main(words)\n"
        "    found.append([code, out.getvalue()])\nprint(json.dumps(found))\n"
    )
    asked = json.dumps([words.split() for words, _ in REPOSITORY_WIDE])
    done = subprocess.run([sys.executable, "-c", code], cwd=workspace, input=asked, capture_output=True, text=True)
    for (words, expected), (code_, shown) in zip(REPOSITORY_WIDE, json.loads(done.stdout.splitlines()[-1]), strict=True):
        assert code_ == 0, (words, shown, done.stderr)
        assert expected in shown, (words, shown)
    assert "ERROR" not in done.stderr
    assert "study" not in done.stderr


def test_a_second_run_is_free_at_another_url_and_concurrency_too(workspace: Path) -> None:
    changed = {"LONGWRITER_TEACHER_URL": "http://127.0.0.1:9/v1", "LONGWRITER_CONCURRENCY": "3", "LONGWRITER_TIMEOUT": "7"}
    assert flow(workspace, **changed) == dict.fromkeys(STAGES, "Cached")
    assert repro(workspace) == [], "what the flow ran is not run by hand again"


def test_another_judge_reruns_what_asks_it_and_nothing_that_its_same_verdicts_leave_alone(workspace: Path) -> None:
    change(workspace, {"models.judge.revision": "2"})
    assert set(repro(workspace)) == {"build_pairs", "judge", "score", "promote", "report"}


def test_secrets_reach_no_file_that_the_run_left(workspace: Path) -> None:
    """Logs, params, Prefect's and MLflow's databases, artifacts, the journal, DVC's cache, the report."""
    for name in (
        ".longwriter/replay.jsonl",
        ".longwriter/mlflow.db",
        ".longwriter/prefect/prefect.db",
        ".dvc/cache",
        "data/report/report.html",
    ):
        assert (workspace / name).exists(), name
    assert canaries.hits(workspace, canaries.search()) == []
