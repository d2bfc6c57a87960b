"""Profiles: whole params files. `longwriter use NAME` copies one to params.yaml and never loses what a person wrote there."""

import subprocess
from pathlib import Path

from tasks import store
from tasks.schema.errors import BadInput
from tasks.schema.params import PROFILES, load

PARAMS = Path("params.yaml")
KEPT = Path("params.yaml.bak")


def names() -> list[str]:
    """The profiles that there are."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def folder() -> Path:
    """The checkout's profiles/, which a person may add to; elsewhere those of the installed package."""
    here = Path("profiles")
    return here if here.is_dir() else PROFILES


def use(name: str, *, force: bool = False) -> None:
    """Copy a profile to params.yaml. Raises BadInput if params.yaml has edits that neither a profile nor git holds, unless `force`:
    then the old file is kept as params.yaml.bak.
    """
    profile = folder() / f"{name}.yaml"
    if name not in names():
        raise BadInput(profile, "no such profile", fix=f"use one of {', '.join(names())}")
    load(profile)
    if PARAMS.is_file() and not _is_kept(PARAMS.read_bytes()):
        if not force:
            problem = "has edits that no profile and no commit holds"
            raise BadInput(PARAMS, problem, fix="commit it, copy it to profiles/, or use --force (the old file becomes params.yaml.bak)")
        store.write_text(KEPT, PARAMS.read_text(encoding="utf-8"))
    store.write_text(PARAMS, profile.read_text(encoding="utf-8"))


def _is_kept(content: bytes) -> bool:
    """Does a profile, or the newest commit, hold this content?"""
    if any((folder() / f"{name}.yaml").read_bytes() == content for name in names()):
        return True
    committed = subprocess.run(["git", "show", f"HEAD:./{PARAMS}"], capture_output=True, stdin=subprocess.DEVNULL)
    return committed.returncode == 0 and committed.stdout == content
