"""Licences as the hub names them, the licence of a base model, and licences that forbid to publish a dataset."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.models.gguf import ORIGIN, inspect
from tasks.models.local import gguf_of
from tasks.models.packages import KNOWN, LICENCE, folder_of, origin_of
from tasks.schema.errors import BadInput, StorageError
from tasks.schema.params import Source
from tasks.schema.settings import settings

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Licences that the hub knows by the lower-case SPDX identifier, and those that it names otherwise.
SAME = {
    *("afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-2.0"),
    *("cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0"),
    *("cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-2.0", "epl-2.0", "eupl-1.2", "gemma"),
    *("gfdl", "gpl-2.0", "gpl-3.0", "isc", "lgpl-3.0", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "mit"),
    *("mpl-2.0", "ms-pl", "odbl", "odc-by", "openrail", "pddl", "unlicense", "wtfpl", "zlib"),
}
OTHERWISE = {"odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "pddl-1.0": "pddl"}
ONLY = re.compile("-(only|or-later)$")  # gpl-3.0-or-later is gpl-3.0 on the hub
FORBIDDEN = (
    (re.compile(r"(?i)(^|[^a-z])nd([^a-z]|$)"), "does not allow derived works to be shared"),
    (re.compile(r"(?i)proprietary|all rights reserved|no[- ]?licen[cs]e|unlicensed"), "does not allow the texts to be shared"),
    (re.compile(r"(?i)^(none|noassertion|unknown|licenseref-unknown)$"), "is not known"),
    (re.compile(r"(?i)lmsys"), "does not allow the texts to be shared"),
)


def hub_name(licence: str) -> str:
    """The licence's name on the hub; `other` for one that the hub does not know."""
    name = ONLY.sub("", licence.lower())
    return OTHERWISE.get(name) or (name if name in SAME else "other")


def check_release(sources: Iterable[Source]) -> None:
    """Raises BadInput for the first source with a licence that is known to forbid the release of its texts."""
    for source in sources:
        for pattern, problem in FORBIDDEN:
            if pattern.search(source.licence):
                fix = "leave the source out and make the dataset again, or correct its licence in params.yaml"
                raise BadInput("params.yaml", f"{source.licence} {problem}", field=f"licence of the source {source.name}", fix=fix)


def base_licence(base: str, revision: str, *, api: "HfApi") -> str:
    """The licence of a base model: of the package, as the GGUF file or the folder states it, or as its card on the hub does.

    Raises BadInput if it is not stated anywhere.
    """
    path = Path(base)
    if base in KNOWN and not path.exists():
        return KNOWN[base].licence
    found = _of_file(path) if path.exists() else _of_hub(base, revision, api)
    if not found:
        raise BadInput(
            base, "the licence of the base model is not stated", field="base.model", fix="name it with --licence, such as apache-2.0"
        )
    return found


def licence_text(base: str) -> Path | None:
    """The file with the licence's text beside a package's weights or in the base's folder; None if there is none."""
    folder = folder_of(base, settings().home) if base in KNOWN and not Path(base).exists() else Path(base)
    return next((folder / name for name in (LICENCE, "LICENSE.txt") if (folder / name).is_file()), None)


def _of_file(path: Path) -> str:
    from huggingface_hub.repocard import metadata_load

    if gguf := gguf_of(path):
        return inspect(gguf).licence
    if (path / ORIGIN).is_file():
        return origin_of(path).licence
    card = path / "README.md"
    stated = (metadata_load(card) or {}).get("license") if card.is_file() else None
    return stated if isinstance(stated, str) else ""


def _of_hub(base: str, revision: str, api: "HfApi") -> str:
    from tasks.release.hub import answering

    try:
        with answering(base):
            card = api.model_info(base, revision=revision or None).card_data
    except StorageError:
        return ""  # the name is a path that is gone, or a model that the token may not see
    data = card.to_dict() if card else {}
    stated = data.get("license_name") if data.get("license") == "other" else data.get("license")
    return stated if isinstance(stated, str) else ""
