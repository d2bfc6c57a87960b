import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two machines with one CPU each."""
    command = [sys.executable, "-m", "tests.tasks.cluster.machines"]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        address = process.stdout.readline().strip()
        assert address, "the cluster does not start"
        yield address
        process.stdin.close()
        process.wait(timeout=60)
