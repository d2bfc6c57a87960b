"""Trainings killed by kill -9 at any moment resume to the same numbers, and leave no process behind."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import orjson
import psutil
import pytest

from tasks.schema.errors import TrainingFailed
from tasks.schema.settings import Settings
from tasks.training import checkpoints, launch
from tasks.training.job import HISTORY, TrainingJob
from tests.tasks.training.jobs import job
from tests.tasks.training.packs import packed_student, write
from tests.tasks.training.preloaded import Stages
from tests.tasks.training.stage_runs import Started, finish, keep_histories, start

STEPS = 24


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    samples = packed_student(folder)
    write(samples[:12], folder / "packs/control", context=128)
    return folder


def jobs(packed: Path, folder: Path, names: list[str]) -> list[TrainingJob]:
    settings = Settings(home=folder / "home", trainings=len(names), checkpoints=8, threads=1)
    made = [job(packed, folder / name, settings, packs=name, steps=STEPS) for name in names]
    return [one.model_copy(update={"name": name}) for one, name in zip(made, names, strict=True)]


def trainers(of: int) -> list[psutil.Process]:
    return psutil.Process(of).children(recursive=True)


def wait_for(condition: object, process: Started) -> bool:
    """False where the process ended first."""
    assert callable(condition)
    while not condition():
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    return True


def unbroken(
    packed: Path, folder: Path, names: list[str], forks: Stages
) -> tuple[list[TrainingJob], dict[str, list[tuple[int, float, float]]]]:
    folder.mkdir()
    made = jobs(packed, folder, names)
    finish(folder, made, forks)
    return made, keep_histories(folder, made)


def same(folder: Path, other: Path, names: list[str]) -> None:
    for name in names:
        assert (folder / name / "model.safetensors").read_bytes() == (other / name / "model.safetensors").read_bytes()
        assert orjson.loads((folder / f"{name}.resolved.json").read_bytes()) == orjson.loads((other / f"{name}.resolved.json").read_bytes())


def killed_in_the_middle(folder: Path, made: list[TrainingJob], moment: float, forks: Stages) -> bool:
    """Kill the stage so many seconds after its trainings began to write; none of its trainers is alive soon after.

    False if it ended by itself before.
    """
    history = made[0].scratch / HISTORY
    before = history.stat().st_size if history.exists() else 0
    stage = start(folder, made, forks)
    wait_for(lambda: history.exists() and history.stat().st_size not in (0, before), stage)
    time.sleep(moment)
    if stage.poll() is not None:
        _, said = stage.communicate()
        assert stage.returncode == 0, said
        return False
    left = trainers(stage.pid)
    stage.kill()
    stage.communicate()
    assert not psutil.wait_procs(left, timeout=5)[1], "a trainer outlived its stage"
    return True


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_two_trainings_killed_while_they_write_go_on_to_the_same_numbers_and_files(packed: Path, tmp_path: Path, forks: Stages) -> None:
    names = ["student", "control"]
    _, expected = unbroken(packed, tmp_path / "calm", names, forks)
    folder = tmp_path / "hard"
    folder.mkdir()
    made = jobs(packed, folder, names)
    assert killed_in_the_middle(folder, made, 0.1, forks)
    for one in made:  # as if it had been killed inside the writing of its history, and of a checkpoint
        if (one.scratch / HISTORY).exists():
            with (one.scratch / HISTORY).open("ab") as file:
                file.write(b'{"model":"student","step":9')
        (one.scratch / "checkpoint-999").mkdir()
        (one.scratch / "checkpoint-999/model.safetensors").write_bytes(b"half")
    finish(folder, made, forks)
    assert keep_histories(folder, made) == expected
    same(tmp_path / "calm", folder, names)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("names", [["student"], ["student", "control"]])
def test_trainings_killed_at_twenty_moments_go_on_every_time(packed: Path, tmp_path: Path, names: list[str], forks: Stages) -> None:
    _, expected = unbroken(packed, tmp_path / "calm", names, forks)
    luck, folder, kills = random.Random(7), tmp_path / "hard", 0
    folder.mkdir()
    made = jobs(packed, folder, names)
    while kills < 20:
        killed = killed_in_the_middle(folder, made, luck.uniform(0.0, 0.5), forks)
        kills += killed
        if killed and kills % 5:
            continue
        if killed:
            finish(folder, made, forks)
        assert keep_histories(folder, made) == expected
        same(tmp_path / "calm", folder, names)
        made = jobs(packed, folder, names)


def point(step: int) -> bytes:
    numbers = {"epoch": 0.1, "loss": 2.0, "learning_rate": 0.1, "grad_norm": 1.0, "tokens_per_second": 1.0, "mfu": 0.1, "memory_gib": 1.0}
    return orjson.dumps({"model": "student", "step": step} | numbers) + b"\n"


@pytest.mark.parametrize(
    ("content", "known"),
    [
        (b"", 0),
        (point(1) + point(2), 2),
        (point(1) + point(2)[:40], 1),
        (point(1) + point(2)[:-1], 1),
        (point(1) + point(2)[:30] + point(2) + point(3), 1),
        (point(1) + b"\0" * 50 + b"\n" + point(3), 1),
        (point(1) + point(3), 1),
        (b"\xff\xfe\n" + point(1), 0),
    ],
)
def test_a_history_is_cut_where_it_is_damaged_and_one_line_says_so(tmp_path: Path, content: bytes, known: int) -> None:
    path, said = tmp_path / HISTORY, list[str]()
    path.write_bytes(content)
    assert launch.cut_history(path, warn=said.append) == known
    assert path.read_bytes() == b"".join(point(step) for step in range(1, known + 1))
    assert len(said) == (path.read_bytes() != content)


def test_a_watcher_follows_a_file_that_is_cut_replaced_and_torn(tmp_path: Path) -> None:
    path, seen = tmp_path / HISTORY, list[int]()
    tail = launch._Tail(path)
    watch = lambda found: seen.append(found.step)  # noqa: E731

    def now(content: bytes) -> None:
        path.write_bytes(content)
        tail.tell(watch)

    tail.tell(watch)
    now(b"".join(point(step) for step in range(1, 10)))
    now(point(1))
    now(b"".join(point(step) for step in range(1, 5)))
    now(b"".join(point(step) for step in range(1, 5)) + point(5)[:20])
    path.unlink()
    now(point(1) * 2 + b"\xff\n" + point(3)[:5])
    now(b"x" * 5 + point(4) * 20)
    path.unlink()
    path.mkdir()
    tail.tell(watch)
    assert seen[:3] == [9, 1, 4]


def test_a_checkpoint_past_the_end_of_the_history_is_gone_back_from(tmp_path: Path) -> None:
    for step in (3, 6, 9):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        checkpoints.seal(folder, world=1)
    said = list[str]()
    assert checkpoints.newest(tmp_path, world=1, known=1, warn=said.append) == tmp_path / "checkpoint-9"
    assert "the numbers of the steps in between are lost" in said[0]
    assert checkpoints.newest(tmp_path, world=1, known=7, warn=said.append) == tmp_path / "checkpoint-6"
    assert "checkpoint-9: the history ends at step 7; going on from checkpoint-6" in said[1]


def test_a_scratch_folder_has_one_owner(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "DYING", 0.5)
    (made,) = jobs(packed, tmp_path, ["student"])
    lock = launch.own(made)
    with pytest.raises(TrainingFailed, match="another process trains student in this folder; wait until it ends"):
        launch.own(made)
    heir = subprocess.Popen(["sleep", "300"], pass_fds=[lock])
    os.close(lock)
    with pytest.raises(TrainingFailed):
        launch.own(made)
    heir.send_signal(signal.SIGKILL)
    heir.wait()
    os.close(launch.own(made))
