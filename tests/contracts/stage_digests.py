"""The code of the stages that carry a version, as it was when somebody last said what that version means.

`python -m tests.contracts.stage_digests` writes the record again. Doing it without raising the version in
params.yaml and every profile says: the code changed, its meaning did not, cached results stay valid.
"""

import json
from functools import cache

from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.contracts.meaning import Code

RECORD = ROOT / "tests" / "contracts" / "stage_versions.json"


def versions() -> dict[str, int]:
    """The stages with a version: those that call models or train."""
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return {name: section["version"] for name, section in params.items() if isinstance(section, dict) and "version" in section}


@cache
def current() -> dict[str, dict[str, int | str]]:
    return {stage: {"version": version, "sha256": _code().digest(stage)} for stage, version in versions().items()}


def recorded() -> dict[str, dict[str, int | str]]:
    found: dict[str, dict[str, int | str]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


@cache
def _code() -> Code:
    return Code({path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in (ROOT / "tasks").rglob("*.py")})


if __name__ == "__main__":
    RECORD.write_text(json.dumps(current(), indent=2) + "\n", encoding="utf-8")
    print(f"{RECORD.relative_to(ROOT)} is written")
