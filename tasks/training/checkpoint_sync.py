"""Copy sealed checkpoints to S3, so that a training can resume on another machine.

Each sealed checkpoint is uploaded with the history so far to the prefix LONGWRITER_CHECKPOINT_STORE. A machine with an older checkpoint
of the same training, or none, downloads the newest. Two machines find the same training by the scratch folder's name, a digest of
everything the result depends on. A failed upload is a warning, and the training continues. A download is verified by the checksums of
tasks/storage and by the checkpoint's seal.
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
    """Upload a sealed checkpoint and the history so far. Does nothing if no checkpoint store is set."""
    if not (url := settings().checkpoint_store):
        return
    from tasks.storage.place import place
    from tasks.storage.publish import publish

    scratch = folder.parent
    files = [path for path in folder.rglob("*") if path.is_file()] + [path for path in [scratch / HISTORY] if path.is_file()]
    try:
        publish(scratch, _name(scratch), to=place(url), version=folder.name, files=files, pickles=True, label=None)
    except BadInput as error:  # another machine uploaded this step already; its checkpoint is as good
        warn(f"{folder.name} is in the store already: {error}")
    except PipelineError as error:
        warn(f"{folder.name} is on this machine alone: {error}")


def restore(scratch: Path, *, world: int, warn: Warn) -> None:
    """Download the store's newest checkpoint into the scratch folder, if it is newer than the checkpoints there.

    `world` is the number of processes. Raises StorageError, BadSettings.
    """
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
        for name in (HISTORY, newest):  # the checkpoint last: the training resumes from it
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
