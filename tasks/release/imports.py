"""Import an external file with DVC: it is fetched once and pinned by its checksum in a .dvc file for git.

`dvc import-url` detects changes of a web file by headers: ETag, a digest, or the date of the last change. If a host sends none, DVC
has only the file size, and `dvc update` can miss a change. Such a file is added with `dvc add`, and its URL is stored as metadata; an
update fetches it again and compares the content.
"""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import yaml

from tasks import store
from tasks.schema.errors import BadInput, SourceError
from tasks.schema.redaction import of_url, split_url

RAW = Path("data/raw")
PATIENCE = 20  # seconds, timeout of a connection to the host
VALIDATORS = ("ETag", "Content-MD5", "Digest", "Last-Modified")  # headers by which fsspec, and so DVC, detects a change


class Imported(NamedTuple):
    """The result of an import."""

    pinned: Path  # the .dvc file
    followed: bool  # False: `dvc update` cannot detect a change at the origin
    changed: bool  # the content differs from before


def import_file(url: str, out: Path | None, *, update: bool = False) -> Imported:
    """Fetch `url` to `out` (default: data/raw with its own name) and pin it. `update`: fetch it again if it has changed.

    Raises BadInput for credentials in the URL, an existing file without `update`, or an update without an import; SourceError if
    the file cannot be fetched.
    """
    address = split_url(url)
    if of_url(address):
        problem = "the URL has credentials in it, and git would keep them in the .dvc file"
        fix = "give them to DVC: `dvc remote add NAME URL`, `dvc remote modify --local NAME password …`, and import remote://NAME/FILE"
        raise BadInput(address, problem, fix=fix)
    place = out or RAW / address.rstrip("/").rpartition("/")[2]
    pinned = place.with_name(f"{place.name}.dvc")
    if place.exists() and not update:
        raise BadInput(place, "exists already", fix="give --update to fetch it again, or another --out")
    if update and not pinned.exists():
        raise BadInput(pinned, "no such file", fix="import the file first, without --update")
    before = _md5(pinned)
    followed = _validated(url)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not followed:
        _add(url, place, pinned)
    elif update and _is_import(pinned):
        _dvc(url, "update", str(pinned))
    else:
        _dvc(url, "import-url", *(("--force",) if update else ()), url, str(place))
    return Imported(pinned, followed, changed=_md5(pinned) != before)


def _add(url: str, place: Path, pinned: Path) -> None:
    with store.replacing(place) as scratch:
        _dvc(url, "get-url", url, str(scratch))
    if _is_import(pinned):
        pinned.unlink()  # the host sent an ETag before
    _dvc(url, "add", str(place))
    described = yaml.safe_load(pinned.read_text(encoding="utf-8"))
    if described.get("meta") != {"origin": url}:
        store.write_text(pinned, yaml.safe_dump(described | {"meta": {"origin": url}}, sort_keys=False))


def _is_import(pinned: Path) -> bool:
    return pinned.exists() and "deps" in yaml.safe_load(pinned.read_text(encoding="utf-8"))


def _md5(pinned: Path) -> str | None:
    return yaml.safe_load(pinned.read_text(encoding="utf-8"))["outs"][0].get("md5") if pinned.exists() else None


def _dvc(url: str, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", words[0], "--quiet", *words[1:]], capture_output=True, text=True)
    if done.returncode:
        raise SourceError(f"{url}: {(done.stderr.strip().splitlines() or [f'dvc {words[0]} failed'])[-1].removeprefix('ERROR: ')}")


def _validated(url: str) -> bool:
    """Whether the host sends a header by which a change can be detected; True for addresses other than HTTP.

    Raises SourceError if the host is unreachable or has no such file. (DVC reports "does not exist" for both.)
    """
    if not url.startswith(("http://", "https://")):
        return True
    for method in ("HEAD", "GET"):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=PATIENCE) as answer:
                return any(answer.headers.get(name) for name in VALIDATORS)
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                raise SourceError(f"{url}: the host has no such file ({error.code}); check the address") from None
        except (urllib.error.URLError, OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise SourceError(f"{url}: cannot be reached ({why}); nothing was imported, try again when this machine is online") from None
    return True  # the host refused this request; DVC may have credentials
