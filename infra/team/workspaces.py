"""The workers' own clones of this checkout, so that their runs neither wait for a developer nor see uncommitted changes.

DVC's remote is the back end's S3 server, so one worker can restore another worker's results.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tasks.schema.errors import BadInput


def make(source: Path, clone: Path, values: Mapping[str, str]) -> None:
    """Create the clone if it does not exist, and configure its DVC remote. Raises BadInput if the source is no git checkout."""
    if not (clone / ".git").exists():
        clone.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["git", "clone", "--quiet", str(source), str(clone)], capture_output=True, text=True)
        if done.returncode:
            raise BadInput(source, f"git clone: {done.stderr.strip().splitlines()[-1]}", fix="run it in a git checkout with a commit")
    (clone / ".dvc" / "config.local").write_text(remote(values), encoding="utf-8")


def remote(values: Mapping[str, str]) -> str:
    """DVC's configuration of the shared remote. Keys come from the environment; `verify` makes DVC check fetched objects."""
    return (
        "[core]\n    remote = team\n"
        f"['remote \"team\"']\n    url = s3://{values['TEAM_BUCKET']}/dvc\n"
        f"    endpointurl = {values['AWS_ENDPOINT_URL_S3']}\n    verify = true\n"
    )
