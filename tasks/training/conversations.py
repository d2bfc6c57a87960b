"""Tokenize conversations through the model's chat template, with labels for the answers only.

The targets are the tokens that the template marks as generated: the assistant's text and the end of its turn. So the model learns to
answer and to stop. A message that contains the text of a special token is tokenized as plain text; only the template's own special
tokens become control ids. Of a conversation with a trace (traced.py), the thoughts are targets too, and their tags are the template's.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.schema.records import Message
from tasks.text.traces import OURS, Tags, pieces, retagged, strips_to
from tasks.training.traced import Rendered, Span, Traced, Unrenderable, place_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label of a token that is no target, as PyTorch's cross-entropy skips it

Conversation = Sequence[Message] | Traced
Ids = NDArray[np.int32]


class Tokens(NamedTuple):
    input_ids: Ids
    labels: Ids  # IGNORED, or the token itself where it is a target


class Encoder:
    """Encode conversations in batches with one tokenizer. `tags`: of the thoughts in traces."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", tags: Tags = OURS) -> None:
        self._tokenizer, self._tags = tokenizer, tags
        longest_first = sorted(filter(None, tokenizer.get_added_vocab()), key=len, reverse=True)
        self._ends = tuple(longest_first)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def strips(self, trace: str, messages: Sequence[Message]) -> bool:
        """Whether removing the thoughts of a trace, with the tags that it is trained with, gives the conversation's last message."""
        return strips_to(retagged(trace, self._tags), messages[-1].content)

    def try_encode(self, conversations: Sequence[Conversation]) -> list[Tokens | Unrenderable]:
        """As `encode`, but an Unrenderable takes the place of each conversation that the template does not render."""
        try:
            return list[Tokens | Unrenderable](self.encode(conversations))
        except Unrenderable as error:
            if len(conversations) == 1:
                return [error]
            half = len(conversations) // 2
            return [*self.try_encode(conversations[:half]), *self.try_encode(conversations[half:])]

    def encode(self, conversations: Sequence[Conversation]) -> list[Tokens]:
        """Token ids and labels of each conversation, int32 [tokens], in order.

        Raises Unrenderable if the template refuses a conversation or leaves out a turn.
        """
        rendered = [self._rendered(conversation) for conversation in conversations]
        spells = [self._spells(conversation) for conversation in conversations]
        whole = iter(self._whole([row for row, piecewise in zip(rendered, spells, strict=True) if not piecewise]))
        found = [
            self._piecewise(conversation, row.text) if piecewise else next(whole)
            for conversation, row, piecewise in zip(conversations, rendered, spells, strict=True)
        ]
        return [_first_is_no_target(row) for row in found]

    def _rendered(self, conversation: Conversation) -> Rendered:
        if not isinstance(conversation, Traced):
            return self._render(conversation)
        return place_of(conversation.messages, self._render, self._tags).rendered(retagged(conversation.trace, self._tags))

    def _spells(self, conversation: Conversation) -> bool:
        """Whether a text of the conversation contains the text of a special token. The tags of a trace do not count."""
        if isinstance(conversation, Traced):
            said = [piece for is_tag, piece in pieces(conversation.trace, OURS) if not is_tag]
            return any(map(self._control.search, [*said, *(message.content for message in conversation.messages[:-1])]))
        return any(self._control.search(message.content) for message in conversation)

    def _render(self, conversation: Sequence[Message], *, prompt: bool = False) -> Rendered:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        messages = [{"role": message.role, "content": message.content} for message in conversation]
        try:
            (text,), (generated,) = render_jinja_template(
                [messages],
                chat_template=self._tokenizer.chat_template,
                return_assistant_tokens_mask=True,
                add_generation_prompt=prompt,
                **self._tokenizer.special_tokens_map,
            )
        except (TemplateError, TypeError) as error:
            raise Unrenderable(f"the chat template refuses the conversation: {' '.join(str(error).split())[:200]}") from None
        if any(message.role == "system" and message.content.strip() not in text for message in conversation):
            raise Unrenderable("the chat template leaves out the system turn")
        return Rendered(text, [self._to_its_end(text, span) for span in generated])

    def _to_its_end(self, text: str, span: Span) -> Span:
        """The span without white space after the end of turn, which some templates write: generation stops before it."""
        start, end = span
        bare = start + len(text[start:end].rstrip())
        return (start, bare) if self._ends and text.endswith(self._ends, start, bare) else span

    def _whole(self, rows: Sequence[Rendered]) -> list[Tokens]:
        """One batch, as transformers' `apply_chat_template(…, return_assistant_tokens_mask=True)` does it."""
        if not rows:
            return []
        encoded = self._tokenizer([row.text for row in rows], add_special_tokens=False, return_offsets_mapping=True)
        found = list[Tokens]()
        for row, given, places in zip(rows, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            ids, offsets = np.array(given, dtype=np.int32), np.array(places).reshape(-1, 2)
            target = np.zeros(len(ids), dtype=bool)
            for start, end in row.generated:
                target |= (offsets[:, 1] > start) & (offsets[:, 0] < end)
            found.append(Tokens(ids, _labels(ids, target)))
        return found

    def _piecewise(self, conversation: Conversation, whole: str) -> Tokens:
        """Tokenize the template's text with special tokens and the messages' text without, then join the pieces."""
        turns = conversation.messages[:-1] if isinstance(conversation, Traced) else conversation
        contents = [message.content if message.content in whole else message.content.strip() for message in turns]
        marks = [f"\ue000{number}\ue001" for number in range(len(turns))]
        marked = [Message(role=message.role, content=mark) for message, mark in zip(turns, marks, strict=True)]
        if not isinstance(conversation, Traced):
            return _joined(self._between(self._render(marked), marks, contents))
        place = place_of([*marked, conversation.messages[-1]], self._render, self._tags)
        trace = retagged(conversation.trace, self._tags)[place.opened :]
        return _joined(
            [
                *self._between(Rendered(place.before, place.generated), marks, contents),
                *self._whole([Rendered(place.space, [(0, len(place.space))])] if place.space else []),
                *(self._piece(piece, is_tag=is_tag) for is_tag, piece in pieces(trace, self._tags)),
                *self._whole([Rendered(place.after, [(0, place.end)])]),
            ]
        )

    def _between(self, row: Rendered, marks: Sequence[str], contents: Sequence[str]) -> list[Tokens]:
        """The tokens of a rendered text, with the contents in the places of the marks."""
        if any(mark not in row.text for mark in marks):
            raise Unrenderable("the chat template leaves out a turn")
        borders = [0, *(place for mark in marks for place in (row.text.index(mark), row.text.index(mark) + len(mark))), len(row.text)]
        parts = list[Tokens]()
        for number, (start, end) in enumerate(pairwise(borders)):
            if number % 2:
                ids = self._plain(contents[number // 2])
                parts.append(Tokens(ids, _labels(ids, np.full(len(ids), _within(start, row.generated)))))
            else:
                generated = [(max(s, start) - start, min(e, end) - start) for s, e in row.generated if s < end and e > start]
                parts += self._whole([Rendered(row.text[start:end], generated)])
        return parts

    def _piece(self, piece: str, *, is_tag: bool) -> Tokens:
        """The tokens of a piece of a trace, all of them targets; those of a tag may be special."""
        if is_tag:
            return self._whole([Rendered(piece, [(0, len(piece))])])[0]
        ids = self._plain(piece)
        return Tokens(ids, ids.copy())

    def _plain(self, text: str) -> Ids:
        return np.array(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"], dtype=np.int32)


def _joined(parts: Sequence[Tokens]) -> Tokens:
    return Tokens(np.concatenate([part.input_ids for part in parts]), np.concatenate([part.labels for part in parts]))


def _within(place: int, spans: Sequence[Span]) -> bool:
    return any(start <= place < end for start, end in spans)


def _first_is_no_target(row: Tokens) -> Tokens:
    """Remove the first token's label: nothing predicts it, and in a pack the previous sample would."""
    row.labels[:1] = IGNORED
    return row


def _labels(ids: Ids, target: Ids) -> Ids:
    return np.where(target, ids, IGNORED).astype(np.int32)
