"""General preference pairs for DPO: read from their sources, cleaned and checked like general chats (paper, section 4.3).

The prompt and the chosen answer must pass the checks of a chat. The rejected answer may be of any quality, but it must have words.
"""

from collections.abc import Iterator
from pathlib import Path

from tasks.corpus.duplicates import text_id
from tasks.corpus.general import ChatFault, chat_of, cleaned
from tasks.corpus.likeness import Scored
from tasks.schema.params import GeneralPairs
from tasks.schema.records import Answer, Message, Pair, Reason, Reject
from tasks.sources.preferences import Preference, TiedPreference, preference_of
from tasks.sources.reading import read_each
from tasks.sources.turns import Misfit
from tasks.text.counts import count_words

STAGE = "build_pairs"


def fit_pairs(general: GeneralPairs, folder: Path, scored: Scored) -> Iterator[Pair | Reject]:
    """Yield a Pair or a Reject for every row of the sources."""
    seen: dict[str, str] = {}
    for source, found in read_each(general.sources, folder, lambda row, entry: preference_of(row)):
        if isinstance(found, Misfit):
            reason = Reason.TIED if isinstance(found, TiedPreference) else Reason.MALFORMED
            yield Reject(id=None, stage=STAGE, reason=reason, detail=str(found), source=source)
            continue
        made = pair_of(found, source, scored)
        if isinstance(made, Reject):
            yield made
        elif made.id in seen:
            yield Reject(id=made.id, stage=STAGE, reason=Reason.DUPLICATE, detail=f"the same as {seen[made.id]}", source=source)
        else:
            seen[made.id] = source
            yield made


def pair_of(found: Preference, source: str, scored: Scored) -> Pair | Reject:
    """The cleaned pair, or a Reject with its first fault. `source`: file:row."""
    prompt = tuple(map(cleaned, found.prompt))
    chosen, rejected = (cleaned(Message(role="assistant", content=text)) for text in (found.chosen, found.rejected))
    id = text_id("\n".join(message.content for message in (*prompt, chosen, rejected)))

    def reject(reason: Reason, detail: str) -> Reject:
        return Reject(id=id, stage=STAGE, reason=reason, detail=detail, source=source)

    if isinstance(fault := chat_of((*prompt, chosen), source, scored), ChatFault):
        return reject(fault.reason, fault.detail)
    if not count_words(rejected.content):
        return reject(Reason.EMPTY, "no words in the rejected answer")
    if chosen.content == rejected.content:
        return reject(Reason.TIED, "both answers are the same text after cleaning")
    sides = [Answer(text=side.content, ended=True, words=count_words(side.content), s_l=None, s_q=None) for side in (chosen, rejected)]
    return Pair(id=id, prompt=prompt, asked=None, chosen=sides[0], rejected=sides[1], source=source)
