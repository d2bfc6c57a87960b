"""Profiles are complete params files. `longwriter use NAME` copies one to params.yaml, and never loses a user's edits there."""

import subprocess
from pathlib import Path

from tasks import store
from tasks.schema.errors import BadInput, BadSettings
from tasks.schema.params import PROFILES, load

PARAMS = Path("params.yaml")
KEPT = Path("params.yaml.bak")


def names() -> list[str]:
    """Names of all profiles, sorted."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def folder() -> Path:
    """The folder of profiles: the checkout's profiles/, where users may add files; outside a checkout the installed package's."""
    here = Path("profiles")
    return here if here.is_dir() else PROFILES


def variant(profile: str, teacher: str) -> str:
    """The name of a profile, or of its variant with another teacher. Raises BadSettings if there is no such variant."""
    if not teacher:
        return profile
    if not profile:
        raise BadSettings(f"--teacher {teacher}: no profile is named; fix: add --profile, such as --profile smollm2")
    name = profile if profile.endswith(f"-{teacher}") else f"{profile}-{teacher}"
    if name not in (known := names()):
        others = [one for one in known if one.endswith(f"-{teacher}")] or [one for one in known if one.startswith(f"{profile}-")]
        fix = f"use one of {', '.join(others)}" if others else "change models.teacher in a profile of your own"
        raise BadSettings(f"--teacher {teacher}: there is no profile {name}; fix: {fix}")
    return name


def use(name: str, *, force: bool = False) -> None:
    """Copy a profile to params.yaml.

    Raises BadInput if there is no such profile, or if params.yaml has edits that are in no profile and not in git. With `force` the old
    file becomes params.yaml.bak instead.
    """
    profile = folder() / f"{name}.yaml"
    if name not in names():
        raise BadInput(profile, "no such profile", fix=f"use one of {', '.join(names())}")
    load(profile)
    if PARAMS.is_file() and not _is_kept(PARAMS.read_bytes()):
        if not force:
            problem = "has edits that are in no profile and in no commit"
            raise BadInput(PARAMS, problem, fix="commit it, copy it to profiles/, or use --force (the old file becomes params.yaml.bak)")
        store.write_text(KEPT, PARAMS.read_text(encoding="utf-8"))
    store.write_text(PARAMS, profile.read_text(encoding="utf-8"))


def _is_kept(content: bytes) -> bool:
    """Whether a profile or the newest commit has this content of params.yaml."""
    if any((folder() / f"{name}.yaml").read_bytes() == content for name in names()):
        return True
    committed = subprocess.run(["git", "show", f"HEAD:./{PARAMS}"], capture_output=True, stdin=subprocess.DEVNULL)
    return committed.returncode == 0 and committed.stdout == content
