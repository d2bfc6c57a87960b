"""Estimate whether a training fits into a GPU's memory and how long it takes, from params and settings."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from tasks.schema.errors import BadInput
from tasks.schema.params import Adapter, Base, Form, Optimization, Reinforce, Tiny
from tasks.schema.settings import Settings
from tasks.training.configs import config_of
from tasks.training.memory import GIB, STRATEGIES, Memory, Strategy, adapter_parameters, estimate, generation
from tasks.training.row_order import steps_of
from tasks.training.shapes import Shapes

MODELS = Path(__file__).with_name("models.yaml")
PROMPT = 1_024  # tokens of a prompt of the stage reinforce, if the prompts are not known
PAPER = 189_500_000  # tokens of the paper's mixture: 6k long texts and 180k chats
TRACE = 1.64  # tokens of a trace for each of its text; seen on 200 texts of 100 to 800 words, and less for longer parts


class TrainingData(NamedTuple):
    """The amount of training data, for one pass over it."""

    packs: int
    tokens: int
    flops: float
    source: str  # the packs' folder, or "assumed"


class Course(NamedTuple):
    """Steps, tokens, FLOP and hours of a whole training, over all epochs."""

    steps: int
    tokens: float
    flops: float
    hours: float


def assumed_tokens(form: Form) -> int:
    """The tokens of a dataset that is not there yet, from a recipe of this form."""
    return round(PAPER * TRACE) if form == "interleaved" else PAPER


def shapes_of(base: Base, tiny: Tiny | None, *, vocabulary: int) -> Shapes:
    """The base model's shapes, read without its weights. The model `tiny` takes them from `tiny`.

    Raises BadInput if config.json cannot be read.
    """
    from ruamel.yaml import YAML

    if base.model == "tiny":
        assert tiny
        width = tiny.width // tiny.heads
        return Shapes(tiny.layers, tiny.width, tiny.heads, tiny.heads, width, 2 * tiny.width, vocabulary, tied=True)
    known = YAML(typ="safe").load(MODELS.read_text(encoding="utf-8"))
    return Shapes(**known[base.model]) if base.model in known else Shapes.of(config_of(base))


def work_of(packs: Path | None, shapes: Shapes, *, context: int, tokens: int, adapter: Adapter | None = None) -> TrainingData:
    """The work of the packs on disk. Without packs: of `tokens` in packs that one sample fills each, which costs attention the most."""
    trained = adapter_parameters(shapes, adapter)
    if packs and packs.is_dir():
        from tasks.training.packing import lengths_of

        lengths, borders = lengths_of(packs)
        return TrainingData(
            len(borders) - 1, int(lengths.sum()), float(shapes.flops(lengths.astype(float), adapter=trained).sum()), str(packs)
        )
    count = math.ceil(tokens / context)
    return TrainingData(count, tokens, count * float(shapes.flops(np.array([float(context)]), adapter=trained)[0]), "assumed")


def course(work: TrainingData, optimization: Optimization, *, gpus: int, peak: float, mfu: float) -> Course:
    """The whole training. `peak` is a GPU's matrix rate in FLOP/s; `mfu` is the share of `peak` that the training reaches (0 to 1)."""
    steps = steps_of(work.packs, epochs=optimization.epochs, global_batch=optimization.global_batch)
    passes = steps * optimization.global_batch / work.packs
    flops = passes * work.flops
    return Course(steps, passes * work.tokens, flops, flops / (gpus * peak * mfu) / 3600)


def strategy_of(config: Path | None) -> Strategy:
    """How an accelerate config splits the model states; None is plain DDP.

    Raises BadInput if the accelerate config, or the DeepSpeed config that it names, is no file.
    """
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
    """Memory on each GPU, with the settings' processes, micro-batch and sequence parallelism.

    `pairs`: DPO, which needs two sequences of `context` tokens per row and a reference model.
    """
    tokens = math.ceil(settings.micro_batch * context * (2 if pairs else 1) / settings.sequence_parallel)
    processes = settings.processes * settings.machines
    return estimate(shapes, optimization, strategy, processes=processes, tokens=tokens, reference=pairs)


def reinforcing(
    shapes: Shapes, reinforce: Reinforce, strategy: Strategy, settings: Settings, *, gpu: float, context: int | None = None
) -> Memory:
    """Memory of GRPO on each GPU of `gpu` GiB. `context`: tokens of the longest prompt with its answer; None: PROMPT and max_tokens.

    The update needs a reference model if beta is over 0. transformers writes all answers of a process at once, with the whole weights on
    each GPU; its cache and the update's activations are never there at the same time. vLLM takes its share of the GPU, or another GPU.
    """
    context = context or PROMPT + reinforce.max_tokens
    processes = settings.processes * settings.machines
    update = estimate(shapes, reinforce, strategy, processes=processes, tokens=settings.micro_batch * context, reference=reinforce.beta > 0)
    if settings.rollouts == "server":
        return update
    if settings.rollouts == "colocate":
        return update._replace(generation=settings.rollouts_memory * gpu)
    writing = generation(shapes, answers=math.ceil(reinforce.global_batch / processes), tokens=context) / GIB
    return update._replace(generation=max(0.0, writing - update.activations - update.loss))
