"""Tokenize a preference pair: the prompt up to the start of the answer, and two answers that end where the model ended them.

TRL's own preparation is not used. It adds the template's end of turn to every answer, also to a truncated one, so DPO would punish
stopping. And it turns message text that contains a special token's name into that token.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tasks.schema.errors import BadInput
from tasks.schema.records import Answer, Message, Pair
from tasks.training.conversations import IGNORED, Encoder, Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Encoded(NamedTuple):
    """Token ids of a pair, under the names that TRL's DPOTrainer expects."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def longest(self) -> int:
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))


class PairEncoder:
    """Encode pairs through a model's chat template."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._encoder = Encoder(tokenizer)
        self._controls = set(tokenizer.get_added_vocab().values())

    def encode(self, pair: Pair) -> Encoded:
        """Token ids of a pair.

        Raises BadInput if the template renders the prompt differently before the two answers, or does not mark the end of turn as
        generated (the model would never learn to stop). Raises Unrenderable if the template refuses the pair.
        """
        sides = (pair.chosen, pair.rejected)
        tokens = self._encoder.encode([(*pair.prompt, Message(role="assistant", content=side.text)) for side in sides])
        (prompt, chosen), (other, rejected) = (self._split(row, side) for row, side in zip(tokens, sides, strict=True))
        if prompt != other:
            problem = f"it renders the request of {pair.id} differently before the chosen and the rejected answer"
            raise BadInput("chat template", problem, fix="correct the template, as DPO needs one context for both")
        return Encoded(prompt, chosen, rejected)

    def _split(self, tokens: Tokens, answer: Answer) -> tuple[list[int], list[int]]:
        """(ids before the last answer, ids of the last answer). The answer has no end of turn if the model did not write one."""
        targets = np.flatnonzero(tokens.labels != IGNORED)
        if not len(targets) or tokens.input_ids[targets[-1]] not in self._controls:
            fix = "put the end of turn within its {% generation %} marks"
            raise BadInput("chat template", "it leaves the end of turn out of the answer", fix=fix)
        end = int(targets[-1])
        start = int(np.flatnonzero(tokens.labels[:end] == IGNORED)[-1]) + 1
        ids = tokens.input_ids.tolist()
        return ids[:start], ids[start : end + answer.ended]
