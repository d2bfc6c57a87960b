"""Files of a dataset on the Hugging Face hub at one commit. huggingface_hub downloads and caches them.

HF_HOME, HF_TOKEN and HF_ENDPOINT are variables of huggingface_hub. After the first run the files are in its cache, and only the
listing needs the network.
"""

from collections.abc import Callable
from typing import BinaryIO, TypeVar

from tasks.schema.errors import BadInput, SourceError
from tasks.schema.params import Source
from tasks.schema.redaction import redact
from tasks.sources.patterns import below, fixed_prefix, matching, say_left_out

PREFIX = "hf://datasets/"
R = TypeVar("R")


def listing(entry: Source) -> list[tuple[str, str, int]]:
    """Path, address and size in bytes of each file of an entry, sorted by path.

    Raises BadInput if a pattern matches no file; SourceError if the hub refuses or cannot be reached.
    """
    found: dict[str, tuple[str, int]] = {}
    for pattern in entry.files:
        dataset, inside = _parts(pattern)
        sizes = _asked(pattern, lambda dataset=dataset: _tree(dataset, entry.revision))  # type: ignore[misc]
        wanted = matching(inside, sizes)
        if not wanted:
            raise BadInput(pattern, f"source {entry.name}: no file matches", fix=f"check the files of {entry.name} in params.yaml")
        if inside not in sizes and fixed_prefix(inside) == inside:
            say_left_out(pattern, below(inside, sizes), wanted)
        found |= {path: (f"{PREFIX}{dataset}/{path}", sizes[path]) for path in wanted}
    return [(path, *found[path]) for path in sorted(found)]


def pin(pattern: str) -> str:
    """The current commit of the dataset's main branch."""
    from huggingface_hub import HfApi

    return str(_asked(pattern, lambda: HfApi().dataset_info(_parts(pattern)[0]).sha))


def opened(place: str, *, revision: str) -> BinaryIO:
    """The file as a stream, downloaded to the cache if needed. Raises SourceError if the hub refuses or cannot be reached."""
    from huggingface_hub import hf_hub_download

    dataset, path = _parts(place)
    local = _asked(place, lambda: hf_hub_download(dataset, path, repo_type="dataset", revision=revision))
    return open(local, "rb")


def _parts(pattern: str) -> tuple[str, str]:
    """The dataset `organisation/name` and the path inside it. Raises BadInput for another form."""
    pieces = pattern.removeprefix(PREFIX).split("/")
    if not pattern.startswith(PREFIX) or len(pieces) < 2 or not all(pieces[:2]):
        raise BadInput(pattern, "no dataset of the hub", fix="write hf://datasets/organisation/name, or a file of it")
    return "/".join(pieces[:2]), "/".join(pieces[2:])


def _tree(dataset: str, revision: str) -> dict[str, int]:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    entries = HfApi().list_repo_tree(dataset, repo_type="dataset", revision=revision, recursive=True)
    return {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}


def _asked(place: str, question: Callable[[], R]) -> R:
    """The result of `question`. Converts errors of the hub into a SourceError that says what to do."""
    from huggingface_hub import errors

    # The HTTP client of huggingface_hub depends on its version. Its error class is a base class of the hub's error.
    kinds = [kind for kind in errors.HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"]
    unreachable = tuple(kind for kind in (*kinds, errors.HfHubHTTPError) if issubclass(kind, Exception))
    try:
        return question()
    except errors.GatedRepoError:
        raise SourceError(f"{place}: its terms are not accepted; accept them on its page of the hub and set HF_TOKEN") from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise SourceError(f"{place}: not in the cache, and the hub cannot be reached; check the network and HF_ENDPOINT") from None
        raise SourceError(f"{place}: the hub has no such dataset, commit or file, or HF_TOKEN may not see it") from None
    except errors.OfflineModeIsEnabled:
        raise SourceError(f"{place}: HF_HUB_OFFLINE is set, so the hub cannot be asked; unset it") from None
    except unreachable as error:
        said = redact(" ".join(str(error).split()))[:160]
        raise SourceError(f"{place}: the hub cannot be reached ({said}); check the network and HF_ENDPOINT, or fetch the files") from None
