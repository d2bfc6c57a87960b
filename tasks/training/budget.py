"""Does a training fit, and how long will it take: params and settings against a GPU's memory, in words and numbers."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from tasks.schema.errors import BadInput
from tasks.schema.params import Adapter, Base, Optimization, Tiny
from tasks.schema.settings import Settings
from tasks.training.configs import config_of
from tasks.training.memory import STRATEGIES, Memory, Strategy, adapter_parameters, estimate
from tasks.training.row_order import steps_of
from tasks.training.shapes import Shapes

MODELS = Path(__file__).with_name("models.yaml")
PAPER = 189_500_000  # tokens of its mixture: 6k long texts and 180k chats


class Work(NamedTuple):
    """How much there is to train on."""

    packs: int
    tokens: int
    flops: float  # of one pass
    source: str


class Course(NamedTuple):
    """A whole training."""

    steps: int
    tokens: float
    flops: float
    hours: float


def shapes_of(base: Base, tiny: Tiny | None, *, vocabulary: int) -> Shapes:
    """The base model's shapes, without weights; `tiny` for the model of that name. Raises BadInput if its config.json cannot be read."""
    from ruamel.yaml import YAML

    if base.model == "tiny":
        assert tiny
        width = tiny.width // tiny.heads
        return Shapes(tiny.layers, tiny.width, tiny.heads, tiny.heads, width, 2 * tiny.width, vocabulary, tied=True)
    known = YAML(typ="safe").load(MODELS.read_text(encoding="utf-8"))
    return Shapes(**known[base.model]) if base.model in known else Shapes.of(config_of(base))


def work_of(packs: Path | None, shapes: Shapes, *, context: int, tokens: int, adapter: Adapter | None = None) -> Work:
    """Of the packs on disk; or assumed, packs full of one sample each, which is the most that attention can cost."""
    trained = adapter_parameters(shapes, adapter)
    if packs and packs.is_dir():
        from tasks.training.packing import lengths_of

        lengths, borders = lengths_of(packs)
        return Work(len(borders) - 1, int(lengths.sum()), float(shapes.flops(lengths.astype(float), adapter=trained).sum()), str(packs))
    count = math.ceil(tokens / context)
    return Work(count, tokens, count * float(shapes.flops(np.array([float(context)]), adapter=trained)[0]), "assumed")


def course(work: Work, optimization: Optimization, *, gpus: int, peak: float, mfu: float) -> Course:
    """`peak` is a GPU's matrix rate in FLOP/s, `mfu` the share of it that the model's own arithmetic gets."""
    steps = steps_of(work.packs, epochs=optimization.epochs, global_batch=optimization.global_batch)
    passes = steps * optimization.global_batch / work.packs
    flops = passes * work.flops
    return Course(steps, passes * work.tokens, flops, flops / (gpus * peak * mfu) / 3600)


def strategy_of(config: Path | None) -> Strategy:
    """How the accelerate config of the settings splits model states. Raises BadInput for one that names no readable DeepSpeed config."""
    from ruamel.yaml import YAML

    if config is None:
        return STRATEGIES[0]
    if not config.is_file():
        raise BadInput(config, "no such file", fix="name one of infra/accelerate")
    deepspeed = (YAML(typ="safe").load(config.read_text(encoding="utf-8")).get("deepspeed_config") or {}).get("deepspeed_config_file")
    if deepspeed is None:
        return Strategy(config.stem, 0)
    if not Path(deepspeed).is_file():
        raise BadInput(config, f"{deepspeed}: no such file", field="deepspeed_config_file", fix="name one of infra/deepspeed")
    zero = orjson.loads(Path(deepspeed).read_bytes())["zero_optimization"]
    away = {name: zero.get(name, {}).get("device") == "cpu" for name in ("offload_optimizer", "offload_param")}
    return Strategy(config.stem, zero["stage"], away["offload_optimizer"], away["offload_param"])


def on_each_gpu(
    shapes: Shapes, optimization: Optimization, strategy: Strategy, settings: Settings, *, context: int, pairs: bool = False
) -> Memory:
    """With the settings' processes, micro-batch and sequence parallelism; `pairs` are DPO's, two sequences of `context` and a reference."""
    tokens = math.ceil(settings.micro_batch * context * (2 if pairs else 1) / settings.sequence_parallel)
    processes = settings.processes * settings.machines
    return estimate(shapes, optimization, strategy, processes=processes, tokens=tokens, reference=pairs)
