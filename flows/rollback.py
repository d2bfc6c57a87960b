"""Roll the champion back to the previous champion: `longwriter models rollback`, or a run of the deployment."""

import subprocess
import sys

from prefect import flow, get_run_logger

from flows import publication, stages, workspace


@flow(name="rollback", persist_result=False)
def rollback(reason: str = "") -> str:
    """Make the previous champion champion again. The current champion becomes challenger.

    Args:
        reason: recorded on the version, for later readers.
    """
    with workspace.lock():
        said = tracking("rollback", "--reason", reason)
    get_run_logger().info(said)
    if publication.wanted():
        get_run_logger().info(command("tasks.storage", "follow"))
    return said


def tracking(*words: str) -> str:
    """Output of a command of `python -m tasks.tracking`. Raises StageFailed."""
    return command("tasks.tracking", *words)


def command(module: str, *words: str) -> str:
    """Output of `python -m MODULE WORDS`, in a child process because MLflow takes seconds and 300 MB to load.

    Raises StageFailed with the command's own error line and exit code.
    """
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["ended without any output"]
        raise stages.StageFailed(lines[-1].removeprefix("error: "), exit_code=done.returncode)
    return done.stdout.strip()
