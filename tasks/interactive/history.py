"""A conversation as a file: one JSON object a line, appended when a turn is complete, so that a kill loses at most the answer under way."""

import os
import sys
import time
from pathlib import Path
from typing import Literal

from tasks import store
from tasks.schema.records import Message, Record

FOLDER = "chats"  # below settings.home


class Turn(Record):
    """One line. `new`: the conversation begins again here; the lines before it are kept, and no model is shown them."""

    role: Literal["system", "user", "assistant", "new"]
    content: str = ""
    reasoning: str = ""  # thoughts: kept, never sent again
    finish: str = ""  # the endpoint's finish reason
    model: str = ""
    asked: int | None = None  # words that the message asks for
    words: int | None = None  # of the answer
    seconds: float | None = None
    at: int = 0  # Unix time


class History:
    """The file of a conversation. An existing file is continued. Raises BadInput for a file that is no conversation."""

    def __init__(self, path: Path):
        self.path = path
        self._restore()
        self.turns: list[Turn] = store.read_list(path, Turn) if path.is_file() and path.stat().st_size else []

    @property
    def messages(self) -> list[Message]:
        """What the model is shown: the messages since the last new beginning."""
        last = max((place + 1 for place, turn in enumerate(self.turns) if turn.role == "new"), default=0)
        return [Message(role=turn.role, content=turn.content) for turn in self.turns[last:] if turn.role != "new"]

    def add(self, turn: Turn) -> None:
        """Append a turn. It is on disk when this returns."""
        turn = turn.model_copy(update={"at": int(time.time())})
        store.append_line(self.path, turn.model_dump_json(exclude_defaults=True).encode(), sync=True)
        self.turns.append(turn)

    def _restore(self) -> None:
        """Cut off a last line that a full disk or a power cut left incomplete."""
        if not self.path.is_file():
            return
        with self.path.open("rb+") as file:
            text = file.read()
            if text and not text.endswith(b"\n"):
                file.truncate(text.rfind(b"\n") + 1)
                print(f"{self.path}: its last line is not complete and is cut off", file=sys.stderr, flush=True)


def new_path(home: Path, model: str) -> Path:
    """The path of a new conversation, named by time and model."""
    name = "".join(sign if sign.isalnum() or sign in ".-_" else "-" for sign in model.rpartition("/")[2])[:40] or "model"
    return home / FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{os.getpid()}.jsonl"
