"""A command of the project in this process: it costs no process that imports the project again. Each file keeps a test with a real one."""

import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import typer
from typer.testing import CliRunner

from tasks.schema.settings import settings


def called(
    app: typer.Typer, words: Iterable[str | Path], environment: Mapping[str, str | None] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Exit code and outputs of a command. `environment`: more variables; those that are None are unset. A defect is raised."""
    arguments, hook, handler = list(map(str, words)), sys.excepthook, signal.getsignal(signal.SIGTERM)
    settings.cache_clear()
    try:
        done = CliRunner().invoke(app, arguments, env=cast(Mapping[str, str], environment or {}))
    finally:
        settings.cache_clear()
        sys.excepthook = hook
        signal.signal(signal.SIGTERM, handler)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)
