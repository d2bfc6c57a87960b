"""Start and end the services' processes, with their descendants, and find processes of a dead owner."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from infra.team.services import OWNER, Service
from tasks.processes import bound, end_all, family
from tasks.schema.errors import ServerError

GRACE = 15.0  # seconds between the first signal and SIGKILL


def start(service: Service, *, log: Path) -> "subprocess.Popen[bytes]":
    """Start a service in its own session, with output to `log`. The kernel stops it when the owner ends, for any reason.

    Raises ServerError if the program cannot be started.
    """
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                service.command,
                cwd=service.environment.get("LONGWRITER_WORKSPACE", "/"),
                env=dict(service.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                user=service.account.uid,
                group=service.account.gid,
                extra_groups=[] if service.account.uid is not None else None,
                preexec_fn=bound(service.stop),  # runs after the change of account, which would reset it
            )
        except OSError as error:
            raise ServerError(f"{service.name}: {service.command[0]}: {error.strerror}") from None


def end(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """End the process by signal `number`, then the rest of its session and descendants by SIGTERM and SIGKILL."""
    tree = family(process.pid)
    with suppress(ProcessLookupError):
        process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    end_all({one.pid: one for one in [*tree, *family(process.pid)]}.values(), grace=GRACE)
    process.wait()


def strays(folder: Path) -> list[psutil.Process]:
    """Remaining processes of an owner of this folder: those with the folder in their environment, and their descendants."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid not in own and process.environ().get(OWNER) == str(folder):
                found |= {one.pid: one for one in [process, *process.children(recursive=True)]}
    return list(found.values())


def holder(port: int) -> str | None:
    """A description of the process that listens on the port; None if there is none."""
    for connection in psutil.net_connections("inet"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            return _described(connection.pid)
    return None


def _described(pid: int | None) -> str:
    """A process's number and the first words of its command line; the rest may contain secrets."""
    try:
        words = psutil.Process(pid).cmdline() if pid else []
    except psutil.Error:
        words = []
    return f"process {pid} ({' '.join(words[:4])[:60]})" if pid else "a process of another user"
