"""Compute a decoder's parameters and FLOPs from the shapes in its config.json, without weights or torch."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class Shapes(NamedTuple):
    """Shapes of a decoder with grouped-query attention and a gated feed-forward, such as Llama, Qwen2 and GLM-4."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    inner: int  # width of the feed-forward
    vocabulary: int
    tied: bool  # the output head shares the weights of the input embedding

    @classmethod
    def of(cls, config: "PretrainedConfig") -> "Shapes":
        """Shapes from a transformers config, or any object with its attributes."""
        heads, width = config.num_attention_heads, config.hidden_size
        return cls(
            layers=config.num_hidden_layers,
            width=width,
            heads=heads,
            kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_width=getattr(config, "head_dim", None) or width // heads,
            inner=config.intermediate_size,
            vocabulary=config.vocab_size,
            tied=bool(getattr(config, "tie_word_embeddings", False)),
        )

    @property
    def layer_matrices(self) -> int:
        """Parameters of one layer's matrices."""
        attention = self.width * self.head_width * (2 * self.heads + 2 * self.kv_heads)
        return attention + 3 * self.width * self.inner

    @property
    def parameters(self) -> int:
        """All parameters except biases, which are a few in ten thousand."""
        norms = (2 * self.layers + 1) * self.width
        return self.layers * self.layer_matrices + norms + (1 if self.tied else 2) * self.vocabulary * self.width

    @property
    def multiplied(self) -> int:
        """Parameters that each token is multiplied with: all but the input embedding."""
        return self.layers * self.layer_matrices + self.vocabulary * self.width

    def flops(self, lengths: npt.NDArray[np.float64], *, adapter: int = 0) -> npt.NDArray[np.float64]:
        """FLOPs of a forward and a backward pass per sequence; `lengths` in tokens: 6 per parameter and token, plus causal attention.

        `adapter` is the number of trained adapter parameters; the frozen parameters then take 4 FLOPs, because they need no gradient.
        Causal attention takes 6 · length² · heads · head width per layer: half of length², for scores and values, in one forward and two
        backward products. Recomputation by activation checkpointing is not counted, as in the definition of MFU (PaLM, arXiv 2204.02311,
        appendix B).
        """
        each = 4.0 * self.multiplied + 6.0 * adapter if adapter else 6.0 * self.multiplied
        return each * lengths + 6.0 * self.layers * self.heads * self.head_width * lengths**2
