"""Checkpoint folders in the registry: safetensors weights and text files; no file that executes code when it is loaded."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from tasks.checkpoints import RUNS, named, refuse_pickles
from tasks.schema.errors import BadInput

KEPT = {".safetensors", ".json", ".txt", ".jinja", ".model"}  # .model: SentencePiece's protobuf
NAME = 255  # longest file name, in bytes


def files(folder: Path) -> list[Path]:
    """Returns the checkpoint's files, sorted. Raises BadInput for a missing folder, a pickle, or a folder without weights."""
    if not folder.is_dir():
        raise BadInput(folder, "no such folder", fix="run the train stage: `longwriter run`")
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    refuse_pickles(folder, [path.relative_to(folder).as_posix() for path in found])
    kept = [path for path in found if path.suffix in KEPT]
    if not any(path.suffix == ".safetensors" for path in kept):
        raise BadInput(folder, "no .safetensors weights in it", fix="save the model with save_pretrained")
    return kept


def refuse_foreign(address: str, paths: Iterable[str]) -> None:
    """Checks the file names that a store lists for a checkpoint, before any file is fetched. `paths` are relative.

    Raises BadInput with the first name that leads out of the folder, is not a valid file name, or is no kind of checkpoint file.
    """
    for path in paths:
        if problem := RUNS if named(path) else _foreign(path):
            raise BadInput(f"{address}: {path[:80]!r}", problem, fix="check the store: this version was not registered by the pipeline")


def _foreign(path: str) -> str | None:
    parts = path.split("/")
    if path.startswith("/") or set(parts) & {"", ".", ".."} or "%" in path:  # MLflow's servers decode escaped names
        return "a name that may lead out of the checkpoint's folder"
    if re.search(r"[\\:*?\"<>|\x00-\x1f\x7f]", path) or max(len(part.encode("utf-8", "replace")) for part in parts) > NAME:
        return "no name that every file system takes"
    return None if PurePosixPath(path).suffix in KEPT else f"no file of a checkpoint ({', '.join(sorted(KEPT))})"


def digest(folder: Path) -> str:
    """Returns the SHA-256 over names and contents of the checkpoint's files, as hex. Equal weights make the same version."""
    total = hashlib.sha256()
    for path in files(folder):
        total.update(f"{path.relative_to(folder).as_posix()}\0{sha256(path)}\n".encode())
    return total.hexdigest()


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file as hex; the file is read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
