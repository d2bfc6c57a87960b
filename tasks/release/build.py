"""Build a release: a folder that `datasets.load_dataset` opens, tracked by DVC, committed, with a GTO tag (longwriter-6k@v1.0.0)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tasks import store
from tasks.release.card import card
from tasks.release.facts import ReleaseFacts, gather
from tasks.schema.errors import BadInput
from tasks.schema.params import load

GRAPH, FILE, CARD = Path("dvc.yaml"), "train.parquet", "README.md"


def release(data: Path, version: str) -> tuple[str, Path]:
    """Release the data and return the tag and the folder.

    Raises BadInput, before anything is written, for an invalid or existing version, uncommitted changes, or data that did not pass
    the contract.
    """
    if not re.fullmatch(r"v\d+\.\d+\.\d+", version):
        raise BadInput("VERSION", f"{version} is no version", fix="write v1.0.0: major, minor, patch")
    params = load()
    folder = artifact(params.assemble.recipe)
    tag = f"{params.assemble.recipe}@{version}"
    if _git("tag", "--list", tag):
        raise BadInput(tag, "this version exists already", fix="use a new version number; a version is never replaced")
    if changed := _git("status", "--porcelain", "--untracked-files=no"):
        first = changed.splitlines()[0].split(maxsplit=1)[1]
        raise BadInput(first, "not committed", fix="commit what made the data (dvc.lock and params.yaml too), so that the tag has it")
    facts = gather(data, params, version=version, commit=_git("rev-parse", "HEAD"))
    write(folder, data, facts)
    _track(folder, tag, version, facts)
    return tag, folder


def exists(version: str) -> bool:
    """Whether this version of the recipe in params.yaml was released in this repository."""
    return bool(_git("tag", "--list", f"{load().assemble.recipe}@{version}"))


def committed(revision: str, path: str) -> str:
    """The text of a file at a git revision. Raises BadInput if it has none."""
    return _run("git", "show", f"{revision}:{path}")


def artifact(name: str) -> Path:
    """The path of an artifact in dvc.yaml. Raises BadInput if it is not declared."""
    from ruamel.yaml import YAML

    declared = YAML(typ="safe").load(GRAPH.read_text(encoding="utf-8")).get("artifacts") or {}
    if name not in declared:
        raise BadInput(GRAPH, f"no artifact {name}", field="artifacts", fix="declare it under `artifacts` with path and type")
    return Path(declared[name]["path"])


def write(folder: Path, data: Path, facts: ReleaseFacts) -> None:
    """Write the release folder. An existing folder is replaced only when the new one is complete."""
    with store.replacing(folder) as scratch:
        for name, part in (("long", "dataset"), *((("general", "general"),) if facts.general.rows else ())):
            (scratch / name).mkdir(parents=True)
            shutil.copy(data / "assemble" / part / FILE, scratch / name / FILE)
        store.write_json(scratch / "contract.json", facts.verdict)
        (scratch / CARD).write_text(card(facts), encoding="utf-8")


def _track(folder: Path, tag: str, version: str, facts: ReleaseFacts) -> None:
    _run(sys.executable, "-m", "dvc", "add", "--quiet", str(folder))
    _git("add", f"{folder}.dvc")
    if _git("diff", "--cached", "--name-only"):  # empty if an earlier attempt ended between commit and tag
        _git("commit", "--quiet", "--message", f"Release {tag}: {facts.long.rows:,} long texts, {facts.general.rows:,} general chats")
    _register(facts.name, version, f"{tag}, data {facts.digest[:12]}")


def _register(name: str, version: str, message: str) -> None:
    """Create the git tag with GTO. Raises BadInput with GTO's reason."""
    from gto.api import register
    from gto.exceptions import GTOException

    try:
        register(".", name, ref="HEAD", version=version, message=message, stdout=False)
    except GTOException as error:
        raise BadInput(f"{name}@{version}", str(error), fix="name a version that follows the others") from None


def _git(*words: str) -> str:
    return _run("git", *words)


def _run(*words: str) -> str:
    """The standard output of a command. Raises BadInput with the last line of its error output if it fails."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BadInput(" ".join(words[:4]), said[-1] if said else "failed without a message", fix="correct it, and release again")
    return done.stdout.strip()
