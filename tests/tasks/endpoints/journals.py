"""Journals with replies for tests."""

from pathlib import Path

from tasks.endpoints.chat import Reply, user
from tasks.endpoints.replay import ReplayStore, key_of, paid
from tasks.schema.records import Usage

IDENTITY = {"model": "m"}
KEYS = [key_of(user(f"request {n}"), IDENTITY) for n in range(6)]


def reply(n: int) -> Reply:
    return Reply(f"answer {n}: 汉字 \u2028 and a \n line", "stop", Usage(n, 2, 1), 0.5, role="teacher")


def filled(path: Path, count: int = len(KEYS)) -> bytes:
    store = ReplayStore(path)
    for n in range(count):
        store.put(KEYS[n], paid("teacher", "m", reply(n)))
    store.close()
    return path.read_bytes()
