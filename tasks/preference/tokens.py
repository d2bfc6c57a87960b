"""A pair as tokens: the request up to where the answer begins, and the two answers, each ending where its model ended it.

TRL's own preparation is passed by: it ends every answer with the template's end of turn, also one that was cut off, so that stopping
would be punished where it never happened, and text that spells a special token would become one.
"""

from typing import Any, NamedTuple

from tasks.schema.errors import BadInput
from tasks.schema.records import Answer, Message, Pair
from tasks.sft.tokenizer import IGNORED, tokenize


class Encoded(NamedTuple):
    """Token ids, as TRL's DPOTrainer names them."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def longest(self) -> int:
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))


def encode(pair: Pair, tokenizer: Any) -> Encoded:
    """Through the model's chat template. Raises BadInput where the template renders a request differently before different answers,
    or leaves the end of turn out of the answer: the model would never learn to stop."""
    prompt, chosen = _split(pair.prompt, pair.chosen, tokenizer)
    other, rejected = _split(pair.prompt, pair.rejected, tokenizer)
    if prompt != other:
        problem = f"it renders the request of {pair.id} differently before the chosen and the rejected answer"
        raise BadInput("chat template", problem, mend="DPO needs one context for both: mend the template")
    return Encoded(prompt, chosen, rejected)


def _split(prompt: tuple[Message, ...], answer: Answer, tokenizer: Any) -> tuple[list[int], list[int]]:
    """What stands before the last answer, and the last answer; without the end of turn if the model never wrote one."""
    ids, labels = tokenize((*prompt, Message(role="assistant", content=answer.text)), tokenizer)
    end = max((place for place, label in enumerate(labels, 1) if label != IGNORED), default=0)
    start = next((place for place in range(end, 0, -1) if labels[place - 1] == IGNORED), 0)
    if not end or ids[end - 1] not in tokenizer.get_added_vocab().values():
        mend = "put the end of turn within its {% generation %} marks"
        raise BadInput("chat template", "it leaves the end of turn out of the answer", mend=mend)
    return ids[:start], ids[start : end if answer.ended else end - 1]
