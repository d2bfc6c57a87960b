"""A build of an extension that was killed does not make later trainings wait forever."""

import os
from pathlib import Path

from tasks.training import extensions
from tasks.training.extensions import FOLDER, VARIABLE


def build(home: Path) -> Path:
    """The lock that torch leaves in the folder of a build that was killed."""
    lock = home / FOLDER / "deepspeed_shm_comm/lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    return lock


def test_the_lock_of_a_killed_build_is_removed_before_a_training_starts(tmp_path: Path) -> None:
    lock = build(tmp_path)
    used = extensions.use(tmp_path, given={})
    assert used is not None
    assert not lock.exists()
    os.close(used)


def test_the_lock_of_a_build_that_may_still_run_is_kept(tmp_path: Path) -> None:
    running = extensions.use(tmp_path, given={})
    assert running is not None
    lock = build(tmp_path)
    another = extensions.use(tmp_path, given={})
    assert another is not None
    assert lock.exists()
    os.close(running)
    os.close(another)
    last = extensions.use(tmp_path, given={})
    assert last is not None
    assert not lock.exists()
    os.close(last)


def test_a_folder_that_the_user_set_is_left_alone(tmp_path: Path) -> None:
    assert extensions.use(tmp_path, given={VARIABLE: "/elsewhere"}) is None
    assert not (tmp_path / FOLDER).exists()
