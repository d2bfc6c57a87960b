"""General chats for the training set: read from their sources, cleaned, checked, and drawn at a ratio.

The draw uses a hash of seed and text, so the order of rows and files does not change it. There are two passes with a file of accepted
chats between them; memory holds one hash per chat.
"""

import hashlib
from collections.abc import Iterator, Set
from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

from tasks import store
from tasks.corpus.duplicates import text_id
from tasks.corpus.likeness import Scored
from tasks.schema.errors import GateFailed
from tasks.schema.params import General
from tasks.schema.records import Message, Reason, Reject, Sample
from tasks.sources.adapters import messages_of
from tasks.sources.reading import rows_of
from tasks.sources.turns import Misfit
from tasks.text.cleaning import clean, refusal
from tasks.text.counts import count_words
from tasks.text.endings import strip_markup
from tasks.text.languages import language_of
from tasks.text.prompt_leak import leaked
from tasks.text.wrong_language import other_language

_TURNS = ("user", "assistant")


class ChatFault(NamedTuple):
    """Why a chat cannot be used, with the evidence."""

    reason: Reason
    detail: str


def fit_chats(general: General, folder: Path, scored: Scored, *, known: Set[str]) -> Iterator[Sample | Reject]:
    """Yield a Sample or a Reject for every row of the sources. `known`: ids of the long texts."""
    seen: dict[str, str] = dict.fromkeys(known, "the long texts")
    for entry in general.sources:
        for file, row in rows_of(entry, folder):
            source = f"{file.name}:{row.number}"
            try:
                if row.data is None:
                    raise Misfit(row.problem)
                turns = tuple(_cleaned(message) for message in messages_of(row.data, entry.adapter))
            except Misfit as problem:
                yield Reject(id=None, stage="assemble", reason=Reason.MALFORMED, detail=str(problem), source=source)
                continue
            made = _chat(turns, source, scored)
            id = text_id("\n".join(message.content for message in turns))
            if isinstance(made, ChatFault):
                yield Reject(id=id, stage="assemble", reason=made.reason, detail=made.detail, source=source)
            elif id in seen:
                yield Reject(id=id, stage="assemble", reason=Reason.DUPLICATE, detail=f"the same as {seen[id]}", source=source)
            else:
                seen[id] = source
                yield made.model_copy(update={"id": id})


def draw(fit: Path, *, count: int, seed: int) -> frozenset[str]:
    """The ids of the drawn chats. Raises GateFailed if there are fewer than `count` accepted chats."""
    keys = [(hashlib.sha256(f"{seed}\0{chat.id}".encode()).digest(), chat.id) for chat in _read(fit)]
    if len(keys) < count:
        raise GateFailed(
            f"assemble: the ratio asks for {count:,} general chats, the sources have {len(keys):,} that are fit; "
            "lower assemble.general.ratio, or add sources"
        )
    return frozenset(id for _, id in nsmallest(count, keys))


def taken(fit: Path, ids: frozenset[str]) -> Iterator[Sample]:
    """The accepted chats with these ids, in file order."""
    return (chat for chat in _read(fit) if chat.id in ids)


def not_drawn(fit: Path, ids: frozenset[str], *, count: int) -> Iterator[Reject]:
    """A Reject for every accepted chat that was not drawn."""
    detail = f"the ratio asks for {count:,}"
    for chat in _read(fit):
        if chat.id not in ids:
            yield Reject(id=chat.id, stage="assemble", reason=Reason.NOT_DRAWN, detail=detail, source=chat.source)


def _read(fit: Path) -> Iterator[Sample]:
    return store.read(fit, Sample) if fit.stat().st_size else iter(())


def _cleaned(message: Message) -> Message:
    return message.model_copy(update={"content": strip_markup(clean(message.content))})


def _chat(turns: tuple[Message, ...], source: str, scored: Scored) -> Sample | ChatFault:
    """The chat as a sample without an id, or the first fault."""
    spoken = turns[1:] if turns and turns[0].role == "system" else turns
    if not spoken or any(message.role != _TURNS[place % 2] for place, message in enumerate(spoken)) or len(spoken) % 2:
        return ChatFault(Reason.MALFORMED, f"roles out of order: {' '.join(message.role for message in turns)[:80]}")
    if (empty := next((place for place, message in enumerate(turns) if not message.content), None)) is not None:
        return ChatFault(Reason.EMPTY, f"turn {empty} has no text")
    request = "\n\n".join(message.content for message in spoken if message.role == "user")
    answer = "\n\n".join(message.content for message in spoken if message.role == "assistant")
    if (words := count_words(answer)) == 0:
        return ChatFault(Reason.EMPTY, "no words in the answers")
    if (language := language_of(request)) not in ("en", "zh"):
        return ChatFault(Reason.LANGUAGE, f"asked in {language}")
    if evidence := other_language(answer, language):
        return ChatFault(Reason.LANGUAGE, evidence)
    if evidence := next((found for message in spoken[1::2] if (found := refusal(message.content))), None):
        return ChatFault(Reason.REFUSAL, evidence)
    if evidence := leaked(answer, request=request, language=language):
        return ChatFault(Reason.LEAKED_PROMPT, evidence)
    if evidence := scored(request, language):
        return ChatFault(Reason.CONTAMINATED, evidence)
    paragraphs = sum(bool(part.strip()) for part in answer.split("\n\n"))
    given = {"id": "-", "messages": turns, "language": language, "asked_words": None, "written_words": words}
    return Sample.model_validate({**given, "paragraphs": paragraphs, "source": source})
