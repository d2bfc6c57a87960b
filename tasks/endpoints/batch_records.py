"""The batches that were sent and not yet fetched: one file each, below settings.home.

A file is written before its batch is sent, and removed when all replies are in the journal. So a process that is killed at any moment finds
its batches again, and sends none of their requests a second time.
"""

import os
import time
from pathlib import Path
from typing import BinaryIO, Literal

import orjson

from tasks import store
from tasks.endpoints.chat import Request
from tasks.endpoints.dialect import Dialect
from tasks.endpoints.usage import prompt_bytes
from tasks.schema.errors import BadInput
from tasks.schema.records import Record
from tasks.schema.settings import Role
from tasks.text.live_checks import Watch

FOLDER = "batches"  # under settings.home
Form = Literal["openai", "anthropic"]


class BatchedRequest(Record):
    """What is needed of a request to read its reply without it. Its custom id is its key in the journal."""

    key: str
    prompt: int  # bytes of its messages
    words: int | None = None
    watch: Watch | None = None
    record: str = ""
    way: str = ""

    def request(self) -> Request:
        """The request, without its messages."""
        return Request((), words=self.words, watch=self.watch, record=self.record, way=self.way, key=self.key)


class SentBatch(Record):
    """A batch. `id` is empty until the endpoint's reply to its submission has come: it may have been accepted or not."""

    token: str  # names the batch: its file, and its metadata at the endpoint
    role: Role
    where: str  # URL and model
    form: Form
    dialect: Dialect
    sent: float  # seconds since 1970, when the submission began
    id: str = ""  # at the endpoint
    requests: list[BatchedRequest]

    @property
    def keys(self) -> set[str]:
        return {request.key for request in self.requests}


def batched(request: Request) -> BatchedRequest:
    """The request in the form of the record."""
    return BatchedRequest(
        key=request.key, prompt=prompt_bytes(request), words=request.words, watch=request.watch, record=request.record, way=request.way
    )


class BatchFolder:
    """The files of all batches of a workspace."""

    def __init__(self, home: Path):
        self.path = home / FOLDER

    def save(self, batch: SentBatch) -> None:
        """Writes a batch, replacing its earlier record. It survives a power cut."""
        store.private_folder(self.path)
        with store.replacing(self.place(batch.token)) as scratch:
            with scratch.open("wb") as file:
                file.write(orjson.dumps(batch.model_dump(mode="json")))
                file.flush()
                os.fsync(file.fileno())
            scratch.chmod(0o600)

    def place(self, token: str) -> Path:
        """The file of a batch."""
        return self.path / f"{token}.json"

    def upload(self, token: str) -> Path:
        """The file that is sent to the endpoint."""
        return self.path / f"{token}.requests"

    def results(self, token: str) -> Path:
        """The file of its results, while they are read."""
        return self.path / f"{token}.results"

    def forget(self, token: str) -> None:
        """Removes all files of a batch."""
        for path in (self.upload(token), self.results(token), self.place(token)):
            path.unlink(missing_ok=True)

    def new_upload(self, token: str) -> BinaryIO:
        """A new file for the upload of a batch, readable by its owner only."""
        store.private_folder(self.path)
        store.private_file(self.upload(token))
        return self.upload(token).open("wb")

    def clear(self) -> None:
        """Removes what a process left that was killed before it recorded its batch."""
        for path in (*self.path.glob("*.requests"), *self.path.glob("*.results")):
            if not self.place(path.stem).exists():
                path.unlink(missing_ok=True)

    def of(self, where: str) -> list[SentBatch]:
        """The batches that were sent to an endpoint's model, oldest first. Raises BadInput for a damaged file."""
        found = [batch for path in sorted(self.path.glob("*.json")) if (batch := self._read(path)).where == where]
        return sorted(found, key=lambda batch: batch.sent)

    def _read(self, path: Path) -> SentBatch:
        try:
            return store.read_document(path, SentBatch)
        except BadInput as error:
            fix = "remove the file to send its requests again; they are paid again if the endpoint had accepted them"
            raise BadInput(path, f"not the record of a batch: {error.problem}", fix=fix) from None


def age(batch: SentBatch) -> float:
    """Seconds since the submission began."""
    return max(0.0, time.time() - batch.sent)
