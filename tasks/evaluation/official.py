"""Fetches the paper's prompts and benchmark files as the authors published them, at one revision, and checks each SHA-256.

The project's own prompts are worded differently; scores that are compared with published ones need these files. The revision is pinned
because the prompts changed: a sentence moved between plan.txt and write.txt on 2024-09-27.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks import store
from tasks.schema.errors import BadInput, EndpointError
from tasks.schema.redaction import split_url
from tasks.schema.urls import Url

REVISION = "3fcfdff43deceb49f7936c6bf25ad88d61df0bfa"
DEFAULT_URL = f"https://raw.githubusercontent.com/THUDM/LongWriter/{REVISION}"
TRIES, TIMEOUT = 4, 30.0  # tries per file; seconds per try
CHUNK = 2**16


class Pin(NamedTuple):
    """One file of the paper's repository."""

    path: str
    size: int  # bytes
    sha256: str


PINS = (
    Pin("evaluation/longbench_write.jsonl", 54155, "1f6e99497cc24d65894d65e014062f398ba946ebdd254b7f8b339e48d3ab5779"),
    Pin("evaluation/longbench_write_en.jsonl", 24235, "87800927761f340e48899e4df5d47fb7211ad4936a63420dbfa979660414259f"),
    Pin("evaluation/longwrite_ruler.jsonl", 5718, "a1d4ebf0df0fa1600567691d11c9a52de3037c4a372970ed2e8f52f2889e0a62"),
    Pin("evaluation/judge.txt", 1884, "2c423ce88a0eb6a61482f427997a3c03c4bc11fe861102895dcac45926ae1d57"),
    Pin("agentwrite/prompts/plan.txt", 949, "cf65adef21e8f2565bf4f633b169a90681fbdee0efd026e577278f83784f6d52"),
    Pin("agentwrite/prompts/write.txt", 759, "468c47ca954a4dcd4295642ee036383f3fb741560b2fa707a6039f10be0c3c9a"),
)


class _Passing(Exception):
    """A try that failed for a temporary reason; the next one may succeed."""


def fetch(folder: Path, *, source: str = DEFAULT_URL) -> list[Path]:
    """Fetches the six files into `folder` and returns their paths. Files that are present and correct are kept, without a network request.

    `source` is the repository's root at that revision, or a mirror or a folder of it; in a folder the files may also lie side by side. All
    files are checked before any is written. Raises BadInput for a file that is not the paper's, EndpointError if the source cannot be
    reached.
    """
    source = split_url(source)
    places = {pin: folder / Path(pin.path).name for pin in PINS}
    missing = [pin for pin, place in places.items() if not is_right(place, pin)]
    fetched = {pin: _checked(_bytes(pin, source), pin, source) for pin in missing}
    for pin, content in fetched.items():
        with store.replacing(places[pin]) as scratch:
            scratch.write_bytes(content)
    return list(places.values())


def is_right(path: Path, pin: Pin) -> bool:
    """Whether the file exists and is byte-identical to the paper's."""
    return path.is_file() and path.stat().st_size == pin.size and hashlib.sha256(path.read_bytes()).hexdigest() == pin.sha256


def _checked(content: bytes, pin: Pin, source: str) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    if digest != pin.sha256:
        problem = (
            f"not the paper's file at {REVISION[:7]}: SHA-256 {digest[:12]}… of {len(content)} bytes, and {pin.sha256[:12]}… is pinned"
        )
        raise BadInput(_join(source, pin.path), problem, fix="check the source; nothing was written")
    return content


def _bytes(pin: Pin, source: str) -> bytes:
    """The file's content, at most one byte more than the pinned size: enough to detect another file."""
    if urlsplit(source).scheme in ("http", "https"):
        return _download(Url(source), pin.path, at_most=pin.size + 1)
    root = Path(source)
    places = [root / pin.path, root / Path(pin.path).name]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise BadInput(places[0], "no such file", fix="give a URL, or a folder with the repository's files")
    with found.open("rb") as file:
        return file.read(pin.size + 1)


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
            f"{_join(source, path)}: {reason}, {TRIES} times; check the network, or give a mirror or a folder as the source"
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
