"""Conversations as tokens with answer-only targets, through the model's own chat template.

What the template marks as generated (the assistant's text and the end of its turn) is a target, nothing else is: the model learns to
answer and to stop. Text that spells a special token stays text: only what the template itself put there becomes a control id.
Plain rows go through the tokenizer's faster twin, checked against the tokenizer on a sample first; doubtful rows through the
tokenizer, a batch at a time.
"""

import os
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tasks.schema.errors import PipelineError
from tasks.schema.records import Message
from tasks.training.byte_pairs import Ids, Twin, twin_of

IGNORED = -100  # the label of a token that is no target, as PyTorch's cross-entropy skips it
CHECKED = 64  # conversations on which the twin has to agree before it is trusted

Conversation = Sequence[Message]
Span = tuple[int, int]


class Tokens(NamedTuple):
    input_ids: Ids
    labels: Ids  # IGNORED, or the token itself where it is a target


class Rendered(NamedTuple):
    text: str
    generated: list[Span]  # of characters


class Unrenderable(PipelineError):
    """The chat template refuses a conversation, or leaves out its system turn. Callers that can turn it into a Reject."""

    exit_code = 2


class Way(Enum):
    """How a conversation becomes tokens."""

    TWIN = "by the tokenizer's faster twin"
    WHOLE = "by the tokenizer, in one batch with others"
    PIECES = "by the tokenizer, message by message: its text spells a special token"


class Piece(NamedTuple):
    """A stretch of a rendered conversation: a special token of the template's, or text without any."""

    start: int  # character in the rendered text
    text: str
    control: int | None  # the special token's id


class Encoder:
    """Encodes conversations in batches. `twin` is False where the tokenizer has none, or one that was seen to differ."""

    def __init__(self, tokenizer: Any, *, sample: Sequence[Conversation], threads: int | None = None) -> None:
        self._tokenizer = tokenizer
        self._controls = {token: number for token, number in tokenizer.get_added_vocab().items() if token}
        longest_first = sorted(self._controls, key=len, reverse=True)
        self._ends = tuple(longest_first)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._twin = self._trusted(twin_of(tokenizer, threads=threads or os.cpu_count() or 1), sample[:CHECKED])
        self.twin, self.rows_by_twin, self.rows_by_tokenizer = self._twin is not None, 0, 0

    def try_encode(self, conversations: Sequence[Conversation]) -> list[Tokens | Unrenderable]:
        """As `encode`, with the reason in the place of each conversation that the template does not render."""
        try:
            return list[Tokens | Unrenderable](self.encode(conversations))
        except Unrenderable as error:
            if len(conversations) == 1:
                return [error]
            half = len(conversations) // 2
            return [*self.try_encode(conversations[:half]), *self.try_encode(conversations[half:])]

    def encode(self, conversations: Sequence[Conversation]) -> list[Tokens]:
        """Tokens and labels of each conversation, in order. Raises Unrenderable."""
        rendered = [self._render(conversation) for conversation in conversations]
        ways = [self._way(conversation, row) for conversation, row in zip(conversations, rendered, strict=True)]
        of = {way: [row for row, taken in zip(rendered, ways, strict=True) if taken is way] for way in Way}
        quick, whole = iter(self._by_twin(of[Way.TWIN])), iter(self._whole(of[Way.WHOLE]))
        self.rows_by_twin += len(of[Way.TWIN])
        self.rows_by_tokenizer += len(ways) - len(of[Way.TWIN])
        found = list[Tokens]()
        for conversation, row, way in zip(conversations, rendered, ways, strict=True):
            found.append(next(quick) if way is Way.TWIN else next(whole) if way is Way.WHOLE else self._piecewise(conversation, row.text))
        return [_first_is_no_target(row) for row in found]

    def _render(self, conversation: Conversation) -> Rendered:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        messages = [{"role": message.role, "content": message.content} for message in conversation]
        try:
            (text,), (generated,) = render_jinja_template(
                [messages],
                chat_template=self._tokenizer.chat_template,
                return_assistant_tokens_mask=True,
                **self._tokenizer.special_tokens_map,
            )
        except (TemplateError, TypeError) as error:
            raise Unrenderable(f"the chat template refuses the conversation: {' '.join(str(error).split())[:200]}") from None
        if any(message.role == "system" and message.content.strip() not in text for message in conversation):
            raise Unrenderable("the chat template leaves out the system turn")
        return Rendered(text, [self._to_its_end(text, span) for span in generated])

    def _rendered(self, conversation: Conversation) -> Rendered | None:
        try:
            return self._render(conversation)
        except Unrenderable:
            return None

    def _to_its_end(self, text: str, span: Span) -> Span:
        """Without the white space that some templates write behind the end of turn: generation has stopped there."""
        start, end = span
        bare = start + len(text[start:end].rstrip())
        return (start, bare) if self._ends and text.endswith(self._ends, start, bare) else span

    def _trusted(self, twin: Twin | None, sample: Sequence[Conversation]) -> Twin | None:
        """The twin, if it agrees with the tokenizer on the sample and special tokens stand for nothing but themselves."""
        added = getattr(self._tokenizer, "added_tokens_decoder", {}).values()
        if twin is None or any(token.lstrip or token.rstrip or token.single_word or token.normalized for token in added if token.content):
            return None
        self._twin = twin
        clean = [row for row in sample if not self._spells_control(row)]
        rendered = [row for row in map(self._rendered, clean) if row is not None]
        both = zip(self._by_twin(rendered), self._whole(rendered), strict=True)
        return twin if all(np.array_equal(a, b) for one, other in both for a, b in zip(one, other, strict=True)) else None

    def _spells_control(self, conversation: Conversation) -> bool:
        return any(self._control.search(message.content) for message in conversation)

    def _way(self, conversation: Conversation, row: Rendered) -> Way:
        if self._spells_control(conversation):
            return Way.PIECES
        return Way.TWIN if self._twin and self._twin.plain(row.text) else Way.WHOLE

    def _by_twin(self, rows: Sequence[Rendered]) -> Iterator[Tokens]:
        assert self._twin or not rows
        pieces = [list(self._pieces(row.text)) for row in rows]
        texts = [piece.text for row in pieces for piece in row if piece.control is None]
        encoded = iter(self._twin.encode(texts) if self._twin else ())
        for row, parts in zip(rows, pieces, strict=True):
            yield _joined(row, parts, [_one(part) if part.control is not None else next(encoded) for part in parts])

    def _pieces(self, text: str) -> Iterator[Piece]:
        end = 0
        for found in self._control.finditer(text):
            if found.start() > end:
                yield Piece(end, text[end : found.start()], None)
            yield Piece(found.start(), found.group(), self._controls[found.group()])
            end = found.end()
        if end < len(text):
            yield Piece(end, text[end:], None)

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
        """The template's own text keeps its special tokens, the messages' text is tokenized as plain text; then joined."""
        contents = [message.content if message.content in whole else message.content.strip() for message in conversation]
        marks = [f"\ue000{number}\ue001" for number in range(len(conversation))]
        row = self._render([Message(role=message.role, content=mark) for message, mark in zip(conversation, marks, strict=True)])
        if any(mark not in row.text for mark in marks):
            raise Unrenderable("the chat template leaves out a turn")
        borders = [0, *(place for mark in marks for place in (row.text.index(mark), row.text.index(mark) + len(mark))), len(row.text)]
        parts, plain = list[Tokens](), {"add_special_tokens": False, "split_special_tokens": True}
        for number, (start, end) in enumerate(pairwise(borders)):
            if number % 2:
                ids = np.array(self._tokenizer(contents[number // 2], **plain)["input_ids"], dtype=np.int32)
                parts.append(Tokens(ids, _labels(ids, np.full(len(ids), _within(start, row.generated)))))
            else:
                generated = [(max(s, start) - start, min(e, end) - start) for s, e in row.generated if s < end and e > start]
                parts += self._whole([Rendered(row.text[start:end], generated)])
        return Tokens(np.concatenate([part.input_ids for part in parts]), np.concatenate([part.labels for part in parts]))


def _within(place: int, spans: Sequence[Span]) -> bool:
    return any(start <= place < end for start, end in spans)


def _one(piece: Piece) -> tuple[Ids, Ids]:
    return np.array([piece.control], dtype=np.int32), np.array([len(piece.text.encode())], dtype=np.int32)


def _joined(row: Rendered, pieces: Sequence[Piece], encoded: Sequence[tuple[Ids, Ids]]) -> Tokens:
    """One row from its pieces. A token is a target when any of its bytes was generated."""
    ids = np.concatenate([ids for ids, _ in encoded])
    ends = np.cumsum(np.concatenate([lengths for _, lengths in encoded]))
    target = np.zeros(len(ids), dtype=bool)
    for start, end in row.generated:
        first, last = (len(row.text[:place].encode()) for place in (start, end))
        target[np.searchsorted(ends, first, "right") : np.searchsorted(ends, last, "left") + 1] = last > first
    return Tokens(ids, _labels(ids, target))


def _first_is_no_target(row: Tokens) -> Tokens:
    """Nothing predicts a first token; in a pack, the sample before it would."""
    row.labels[:1] = IGNORED
    return row


def _labels(ids: Ids, target: Any) -> Ids:
    return np.where(target, ids, IGNORED).astype(np.int32)
