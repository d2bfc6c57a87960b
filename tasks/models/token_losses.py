"""The loss of a text's tokens under a causal language model, read in chunks, so that memory has the logits of one chunk only."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHUNK = 512  # tokens


def token_losses(model: "PreTrainedModel", ids: Sequence[int], *, known: int) -> Iterator[float]:
    """Yields the loss of each token after the first `known` (at least 1), in nats. The last token is only predicted, not read."""
    import torch

    cache, device = None, model.device
    for start in range(0, len(ids) - 1, CHUNK):
        end = min(start + CHUNK, len(ids) - 1)
        foretold = max(start, known - 1)  # first position of the chunk that predicts a token of the answer
        with torch.inference_mode():
            out = model(
                input_ids=torch.tensor([ids[start:end]], device=device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=max(1, end - foretold),
            )
            cache = out.past_key_values
            if end <= foretold:
                continue
            targets = torch.tensor(ids[foretold + 1 : end + 1], device=device)
            losses = torch.nn.functional.cross_entropy(out.logits[0].float(), targets, reduction="none").tolist()
        yield from losses
