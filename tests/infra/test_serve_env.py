"""The environment for vLLM is made in a checkout, from its lock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(("options", "lock"), [([], "serve.txt"), (["--cpu"], "vllm-cpu.txt")])
def test_outside_a_checkout_nothing_is_made(options: list[str], lock: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.serve_env", *options]
    ended = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == f"error: requirements/{lock}: no such file; fix: run in the folder of the checkout\n"
    assert not list(tmp_path.iterdir())
