"""Runs of trainings as a stage starts them, in forks of a process with the imports (preloaded.py), and the numbers that they left."""

import os
import subprocess
from pathlib import Path

from tasks import store
from tasks.schema.settings import PREFIX
from tasks.training.job import TrainingJob, TrainingStep
from tests.conftest import ROOT
from tests.tasks.training.preloaded import Stage, Stages

Started = Stage | subprocess.Popen[str]
# The scratch folders of finished trainings are removed. Before that, the script copies their histories into its folder.
SCRIPT = """
import shutil, sys
from pathlib import Path
from tasks.schema.settings import settings
from tasks.training.job import TrainingJob
from tasks.training.launch import train_all

remove = shutil.rmtree
def keep(path, *more, **named):
    path = Path(path)
    if (path / "history.jsonl").exists() and path.parent.name == "training":
        name = TrainingJob.model_validate_json((path / "job.json").read_bytes()).name
        shutil.copy(path / "history.jsonl", f"{name}.history.jsonl")
        shutil.copy(path / "resolved.json", f"{name}.resolved.json")
    remove(path, *more, **named)
shutil.rmtree = keep

jobs = [TrainingJob.model_validate_json(Path(path).read_bytes()) for path in sys.argv[1:]]
train_all(jobs, settings(), watch=lambda point: None)
"""


def start(folder: Path, made: list[TrainingJob], forks: Stages) -> Stage:
    """A process that trains, as a stage does: a fork of a process with the imports."""
    paths = []
    for one in made:
        store.write_json(folder / f"{one.name}.json", one)
        paths.append(folder / f"{one.name}.json")
    own = {"HOME": folder / "home", "TRAININGS": len(made), "CHECKPOINTS": 8, "THREADS": 1}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | {f"{PREFIX}{name}": str(value) for name, value in own.items()}
    return forks.start(SCRIPT, paths, folder=folder, environment=environment)


def finish(folder: Path, made: list[TrainingJob], forks: Stages) -> str:
    """Train to the end; what was said."""
    last = start(folder, made, forks)
    _, said = last.communicate()
    assert last.returncode == 0, said
    assert "Traceback" not in said
    return said


def keep_histories(folder: Path, made: list[TrainingJob]) -> dict[str, list[tuple[int, float, float]]]:
    """Step, loss and norm of the gradient of each step of trainings that ended."""
    return {one.name: [*map(_numbers, store.read(folder / f"{one.name}.history.jsonl", TrainingStep))] for one in made}


def _numbers(point: TrainingStep) -> tuple[int, float, float]:
    return point.step, point.loss, point.grad_norm


def on_cpu(folder: Path, stage: int) -> Path:
    """The shipped config of a ZeRO stage, on the CPU."""
    config = (ROOT / f"infra/accelerate/zero{stage}.yaml").read_text().replace("infra/deepspeed", str(ROOT / "infra/deepspeed"))
    (folder / "cpu.yaml").write_text(config + "use_cpu: true\n")
    return folder / "cpu.yaml"
