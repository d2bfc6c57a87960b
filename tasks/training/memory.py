"""Estimate a training's memory on each GPU from the model's shapes, without a GPU.

Model states follow ZeRO (arXiv 1910.02054, section 3). A parameter takes 2 bytes of bf16 weights, 2 of gradients, and 12 of Adam's
float32 weights and two moments. Stage 1 splits Adam's states among the processes, stage 2 also the gradients, stage 3 also the weights.
Without DeepSpeed, weights, gradients and moments are float32 (16 bytes as well), and nothing is split. Activations assume full
checkpointing: the input of each layer, and one layer recomputed. The estimate is accurate to a few GiB; allocators and kernels differ.
"""

from typing import NamedTuple

from tasks.schema.params import Adapter, Optimization
from tasks.training.shapes import Shapes

GIB = 2**30
NF4 = 4.127 / 8  # bytes per weight with double quantization (QLoRA, arXiv 2305.14314, section 3)
LOSS_TILE = 32_768 * 1024  # float32 logits that the fused loss keeps at once
OVERHEAD = 3.0  # GiB: CUDA's context, NCCL's buffers, the allocator's fragmentation


class Strategy(NamedTuple):
    """How model states are split among the processes."""

    name: str
    stage: int  # ZeRO stage; 0: no ZeRO
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
    """GiB on each GPU. `host` is GiB of main memory per process."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    loss: float
    overhead: float
    host: float
    generation: float = 0.0  # GRPO: what writing the answers needs beyond the update, or vLLM's share of the GPU

    @property
    def total(self) -> float:
        return sum(self) - self.host


def estimate(
    shapes: Shapes, optimization: Optimization, strategy: Strategy, *, processes: int, tokens: int, reference: bool = False
) -> Memory:
    """Memory of one process. `tokens` are its tokens per forward pass: micro-batch × context / sequence-parallel processes.

    `reference` (DPO) counts the weights twice, except with an adapter: there the reference is the model without the adapter.
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


def generation(shapes: Shapes, *, answers: int, tokens: int) -> float:
    """Bytes to write so many answers of `tokens` tokens at once, prompts included: bf16 keys and values, and the gathered bf16 weights."""
    cache = 2 * 2.0 * shapes.layers * shapes.kv_heads * shapes.head_width * tokens * answers
    return cache + 2.0 * shapes.parameters


class States(NamedTuple):
    """Bytes of a whole model's states."""

    weights: float
    gradients: float
    optimizer: float


def full(shapes: Shapes, strategy: Strategy) -> States:
    """Bytes of weights, gradients and optimizer when all weights are trained: 16 per parameter, 120 GiB for 8.03 billion parameters."""
    count = float(shapes.parameters)
    return States(2 * count, 2 * count, 12 * count) if strategy.stage else States(4 * count, 4 * count, 8 * count)


def adapted(shapes: Shapes, adapter: Adapter, strategy: Strategy) -> States:
    """States with an adapter: frozen bf16 weights (4 bits: NF4, except embeddings and head) and float32 adapter weights."""
    trained = float(adapter_parameters(shapes, adapter))
    matrices = float(shapes.layers * shapes.layer_matrices)
    frozen = 2.0 * (shapes.parameters - matrices) + matrices * (NF4 if adapter.bits == 4 else 2.0)
    return States(frozen + 4 * trained, 4 * trained, 8 * trained)


def adapter_parameters(shapes: Shapes, adapter: Adapter | None) -> int:
    """Trained parameters of an adapter: rank × (in + out) for each linear map of each layer; 0 without an adapter."""
    if adapter is None:
        return 0
    keys = shapes.kv_heads * shapes.head_width
    heads = shapes.heads * shapes.head_width
    maps = [(shapes.width, heads), (shapes.width, keys), (shapes.width, keys), (heads, shapes.width)]
    maps += [(shapes.width, shapes.inner)] * 2 + [(shapes.inner, shapes.width)]
    return shapes.layers * adapter.rank * sum(into + out for into, out in maps)


def _gathered(shapes: Shapes) -> float:
    """Bytes of the weights that ZeRO-3 gathers at once: a layer, the next layer, and the head."""
    return 2.0 * (2 * shapes.layer_matrices + shapes.vocabulary * shapes.width)


def _kept(shapes: Shapes) -> float:
    """Bytes per token that checkpointing stores: the bf16 input of each layer."""
    return 2.0 * shapes.layers * shapes.width


def _again(shapes: Shapes) -> float:
    """Bytes per token of one layer in the backward pass: its bf16 activations, and the gradients of the widest of them."""
    attention = 2 * (shapes.heads + 2 * shapes.kv_heads) * shapes.head_width
    return 2.0 * (8 * shapes.width + attention + 4 * shapes.inner)


def _loss(shapes: Shapes, tokens: int) -> float:
    """Bytes of the fused loss: hidden states and their gradient, the head's float32 gradient, and one tile of the logits."""
    return 4.0 * tokens * shapes.width + 4.0 * shapes.vocabulary * shapes.width + 4.0 * LOSS_TILE
