"""General chats for the training set: read from their sources, cleaned and checked. tasks/corpus/mixing.py draws them at a ratio."""

from collections.abc import Iterator, Set
from pathlib import Path
from typing import NamedTuple

from tasks.corpus.duplicates import text_id
from tasks.corpus.likeness import Scored
from tasks.schema.params import General
from tasks.schema.records import Message, Reason, Reject, Sample
from tasks.sources.adapters import messages_of
from tasks.sources.reading import read_each
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
    for source, found in read_each(general.sources, folder, lambda row, entry: messages_of(row, entry.adapter)):
        if isinstance(found, Misfit):
            yield Reject(id=None, stage="assemble", reason=Reason.MALFORMED, detail=str(found), source=source)
            continue
        turns = tuple(map(cleaned, found))
        made = chat_of(turns, source, scored)
        id = text_id("\n".join(message.content for message in turns))
        if isinstance(made, ChatFault):
            yield Reject(id=id, stage="assemble", reason=made.reason, detail=made.detail, source=source)
        elif id in seen:
            yield Reject(id=id, stage="assemble", reason=Reason.DUPLICATE, detail=f"the same as {seen[id]}", source=source)
        else:
            seen[id] = source
            yield made.model_copy(update={"id": id})


def cleaned(message: Message) -> Message:
    """The message without invisible characters, chat format tokens and markup of other tools."""
    return message.model_copy(update={"content": strip_markup(clean(message.content))})


def chat_of(turns: tuple[Message, ...], source: str, scored: Scored) -> Sample | ChatFault:
    """The chat as a sample with the id `-`, or its first fault. `source`: file:row."""
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
