"""The typed record of what a long text has established: entries with a kind, a key and a value, of a fixed size (write.memory: state).

The teacher replies with the entries that a passage adds or changes. They are merged by rule: an entry takes the place of the one with the
same kind and key. If the record becomes too long, closed entries are dropped first, then those that were not touched for the longest time.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.judging.replies import plain, said, values
from tasks.schema.errors import ReplyError
from tasks.text.unicode import normalized

Kind = Literal["person", "thing", "event", "promise", "term", "figure", "claim"]
Status = Literal["open", "closed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KEY, VALUE = 120, 600  # characters, at most
FIELDS = ("kind", "key", "value", "status")
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "entries": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string", "enum": list(KINDS)},
                    "key": {"type": "string"},
                    "value": {"type": "string"},
                    "status": {"type": "string", "enum": list(get_args(Status))},
                },
                "required": list(FIELDS),
                "additionalProperties": False,
            },
        }
    },
    "required": ["entries"],
    "additionalProperties": False,
}
_FAULTS = {
    "missing": "is missing",
    "extra_forbidden": "is no field of an entry",
    "string_type": "is not a text",
    "string_too_short": "is empty",
    "literal_error": "is none of its values",
    "model_type": "is not an object",
}


class RecordEntry(BaseModel):
    """One entry of the record."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)

    kind: Kind
    key: str = Field(min_length=1, max_length=KEY)
    value: str = Field(min_length=1, max_length=VALUE)
    status: Status

    @property
    def name(self) -> tuple[Kind, str]:
        """By which entries are the same: kind and key, whatever their case and white space."""
        return self.kind, " ".join(normalized("NFKC", self.key).casefold().split())

    def line(self) -> str:
        """The entry in a prompt."""
        return f"- {' '.join(self.key.split())}{' (closed)' if self.status == 'closed' else ''}: {' '.join(self.value.split())}"


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    entries: list[RecordEntry]


class State(NamedTuple):
    """The record: entries in the order in which they were last touched, the oldest first."""

    entries: tuple[RecordEntry, ...] = ()

    def merged(self, changes: Sequence[RecordEntry], *, limit: int) -> "State":
        """The record with changed and new entries, in at most `limit` bytes of a prompt. Of changes of one entry the last one counts."""
        known = {entry.name: entry for entry in self.entries}
        for entry in changes:
            known.pop(entry.name, None)  # to the end
            known[entry.name] = entry
        kept = list(known.values())
        while kept and len(State(tuple(kept)).render().encode()) > limit:
            kept.remove(next((entry for entry in kept if entry.status == "closed"), kept[0]))
        return State(tuple(kept))

    def render(self) -> str:
        """The record in a prompt, by kind."""
        groups = ((kind, [entry.line() for entry in self.entries if entry.kind == kind]) for kind in KINDS)
        return "\n".join(line for kind, lines in groups if lines for line in (f"{kind}:", *lines))


def read_entries(reply: str) -> list[RecordEntry]:
    """The entries in a reply; empty if the passage adds nothing. Raises ReplyError that says what is wrong with the reply."""
    found = list(values(said(reply)))
    if broken := next((one for one in found if one.value is None), None):
        raise ReplyError(f"JSON cut off or broken: {broken.problem}")
    bodies = [body for one in found if isinstance(body := plain(one.value), dict) and "entries" in body]
    if not bodies:
        raise ReplyError("no JSON object with the list entries")
    try:
        return _Reply.model_validate(bodies[-1]).entries
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
        raise ReplyError(f"{where}: {_FAULTS.get(first['type'], first['msg'])}") from None
