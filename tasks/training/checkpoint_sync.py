"""Checkpoints that outlive their machine: each sealed one goes to the S3 prefix of LONGWRITER_CHECKPOINT_STORE, with the history so far,
and a machine that has none for the same training takes the newest from there.

A training's scratch folder is named by everything that its result depends on, so that name is all that two machines need in common.
What cannot be sent is a warning: the training goes on. What is fetched has tasks/storage's checksums, and then its own seal, to pass.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from tasks.schema.errors import BadInput, PipelineError
from tasks.schema.settings import settings
from tasks.training import checkpoints
from tasks.training.job import HISTORY

Warn = Callable[[str], None]


def send(folder: Path, *, warn: Warn) -> None:
    """A sealed checkpoint, unless no store is named. Its steps so far are sent with it."""
    if not (url := settings().checkpoint_store):
        return
    from tasks.storage.place import place
    from tasks.storage.publish import publish

    scratch = folder.parent
    files = [path for path in folder.rglob("*") if path.is_file()] + [path for path in [scratch / HISTORY] if path.is_file()]
    try:
        publish(scratch, _name(scratch), to=place(url), version=folder.name, files=files, pickles=True, label=None)
    except BadInput as error:  # another machine was here before: its checkpoint of this step is as good
        warn(f"{folder.name} is in the store already: {error}")
    except PipelineError as error:
        warn(f"{folder.name} is on this machine alone: {error}")


def restore(scratch: Path, *, world: int, warn: Warn) -> None:
    """The store's newest checkpoint into the scratch folder, unless one is there that is as new. Raises StorageError, BadSettings."""
    if not (url := settings().checkpoint_store):
        return
    from tasks.storage import versions
    from tasks.storage.client import connect
    from tasks.storage.fetch import fetch
    from tasks.storage.place import place

    here = max((checkpoints.step(folder) for folder in scratch.glob(f"{checkpoints.PREFIX}*")), default=-1)
    listed = versions.versions(connect(), place(url), _name(scratch))
    newest = max((one.manifest.version for one in listed), key=lambda name: checkpoints.step(Path(name)), default=None)
    if newest is None or checkpoints.step(Path(newest)) <= here:
        return
    arrived = scratch.with_name(f"{scratch.name}.arriving")
    fetch(_name(scratch), arrived, source=place(url), version=newest, replace=True, pickles=True, label=f"{newest} from the store")
    if wrong := checkpoints.problem(arrived / newest, world=world):
        warn(f"{newest} from the store: {wrong}; it is not used")
    else:
        scratch.mkdir(parents=True, exist_ok=True)
        for name in (HISTORY, newest):  # the checkpoint last: it is what is gone on from
            if (arrived / name).exists():
                _into(arrived / name, scratch / name)
        warn(f"going on from {newest}, which another machine left in the store")
    shutil.rmtree(arrived)


def _into(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)


def _name(scratch: Path) -> str:
    return f"training-{scratch.name}"
