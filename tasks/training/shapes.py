"""A decoder's arithmetic from the shapes in its config.json: parameters, FLOPs, and bytes. No weights, no torch."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Shapes(NamedTuple):
    """Of a decoder with grouped-query attention and a gated feed-forward (Llama, Qwen2, GLM-4 and their like)."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    inner: int  # width of the feed-forward
    vocabulary: int
    tied: bool  # the output head is the input embedding

    @classmethod
    def of(cls, config: Any) -> "Shapes":
        """From a transformers config, or anything with its attributes."""
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
        """Parameters of a layer that tokens are multiplied with."""
        attention = self.width * self.head_width * (2 * self.heads + 2 * self.kv_heads)
        return attention + 3 * self.width * self.inner

    @property
    def parameters(self) -> int:
        """All of them; biases, a few in ten thousand, are left out."""
        norms = (2 * self.layers + 1) * self.width
        return self.layers * self.layer_matrices + norms + (1 if self.tied else 2) * self.vocabulary * self.width

    @property
    def multiplied(self) -> int:
        """Parameters that each token is multiplied with: all but the input embedding."""
        return self.layers * self.layer_matrices + self.vocabulary * self.width

    def flops(self, lengths: npt.NDArray[np.float64], *, adapter: int = 0) -> npt.NDArray[np.float64]:
        """Of a forward and a backward pass over sequences of these lengths (tokens): 6 per parameter and token, and causal attention.

        Under an `adapter` of so many parameters the others are frozen: 4 of them, as no gradient of theirs is computed.
        Causal attention multiplies half a square of length², twice (scores, values), thrice (forward, two backward): 6 · length² · heads
        · head width a layer. What activation checkpointing computes again is no useful work and not counted, as in MFU's definition (PaLM,
        arXiv 2204.02311, appendix B).
        """
        each = 4.0 * self.multiplied + 6.0 * adapter if adapter else 6.0 * self.multiplied
        return each * lengths + 6.0 * self.layers * self.heads * self.head_width * lengths**2
