"""Push a release of the dataset to the hub: the files of its tag, as DVC has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tasks.release import hub
from tasks.release.build import CARD, committed
from tasks.release.licences import check_release
from tasks.release.sides import place_of
from tasks.schema.errors import BadInput
from tasks.schema.params import Params, Source, load

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SUFFIXES = (".parquet", ".json", ".md")  # of the files of a release


def check(repo: str, *, public: bool, direct: bool) -> tuple["HfApi", hub.Target]:
    """A client of the hub and the target, before a release is made. Raises BadInput, BadSettings or StorageError if it cannot be pushed."""
    check_release(_sources(load()))
    api = hub.sign_in()
    to = hub.target(api, repo, "dataset", public=public, direct=direct)
    hub.plan(api, to, (), title="")  # refuses a public repository
    return api, to


@contextmanager
def prepared(api: "HfApi", to: hub.Target, version: str) -> Iterator[hub.PreparedPush]:
    """The files of a release compared with the hub. The files are there while the block runs.

    Raises BadInput if the release has a file of another kind, or a source with a licence that forbids to publish it.
    """
    name = load().assemble.recipe
    tag = f"{name}@{version}"
    params = _params(tag)
    check_release(_sources(params))
    with place_of(tag) as folder:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        if other := next((path for path in paths if path.suffix not in SUFFIXES), None):
            raise BadInput(
                f"{tag}: {other.relative_to(folder)}", "not a file of a release", fix="release the dataset again as a new version"
            )
        uploads = tuple(_upload(path, folder, name, to.repo) for path in paths)
        plan = hub.plan(api, to, uploads, title=tag)
        yield hub.PreparedPush(to, uploads, plan, f"The dataset {name}, version {version}. The card says how it was made.")


def _upload(path: Path, folder: Path, name: str, repo: str) -> hub.HubFile:
    """A file of the release. The card's example loads the dataset of the hub."""
    inside = path.relative_to(folder).as_posix()
    if inside != CARD:
        return hub.HubFile(inside, path)
    card = path.read_text(encoding="utf-8")
    return hub.HubFile(inside, card.replace(f'load_dataset("{name}"', f'load_dataset("{repo}"').encode())


def _params(tag: str) -> Params:
    """params.yaml as it was released."""
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "params.yaml"
        path.write_text(committed(tag, "params.yaml"), encoding="utf-8")
        return load(path)


def _sources(params: Params) -> list[Source]:
    general = params.assemble.general
    return [*params.collect.sources, *(general.sources if general.ratio else ())]
