"""An audit that checked nothing does not call it clean."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.audit import LOCKS, pinned
from tasks.schema.errors import BadInput
from tests.conftest import ROOT


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_the_locks_pin_every_package(lock: Path) -> None:
    assert pinned(ROOT / lock) > 50


@pytest.mark.parametrize("line", ["requests>=2", "requests", "git+https://example.org/x.git", "x @ https://example.org/x.whl"])
def test_an_open_version_is_named_by_its_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text(f"# locked\njinja2==3.1.6\n{line}\n")
    with pytest.raises(BadInput, match=r"lock\.txt:3: not NAME==VERSION"):
        pinned(tmp_path / "lock.txt")


def test_packages_that_the_service_does_not_know_are_no_clean_bill(tmp_path: Path) -> None:
    """Nobody publishes under this name; without a network nobody answers. Neither is clean."""
    (tmp_path / "lock.txt").write_text("longwriter-no-such-package==0.0.1\n")
    command = [sys.executable, "-m", "infra.audit", str(tmp_path / "lock.txt")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "nothing was checked" in done.stderr
    assert len(done.stderr.splitlines()) == 1
