"""A third party's file under DVC: fetched once, pinned by its checksum in a small .dvc file that git keeps (`dvc import-url`)."""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tasks.schema.errors import BadInput, SourceError

RAW = Path("data/raw")
PATIENCE = 20  # seconds for the host's first answer


def import_file(url: str, out: Path | None) -> Path:
    """The .dvc file of `url`'s file at `out`, or below data/raw under its own name. Raises BadInput, SourceError."""
    place = out or RAW / url.rstrip("/").rpartition("/")[2]
    if place.exists():
        raise BadInput(place, "exists already", mend=f"to fetch it anew: dvc update {place}.dvc; or give another OUT")
    _reach(url)
    place.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "dvc", "import-url", "--quiet", url, str(place)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SourceError(f"{url}: {(done.stderr.strip().splitlines() or ['dvc import-url failed'])[-1].removeprefix('ERROR: ')}")
    return place.with_name(f"{place.name}.dvc")


def _reach(url: str) -> None:
    """DVC says "does not exist" of a host that is only out of reach: ask first."""
    if not url.startswith(("http://", "https://")):
        return
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE):
            pass
    except urllib.error.HTTPError as error:
        if error.code in (404, 410):
            raise SourceError(f"{url}: the host has no such file ({error.code}); check the address") from None
    except (urllib.error.URLError, OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        raise SourceError(f"{url}: cannot be reached ({why}); nothing was imported, try again when this machine is online") from None
