"""Export a version of the model registry as a GGUF file for llama.cpp, checked before it may be called the model.

The file is written under another name. Its weights are compared with the checkpoint's. Then both answer the same prompts, the checkpoint
by transformers or vLLM and the file by llama.cpp, and length and loops of the answers are compared (longbench/same_model.py). Only then
the file gets its name, and the version a tag with its digest. Answers are kept in the journal, so that a killed check goes on.
"""

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks import stage, store
from tasks.checkpoints import refuse_pickles
from tasks.endpoints.launch import server_of
from tasks.endpoints.llamacpp import is_installed
from tasks.endpoints.roles import checkpoint_digest, open_role
from tasks.longbench.adapters import read_items
from tasks.longbench.answers import Answers, answer_all, decoding_of
from tasks.longbench.same_model import SameModel, same_model
from tasks.models.gguf import inspect
from tasks.models.to_gguf import WeightType, check_weights, why_not, write_gguf
from tasks.processes import bound
from tasks.progress import say
from tasks.schema.errors import BadInput, BadSettings, GateFailed
from tasks.schema.params import Model
from tasks.schema.records import BenchmarkItem
from tasks.schema.settings import settings
from tasks.tracking import registry
from tasks.tracking.checkpoint import sha256
from tasks.tracking.client import names
from tasks.tracking.rollback import tag

UNCHECKED = ".unchecked.gguf"


def export(
    number: str, out: Path, *, model: Model, seed: int, prompts: Path, samples: int, weights: WeightType = "f16", converter: str = ""
) -> SameModel:
    """Write `out`, checked. `model` is how both are sampled. `converter` is a program that is called as llama.cpp's convert_hf_to_gguf.py.

    Raises BadInput for a checkpoint that cannot be converted or a file that exists; BadSettings without llama.cpp; GateFailed if the file
    does not answer as the checkpoint does. In these cases there is no `out`, and the version has no tag.
    """
    if out.suffix != ".gguf":
        raise BadInput(out, "not the name of a GGUF file", fix=f"name it {out.with_suffix('.gguf').name}")
    if out.exists():
        raise BadInput(out, "the file exists", fix="remove it, or name another one")
    if not is_installed():
        raise BadSettings("the check of a GGUF file needs llama.cpp; fix: pip install xllamacpp")
    items, model = read_items(prompts).items, model.model_copy(update={"name": f"{names().model}-{number}"})
    folder = registry.fetch(registry.numbered(number))
    if not converter and (problem := why_not(folder)):
        raise BadInput(folder, f"cannot be written as GGUF: {problem}", fix="give llama.cpp's convert_hf_to_gguf.py by --converter")
    unchecked = out.with_name(f".{out.stem}{UNCHECKED}")
    try:
        convert(folder, unchecked, weights=weights, converter=converter)
        found = answers_alike(folder, unchecked, items, model=model, seed=seed, samples=samples)
    except (BadInput, GateFailed):
        unchecked.unlink(missing_ok=True)
        raise
    unchecked.replace(out)
    tag(number, {registry.GGUF: sha256(out), registry.GGUF_CHECK: f"{weights}, {found}"})
    return found


def convert(folder: Path, out: Path, *, weights: WeightType, converter: str) -> None:
    """Write the file and compare its weights, if this project knows the architecture. Raises BadInput if they differ."""
    if converter:
        _by_program(converter, folder, out, weights)
        refuse_pickles(out.parent, [out.name])
        inspect(out)
    else:
        write_gguf(folder, out, weights=weights)
    if why_not(folder) is None:
        check_weights(folder, out, weights=weights)


def _by_program(converter: str, folder: Path, out: Path, weights: WeightType) -> None:
    """Raises BadInput with the last line of the program's error output if it fails."""
    with store.replacing(out) as scratch:
        words = [*shlex.split(converter), "--outtype", weights, "--outfile", str(scratch), str(folder)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, preexec_fn=bound())
        except OSError as error:
            raise BadInput(converter, f"cannot be started: {error.strerror}", fix="check --converter") from None
        if done.returncode or not scratch.is_file():
            said = (done.stderr or done.stdout).strip().splitlines()
            problem = said[-1][:200] if said else f"it ended with code {done.returncode} and wrote no file"
            raise BadInput(converter, problem, fix="check that it converts this model")


def answers_alike(folder: Path, gguf: Path, items: Sequence[BenchmarkItem], *, model: Model, seed: int, samples: int) -> SameModel:
    """Let both answer, one after the other. Raises GateFailed if the file is not the same model."""
    server = server_of(folder, settings())
    with TemporaryDirectory(prefix="longwriter-gguf-") as scratch:
        files = []
        for name, place, by in (("safetensors", folder, "vllm" if server == "vllm" else "transformers"), ("gguf", gguf, "llamacpp")):
            say(f"{name}: {len(items)} prompts, {samples} answers each, by {by}")
            answers = Answers(Path(scratch))
            stage.run_async(_answered(place, by, items, answers, name=name, model=model, seed=seed, samples=samples))
            answers.write(Path(scratch) / f"{name}.jsonl")
            files.append(Path(scratch) / f"{name}.jsonl")
        found = same_model(*files)
    if found.refused:
        fix = "export it again, with --weights f16 or by another --converter"
        raise GateFailed(f"{gguf.name}: not the same model as {folder.name}: {found.refused}; fix: {fix}")
    return found


async def _answered(
    place: Path, by: str, items: Sequence[BenchmarkItem], answers: Answers, *, name: str, model: Model, seed: int, samples: int
) -> None:
    async with open_role("candidate", model, seed=seed, checkpoint=place, server=by) as chat:  # type: ignore[arg-type]
        decoding = decoding_of(model, seed=seed, checkpoint=checkpoint_digest(place))
        await answer_all(chat, items, answers, model=name, samples=samples, decoding=decoding, verb="export")
