"""A third party's file under DVC: fetched once, pinned by its checksum in a small .dvc file that git keeps.

DVC (`dvc import-url`) follows a file on the web by headers: its ETag, a digest, or when it was last changed. A host that sends none
leaves it the file's size: `dvc update` would miss a change. Such a file is added as a file of one's own, with its address beside
it; an update fetches it again and compares the content.
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
PATIENCE = 20  # seconds for the host's first answer
VALIDATORS = ("ETag", "Content-MD5", "Digest", "Last-Modified")  # what fsspec, and so DVC, tells states of a file apart by


class Imported(NamedTuple):
    pinned: Path  # the .dvc file
    followed: bool  # False: `dvc update` cannot see a change at the origin
    changed: bool  # the content is another than before


def import_file(url: str, out: Path | None, *, update: bool = False) -> Imported:
    """Fetch the file of `url` to `out`, or below data/raw under its own name, and pin it; `update`: again, if its origin has changed.

    Raises BadInput where the file is there already, or not there to be updated; SourceError where it cannot be fetched.
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
        pinned.unlink()  # of a host that sent an ETag before
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
    """Whether the host says by a header which state a file is in. Raises SourceError where it is out of reach, or has no such file:
    DVC says "does not exist" of both."""
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
    return True  # refused to this question: DVC may know how to log in
