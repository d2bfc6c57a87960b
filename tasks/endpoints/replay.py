"""Every paid request is stored once. Kill anything at any moment: the rerun repeats no call that was answered.

A journal outside DVC's outputs, one line per paid reply: CRC-32, key, and the reply as JSON. It is appended to and never rewritten, so
that a kill can tear its last line and nothing else, and a damaged line costs its own reply and nothing else: SQLite, as good
as it is, has no checksums, and a flipped bit in one of its pages can take the whole file along. The key is what a completion means:
model, decoding, messages, schema, sample index. URL and API key are not in it, and a key never comes near the journal.
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
from typing import NamedTuple

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
from tasks.text.thoughts import split_thoughts

HEAD = 8 + 1 + 64 + 1  # bytes before a line's JSON: CRC, key
SPARE, STEP = 2**14, 2**16  # bytes of the disk: for replies that are longer than expected, and that are reserved at once
_KEY = re.compile(rb"[0-9a-f]{64} ")
DAMAGED = ".damaged"  # beside the journal: what was cut off its end


class Paid(NamedTuple):
    """A line of the journal: what a reply cost, and the reply. The ledger is made of these."""

    role: Role
    model: str
    prompt: int  # tokens
    completion: int
    cached: int
    seconds: float
    at: int  # Unix time
    finish: str
    text: str
    format: int = 1  # of the record, formats.py
    reasoning: str | None = None  # None: kept by a version that left thoughts in the text
    inline: bool = False  # the thoughts stood in the text

    def reply(self) -> Reply:
        usage = Usage(self.prompt, self.completion, self.cached)
        if self.reasoning is not None:
            return Reply(self.text, self.finish, usage, self.seconds, self.reasoning, self.inline, self.role)
        reasoning, text = split_thoughts(mask(self.text, by=REMOVED))  # which masked no secrets either
        return Reply(text, self.finish, usage, self.seconds, reasoning, bool(reasoning), self.role)


_open: dict[Path, tuple["ReplayStore", int]] = {}  # and by how many it is used


@contextmanager
def journal(path: Path) -> Iterator["ReplayStore"]:
    """The store of a path for as long as the block lasts; roles that are open at once in this process share it."""
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
    """The journal, held by one process at a time. In memory are only the places of its lines, about 200 bytes each.

    A reply is handed to the kernel before it is handed on: kill -9 loses none; a power cut may cost the last few seconds' replies. Raises
    WorkspaceBusy if another process holds it. The kernel drops the lock with its holder, however that one died.
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
            self._places: dict[bytes, int] = {}  # half of a key: start of its line << 32 | length
            self._end = self._index()
        except BaseException:
            os.close(self._file)
            raise
        self._broken: OSError | None = None
        self._room, self._reserved = 0, self._end  # bytes that replies under way may take; how far the disk is reserved

    def get(self, key: str) -> Reply | None:
        """The stored reply; None if there is none, none that is whole, or one that failed, as earlier versions kept them."""
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
        """Append a reply. Raises OSError when it cannot be written whole; from then on `check` does, before another call is paid."""
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
        """Raises the OSError that stopped the journal from keeping replies: paying for more of them would be in vain."""
        if self._broken:
            raise self._broken

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Room on the disk for one more reply of about `size` bytes, while the block lasts. Raises OSError where there is none: then no
        call may go out, as its answer could not be kept."""
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
        """Every whole line, in the order of payment."""
        for place in sorted(self._places.values()):
            if line := self._read(place):
                yield line

    def close(self) -> None:
        if self._reserved > self._end == os.fstat(self._file).st_size:
            os.ftruncate(self._file, self._end)  # gives back what was reserved beyond the end
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
        """Find every whole line; say how many are damaged, and cut off a torn end. Returns the journal's length in bytes."""
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
    """The digest of what is asked: `identity` (model, revision, decoding, seed, checkpoint) and the request itself."""
    asked = {
        "identity": identity,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "schema": request.schema,
        "sample": request.sample,
    }
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def paid(role: Role, model: str, reply: Reply) -> Paid:
    """What is kept of a reply."""
    now, ended = int(time.time()), reply.finish_reason
    return Paid(role, model, *reply.usage, reply.seconds, now, ended, reply.text, FORMAT, reply.reasoning, reply.inline)


def read_journal(path: Path) -> Iterator[Paid]:
    """Every whole line of a journal, without holding it: also while a run adds to it. Nothing if there is no journal yet.

    Raises BadInput for a record that a newer version wrote.
    """
    if path.exists():
        with path.open("rb") as file:
            yield from (paid for number, line in enumerate(file, 1) if _whole(line) and (paid := _paid(line, path, number)))


def _line(key: str, paid: Paid) -> bytes:
    body = key.encode() + b" " + encode(paid) + b"\n"
    return b"%08x %s" % (zlib.crc32(body), body)


def _whole(line: bytes) -> str | None:
    """The key of a line whose checksum holds."""
    if len(line) > HEAD and line.endswith(b"\n") and line[:8] == b"%08x" % zlib.crc32(memoryview(line)[9:]) and _KEY.match(line, 9):
        return line[9:73].decode("ascii")
    return None


def _paid(line: bytes, path: Path, number: int | None = None) -> Paid | None:
    """The record of a whole line; None if it has another shape. Raises BadInput for one that a newer version wrote."""
    found = decode(memoryview(line)[HEAD:], Paid)
    if isinstance(found, Newer):
        problem = f"a newer version wrote this record: its format is {found.format}, this version reads up to {FORMAT}"
        raise BadInput(path, problem, line=number, fix="upgrade, or name another LONGWRITER_HOME; nothing of the journal is lost")
    return found


def _half(key: str) -> bytes:
    return bytes.fromhex(key[:32])
