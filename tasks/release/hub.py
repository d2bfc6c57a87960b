"""Push files to a repository of the Hugging Face hub by huggingface_hub: into a private repository, as one pull request, resumable.

What the repository has already is compared by digest and not sent again. The pull request is found again by its title, so that a push
that was killed is continued in the same one. The token is read from HF_TOKEN alone, never from a file. HF_ENDPOINT names another hub.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from rich.filesize import decimal

from tasks.schema.errors import BadInput, BadSettings, StorageError
from tasks.schema.records import Record
from tasks.schema.redaction import redact, register

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.community import Discussion
    from huggingface_hub.hf_api import RepoFile

HUB = "https://huggingface.co"
TOKEN, ENDPOINT, OFFLINE = "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"  # variables of huggingface_hub
MAIN = "main"
UNFINISHED = ("open", "draft")  # states of a pull request that a push continues
DATA = (".safetensors", ".safetensors.index.json", ".gguf", ".parquet")  # files of an earlier version that a push removes
Kind = Literal["model", "dataset"]
State = Literal["new", "changed", "same", "removed"]


class Target(NamedTuple):
    """Where a push goes. `repo` is organisation/name."""

    repo: str
    kind: Kind
    public: bool  # the repository may be public
    direct: bool  # to the branch main, instead of a pull request


class HubFile(NamedTuple):
    """A file to push: its path in the repository, and the local file or its bytes."""

    path: str
    content: Path | bytes

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


class PlannedFile(Record):
    path: str
    bytes: int
    state: State  # compared with the pull request, or with main if there is none


class PushPlan(Record):
    """What a push would do."""

    repo: str
    kind: Kind
    new: bool  # the repository does not exist and will be created
    private: bool
    title: str  # of the commit and of the pull request
    pull_request: int | None  # number of the unfinished pull request of this title
    direct: bool
    files: tuple[PlannedFile, ...]

    @property
    def sent(self) -> tuple[PlannedFile, ...]:
        """The files that are sent or removed."""
        return tuple(file for file in self.files if file.state != "same")

    def __str__(self) -> str:
        """The plan as lines for a terminal."""
        where = f"a new {_visibility(self.private)} repository" if self.new else f"a {_visibility(self.private)} repository"
        by = "commit to main" if self.direct else f"pull request #{self.pull_request}" if self.pull_request else "a new pull request"
        lines = [f"{self.kind} {self.repo}: {where}; {by}: {self.title}"]
        lines += [f"  {file.state:8} {size(file.bytes):>10}  {file.path}" for file in self.files]
        lines += [f"{len(self.sent)} of {len(self.files)} files to send, {size(sum(file.bytes for file in self.sent))}"]
        return "\n".join(lines)


class PreparedPush(NamedTuple):
    """A push that is checked and compared with the hub, and not sent yet."""

    to: Target
    uploads: tuple[HubFile, ...]
    plan: PushPlan
    description: str  # of the commit and of the pull request


class Pushed(Record):
    """The result of a push."""

    url: str  # of the pull request; of the repository for a commit to main
    files: int  # sent or removed
    bytes: int


def sign_in() -> "HfApi":
    """A client of the hub. Raises BadSettings without HF_TOKEN, and if HF_HUB_OFFLINE is set."""
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise BadSettings(f"{TOKEN} is not set; fix: create a token with write access in the hub's settings and set {TOKEN}")
    if os.environ.get(OFFLINE, "").upper() in ("1", "ON", "YES", "TRUE"):
        raise BadSettings(f"{OFFLINE} is set, so nothing can be pushed; fix: unset it")
    register(token)
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if not sys.stderr.isatty():
        disable_progress_bars()
    return HfApi(endpoint=os.environ.get(ENDPOINT, HUB).rstrip("/"), token=token, library_name="longwriter")


def target(api: "HfApi", repo: str, kind: Kind, *, public: bool, direct: bool) -> Target:
    """The target of a push. A name without organisation is the token owner's.

    Raises BadInput for an invalid name, StorageError if the token is not valid or can only read, or the hub cannot be reached.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        problem = " ".join(str(error).split()).removesuffix(".")
        raise BadInput(repo[:200], f"not a name of a repository: {problem}"[:300], fix="write organisation/name") from None
    with answering(repo):
        me = api.whoami()
    if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise StorageError(f"{repo}: {TOKEN} can only read; fix: create a token with write access in the hub's settings")
    return Target(repo if "/" in repo else f"{me['name']}/{repo}", kind, public, direct)


def plan(api: "HfApi", to: Target, uploads: Sequence[HubFile], *, title: str) -> PushPlan:
    """What `push` would send. Sends nothing.

    Raises BadInput if the repository is public and `to.public` is false; StorageError if the hub refuses or cannot be reached.
    """
    with answering(to.repo):
        private = _is_private(api, to)
        if private is False and not to.public:
            problem = "the repository is public, and a push would publish the files"
            raise BadInput(to.repo, problem, fix="add --public, or name another repository")
        request = None if private is None or to.direct else _pull_request(api, to, title)
        there = {} if private is None else _files(api, to, request.git_reference if request else MAIN)
    files = [PlannedFile(path=one.path, bytes=one.size, state=_state(one, there.get(one.path))) for one in uploads]
    ours = {one.path for one in uploads}
    stale = [PlannedFile(path=path, bytes=0, state="removed") for path in sorted(there.keys() - ours) if path.endswith(DATA)]
    return PushPlan(
        repo=to.repo,
        kind=to.kind,
        new=private is None,
        private=not to.public if private is None else private,
        title=title,
        pull_request=request.num if request else None,
        direct=to.direct,
        files=(*files, *stale),
    )


def push(api: "HfApi", to: Target, planned: PushPlan, uploads: Sequence[HubFile], *, description: str) -> Pushed:
    """Send what `planned` says, as one commit, and return where it is. If nothing differs, nothing is sent.

    Raises StorageError if the hub refuses, cannot be reached, or the connection breaks. A repeated push continues.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    by_path = {one.path: one for one in uploads}
    page = f"{api.endpoint}/{'datasets/' if to.kind == 'dataset' else ''}{to.repo}"
    request = f"{page}/discussions/{planned.pull_request}" if planned.pull_request else ""
    with answering(to.repo):
        if planned.new:
            api.create_repo(to.repo, repo_type=to.kind, private=planned.private, exist_ok=True)
        if not planned.sent:
            return Pushed(url=request or page, files=0, bytes=0)
        done = api.create_commit(
            to.repo,
            [
                CommitOperationDelete(file.path) if file.state == "removed" else CommitOperationAdd(file.path, _given(by_path[file.path]))
                for file in planned.sent
            ],
            commit_message=planned.title,
            commit_description=description,
            repo_type=to.kind,
            revision=f"refs/pr/{planned.pull_request}" if request else MAIN,
            create_pr=not to.direct and not request,
        )
    return Pushed(url=request or done.pr_url or page, files=len(planned.sent), bytes=sum(file.bytes for file in planned.sent))


@contextmanager
def answering(place: str) -> Iterator[None]:
    """Turns an error of the hub in the block into one line that says what to do. Raises StorageError."""
    from huggingface_hub import errors

    # The HTTP client of huggingface_hub depends on its version. Its error class is a base class of the hub's error.
    bases = (kind for kind in errors.HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    known: tuple[type[Exception], ...] = (RuntimeError, ValueError, OSError, *(kind for kind in bases if issubclass(kind, Exception)))
    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise StorageError(f"{place}: {OFFLINE} is set, so the hub cannot be asked; fix: unset it") from None
    except known as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        local = isinstance(cause, OSError) and not isinstance(cause, errors.HfHubHTTPError) and cause.filename
        if local:
            raise
        raise StorageError(f"{place}: {_problem(cause)}") from None


def _problem(error: BaseException) -> str:
    """The reason and what to do, in one line."""
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    said = redact(" ".join(str(error).split()))[:200]
    if isinstance(error, errors.GatedRepoError):
        return "its terms are not accepted; fix: accept them on its page of the hub"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has no such repository, or {TOKEN} may not see it; fix: check the name and the token's rights"
    if status == 401:
        return f"the hub does not accept {TOKEN}; fix: set a valid token"
    if status == 403:
        return f"{TOKEN} has no right to write there; fix: use a token with write access to it, or another repository"
    if status in (402, 413, 507):
        return f"the hub has no room for it ({said}); fix: free some space there"
    if status in (409, 412):
        return "the repository changed during the push; fix: run again"
    if status in (400, 422) or isinstance(error, ValueError):
        return f"the hub refused ({said}); fix: correct what it names"
    return f"the hub cannot be reached, or broke off ({said}); fix: check the network and {ENDPOINT}, and run again to continue"


def _is_private(api: "HfApi", to: Target) -> bool | None:
    """Whether the repository is private; None if there is none, or none that the token may see."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return bool(api.repo_info(to.repo, repo_type=to.kind).private)
    except RepositoryNotFoundError:
        return None


def _pull_request(api: "HfApi", to: Target, title: str) -> "Discussion | None":
    """The oldest unfinished pull request with this title."""
    found = api.get_repo_discussions(to.repo, discussion_type="pull_request", repo_type=to.kind)
    unfinished = [one for one in found if one.is_pull_request and one.title == title and one.status in UNFINISHED]
    return min(unfinished, key=lambda one: one.num, default=None)


def _files(api: "HfApi", to: Target, revision: str | None) -> dict[str, "RepoFile"]:
    from huggingface_hub.hf_api import RepoFile

    tree = api.list_repo_tree(to.repo, repo_type=to.kind, revision=revision, recursive=True)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _state(one: HubFile, there: "RepoFile | None") -> State:
    if there is None:
        return "new"
    if there.size != one.size:
        return "changed"
    ours, theirs = (_digest(one, "sha256"), there.lfs.sha256) if there.lfs else (_digest(one, "git"), there.blob_id)
    return "same" if ours == theirs else "changed"


def _digest(one: HubFile, kind: Literal["sha256", "git"]) -> str:
    """SHA-256 of the file, or git's name of its content. A file is read in pieces."""
    total = hashlib.sha256() if kind == "sha256" else hashlib.sha1(f"blob {one.size}\0".encode(), usedforsecurity=False)
    with BytesIO(one.content) if isinstance(one.content, bytes) else one.content.open("rb") as file:
        return hashlib.file_digest(file, lambda: total).hexdigest()


def _given(one: HubFile) -> str | bytes:
    return one.content if isinstance(one.content, bytes) else str(one.content)


def _visibility(private: bool) -> str:
    return "private" if private else "public"


def size(count: int) -> str:
    """A number of bytes for people: 12 B, 3.4 kB, 538.1 MB."""
    return decimal(count).replace(" bytes", " B")
