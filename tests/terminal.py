"""A real terminal (a pty) for tests: a process that believes a person sits before it, what it shows, and keys to press."""

import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fcntl import ioctl
from pathlib import Path

ESCAPES = re.compile(r"\x1b(?:\[[0-9;?<>=]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78])")
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """The screen of one process. `shown` is everything that was written, without escape sequences."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int):
        self.process, self.raw = process, b""
        self._descriptor, self._read = descriptor, 0

    @property
    def shown(self) -> str:
        return ESCAPES.sub("", self.raw.decode("utf-8", "replace"))

    def expect(self, text: str, *, seconds: float = 60) -> str:
        """What is shown behind the last expected text, once `text` is in it. Raises AssertionError with it if `text` does not come."""
        end, pattern = (
            time.monotonic() + seconds,
            re.compile(r"\s+".join(map(re.escape, text.split(" ")))),
        )  # a line may be wrapped anywhere
        while (place := pattern.search(self.shown, self._read)) is None:
            alive = self._more()
            if place := pattern.search(self.shown, self._read):
                break
            assert alive, f"it ended without {text!r}: {self.shown[self._read :][-3000:]}"
            assert time.monotonic() < end, f"no {text!r} in: {self.shown[self._read :][-3000:]}"
        found, self._read = self.shown[self._read : place.end()], place.end()
        return found

    def send(self, text: str) -> None:
        """Press keys."""
        os.write(self._descriptor, text.encode())

    def end(self, *, seconds: float = 60) -> int:
        """Everything is read; the exit code."""
        end = time.monotonic() + seconds
        while self._more():
            assert time.monotonic() < end, f"it does not end: {self.shown[-2000:]}"
        return self.process.wait(timeout=seconds)

    def _more(self) -> bool:
        """Read what there is, for at most a fifth of a second. False if there will be nothing more."""
        if not select.select([self._descriptor], [], [], 0.2)[0]:
            return True
        try:
            chunk = os.read(self._descriptor, 65536)
        except OSError:  # the other side is closed
            return False
        self.raw += chunk
        return bool(chunk)


@contextmanager
def terminal(
    words: Sequence[str], *, folder: Path, environment: Mapping[str, str], columns: int = 100, rows: int = 40
) -> Iterator[Terminal]:
    """A process in a terminal of its own; it is killed when the block ends."""
    mine, its = pty.openpty()
    ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    own = {**environment, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": str(columns), "LINES": str(rows)}

    def control() -> None:
        os.setsid()
        ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(list(words), cwd=folder, env=own, stdin=its, stdout=its, stderr=its, preexec_fn=control)
    os.close(its)
    try:
        yield Terminal(process, mine)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(mine)
