"""Checks before a training starts: base model, vocabulary, GPUs, sequence parallelism, disk. Each raises one line with a fix."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tasks.checkpoints import check_model
from tasks.models.local import located
from tasks.schema.errors import BadInput, BadSettings
from tasks.schema.params import Base, Optimization
from tasks.schema.settings import Settings
from tasks.store import private_folder
from tasks.training.budget import on_each_gpu, reinforcing, shapes_of, strategy_of
from tasks.training.configs import config_of
from tasks.training.job import Dpo, Grpo, Sft, TrainingJob, trainings_at_once
from tasks.training.packing import lengths_of
from tasks.training.shapes import Shapes

GIB = 2**30
LONG = 8192  # tokens of a pack from which SDPA is slow: it needs a mask of context × context numbers for each pack
PADDING = 1024  # rows by which an embedding may exceed its tokenizer's vocabulary; models pad it for speed
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth")


class Gpu(NamedTuple):
    name: str
    memory: float  # GiB


def check_base(base: Base) -> None:
    """Raises BadInput if the model needs its own code and params do not allow that, or if its weights are not safetensors."""
    if base.model == "tiny":
        return
    base = located(base)
    config = config_of(base)
    if code := config.fields.get("auto_map"):
        if not base.remote_code:
            named = ", ".join(sorted(map(str, code))) if isinstance(code, dict) else "auto_map"
            fix = "use a model that transformers supports; or read its code, set base.revision to its commit, and set base.remote_code"
            raise BadInput(f"{base.model}/config.json", f"needs to run its own code ({named})", field="auto_map", fix=fix)
        if Path(base.model).is_dir():
            raise BadInput(base.model, "a folder has no commit that its code is pinned by", fix="name the hub's id in base.model")
    folder = Path(base.model)
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        pickles = [name for name in PICKLED if (folder / name).exists()]
        problem = f"{pickles[0]} is a pickle, which runs code when it is loaded" if pickles else "no .safetensors weights in it"
        raise BadInput(folder, problem, fix="save the model with save_pretrained, which writes safetensors")
    if folder.is_dir():
        check_model(folder, beside=True)


def check_vocabulary(base: Base, used: int) -> None:
    """Raises BadInput if the number of the tokenizer's ids (`used`) does not match the model's embeddings."""
    if base.model == "tiny":
        return
    known = int(str(config_of(base).vocab_size))
    if used > known or known - used > PADDING:
        problem = f"the tokenizer has {used:,} tokens, the model's vocabulary {known:,}"
        raise BadInput(base.model, problem, fix="use the tokenizer that this model was trained with")


def check_jobs(jobs: Sequence[TrainingJob], settings: Settings, *, context: int, vocabulary: int) -> None:
    """Check GPUs, their memory, sequence parallelism and the disk. `context`: tokens of the longest row (of a pair: its longer sequence).

    Raises BadSettings if something does not fit, and BadInput if a config cannot be read.
    """
    job = jobs[0]
    strategy, found = strategy_of(settings.accelerate_config), gpus()
    tiny = job.method.tiny if isinstance(job.method, Sft) else None
    shapes = shapes_of(job.base, tiny, vocabulary=vocabulary)
    check_gpus(settings, len(found))
    if job.where.sequence_parallel > 1:
        check_sequence_parallel(job, shapes, stage=strategy.stage)
    if found:
        pairs = isinstance(job.method, Dpo)
        needs = on_each_gpu(shapes, job.optimization, strategy, settings, context=context, pairs=pairs)
        smallest = min(found, key=lambda gpu: gpu.memory)
        if isinstance(job.method, Grpo):
            needs = reinforcing(shapes, job.method.reinforce, strategy, settings, gpu=smallest.memory, context=context)
        if needs.total > smallest.memory:
            problem = f"{needs.total:.0f} GiB are needed on each GPU with {strategy.name}, {smallest.name} has {smallest.memory:.0f}"
            raise BadSettings(f"train {job.name}: {problem}; `longwriter train plan` says what fits")
    check_disk(jobs, shapes, settings)


def check_gpus(settings: Settings, found: int) -> None:
    """Raises BadSettings if there are fewer GPUs (`found`) than processes that need one."""
    wants = settings.accelerate_config is not None and not _on_cpu(settings.accelerate_config)
    if settings.processes > found and (found or wants):
        problem = f"{settings.processes} processes need a GPU each, and this machine has {found}"
        raise BadSettings(f"LONGWRITER_PROCESSES: {problem}; lower it, or name an accelerate config with `use_cpu: true`")


def slow_attention(settings: Settings, *, context: int) -> str | None:
    """Why training on a GPU would be slow with this attention, and the fix. None: it is not.

    Seen on one H200: a model of 1 billion parameters, four packs of 32,768 tokens a step. With SDPA the first step took 32 s, and the
    second was not done after another 17 s: below 7,700 tokens/s.
    """
    without_flash = settings.attention == "auto" and find_spec("flash_attn") is None
    if context < LONG or not (without_flash or settings.attention in ("sdpa", "eager")):
        return None
    return f"packs of {context:,} tokens without flash attention; SDPA builds a mask of {context:,} × {context:,} for each"


def check_sequence_parallel(job: TrainingJob, shapes: Shapes, *, stage: int) -> None:
    """Raises BadSettings if Ulysses cannot run this job.

    Ulysses needs DeepSpeed, attention heads that divide among the processes, the token-mean loss, one row at once and a global batch
    that divides among the processes. It loses the attention mask that SDPA needs for packs of several samples; flash attention reads the
    sample borders from the positions instead.
    """
    size, setting = job.where.sequence_parallel, "LONGWRITER_SEQUENCE_PARALLEL"
    if stage == 0:
        raise BadSettings(f"{setting}: Ulysses works inside DeepSpeed; name a config in LONGWRITER_ACCELERATE_CONFIG")
    if shapes.heads % size or (shapes.kv_heads % size and size % shapes.kv_heads):
        raise BadSettings(
            f"{setting}: {shapes.heads} attention heads with {shapes.kv_heads} of keys cannot be divided among {size} processes; change it"
        )
    if getattr(job.method, "weighting", "token") == "sequence":
        raise BadSettings(f"{setting}: train.weighting `sequence` looks at whole sequences, Ulysses cuts them; one of the two")
    if job.where.micro_batch > 1:
        raise BadSettings(f"{setting}: works with one row at a time, and LONGWRITER_MICRO_BATCH is {job.where.micro_batch}; set it to 1")
    if job.accumulation % size:  # each process first gets its own rows, then its group shares them
        problem = f"the {job.accumulation} rows of a step cannot be divided evenly among {size} processes"
        raise BadSettings(f"{setting}: {problem}; set train.global_batch to a multiple of {job.where.world}")
    if _several(job) and not _keeps_apart(job):
        problem = "a pack contains several samples; when rows are cut, only flash attention separates them"
        raise BadSettings(f"{setting}: {problem}; install flash-attn and set LONGWRITER_ATTENTION=flash_attention_2")


def _several(job: TrainingJob) -> bool:
    lengths, borders = lengths_of(job.rows)
    return len(lengths) > len(borders) - 1


def _keeps_apart(job: TrainingJob) -> bool:
    automatic = job.where.attention == "auto" and find_spec("flash_attn") is not None
    return job.where.attention == "flash_attention_2" or automatic


def check_disk(jobs: Sequence[TrainingJob], shapes: Shapes, settings: Settings) -> None:
    """Raises BadSettings if the disks have no room for the kept checkpoints, one more while it is written, and the trained models."""
    model = (2.0 if jobs[0].optimization.precision == "bf16" else 4.0) * shapes.parameters
    states = 0.1 * model if jobs[0].optimization.adapter else 12.0 * shapes.parameters + model
    kept = min(settings.checkpoints, settings.keep_checkpoints + 1)
    private_folder(settings.home)
    needs = {settings.home: kept * states * trainings_at_once(jobs, settings), jobs[0].out.parent.parent: model * len(jobs)}
    places = dict[int, tuple[Path, float]]()
    for path, size in needs.items():
        disk = os.stat(path).st_dev
        places[disk] = (path, size + places.get(disk, (path, 0.0))[1])
    for path, size in places.values():
        if (free := shutil.disk_usage(path).free) < size:
            problem = f"checkpoints take {size / GIB:.1f} GiB, {free / GIB:.1f} GiB are free"
            raise BadSettings(f"{path}: {problem}; free some, or lower LONGWRITER_KEEP_CHECKPOINTS")


def model_bytes(optimization: Optimization, shapes: Shapes) -> float:
    """Bytes of a trained model as it is saved."""
    return (2.0 if optimization.precision == "bf16" else 4.0) * shapes.parameters


def room_needed(optimization: Optimization, shapes: Shapes, settings: Settings) -> float:
    """Bytes of the checkpoints that one training keeps, plus one more while it is written."""
    model = model_bytes(optimization, shapes)
    states = 0.1 * model if optimization.adapter else 12.0 * shapes.parameters + model
    return min(settings.checkpoints, settings.keep_checkpoints + 1) * states


def gpus() -> list[Gpu]:
    """The GPUs that a process on this machine sees. If a driver is present, a child process asks torch."""
    if not Path("/dev/nvidiactl").exists() and not shutil.which("nvidia-smi"):
        return []
    ask = "import torch; p = torch.cuda.get_device_properties; "
    ask += "[print(p(i).total_memory, p(i).name) for i in range(torch.cuda.device_count())]"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    return [Gpu(name, int(size) / GIB) for size, _, name in (line.partition(" ") for line in said.splitlines())]


def _on_cpu(config: Path) -> bool:
    from ruamel.yaml import YAML

    return bool(YAML(typ="safe").load(config.read_text(encoding="utf-8")).get("use_cpu"))
