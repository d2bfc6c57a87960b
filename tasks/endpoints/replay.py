"""Every paid request is stored once. Kill anything at any moment: the rerun repeats no call that was answered.

SQLite in WAL mode, outside DVC's outputs. The key is what a completion means: model, decoding, messages, schema, sample
index. URL and API key are not in it, and a key never comes near the store. A reply is committed before it is handed on.
"""

import asyncio
import errno
import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from tasks.endpoints.chat import Chat, Reply, Request
from tasks.schema.records import Usage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS completions (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, seconds REAL NOT NULL
) STRICT, WITHOUT ROWID
"""


class ReplayStore:
    """The store file. One connection; SQLite's own locking lets several processes share the file."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._run("PRAGMA journal_mode=WAL")
        self._run("PRAGMA synchronous=NORMAL")  # survives kill -9; a power cut may cost the last few replies, never the file
        self._run(_SCHEMA)

    def get(self, key: str) -> Reply | None:
        columns = "text, finish_reason, seconds, prompt_tokens, completion_tokens, cached_tokens"
        row = self._run(f"SELECT {columns} FROM completions WHERE key = ?", key)
        return Reply(row[0], row[1], Usage(*row[3:]), row[2]) if row else None

    def put(self, key: str, model: str, reply: Reply) -> None:
        self._run(
            "INSERT OR IGNORE INTO completions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(key, model, reply.text, reply.finish_reason, *reply.usage, reply.seconds),
        )

    def close(self) -> None:
        self._database.close()

    def _run(self, statement: str, *values: Any) -> Any:
        """Execute, return the first row. A full disk is an OSError like any other write's, so that it is reported as one."""
        try:
            with closing(self._database.execute(statement, values)) as cursor:
                return cursor.fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path)) from None
            raise


def key_of(request: Request, identity: dict[str, Any]) -> str:
    """The digest of what is asked: `identity` (model, revision, decoding, seed, checkpoint) and the request itself."""
    asked = {
        "identity": identity,
        "messages": [message.model_dump() for message in request.messages],
        "schema": request.schema,
        "sample": request.sample,
    }
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def replayed(chat: Chat, store: ReplayStore, *, identity: dict[str, Any]) -> Chat:
    """`chat`, asked only what `store` does not know. The same request made twice at once is paid once."""
    in_flight: dict[str, asyncio.Task[Reply]] = {}

    async def paid(key: str, request: Request) -> Reply:
        reply = await chat(request)
        store.put(key, identity["model"], reply)
        return reply

    async def answer(request: Request) -> Reply:
        key = key_of(request, identity)
        if (known := store.get(key)) is not None:
            return known
        if key not in in_flight:
            in_flight[key] = asyncio.create_task(paid(key, request))
            in_flight[key].add_done_callback(lambda _: in_flight.pop(key))
        return await in_flight[key]

    return answer
