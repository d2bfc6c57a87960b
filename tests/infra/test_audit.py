"""An audit that could check nothing is an error, not a success."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.audit import LOCKS, pinned
from tasks.schema.errors import BadInput
from tests.conftest import ROOT
from tests.web import Quiet, served


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


@contextmanager
def service(known: Mapping[str, object]) -> Iterator[str]:
    """The URL of a server that answers as OSV's query API does, from these advisories by package."""

    class Handler(Quiet):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"vulns": [known[asked]]} if asked in known else {}).encode())

    with served(Handler) as url:
        yield f"{url}/v1/query"


def test_an_advisory_is_named_with_the_version_that_mends_it_and_fails(tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("jinja2==3.1.0\nlongwriter-clean==1.0\n")
    events = [{"introduced": "0"}, {"fixed": "3.1.6"}]
    affected = [{"package": {"name": "jinja2", "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
    advisory = {"id": "TEST-1", "summary": "made up", "affected": affected}
    with service({"jinja2": advisory}) as url:
        command = [sys.executable, "-m", "infra.audit", "--url", url, str(tmp_path / "lock.txt")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        (tmp_path / "lock.txt").write_text("longwriter-clean==1.0\n")
        clean = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[0].endswith("lock.txt: 2 packages, 2 checked, 1 vulnerabilities")
    assert "jinja2 3.1.0: TEST-1, corrected in 3.1.6" in done.stdout
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert (clean.returncode, clean.stderr) == (0, "")
