"""A workspace with 64 plans and an endpoint, both of real processes, for tests that inject faults."""

import asyncio
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import psutil

from tasks import store
from tasks.agentwrite.writer import write_draft
from tasks.endpoints import wire
from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.replay import HEAD, Paid, key_of
from tasks.schema.params import Params, load
from tasks.schema.records import Draft, Instruction, Plan, Reject, Step
from tasks.schema.settings import PREFIX
from tests.conftest import QUICK, ROOT

SAMPLES, SLOTS = 64, 16
OUTPUTS = ("drafts.jsonl", "metrics.json", "rejects.jsonl")
# A parent that stays: `exit` after the command keeps a shell from making way for it.
UNDER_A_PARENT = ("sh", "-c", '"$@"; exit $?', "sh")


class Endpoint:
    """A rehearsal endpoint in a process of its own: it outlives whoever calls it."""

    def __init__(self, root: str):
        self.root, self.url = root, f"{root}/v1"

    def health(self) -> dict[str, int]:
        return dict(self._get("health"))

    def served(self) -> Counter[str]:
        """How often each request was answered whole, by the digest of its bytes."""
        return Counter(self._get("served"))

    def _get(self, page: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.root}/{page}", timeout=10) as answer:
            found: dict[str, Any] = orjson.loads(answer.read())
        return found

    def wait_until_idle(self, seconds: float = 2.0) -> None:
        """Fails when somebody still calls after so many seconds."""
        wait(lambda: self.health()["active"] == 0, seconds, "calls go on after their caller's end")


@contextmanager
def endpoint(**switches: float) -> Iterator[Endpoint]:
    switches = {"latency": 0.02, "seed": 7} | switches
    named = [word for name, value in switches.items() for word in ("--switch", f"{name}={value}")]
    for _ in range(3):  # between finding a free port and taking it, somebody else may have it
        command = [sys.executable, "-m", "tasks.rehearsal.endpoint", "--port", str(free_port()), *named]
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout
        try:
            if line := process.stdout.readline():
                yield Endpoint(line.split()[-1].removesuffix("/v1"))
                return
        finally:
            process.kill()
            process.communicate()
    raise AssertionError("the endpoint does not start")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) and name != "OPENAI_API_KEY"}
    return clean | QUICK | {"PYTHONPATH": str(ROOT)} | more


class Workspace:
    """A folder with plans and params, where the write stage is started, broken and looked at."""

    def __init__(self, folder: Path, url: str, plans: list[Plan]):
        folder.mkdir(parents=True)
        self.folder, self.url, self.journal, self._starts = folder, url, folder / "home/replay.jsonl", 0
        store.write(folder / "plans.jsonl", plans)
        lines = (ROOT / "profiles/rehearsal.yaml").read_text(encoding="utf-8")
        (folder / "params.yaml").write_text(lines.replace("max_rejects: 0.05", "max_rejects: 0.5"), encoding="utf-8")

    def start(self, *parent: str, limit: Callable[[], None] | None = None, **settings: object) -> "subprocess.Popen[str]":
        """The write stage, in a process group of its own; below `parent`, if that is given."""
        own = {"HOME": self.folder / "home", "TEACHER_URL": self.url, "TRACES": 0, "CONCURRENCY": SLOTS} | settings
        env = environment(**{f"{PREFIX}{name.upper()}": str(value) for name, value in own.items()})
        self._starts += 1
        with self._stderr().open("w") as said:
            return subprocess.Popen(
                [*parent, sys.executable, "-m", "tasks.write", "plans.jsonl", "out"],
                cwd=self.folder, env=env, text=True, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True, preexec_fn=limit,
            )  # fmt: skip

    def finish(self, **more: Any) -> int:
        """Run the stage to its end; its exit code."""
        return self.start(**more).wait(timeout=60)

    def said(self) -> str:
        """What the last stage wrote to standard error, without its bar."""
        lines = self._stderr().read_text(encoding="utf-8").replace("\r", "\n").splitlines()
        return "\n".join(line for line in lines if line and not line.startswith("write: "))

    def _stderr(self) -> Path:
        return self.folder / f"stderr-{self._starts}.txt"

    def paid(self) -> int:
        """Whole lines of the journal. Its lock is left alone."""
        return self.journal.read_bytes().count(b"\n") if self.journal.exists() else 0

    def run_until(self, process: "subprocess.Popen[str]", paid: int) -> None:
        wait(lambda: self.paid() >= paid or process.poll() is not None, 30, f"fewer than {paid} calls were paid")
        assert process.poll() is None, f"it ended by itself: {self.said()}"

    def replies(self) -> dict[str, Reply]:
        """The replies of the journal's whole lines, by key."""
        lines = self.journal.read_bytes().splitlines()
        whole = [line for line in lines if line[:8] == b"%08x" % zlib.crc32(line[9:] + b"\n")]
        return {line[9:73].decode(): Paid(**orjson.loads(line[HEAD:])).reply() for line in whole}

    def outputs(self) -> dict[str, bytes]:
        return {name: (self.folder / "out" / name).read_bytes() for name in OUTPUTS}

    def drafts(self) -> list[Draft]:
        return store.read_list(self.folder / "out/drafts.jsonl", Draft)

    def rejects(self) -> list[Reject]:
        path = self.folder / "out/rejects.jsonl"
        return store.read_list(path, Reject) if path.stat().st_size else []

    def ends(self) -> list[str]:
        """The ids of all samples that ended, sorted, one for each end."""
        return sorted([draft.instruction.id for draft in self.drafts()] + [str(reject.id) for reject in self.rejects()])


def digests(space: Workspace) -> dict[str, str]:
    """From the journal's keys to the digests under which the endpoint counts: found by writing every draft from its replies alone."""
    params: Params = load(space.folder / "params.yaml")
    model, known, found = params.models.teacher, space.replies(), {}
    identity = {name: getattr(model, name) for name in ("revision", "temperature", "max_tokens")}
    identity |= {"model": model.name, "seed": None, "checkpoint": None}

    async def chat(request: Request) -> Reply:
        key = key_of(request, identity)
        found[key] = hashlib.sha256(wire.body(request, model, name=model.name, seed=None)).hexdigest()[:32]
        return known[key]

    async def all_drafts() -> None:
        for plan in store.read(space.folder / "plans.jsonl", Plan):
            await write_draft(chat, plan, write=params.write, bounds=params.plan.paragraph_words)

    asyncio.run(all_drafts())
    assert found.keys() == known.keys()
    return found


def some_plans(*, same: int = 0) -> list[Plan]:
    """64 plans of 5 to 20 paragraphs, a third of them Chinese; the last `same` + 1 have one and the same text."""
    return [_plan(place, min(place, SAMPLES - 1 - same)) for place in range(SAMPLES)]


def _plan(place: int, subject: int) -> Plan:
    luck = random.Random(subject)
    chinese = subject % 3 == 0
    text = f"请写一篇关于第{subject}座桥梁历史的长篇文章" if chinese else f"Write a long essay about the history of bridge {subject}."
    points = range(1, luck.randint(5, 20) + 1)
    steps = tuple(Step(point=f"桥梁，第{n}点" if chinese else f"the bridge, point {n}", words=luck.randint(40, 60)) for n in points)
    language, words = ("zh" if chinese else "en"), sum(step.words for step in steps)
    asked = Instruction(id=f"{place:04}", text=text, language=language, words=words, source=f"pool.jsonl:{place + 1}")  # type: ignore[arg-type]
    return Plan(instruction=asked, steps=steps)


def wait(until: Callable[[], bool], seconds: float, problem: str) -> None:
    """Fails with `problem` when `until` does not come true in time."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, problem
        time.sleep(0.003)


def kill_group(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_leader(process: "subprocess.Popen[str]") -> None:
    """Kill the parent alone; the stage below it has 2 seconds to end by itself."""
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    try:
        wait(lambda: not any(_alive(child) for child in below), 2.0, "the stage goes on without its parent")
    finally:
        for child in filter(_alive, below):
            child.kill()


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
