"""A GGUF file (llama.cpp's format) as a Hugging Face folder: float32 safetensors, tokenizer, chat template.

transformers reads the file and dequantises it. What it could not read is refused before any weights are loaded.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from os import devnull
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.schema.errors import BadInput, StorageError
from tasks.schema.records import Record

ORIGIN = "origin.json"  # in a converted folder: where its weights come from
MAGIC = b"GGUF"
GIB = 2**30
MARGIN = 1.05  # of the disk space: tokenizer and configs beside the weights
ALIASES = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "gpt-oss": "gpt_oss", "minimax-m2": "minimax_m2"}  # as transformers names them
TEXT_ENCODERS = {"t5", "umt5", "t5encoder"}  # read by transformers, but no causal language models
FETCH = "fetch the file again, or take another one"


class ConvertedFrom(Record):
    """Where the weights of a converted folder come from."""

    source: str  # the file's name, or the package and its version
    sha256: str  # of the GGUF file
    licence: str  # as the package or the file states it; empty: not stated
    architecture: str
    parameters: int


class _Header(NamedTuple):
    architecture: str
    parameters: int
    licence: str


def convert(gguf: Path, out: Path, *, source: str = "", licence: str = "") -> ConvertedFrom:
    """Write the folder `out`, replaced only when whole. Needs 4 bytes of memory and of disk per parameter.

    Raises BadInput for a file that is torn, is no GGUF file, or has an architecture that transformers cannot read; StorageError when
    the disk has no room.
    """
    header = inspect(gguf)
    origin = ConvertedFrom(
        source=source or gguf.name,
        sha256=store.digest(gguf),
        licence=licence or header.licence,
        architecture=header.architecture,
        parameters=header.parameters,
    )
    check_room(out.parent, int(4 * MARGIN * header.parameters))
    with store.replacing(out) as scratch:
        with _readable(gguf):
            _save(gguf, scratch)
        store.write_json(scratch / ORIGIN, origin)
    return origin


def inspect(gguf: Path) -> _Header:
    """What the file's header says. Raises BadInput for a file that cannot be converted. Reads no weights."""
    from gguf import GGUFReader

    if not gguf.is_file():
        raise BadInput(gguf, "no such file", fix="check the path")
    with gguf.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise BadInput(gguf, "not a GGUF file: it does not begin with GGUF", fix=FETCH)
    try:
        reader = GGUFReader(gguf)
        fields = {name: field.contents() for name, field in reader.fields.items() if name.startswith(("general.", "split."))}
        parameters = sum(int(tensor.n_elements) for tensor in reader.tensors)
    except Exception as error:  # noqa: BLE001  of damaged files the reader raises whatever numpy raises
        raise BadInput(gguf, f"a torn or damaged GGUF file ({_line(error)})", fix=FETCH) from None
    if int(fields.get("split.count", 1)) > 1:
        raise BadInput(gguf, f"one of {fields['split.count']} parts of a split model", fix="merge them with llama.cpp's gguf-split --merge")
    architecture = fields.get("general.architecture")
    _check_architecture(gguf, architecture)
    if not parameters:
        raise BadInput(gguf, "no weights in it", fix=FETCH)
    licence = fields.get("general.license", "")
    return _Header(str(architecture), parameters, licence if isinstance(licence, str) else "")


def context_of(gguf: Path) -> int:
    """The longest sequence of a GGUF file's model, in tokens. Raises BadInput if the header does not state it."""
    from gguf import GGUFReader

    architecture = inspect(gguf).architecture
    field = GGUFReader(gguf).fields.get(f"{architecture}.context_length")
    if field is None or not isinstance(length := field.contents(), int) or length <= 0:
        raise BadInput(gguf, "not stated", field=f"{architecture}.context_length", fix="convert the model again")
    return length


def _check_architecture(gguf: Path, found: object) -> None:
    from transformers.modeling_gguf_pytorch_utils import GGUF_CONFIG_MAPPING

    readable = set(GGUF_CONFIG_MAPPING) - {"general", "tokenizer"} - TEXT_ENCODERS
    if not isinstance(found, str) or ALIASES.get(found, found) not in readable:
        problem = f"its architecture is {found!r}, and transformers cannot read GGUF files of this architecture as a language model"
        fix = f"use the model's safetensors folder, or one of {', '.join(sorted(readable))}"
        raise BadInput(gguf, problem, field="general.architecture", fix=fix)


def check_room(folder: Path, needed: int) -> None:
    """Raises StorageError where the disk of `folder`, which need not exist yet, has less free space than `needed` bytes."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if (free := shutil.disk_usage(there).free) < needed:
        problem = f"{needed / GIB:.2f} GiB are needed, {free / GIB:.2f} GiB are free"
        raise StorageError(f"{folder}: {problem}; free some space, or set LONGWRITER_HOME to a folder on another disk")


@contextmanager
def _readable(gguf: Path) -> Iterator[None]:
    try:
        yield
    except (BadInput, StorageError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  of strangers' files: transformers and tokenizers raise all kinds
        raise BadInput(gguf, f"transformers cannot read it ({_line(error)})", fix="use the model's safetensors folder") from None


def _save(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

    where, file = str(gguf.absolute().parent), gguf.name
    with Path(devnull).open("w") as quiet, redirect_stdout(quiet):
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file)
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(where, gguf_file=file, dtype=torch.float32)
    # save_pretrained refuses a model that it takes for quantized; these weights are not any more.
    for place in (model.config, model):
        if hasattr(place, "quantization_config"):
            del place.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")[:120] or type(error).__name__
