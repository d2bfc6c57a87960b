"""A stand-in of the Hugging Face hub on loopback: the endpoints that huggingface_hub calls to create a repository and to commit files."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from tests.web import Quiet, served

OWNER, READER = "hf_owner_0123456789abcdef", "hf_reader_0123456789abcdef"  # tokens
ROLES = {OWNER: "write", READER: "read"}
USER = "ada"
INVALID = "Invalid credentials in Authorization header"
REGULAR = 10_000  # bytes; larger files, and weights, are stored as LFS objects
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class PullRequest:
    title: str
    files: dict[str, bytes]
    description: str = ""
    status: str = "open"


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.safetensors filter=lfs\n"})
    requests: dict[int, PullRequest] = field(default_factory=dict)

    def at(self, revision: str) -> dict[str, bytes]:
        return self.requests[int(revision.rpartition("/")[2])].files if revision.startswith("refs/pr/") else self.files


@dataclass
class Hub:
    """What the hub has, what it was sent, and how it fails."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)  # by models/ada/name or datasets/ada/name
    objects: dict[str, bytes] = field(default_factory=dict)  # LFS objects by SHA-256
    cards: dict[str, dict[str, object]] = field(default_factory=dict)  # metadata of other models' cards
    sent: list[str] = field(default_factory=list)  # SHA-256 of every LFS object that was put
    calls: list[str] = field(default_factory=list)  # method and path
    fails: dict[str, tuple[int, str]] = field(default_factory=dict)  # status and message by a pattern of method and path
    torn: str = ""  # pattern of method and path: the connection is closed without an answer
    lost: str = ""  # the same, but what was asked for is done first
    held: str = ""  # pattern of method and path: the call waits for `release`, and is then cut
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """End the calls that wait, and hold no further ones."""
        self.held = ""
        self.released.set()


def lfs(path: str, size: int) -> bool:
    return size > REGULAR or path.endswith((".safetensors", ".parquet", ".gguf"))


def git_name(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub with the user `ada` and repositories below ada/."""
    state, lock = Hub(), threading.Lock()

    class Handler(Quiet):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answered()

        do_POST = do_PUT = do_HEAD = do_GET

        def _answered(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(iter(self._chunk, b""))
            call = f"{self.command} {unquote(self.path)}"
            state.calls.append(call)
            if state.held and re.search(state.held, call):
                state.released.wait(60)
                return self._cut()
            with lock:
                if state.torn and re.search(state.torn, call):
                    return self._cut()
                for pattern, (status, message) in state.fails.items():
                    if re.search(pattern, call):
                        return self._said(status, {"error": message}, {"X-Error-Message": message})
                answer = _answer(state, self.command, self.path, body, self.headers.get("Authorization", "").removeprefix("Bearer "))
                if state.lost and re.search(state.lost, call):
                    return self._cut()
            self._said(*answer)

        def _chunk(self) -> bytes:
            size = int(self.rfile.readline(), 16)
            found = self.rfile.read(size)
            self.rfile.readline()
            return found

        def _cut(self) -> None:
            self.close_connection = True
            self.connection.close()

        def _said(self, status: int, answer: object, headers: Mapping[str, str] | None = None) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    with served(Handler) as url:
        state.url = url
        yield state


Answer = tuple[int, object] | tuple[int, object, Mapping[str, str]]
MISSING: Answer = (404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})


def _answer(state: Hub, method: str, address: str, body: bytes, token: str) -> Answer:
    parts = urlsplit(address)
    path, query = parts.path, parse_qs(parts.query)
    if method == "PUT" and path.startswith("/lfs/"):
        state.objects[hashlib.sha256(body).hexdigest()] = body
        state.sent.append(path.removeprefix("/lfs/"))
        return 200, {}
    if token not in ROLES:
        return 401, {"error": INVALID}, {"X-Error-Message": INVALID}
    if path == "/api/whoami-v2":
        return 200, {"name": USER, "type": "user", "auth": {"accessToken": {"role": ROLES[token]}}, "orgs": []}
    if path == "/api/validate-yaml":
        return 200, {"errors": [], "warnings": []}
    if path == "/api/repos/create":
        return _created(state, json.loads(body))
    if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
        return _batch(state, json.loads(body))
    found = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree|discussions|preupload|commit|refs)(?:/(.*))?)?", path)
    if not found:
        return 404, {"error": f"no such endpoint: {path}"}
    kind, name, what, rest = found[1], found[2], found[3], unquote(found[4] or "")
    if what is None and (card := state.cards.get(name)):
        return 200, {"id": name, "private": False, "sha": COMMIT, "cardData": card}
    if (repository := state.repositories.get(f"{kind}/{name}")) is None:
        return MISSING
    if what == "preupload":
        return _modes(repository, rest, json.loads(body))
    if what == "commit":
        return _committed(state, f"{kind}/{name}", rest, body, request="create_pr" in query)
    if what == "tree":
        return 200, [_entry(path, content) for path, content in sorted(repository.at(rest).items())]
    if what == "discussions":
        listed = [_discussion(kind, name, number, one) for number, one in repository.requests.items()]
        return 200, {"discussions": listed, "count": len(listed), "start": 0}
    return 200, {"id": name, "private": repository.private, "sha": COMMIT}


def _created(state: Hub, asked: dict[str, str]) -> Answer:
    owner = asked.get("organization") or USER
    if owner != USER:
        return 403, {"error": f"You don't have the rights to create a model under the namespace {owner!r}"}
    key = f"{asked.get('type', 'model')}s/{owner}/{asked['name']}"
    if key in state.repositories:
        return 409, {"error": "You already created this repo", "url": f"{state.url}/{owner}/{asked['name']}"}
    state.repositories[key] = Repository(private=asked.get("visibility") == "private")
    return 200, {"url": f"{state.url}/{'datasets/' if key.startswith('datasets') else ''}{owner}/{asked['name']}"}


def _batch(state: Hub, asked: dict[str, list[dict[str, object]]]) -> Answer:
    found = []
    for one in asked["objects"]:
        upload = {} if one["oid"] in state.objects else {"actions": {"upload": {"href": f"{state.url}/lfs/{one['oid']}"}}}
        found.append({**one, **upload})
    return 200, {"transfer": "basic", "objects": found}


def _modes(repository: Repository, revision: str, asked: dict[str, list[dict[str, object]]]) -> Answer:
    found = []
    for one in asked["files"]:
        path, size = str(one["path"]), int(str(one["size"]))
        there = repository.at(revision).get(path)
        name = None if there is None else hashlib.sha256(there).hexdigest() if lfs(path, len(there)) else git_name(there)
        found.append({"path": path, "uploadMode": "lfs" if lfs(path, size) else "regular", "shouldIgnore": False, "oid": name})
    return 200, {"files": found}


def _committed(state: Hub, key: str, revision: str, body: bytes, *, request: bool) -> Answer:
    repository, summary, description = state.repositories[key], "", ""
    files = dict(repository.at(revision))
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        if line["key"] == "header":
            summary, description = value["summary"], value["description"]
        elif line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            if value["oid"] not in state.objects:
                return 422, {"error": f"LFS object {value['oid']} is missing"}
            files[value["path"]] = state.objects[value["oid"]]
        else:
            del files[value["path"]]
    page = f"{state.url}/{key.removeprefix('models/')}"
    answer = {"commitUrl": f"{page}/commit/{COMMIT}", "commitOid": COMMIT}
    if request:
        number = len(repository.requests) + 1
        repository.requests[number] = PullRequest(summary, files, description)
        return 200, {**answer, "pullRequestUrl": f"{page}/discussions/{number}"}
    repository.at(revision).clear()
    repository.at(revision).update(files)
    return 200, answer


def _entry(path: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": git_name(content)}
    digest = hashlib.sha256(content).hexdigest()
    return entry | ({"lfs": {"oid": digest, "size": len(content), "pointerSize": 134}} if lfs(path, len(content)) else {})


def _discussion(kind: str, name: str, number: int, one: PullRequest) -> dict[str, object]:
    return {
        "title": one.title,
        "num": number,
        "author": {"name": USER},
        "createdAt": "2026-01-01T00:00:00.000Z",
        "status": one.status,
        "repo": {"name": name, "type": kind.removesuffix("s")},
        "isPullRequest": True,
    }
