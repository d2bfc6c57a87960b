"""`make audit`: check the lock files for published vulnerabilities with pip-audit, and report unchecked packages.

pip-audit alone skips packages that its service does not know, and succeeds. Behind a mirror without such a service it would check
nothing and report no vulnerability. Here a lock of which nothing could be checked is an error.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from tasks.schema.errors import BadInput, GateFailed, ServerError
from tasks.stage import one_line_errors

LOCKS = [Path("requirements/pipeline.txt"), Path("requirements/serve.txt")]
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z,-]+\])?==[^\s;]+(\s*;.*)?")
TIMEOUT = 900.0  # seconds


class Finding(NamedTuple):
    package: str
    identity: str
    fixed_in: str


def pinned(lock: Path) -> int:
    """The number of packages in a lock. Raises BadInput for a line without an exact version, or with a URL."""
    if not lock.is_file():
        raise BadInput(lock, "no such file", fix="make lock")
    count = 0
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            if not PINNED.fullmatch(line.strip()):
                raise BadInput(lock, f"not NAME==VERSION: {line.strip()[:60]}", line=number, fix="make lock")
            count += 1
    return count


def ask(lock: Path, service: str, url: str = "") -> tuple[list[Finding], int, int]:
    """(vulnerabilities, packages checked, packages not checked) of a lock. Raises ServerError if the service does not answer."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--no-deps", "--disable-pip", "--format", "json"]
    command += ["--vulnerability-service", "osv" if url else service, *(["--osv-url", url] if url else []), "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        packages = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, subprocess.TimeoutExpired):
        raise ServerError(
            f"{lock}: the service `{service}` of pip-audit does not answer: nothing was checked; try `python -m infra.audit --service osv`"
        ) from None
    found = [
        Finding(f"{package['name']} {package['version']}", one["id"], ", ".join(one["fix_versions"]) or "no version yet")
        for package in packages
        for one in package.get("vulns", [])
    ]
    skipped = sum("skip_reason" in package for package in packages)
    return found, len(packages) - skipped, skipped


def main(
    lock: Annotated[list[Path] | None, typer.Argument(help="requirements/*.txt if left out")] = None,
    service: Annotated[str, typer.Option(help="pypi or osv")] = "pypi",
    url: Annotated[str, typer.Option(help="of a mirror of OSV's query API, for networks that reach no other")] = "",
) -> None:
    """Check the locks for published vulnerabilities. Exits with 0 if there are none, with 1 if there are or if a lock was not checked."""
    with one_line_errors():
        all_found: list[Finding] = []
        for one in lock or LOCKS:
            count = pinned(one)
            found, checked, skipped = ask(one, service, url)
            print(f"{one}: {count} packages, {checked} checked, {len(found)} vulnerabilities", flush=True)
            for finding in found:
                print(f"  {finding.package}: {finding.identity}, corrected in {finding.fixed_in}")
            if not checked:
                raise ServerError(f"{one}: the service `{service}` knows none of {skipped} packages (a mirror?): nothing was checked")
            if skipped:
                print(f"  {skipped} unknown to the service, not checked", file=sys.stderr)
            all_found += found
        if all_found:
            raise GateFailed(f"{len(all_found)} vulnerabilities in the locks; raise the versions in pyproject.toml, then `make lock`")


if __name__ == "__main__":
    typer.run(main)
