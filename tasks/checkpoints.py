"""Check untrusted model folders without loading them, before a server or a training starts.

Weights must be safetensors, which contain only numbers. A pickle can run code when it is loaded, so pickles are refused by name and, if
the file exists, by content: a pickle named model.safetensors is refused too.
"""

import bz2
import gzip
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import orjson

from tasks.schema.errors import BadInput

# Suffixes of pickles, of archives of pickles, and of other formats that can run code (h5, keras, pyc).
PICKLES = {".bin", ".pt", ".pth", ".pt2", ".ckpt", ".pkl", ".pickle", ".pickled", ".p", ".pck", ".pcl", ".joblib", ".jbl", ".dill"}
PICKLES |= {".cloudpickle", ".cpkl", ".t7", ".mar", ".nemo", ".sav", ".distcp", ".h5", ".hdf5", ".keras", ".pyc", ".marshal", ".shelve"}
ARRAYS = {".npy", ".npz"}  # a pickle only if the array contains Python objects
PACKED = {".gz", ".bz2", ".xz", ".zst", ".lz4", ".z", ".zip", ".tar", ".tgz"}
COMPRESSED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
HEADER = 100_000_000  # bytes; limit of a safetensors header
MEMBERS = 10_000  # archive members that are checked
ADAPTER, INDEX = "adapter_config.json", ".index.json"
RUNS = "a pickle, which runs code when it is loaded"
DEPTH = 4  # limit of adapters on adapters


def refuse_pickles(folder: Path | str, paths: Iterable[str], *, arrays: bool = False) -> None:
    """Raises BadInput with the first of these paths that is a pickle, by its suffix or its content.

    Paths are relative to `folder`. A file that does not exist yet, such as a name in a manifest, is checked by its name only. `arrays`
    accepts the names of arrays; the caller then checks their content later.
    """
    for path in paths:
        file = Path(folder) / path
        there = file.is_file()
        if named(path, arrays=arrays or there) or (there and holds_pickle(file)):
            raise BadInput(f"{folder}/{path}", RUNS, fix="keep safetensors and remove it")


def named(path: str, *, arrays: bool = False) -> bool:
    """Whether the name is a pickle's, such as `model.pth.tar` or `weights.pkl.gz`. `arrays` accepts .npy and .npz."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    while suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return bool(suffixes) and (suffixes[-1] in PICKLES or (suffixes[-1] in ARRAYS and not arrays))


def holds_pickle(path: Path) -> bool:
    """Whether the file is a pickle, an array of Python objects, or an archive with a pickle, whatever its name."""
    with path.open("rb") as file:
        head = file.read(512)
    if _pickle(head) or _array_of_objects(head):
        return True
    try:
        for magic, unpacked in COMPRESSED:
            if head.startswith(magic):
                with unpacked(path) as packed:
                    return _pickle(packed.read(2))
        if head.startswith(b"PK\x03\x04"):
            return any(_in_zip(path))
        if head[257:262] == b"ustar":
            with tarfile.open(path) as archive:
                return any(named(member.name) or member.name == "pickle" for member, _ in zip(archive, range(MEMBERS), strict=False))
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError):
        return False  # not an archive, or unreadable
    return False


def _pickle(head: bytes) -> bool:
    """Whether bytes begin a pickle of protocol 2 to 5 (written since 2003), as torch's older files do too."""
    return len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _array_of_objects(head: bytes) -> bool:
    if not head.startswith(b"\x93NUMPY"):
        return False
    described = head[8:].partition(b"descr")[2].partition(b"fortran_order")[0]
    return re.search(rb"'[|<>=]?O\d*'", described) is not None


def _in_zip(path: Path) -> Iterator[bool]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist()[:MEMBERS]:
            yield named(member.filename, arrays=True)
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    yield _array_of_objects(file.read(512))


def check_model(folder: Path, *, beside: bool = False, _above: int = 0) -> None:
    """Raises BadInput for a model folder that is unsafe or cannot be loaded.

    Refused are pickles, files that are not the safetensors that their names promise, an index with paths outside the folder, and an
    adapter on a base that is refused or cannot be checked. `beside` tolerates files with pickle names, for loaders that only read
    safetensors. The model's own code is not checked, because no loader here may run it.
    """
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    refuse_pickles(folder, [path for path in paths if not (beside and named(path))])
    for path in sorted(folder.glob("*.safetensors")):
        check_weights(path)
    for path in sorted(folder.glob(f"*{INDEX}")):
        _check_index(path)
    if (folder / ADAPTER).is_file():
        _check_adapter(folder / ADAPTER, above=_above)


def check_weights(path: Path) -> None:
    """Raises BadInput unless the header of this safetensors file matches the file. An empty file passes, because it is harmless."""
    size = path.stat().st_size
    if not size:
        return
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= min(HEADER, size - 8) else b""
    fix = "fetch it again, or save the model with save_pretrained"
    if not header:
        pointer = path.open("rb").read(7) == b"version"
        raise BadInput(path, "a Git LFS pointer, not the weights" if pointer else "no safetensors file, or one that was cut off", fix=fix)
    try:
        tensors = orjson.loads(header)
        end = max((tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"), default=0)
    except (orjson.JSONDecodeError, TypeError, KeyError, IndexError, AttributeError):
        raise BadInput(path, "not a safetensors file: its header is invalid", fix=fix) from None
    if not isinstance(end, int) or 8 + length + end != size:
        raise BadInput(path, f"the size in its header differs from the file's {size:,} bytes", fix=fix)


def _check_index(path: Path) -> None:
    fix = "save the model again with save_pretrained"
    index = _object(path)
    files = index.get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise BadInput(path, "not a map of weights to files", field="weight_map", fix=fix)
    for name in dict.fromkeys(files.values()):
        parts = PurePosixPath(name).parts
        if len(parts) != 1 or parts[0] in ("..", "/") or "\\" in name or "\x00" in name:
            raise BadInput(
                path,
                f"{name[:80]!r} is a path outside of the model's folder",
                field="weight_map",
                fix="download the model again",
            )
        if not name.endswith(".safetensors"):
            raise BadInput(path, f"{name[:80]!r} is no safetensors file", field="weight_map", fix=fix)
        if not (path.parent / name).is_file():
            raise BadInput(path, f"{name[:80]!r} is not there", field="weight_map", fix="fetch the model again")


def _check_adapter(path: Path, *, above: int) -> None:
    base = _object(path).get("base_model_name_or_path")
    fix = "merge the adapter into its base (merge_and_unload) and save the whole model"
    if not isinstance(base, str) or not Path(base).is_dir():
        problem = f"an adapter on {str(base)[:80]!r}; the weights of this base cannot be checked from here"
        raise BadInput(path, problem, field="base_model_name_or_path", fix=fix)
    if above >= DEPTH:
        raise BadInput(path, "its adapters refer to each other in a circle", field="base_model_name_or_path", fix=fix)
    try:
        check_model(Path(base), _above=above + 1)
    except BadInput as error:
        raise BadInput(path, f"the base of this adapter is refused: {error}", field="base_model_name_or_path", fix=fix) from None


def _object(path: Path) -> dict[str, object]:
    try:
        found = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadInput(path, f"not JSON: {error.msg}", fix="fetch the model again") from None
    if not isinstance(found, dict):
        raise BadInput(path, "not an object", fix="fetch the model again")
    return found


def templates(folder: Path) -> list[tuple[Path, str]]:
    """(file, text) of every chat template that loading this folder's tokenizer could read."""
    found = [(path, _text(path)) for path in (folder / "chat_template.jinja", *sorted(folder.glob("additional_chat_templates/*.jinja")))]
    for name in ("tokenizer_config.json", "chat_template.json", "processor_config.json"):
        if (folder / name).is_file():
            given = _object(folder / name).get("chat_template")
            entries = [entry.get("template") for entry in given if isinstance(entry, dict)] if isinstance(given, list) else [given]
            found += [(folder / name, text) for text in entries if isinstance(text, str)]
    return [(path, text) for path, text in found if text]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError:
        raise BadInput(path, "not UTF-8", fix="fetch the model again") from None


def special_tokens(folder: Path) -> dict[str, str]:
    """The chat template's variables (bos_token and so on), from tokenizer_config.json."""
    path, found = folder / "tokenizer_config.json", {"bos_token": "", "eos_token": ""}
    for name, token in (_object(path) if path.is_file() else {}).items():
        text = token.get("content") if isinstance(token, dict) else token
        if name.endswith("_token") and isinstance(text, str):
            found[name] = text
    return found
