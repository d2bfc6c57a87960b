"""What a training takes on each GPU, and how long: arithmetic from shapes, before any GPU is asked for.

Model states follow ZeRO (arXiv 1910.02054, section 3): bf16 weights 2 bytes a parameter, gradients 2, and Adam's float32 weights and
two moments 12; stage 1 splits the last among the processes, stage 2 the gradients too, stage 3 all. Without DeepSpeed weights,
gradients and moments are float32, 16 bytes as well, and nothing is split. Activations are those of full checkpointing: the input of
each layer, and one layer computed again. An estimate, right to a few GiB; allocators and kernels differ.
"""

from typing import NamedTuple

from tasks.schema.params import Adapter, Optimization
from tasks.training.shapes import Shapes

GIB = 2**30
NF4 = 4.127 / 8  # bytes a weight, block constants quantized twice (QLoRA, arXiv 2305.14314, section 3)
LOSS_TILE = 32_768 * 1024  # logits, in float32, that the fused loss has at once
OVERHEAD = 3.0  # GiB: CUDA's context, NCCL's buffers, what the allocator cannot use


class Strategy(NamedTuple):
    """How model states are split among the processes."""

    name: str
    stage: int  # of ZeRO; 0: none
    offload_optimizer: bool = False
    offload_weights: bool = False


STRATEGIES = (
    Strategy("none", 0),
    Strategy("zero2", 2),
    Strategy("zero2_offload", 2, offload_optimizer=True),
    Strategy("zero3", 3),
    Strategy("zero3_offload", 3, offload_optimizer=True),
    Strategy("zero3_offload_all", 3, offload_optimizer=True, offload_weights=True),
)


class Memory(NamedTuple):
    """GiB on each GPU; `host` is on each process's share of the machine's own memory."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    loss: float
    overhead: float
    host: float

    @property
    def total(self) -> float:
        return sum(self) - self.host


def estimate(
    shapes: Shapes, optimization: Optimization, strategy: Strategy, *, processes: int, tokens: int, reference: bool = False
) -> Memory:
    """Of a process that takes `tokens` tokens at once: micro-batch × context, over the processes that share a sequence.

    With a `reference`, as DPO has it, the weights are there twice; under an adapter it is the model without the adapter.
    """
    split = processes if strategy.stage == 3 else 1
    states = adapted(shapes, optimization.adapter, strategy) if optimization.adapter else full(shapes, strategy)
    weights, host = states.weights * (2 if reference and not optimization.adapter else 1) / split, 0.0
    if strategy.offload_weights:
        weights, host = 0.0, weights
    optimizer = states.optimizer / (processes if strategy.stage >= 1 else 1)
    if strategy.offload_optimizer:
        optimizer, host = 0.0, host + optimizer
    return Memory(
        weights=(weights + (_gathered(shapes) if strategy.stage == 3 else 0.0)) / GIB,
        gradients=states.gradients / (processes if strategy.stage >= 2 else 1) / GIB,
        optimizer=optimizer / GIB,
        activations=(_kept(shapes) + _again(shapes)) * tokens / GIB,
        loss=_loss(shapes, tokens) / GIB,
        overhead=OVERHEAD,
        host=host / GIB,
    )


class States(NamedTuple):
    """Bytes of a whole model's states."""

    weights: float
    gradients: float
    optimizer: float


def full(shapes: Shapes, strategy: Strategy) -> States:
    """All weights are trained. The three add up to 16 bytes a parameter: 120 GiB for 8.03 billion."""
    count = float(shapes.parameters)
    return States(2 * count, 2 * count, 12 * count) if strategy.stage else States(4 * count, 4 * count, 8 * count)


def adapted(shapes: Shapes, adapter: Adapter, strategy: Strategy) -> States:
    """The weights are frozen, in bf16 or, but for embeddings and head, NF4; the adapter's are trained, in float32."""
    trained = float(adapter_parameters(shapes, adapter))
    matrices = float(shapes.layers * shapes.layer_matrices)
    frozen = 2.0 * (shapes.parameters - matrices) + matrices * (NF4 if adapter.bits == 4 else 2.0)
    return States(frozen + 4 * trained, 4 * trained, 8 * trained)


def adapter_parameters(shapes: Shapes, adapter: Adapter | None) -> int:
    """Two factors of `rank` for each linear map of each layer: rank × (in + out); 0 without an adapter."""
    if adapter is None:
        return 0
    keys = shapes.kv_heads * shapes.head_width
    heads = shapes.heads * shapes.head_width
    maps = [(shapes.width, heads), (shapes.width, keys), (shapes.width, keys), (heads, shapes.width)]
    maps += [(shapes.width, shapes.inner)] * 2 + [(shapes.inner, shapes.width)]
    return shapes.layers * adapter.rank * sum(into + out for into, out in maps)


def _gathered(shapes: Shapes) -> float:
    """Bytes that ZeRO-3 has whole for a while: a layer, the next one, and the head."""
    return 2.0 * (2 * shapes.layer_matrices + shapes.vocabulary * shapes.width)


def _kept(shapes: Shapes) -> float:
    """Bytes a token that checkpointing keeps: the bf16 input of each layer."""
    return 2.0 * shapes.layers * shapes.width


def _again(shapes: Shapes) -> float:
    """Bytes a token of one layer while it runs backward: its bf16 activations, and gradients of the widest."""
    attention = 2 * (shapes.heads + 2 * shapes.kv_heads) * shapes.head_width
    return 2.0 * (8 * shapes.width + attention + 4 * shapes.inner)


def _loss(shapes: Shapes, tokens: int) -> float:
    """The fused loss: hidden states with their gradient, the head's float32 gradient, and one tile of logits; never all logits."""
    return 4.0 * tokens * shapes.width + 4.0 * shapes.vocabulary * shapes.width + 4.0 * LOSS_TILE
