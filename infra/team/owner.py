"""The process that owns the back end: `python -m infra.team.owner`.

It starts services in the order of their dependencies, restarts services that end, publishes their state on the board, and stops all of
them on SIGTERM. A lock prevents a second owner of the same folder.
"""

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psycopg2
from botocore.exceptions import BotoCoreError, ClientError

from infra.team import board, checks, environment, postgres, processes, services
from infra.team.services import Service
from tasks.schema.errors import PipelineError, ServerError, WorkspaceBusy

TICK = 0.5  # seconds between two checks of the processes
EVERY = 5.0  # seconds between two health checks of a service that is up
DELAYS = (1, 2, 5, 10, 30)  # seconds before the first, second, … restart of a service
STEADY = 60.0  # seconds of uptime after which the restart delay begins at the shortest again
NEEDS = {"mlflow": ("postgres", "s3"), "prefect": ("postgres",), "worker-cpu": ("prefect",), "worker-gpu": ("prefect",)}


class RunningService:
    """A service, its process and its state."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: subprocess.Popen[bytes] | None = None
        self.line = board.ServiceState(name=service.name, port=service.port)
        self._since = self._asked = 0.0
        self._deaths = 0

    @property
    def log(self) -> Path:
        return environment.folder() / "logs" / f"{self.service.name}.log"

    def look(self) -> None:
        """Check the process, called once per TICK: restart it if it ended, else check its health."""
        if self.line.state in ("waiting", "failed"):
            return
        if self.process is None:
            if time.monotonic() >= self._since:
                self.start()
        elif (code := self.process.poll()) is not None:
            self._died(code)
        elif self.line.state == "starting" or time.monotonic() - self._asked >= EVERY:
            self._ask()

    def start(self) -> None:
        if held := processes.holder(self.service.port):
            raise ServerError(
                f"port {self.service.port} ({self.service.name}): held by {held}; end it, or change its TEAM_*_PORT in team.env"
            )
        self.process = processes.start(self.service, log=self.log)
        self._since = time.monotonic()
        self._set(state="starting", pid=self.process.pid)

    def stop(self) -> None:
        if self.process:
            processes.end(self.process, self.service.stop)
            self.process = None
        self._set(state="stopped", pid=0)

    def _ask(self) -> None:
        self._asked = time.monotonic()
        try:
            self.service.check()
            if self.line.state == "starting":
                self.service.ready()
        except checks.Unwell as error:
            self._unwell(str(error))
        except (psycopg2.Error, BotoCoreError, ClientError) as error:
            self._unwell(" ".join(str(error).split()))
        else:
            self._set(state="up", note="")

    def _unwell(self, why: str) -> None:
        if self.line.state != "starting":
            self._set(state="unwell", note=why)
        elif time.monotonic() - self._since > self.service.seconds:
            self._set(state="failed", note=f"did not answer within {self.service.seconds:.0f} s: {why}; see {self.log}")
        else:
            self._set(note=why)

    def _died(self, code: int) -> None:
        """Schedule a restart with a growing delay. A service that ends before it ever answered has failed."""
        assert self.process
        processes.end(self.process, self.service.stop)  # its remaining child processes
        self.process = None
        why = f"ended with code {code}: {_last_line(self.log)}"
        if self.line.state == "starting" and not self.line.restarts:
            self._set(state="failed", pid=0, note=f"{why}; see {self.log}")
            return
        self._deaths = 1 if time.monotonic() - self._since > STEADY else self._deaths + 1
        self._since = time.monotonic() + DELAYS[min(self._deaths, len(DELAYS)) - 1]
        self._set(state="starting", pid=0, restarts=self.line.restarts + 1, note=why)

    def _set(self, **changes: object) -> None:
        self.line = self.line.model_copy(update=changes)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace")[-4000:].strip().splitlines()
    return lines[-1][:200] if lines else "without any output"


class Owner:
    def __init__(self, kept: list[RunningService]) -> None:
        self._kept = {one.service.name: one for one in kept}
        self._shown: tuple[board.ServiceState, ...] = ()
        self.over = False

    def run(self) -> None:
        """Supervise until `over`; then stop all services in reverse order."""
        try:
            while not self.over:
                for one in self._kept.values():
                    if one.line.state == "waiting" and self._may_start(one):
                        one.start()
                    one.look()
                    self.show()
                time.sleep(TICK)
        finally:
            for one in reversed(self._kept.values()):
                one.stop()
                self.show()

    def _may_start(self, one: RunningService) -> bool:
        return all(self._kept[name].line.state == "up" for name in NEEDS.get(one.service.name, ()))

    def show(self) -> None:
        lines = tuple(one.line for one in self._kept.values())
        if lines != self._shown:
            board.write(lines)
            self._shown = lines


@contextmanager
def lock() -> Iterator[None]:
    """Lock the back end's folder. Raises WorkspaceBusy if another owner has the lock; the kernel releases it when that owner ends."""
    with (environment.folder() / "owner.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkspaceBusy(f"{environment.folder()}: its servers are managed by another process") from None
        yield


def main() -> None:
    try:
        with lock():
            values = environment.load(environment.path())
            postgres.make(postgres.place(environment.folder()), values)
            for folder in ("logs", "s3", "prefect"):
                (environment.folder() / folder).mkdir(exist_ok=True)
            owner = Owner([RunningService(service) for service in services.all_of(values)])

            def told(number: int, frame: FrameType | None) -> None:
                owner.over = True

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, told)
            owner.run()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
