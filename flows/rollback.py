"""The champion falls, and the version before it reigns again: `longwriter models rollback`, or a deployment's run."""

import subprocess
import sys

from prefect import flow, get_run_logger

from flows import publication, stages, workspace


@flow(name="rollback", persist_result=False)
def rollback(reason: str = "") -> str:
    """The champion falls, and the version whose place it had taken reigns again; the fallen one is challenger.

    Args:
        reason: why, for whoever looks at the versions later.
    """
    with workspace.lock():
        said = tracking("rollback", "--reason", reason)
    get_run_logger().info(said)
    if publication.wanted():
        get_run_logger().info(command("tasks.storage", "follow"))
    return said


def tracking(*words: str) -> str:
    """What a command of `python -m tasks.tracking` says. Raises StageFailed."""
    return command("tasks.tracking", *words)


def command(module: str, *words: str) -> str:
    """What it says. A process of its own: MLflow takes seconds and 300 MB to load.

    Raises StageFailed with the command's own error line and exit code.
    """
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["ended without a word"]
        raise stages.StageFailed(lines[-1].removeprefix("error: "), exit_code=done.returncode)
    return done.stdout.strip()
