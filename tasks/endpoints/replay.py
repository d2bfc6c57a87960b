"""The journal: stores every paid reply once. After a kill at any moment, the rerun repeats no call that was answered.

The journal is a file outside DVC's outputs with one line per paid reply: CRC-32, key, and the reply as JSON. It is append-only, so a kill
can tear only the last line, and a damaged line costs only its own reply. SQLite has no checksums, and one flipped bit in a page can make
the whole file unreadable. The key covers what a completion depends on: model, decoding, messages, schema, sample index. It does not cover
the URL or the API key, and no API key is written to the journal.
"""

import errno
import hashlib
import os
import re
import socket
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import orjson

from tasks import portable
from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.formats import FORMAT, Newer, decode, encode, is_plain
from tasks.endpoints.room import check_limit, reserve
from tasks.schema.errors import BadInput, WorkspaceBusy
from tasks.schema.finish import Finish, finish_of
from tasks.schema.records import Usage
from tasks.schema.redaction import REMOVED, mask
from tasks.schema.settings import Role
from tasks.store import private_folder
from tasks.text.live_checks import Cause, StoppedReply, Watch
from tasks.text.thoughts import split_thoughts

HEAD = 8 + 1 + 64 + 1  # bytes before a line's JSON: CRC, space, key, space
SPARE, STEP = 2**14, 2**16  # bytes on disk: for replies longer than expected; reserved at once
_KEY = re.compile(rb"[0-9a-f]{64} ")
JOURNAL = "replay.jsonl"  # the journal, below settings.home
DAMAGED = ".damaged"  # suffix of the file that receives a torn last line of the journal


class Paid(NamedTuple):
    """A line of the journal: the cost of a reply and the reply. The ledger is computed from these."""

    role: Role
    model: str
    prompt: int  # tokens
    completion: int
    cached: int
    seconds: float
    at: int  # Unix time
    finish: str
    text: str
    format: int = 1  # of the record (formats.py)
    reasoning: str | None = None  # None: written by a version that left thoughts in the text
    inline: bool = False  # the thoughts were part of the text
    # The rest is written only where it is not empty.
    stopped: Cause | Literal[""] = ""  # why the reply was stopped while it came: a stopped try, no answer
    evidence: str = ""  # of that
    saved: int = 0  # completion tokens that a stopped reply did not take, at most
    record: str = ""  # id of the record that the request was for
    way: str = ""  # how that record is made
    batched: bool = False  # it came by a batch, at a lower price

    def reply(self) -> Reply:
        """Returns the reply. In records of format 1 the thoughts are separated and secrets masked first."""
        usage = Usage(self.prompt, self.completion, self.cached)
        if self.reasoning is not None:
            stopped = StoppedReply(self.stopped, self.evidence) if self.stopped else None
            return Reply(
                self.text, self.finish, usage, self.seconds, self.reasoning, self.inline, self.role, stopped, self.saved, self.batched
            )
        reasoning, text = split_thoughts(mask(self.text, by=REMOVED))  # that version masked no secrets either
        return Reply(text, self.finish, usage, self.seconds, reasoning, bool(reasoning), self.role)


_open: dict[Path, tuple["ReplayStore", int]] = {}  # open journals, with their number of users


@contextmanager
def journal(path: Path) -> Iterator["ReplayStore"]:
    """Yields the store of a path during the block. Roles that are open at the same time in this process share it."""
    path = path.absolute()
    store, users = _open.get(path) or (ReplayStore(path), 0)
    _open[path] = store, users + 1
    try:
        yield store
    finally:
        store, users = _open.pop(path)
        if users > 1:
            _open[path] = store, users - 1
        else:
            store.close()


class ReplayStore:
    """The journal, locked by one process at a time. Memory has only the positions of its lines, about 200 bytes each.

    A reply is given to the kernel before it is returned: kill -9 loses none, a power cut may lose those of the last few seconds. Raises
    WorkspaceBusy if another process has the lock. The kernel releases the lock when its process ends, however it ends.
    """

    def __init__(self, path: Path):
        private_folder(path.parent)
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | portable.OPEN, 0o600)
            portable.make_private(path)
        except (IsADirectoryError, PermissionError) as error:
            raise BadInput(path, f"cannot be opened: {error.strerror}", fix="make this path a readable file: the journal") from None
        try:
            self._lock()
            self._places: dict[bytes, int] = {}  # half of a key -> start of its line << 32 | length
            self._end = self._index()
        except BaseException:
            os.close(self._file)
            raise
        self._broken: OSError | None = None
        self._room, self._reserved = 0, self._end  # bytes for replies in flight; end of the reserved disk space

    def get(self, key: str) -> Reply | None:
        """Returns the stored reply. None if there is none, if it is damaged, or if it failed (earlier versions recorded failed replies)."""
        if place := self._places.get(_half(key)):
            line = self._read(place)
            if line and line[0] == key and finish_of(line[1].finish) is not Finish.FAILED:
                return line[1].reply()
            del self._places[_half(key)]
            if line and line[0] == key:
                return None
            print(f"{self.path}: a record is damaged or has a shape that is not known; it is left aside, and asked again", file=sys.stderr)
        return None

    def put(self, key: str, paid: Paid) -> None:
        """Appends a reply. Raises OSError if it cannot be written completely; from then on `check` raises it before the next call is
        paid.
        """
        if _half(key) in self._places:
            return
        line = _line(key, paid)
        try:
            if (written := os.write(self._file, line)) != len(line):
                os.ftruncate(self._file, self._end)
                raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes written")
        except OSError as error:
            self._broken = OSError(error.errno, error.strerror, str(self.path))
            raise self._broken from None
        self._places[_half(key)] = self._end << 32 | len(line)
        self._end += len(line)

    def check(self) -> None:
        """Raises the OSError that stopped the journal from recording replies, so that no more calls are paid."""
        if self._broken:
            raise self._broken

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Reserves disk space for one more reply of about `size` bytes during the block.

        Raises OSError without space: no call may be sent then, because its reply could not be recorded.
        """
        self.check()
        end = self._end + self._room + size + SPARE
        check_limit(str(self.path), end)
        if end > self._reserved:
            try:
                self._reserve(end + STEP)
            except OSError:
                self._reserve(end)
        self._room += size
        try:
            yield
        finally:
            self._room -= size

    def _reserve(self, end: int) -> None:
        reserve(self._file, str(self.path), start=self._end, size=end - self._end)
        self._reserved = end

    def all(self) -> Iterator[tuple[str, Paid]]:
        """Yields every intact line with its key, in order of payment."""
        for place in sorted(self._places.values()):
            if line := self._read(place):
                yield line

    def close(self) -> None:
        """Frees unused reserved space, closes the file and releases the lock."""
        if self._reserved > self._end == os.fstat(self._file).st_size:
            os.ftruncate(self._file, self._end)  # free the space reserved beyond the end
        os.close(self._file)

    def _read(self, place: int) -> tuple[str, Paid] | None:
        line = portable.read_at(self._file, place & 0xFFFFFFFF, place >> 32)
        if (key := _whole(line)) and (paid := _paid(line, self.path)):
            return key, paid
        return None

    def _lock(self) -> None:
        holder = self.path.with_suffix(".holder")
        try:
            portable.lock(self._file)
        except BlockingIOError:
            name = holder.read_text(encoding="utf-8").strip() if holder.exists() else "another process"
            problem = f"{name} is calling models from this workspace; wait for it or end it, then run again"
            raise WorkspaceBusy(f"{self.path}: {problem}") from None
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")

    def _index(self) -> int:
        """Finds every intact line, reports damaged ones, and moves a torn last line aside. Returns the journal's length in bytes."""
        damaged = place = 0
        with os.fdopen(os.dup(self._file), "rb") as file:
            for number, line in enumerate(file, 1):
                if (key := _whole(line)) and (is_plain(memoryview(line)[HEAD:]) or _paid(line, self.path, number)):
                    self._places[_half(key)] = place << 32 | len(line)
                elif line.endswith(b"\n"):
                    damaged += 1
                else:
                    self._cut(place, line)
                    break
                place += len(line)
        if damaged:
            print(f"{self.path}: {damaged} damaged records are left aside, and asked again where they are needed", file=sys.stderr)
        return place

    def _cut(self, place: int, torn: bytes) -> None:
        aside = os.open(self.path.with_name(self.path.name + DAMAGED), os.O_WRONLY | os.O_APPEND | os.O_CREAT | portable.OPEN, 0o600)
        with os.fdopen(aside, "ab") as file:
            file.write(torn + b"\n")
        os.ftruncate(self._file, place)
        print(f"{self.path}: its last record, {len(torn)} bytes, is torn; it is cut off, and asked again if needed", file=sys.stderr)


def key_of(request: Request, identity: Mapping[str, object]) -> str:
    """Returns the SHA-256 hex digest of `identity` (model, revision, decoding, seed, checkpoint) and the request."""
    asked = {
        "identity": identity,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "schema": request.schema,
        "sample": request.sample,
    }
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def stopped_key(key: str, watch: Watch) -> str:
    """Returns the key under which a stopped try of a request is recorded. It is never the key of an answer."""
    return hashlib.sha256(orjson.dumps([key, "stopped", *watch])).hexdigest()


def paid(role: Role, model: str, reply: Reply, request: Request = Request(())) -> Paid:
    """Returns the record of a reply to a request."""
    now, ended = int(time.time()), reply.finish_reason
    known = Paid(role, model, *reply.usage, reply.seconds, now, ended, reply.text, FORMAT, reply.reasoning, reply.inline)
    if reply.stopped:
        known = known._replace(stopped=reply.stopped.cause, evidence=reply.stopped.evidence, saved=reply.saved)
    return known._replace(record=request.record, way=request.way, batched=reply.batched)


def read_journal(path: Path) -> Iterator[Paid]:
    """Yields every intact line of a journal without locking it, also while a run appends to it. Yields nothing without a journal.

    Raises BadInput for a record that a newer version wrote.
    """
    if path.exists():
        with path.open("rb") as file:
            yield from (paid for number, line in enumerate(file, 1) if _whole(line) and (paid := _paid(line, path, number)))


def paid_since(path: Path, start: int) -> tuple[list[Paid], int]:
    """Returns the intact lines from byte `start` on, and the byte behind the last complete line, to go on from. Locks nothing."""
    if not path.exists() or path.stat().st_size < start:  # a torn last line was cut off
        return [], min(start, path.stat().st_size if path.exists() else 0)
    with path.open("rb") as file:
        file.seek(start)
        lines = [line for line in file if line.endswith(b"\n")]
    return [paid for line in lines if _whole(line) and (paid := _paid(line, path))], start + sum(map(len, lines))


def _line(key: str, paid: Paid) -> bytes:
    body = key.encode() + b" " + encode(paid) + b"\n"
    return b"%08x %s" % (zlib.crc32(body), body)


def _whole(line: bytes) -> str | None:
    """The key of a line with a correct checksum; None for any other line."""
    if len(line) > HEAD and line.endswith(b"\n") and line[:8] == b"%08x" % zlib.crc32(memoryview(line)[9:]) and _KEY.match(line, 9):
        return line[9:73].decode("ascii")
    return None


def _paid(line: bytes, path: Path, number: int | None = None) -> Paid | None:
    """The record of an intact line; None if it has another shape. Raises BadInput for one that a newer version wrote."""
    found = decode(memoryview(line)[HEAD:], Paid)
    if isinstance(found, Newer):
        problem = f"a newer version wrote this record: its format is {found.format}, this version reads up to {FORMAT}"
        raise BadInput(path, problem, line=number, fix="upgrade, or set another LONGWRITER_HOME; nothing of the journal is lost")
    return found


def _half(key: str) -> bytes:
    return bytes.fromhex(key[:32])
