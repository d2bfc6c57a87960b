"""write.memory state: a typed record and exact quotes replace the beginning of a text that outgrew the context.

When older paragraphs leave the context, one call asks the teacher for the entries that they add to the record (state.py), as often as the
running summary would be rewritten. Every request then shows the record, the newest paragraphs, and the earlier passages that are
nearest to its step (look_back.py). Both have a fixed size, so prompts do not grow with the text.
"""

from collections.abc import Sequence

from tasks.agentwrite.context import BYTES_PER_TOKEN, SUMMARY_SHARE
from tasks.agentwrite.look_back import LookBack, rendered
from tasks.agentwrite.state import SCHEMA, RecordEntry, State, read_entries
from tasks.endpoints.chat import Request, user
from tasks.prompts import fill
from tasks.schema.records import Step

QUOTES_SHARE = 1 / 16  # of the context, for quotes
PROMPTS = ("record_head", "earlier_quotes")  # their tags are no part of a text


class DraftMemory:
    """What one draft remembers of its paragraphs that are no longer shown. `kept`: updates that failed, so the older record was kept."""

    def __init__(self, *, context: int):
        self.state, self.kept = State(), 0
        self._look_back = LookBack()
        self._limit = round(context * BYTES_PER_TOKEN * SUMMARY_SHARE)
        self._quotes = round(context * BYTES_PER_TOKEN * QUOTES_SHARE)

    @property
    def reserved(self) -> int:
        """Bytes of a prompt that are kept for quotes, and for the words around record and quotes."""
        return self._quotes + len(fill("record_head", record="").encode()) + len(fill("earlier_quotes", quotes="").encode())

    def request(self, passage: Sequence[str], attempt: int) -> Request:
        """The request for the entries that a passage adds."""
        prompt = fill("update_record", record=self.state.render(), passage="\n\n".join(passage))
        return user(prompt, sample=attempt, schema=SCHEMA)

    def read(self, reply: str) -> list[RecordEntry]:
        """The entries of a reply. Raises ReplyError."""
        return read_entries(reply)

    def update(self, entries: Sequence[RecordEntry] | None, first: int, passage: Sequence[str]) -> str:
        """Remember paragraphs that leave the context; `first` is the number of the first, `entries` is None if no reply was a record.

        Returns the record as prompts show it.
        """
        for number, paragraph in enumerate(passage, first):
            self._look_back.add(number, paragraph)
        if entries is None:
            self.kept += 1
        else:
            self.state = self.state.merged(entries, limit=self._limit)
        return fill("record_head", record=self.state.render())

    def quotes(self, step: Step) -> str:
        """Earlier passages for a step, as they stand in its prompt; empty if there are none."""
        found = self._look_back.find(step.point, room=self._quotes)
        return fill("earlier_quotes", quotes=rendered(found)) if found else ""
