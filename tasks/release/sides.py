"""Read one side of a comparison: a folder, a file, a git revision or a released version, fetched from DVC's cache or remote."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tasks.contracts.external_data import Columns, read
from tasks.corpus.duplicates import text_id
from tasks.release.build import artifact
from tasks.schema.errors import BadInput
from tasks.schema.params import load
from tasks.text.counts import count_words, s_l

PIPELINE = Path("data/assemble/dataset")  # the data of a git revision that is not a release


class ComparedFields(NamedTuple):
    """The fields of a row that are compared."""

    request: str  # digest
    answer: str  # digest; of the trace, if the row has one
    written: int
    asked: int | None
    language: str
    source: str
    s_l: float | None


Side = dict[str, ComparedFields]  # by id


@contextmanager
def place_of(name: str) -> Iterator[Path]:
    """The path of the data: `name` itself if it exists; `v1.0.0`, `longwriter-6k@v1.0.0` or a git revision in a temporary folder.

    Raises BadInput if `name` is neither a path nor a revision with this data.
    """
    if (path := Path(name)).exists():
        yield path
        return
    recipe = load().assemble.recipe
    released = "@" in name or (name.startswith("v") and name[1:2].isdigit())
    tag = name if "@" in name or not released else f"{recipe}@{name}"
    wanted = artifact(tag.partition("@")[0]) if released else PIPELINE
    with TemporaryDirectory(prefix="longwriter-diff-") as scratch:
        yield _fetched(tag, wanted, Path(scratch) / "data", asked=name)


def _fetched(revision: str, wanted: Path, to: Path, *, asked: str) -> Path:
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        DVCFileSystem(".", rev=revision).get(str(wanted), str(to), recursive=True)
    except (SCMError, DvcException, OSError) as error:
        said = str(error).strip().splitlines()
        problem = f"neither a path nor a revision with {wanted}: {said[0] if said else type(error).__name__}"
        raise BadInput(asked, problem, fix="give a folder, a file, a git revision or a version such as v1.0.0") from None
    return to


def side_of(path: Path) -> Side:
    """Every row by its id, or by the digest of its prompt if it has none. Raises BadInput for a row that is not a conversation."""
    found: Side = {}
    long = path / "long"
    for row in read(long if long.is_dir() else path, Columns()):
        if row.problem is not None:
            raise BadInput(path, row.problem, line=row.number, fix="`longwriter data check` lists all such rows")
        request = "\n\n".join(message.content for message in row.messages if message.role == "user")
        answer = "\n\n".join(message.content for message in row.messages if message.role == "assistant")
        written, digest = count_words(answer), text_id(request)
        known = row.id if row.id != row.source else digest
        score = s_l(row.asked, written) if row.asked else None
        found[_free(known, found)] = ComparedFields(
            digest, text_id(row.trace or answer), written, row.asked, row.language, row.origin, score
        )
    return found


def _free(id: str, taken: Side) -> str:
    """The id, with a number if it is already taken."""
    number, free = 2, id
    while free in taken:
        number, free = number + 1, f"{id}#{number}"
    return free
