"""Fetches a benchmark's files as its authors published them, at one revision, and checks each one.

A file is pinned by its size and SHA-256, or, where only the repository's tree was at hand, by git's own name of its content (the SHA-1 of
a blob). Revisions are pinned because files change: LongWriter's authors moved a sentence between plan.txt and write.txt on 2024-09-27.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks import store
from tasks.schema.errors import BadInput, EndpointError
from tasks.schema.redaction import split_url
from tasks.schema.urls import Url

TRIES, TIMEOUT = 4, 30.0  # tries per file; seconds per try
CHUNK = 2**16
LARGEST = 2**28  # bytes of a file with an unknown size
RAW = "https://raw.githubusercontent.com"


class Pin(NamedTuple):
    """One file of an authors' repository."""

    path: str
    size: int | None  # bytes; None: unknown
    sha256: str = ""  # empty: pinned by `blob`
    blob: str = ""  # git's SHA-1 of the content, for a file without a SHA-256 here

    @property
    def name(self) -> str:
        """The name of its copy."""
        return Path(self.path).name

    def fits(self, content: bytes) -> bool:
        """Whether these are the pinned bytes."""
        if self.size is not None and len(content) != self.size:
            return False
        if self.sha256:
            return hashlib.sha256(content).hexdigest() == self.sha256
        named = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
        named.update(content)
        return named.hexdigest() == self.blob

    def shown(self, content: bytes) -> str:
        """What differs, for an error."""
        if self.sha256:
            digest = hashlib.sha256(content).hexdigest()
            return f"SHA-256 {digest[:12]}… of {len(content)} bytes, and {self.sha256[:12]}… is pinned"
        return f"{len(content)} bytes that git does not name {self.blob[:12]}…, which is pinned"


class PinnedSource(NamedTuple):
    """Where a benchmark's files come from."""

    repository: str  # OWNER/NAME on GitHub
    revision: str  # commit, 40 hex digits
    pins: tuple[Pin, ...]

    @property
    def url(self) -> str:
        """The root of the repository's files at the revision."""
        return f"{RAW}/{self.repository}/{self.revision}"


class _Passing(Exception):
    """A try that failed for a temporary reason; the next one may succeed."""


def fetch(source: PinnedSource, folder: Path, *, mirror: str | None = None) -> list[Path]:
    """Fetches the files of a source into `folder`, side by side, and returns their paths. Files that are present and correct are kept,
    without a network request.

    `mirror` is the repository's root at that revision elsewhere: a URL, or a folder, in which the files may also lie side by side. All
    files are checked before any is written. Raises BadInput for another file than the pinned one, EndpointError if the source cannot be
    reached.
    """
    root = split_url(mirror or source.url)
    missing = [pin for pin in source.pins if not is_right(folder / pin.name, pin)]
    fetched = {pin: _checked(_bytes(pin, root), pin, root, source) for pin in missing}
    for pin, content in fetched.items():
        with store.replacing(folder / pin.name) as scratch:
            scratch.write_bytes(content)
    return [folder / pin.name for pin in source.pins]


def is_right(path: Path, pin: Pin) -> bool:
    """Whether the file exists and is byte-identical to the pinned one."""
    return path.is_file() and (pin.size is None or path.stat().st_size == pin.size) and pin.fits(path.read_bytes())


def _checked(content: bytes, pin: Pin, root: str, source: PinnedSource) -> bytes:
    if not pin.fits(content):
        problem = f"not the file of {source.repository} at {source.revision[:7]}: {pin.shown(content)}"
        raise BadInput(_join(root, pin.path), problem, fix="check the source; nothing was written")
    return content


def _bytes(pin: Pin, source: str) -> bytes:
    """The file's content, at most one byte more than the pinned size: enough to detect another file."""
    at_most = (LARGEST if pin.size is None else pin.size) + 1
    if urlsplit(source).scheme in ("http", "https"):
        return _download(Url(source), pin.path, at_most=at_most)
    root = Path(source)
    places = [root / pin.path, root / pin.name]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise BadInput(places[0], "no such file", fix="give a URL, or a folder with the repository's files")
    with found.open("rb") as file:
        return file.read(at_most)


def _download(source: Url, path: str, *, at_most: int) -> bytes:
    from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    tries = Retrying(
        stop=stop_after_attempt(TRIES), wait=wait_exponential_jitter(multiplier=0.5, max=8), retry=retry_if_exception_type(_Passing)
    )
    try:
        return tries(_try, source, path, at_most)
    except RetryError as error:
        reason = error.last_attempt.exception()
        raise EndpointError(
            f"{_join(source, path)}: {reason}, {TRIES} times; check the network, or give a mirror or a folder as --source"
        ) from None


def _try(source: Url, path: str, at_most: int) -> bytes:
    """One try. Raises _Passing for temporary failures (no connection, 408, 429, 5xx, an incomplete body), else EndpointError."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "longwriter-pipeline"} | ({"Authorization": source.basic} if source.basic else {})
    try:
        with urlopen(Request(source.under(path), headers=headers), timeout=TIMEOUT) as response:
            return _read(response, at_most)
    except HTTPError as error:
        with error:
            if error.code in (408, 429) or error.code >= 500:
                raise _Passing(f"answers {error.code}") from None
        raise EndpointError(f"{_join(source, path)}: answers {error.code} {error.reason}; check the source") from None
    except (OSError, HTTPException) as error:
        raise _Passing(str(getattr(error, "reason", error)) or type(error).__name__) from None


def _read(response, at_most: int) -> bytes:  # type: ignore[no-untyped-def]
    content = b""
    while len(content) < at_most and (more := response.read(min(CHUNK, at_most - len(content)))):
        content += more
    expected = response.headers.get("Content-Length")
    if expected and expected.isdigit() and len(content) < min(int(expected), at_most):
        raise _Passing(f"broke off after {len(content)} of {expected} bytes")
    return content


def _join(source: str, path: str) -> str:
    return f"{source.rstrip('/')}/{path}"
