"""The workers' own clones of this checkout: a run in one of them neither waits for the person who works in the checkout, nor sees
what that person has not committed. DVC's remote is the back end's S3 server, so that one worker restores what another one made."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tasks.schema.errors import BadInput


def make(source: Path, clone: Path, values: Mapping[str, str]) -> None:
    """The clone, unless it is there. Raises BadInput where the source is no git checkout."""
    if not (clone / ".git").exists():
        clone.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["git", "clone", "--quiet", str(source), str(clone)], capture_output=True, text=True)
        if done.returncode:
            raise BadInput(source, f"git clone: {done.stderr.strip().splitlines()[-1]}", fix="run it in a git checkout with a commit")
    (clone / ".dvc" / "config.local").write_text(remote(values), encoding="utf-8")


def remote(values: Mapping[str, str]) -> str:
    """DVC's configuration of the shared remote. The keys come from the environment; `verify`: a damaged object is never used."""
    return (
        "[core]\n    remote = team\n"
        f"['remote \"team\"']\n    url = s3://{values['TEAM_BUCKET']}/dvc\n"
        f"    endpointurl = {values['AWS_ENDPOINT_URL_S3']}\n    verify = true\n"
    )
