"""A push to the hub: private, one pull request, nothing twice, and one line for each refusal. The hub is a stand-in on loopback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.release import hub as hubs
from tasks.release.licences import base_licence, check_release, hub_name
from tasks.schema.errors import BadInput, BadSettings, PipelineError, StorageError
from tasks.schema.params import Source
from tests.conftest import ROOT
from tests.hub import OWNER, READER, Hub, PullRequest, Repository, hub

REPO = "ada/writer"
WEIGHTS = b"w" * 20_000
TITLE = "Version 3"
PUSH = """
import sys
from pathlib import Path
from tasks.release import hub
from tasks.stage import one_line_errors
with one_line_errors():
    api = hub.sign_in()
    to = hub.target(api, "ada/writer", "model", public=False, direct=False)
    files = [hub.HubFile(path.name, path) for path in sorted(Path(sys.argv[1]).iterdir())]
    planned = hub.plan(api, to, files, title="Version 3")
    print(hub.push(api, to, planned, files, description="").url)
"""


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as state:
        monkeypatch.setenv("HF_TOKEN", OWNER)
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the stand-in knows LFS alone
        yield state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/model.safetensors").write_bytes(WEIGHTS)
    (tmp_path / "out/config.json").write_text("{}")
    return tmp_path / "out"


def uploads(folder: Path, card: str = "# A writer") -> list[hubs.HubFile]:
    files = [hubs.HubFile(path.name, path) for path in sorted(folder.iterdir())]
    return [hubs.HubFile("README.md", card.encode()), *files]


def pushed(
    folder: Path, *, repo: str = REPO, title: str = TITLE, card: str = "# A writer", public: bool = False, direct: bool = False
) -> tuple[hubs.PushPlan, hubs.Pushed]:
    api = hubs.sign_in()
    to = hubs.target(api, repo, "model", public=public, direct=direct)
    planned = hubs.plan(api, to, uploads(folder, card), title=title)
    return planned, hubs.push(api, to, planned, uploads(folder, card), description="said")


def test_a_push_makes_a_private_repository_and_one_pull_request_with_all_files(there: Hub, folder: Path) -> None:
    planned, done = pushed(folder)
    repository = there.repositories["models/ada/writer"]
    assert repository.private
    assert set(repository.files) == {".gitattributes"}
    request = repository.requests[1]
    assert (request.title, request.description, list(repository.requests)) == (TITLE, "said", [1])
    assert request.files["model.safetensors"] == WEIGHTS
    assert set(request.files) == {".gitattributes", "README.md", "config.json", "model.safetensors"}
    assert (done.url, done.files) == (f"{there.url}/ada/writer/discussions/1", 3)
    lines = str(planned).splitlines()
    assert lines[0] == "model ada/writer: a new private repository; a new pull request: Version 3"
    assert lines[1:] == [
        "  new            10 B  README.md",
        "  new             2 B  config.json",
        "  new         20.0 kB  model.safetensors",
        "3 of 3 files to send, 20.0 kB",
    ]


def test_a_repeated_push_sends_nothing_and_a_changed_file_goes_to_the_same_pull_request(there: Hub, folder: Path) -> None:
    first = pushed(folder)[1]
    again, done = pushed(folder)
    assert (done, [file.state for file in again.files]) == (hubs.Pushed(url=first.url, files=0, bytes=0), ["same"] * 3)
    assert len(there.sent) == 1
    planned, done = pushed(folder, card="# A better card")
    assert (planned.pull_request, done.url, done.files) == (1, first.url, 1)
    requests = there.repositories["models/ada/writer"].requests
    assert (len(requests), requests[1].files["README.md"], len(there.sent)) == (1, b"# A better card", 1)


def test_another_version_is_another_pull_request_and_removes_the_weights_that_it_has_not(there: Hub, folder: Path) -> None:
    pushed(folder, direct=True)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    there.repositories["models/ada/writer"].files["picture.png"] = b"kept"
    planned, _ = pushed(folder, title="Version 4")
    assert {file.path: file.state for file in planned.sent} == {
        "model-00001-of-00001.safetensors": "new",
        "model.safetensors": "removed",
    }
    (request,) = there.repositories["models/ada/writer"].requests.values()
    assert "model.safetensors" not in request.files
    assert request.files["picture.png"] == b"kept"
    assert len(there.sent) == 1, "the hub has the weights under another name"


def test_a_direct_push_is_a_commit_to_main_and_a_second_one_sends_nothing(there: Hub, folder: Path) -> None:
    _, done = pushed(folder, direct=True, public=True)
    repository = there.repositories["models/ada/writer"]
    assert (repository.private, repository.files["model.safetensors"], repository.requests) == (False, WEIGHTS, {})
    assert done.url == f"{there.url}/ada/writer"
    assert pushed(folder, direct=True, public=True)[1].files == 0
    assert pushed(folder, public=True)[1] == hubs.Pushed(url=done.url, files=0, bytes=0), "main has these files: no empty pull request"


def test_a_closed_pull_request_is_not_continued_and_a_draft_is(there: Hub, folder: Path) -> None:
    repository = there.repositories["models/ada/writer"] = Repository(private=True)
    repository.requests[1] = PullRequest(TITLE, dict(repository.files), status="closed")
    assert pushed(folder)[1].url.endswith("/discussions/2")
    repository.requests[2].status = "draft"
    assert pushed(folder)[1].url.endswith("/discussions/2")


def test_a_name_without_organisation_is_the_owners(there: Hub, folder: Path) -> None:
    assert pushed(folder, repo="writer")[1].url == f"{there.url}/ada/writer/discussions/1"


@pytest.mark.integration
def test_a_push_that_was_killed_is_continued_without_sending_anything_twice(there: Hub, folder: Path) -> None:
    """Killed while the commit is under way: the weights are on the hub, and the commit is not."""
    (folder / "second.safetensors").write_bytes(b"v" * 20_000)
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    words = [sys.executable, "-c", PUSH, str(folder)]
    there.held = "commit"
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not any("/commit/" in call for call in there.calls):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    there.release()
    assert sorted(there.objects) == sorted(set(there.sent))
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{there.url}/ada/writer/discussions/1"
    requests = there.repositories["models/ada/writer"].requests
    assert (len(requests), len(there.sent), len(there.objects)) == (1, 2, 2)


def test_a_commit_with_a_lost_answer_is_found_again(there: Hub, folder: Path) -> None:
    there.lost = "POST .*/commit/"
    with pytest.raises(StorageError, match=r"or broke off .*fix: check the network and HF_ENDPOINT, and run again to continue"):
        pushed(folder)
    there.lost = ""
    assert pushed(folder)[1] == hubs.Pushed(url=f"{there.url}/ada/writer/discussions/1", files=0, bytes=0)
    assert len(there.repositories["models/ada/writer"].requests) == 1


def test_a_public_repository_is_pushed_to_only_if_one_says_so(there: Hub, folder: Path) -> None:
    there.repositories["models/ada/writer"] = Repository(private=False)
    with pytest.raises(BadInput, match=r"ada/writer: the repository is public.*fix: add --public"):
        pushed(folder)
    assert not there.sent
    pushed(folder, public=True)


def test_without_a_token_nothing_is_asked(there: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in ("", "  "):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(BadSettings, match="HF_TOKEN is not set; fix:"):
            pushed(folder)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(folder / "token"))
    (folder / "token").write_text(OWNER)
    with pytest.raises(BadSettings, match="HF_TOKEN is not set"):
        pushed(folder)
    assert not there.calls


def test_a_hub_that_is_switched_off_is_not_asked(there: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadSettings, match="HF_HUB_OFFLINE is set, so nothing can be pushed; fix: unset it"):
        pushed(folder)
    assert not there.calls


@pytest.mark.parametrize(
    ("token", "repo", "fails", "message"),
    [
        (READER, REPO, {}, "HF_TOKEN can only read"),
        ("hf_nobody_0123456789", REPO, {}, "the hub does not accept HF_TOKEN"),
        (OWNER, "others/writer", {}, "HF_TOKEN has no right to write there"),
        (OWNER, REPO, {"/commit/": (403, "no")}, "HF_TOKEN has no right to write there"),
        (OWNER, REPO, {"/preupload/": (404, "gone")}, "the hub"),
        (OWNER, REPO, {"/commit/": (409, "conflict")}, "the repository changed during the push; fix: run again"),
        (OWNER, REPO, {"/commit/": (413, "quota exceeded")}, "the hub has no room for it"),
        (OWNER, REPO, {"PUT /lfs": (403, "expired")}, "HF_TOKEN has no right to write there"),
        (OWNER, REPO, {"validate-yaml": (400, "bad front matter")}, "the hub refused"),
        (OWNER, "a b", {}, "not a name of a repository"),
        (OWNER, "a/b/c", {}, "not a name of a repository"),
        (OWNER, "x" * 97, {}, "not a name of a repository"),
        (OWNER, "ada/writer.git", {}, "not a name of a repository"),
        (OWNER, "", {}, "not a name of a repository"),
    ],
)
def test_every_refusal_is_one_line_without_the_token(
    there: Hub,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    repo: str,
    fails: dict[str, tuple[int, str]],
    message: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    there.fails = fails
    with pytest.raises(PipelineError) as error:
        pushed(folder, repo=repo)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert token not in str(error.value)


def test_a_hub_that_is_away_is_one_line(there: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="ada/writer: the hub cannot be reached, or broke off"):
        pushed(folder)


@pytest.mark.parametrize(
    ("licence", "name"),
    [("Apache-2.0", "apache-2.0"), ("ODC-By-1.0", "odc-by"), ("GPL-3.0-or-later", "gpl-3.0"), ("LicenseRef-mine", "other"), ("", "other")],
)
def test_licences_have_the_hubs_names(licence: str, name: str) -> None:
    assert hub_name(licence) == name


def source(licence: str) -> Source:
    return Source(name="chats", files=["a.jsonl"], format="auto", adapter="auto", revision="", licence=licence)


@pytest.mark.parametrize("licence", ["CC-BY-ND-4.0", "cc-by-nc-nd-4.0", "proprietary", "All Rights Reserved", "unknown", "NOASSERTION"])
def test_a_licence_that_forbids_the_release_is_named_with_its_source(licence: str) -> None:
    with pytest.raises(BadInput, match=r"params.yaml: licence of the source chats: .*fix: leave the source out"):
        check_release([source("MIT"), source(licence)])


def test_other_licences_allow_the_release() -> None:
    check_release([source(licence) for licence in ("CC0-1.0", "ODC-By-1.0", "CC-BY-NC-4.0", "Apache-2.0", "LicenseRef-standard", "WTFPL")])


def test_the_licence_of_a_base_is_what_its_package_folder_or_card_states(there: Hub, tmp_path: Path) -> None:
    there.cards = {"org/base": {"license": "apache-2.0"}, "org/own": {"license": "other", "license_name": "qwen"}, "org/none": {}}
    api = hubs.sign_in()
    assert base_licence("smollm2", "", api=api) == "Apache-2.0"
    assert [base_licence(name, "", api=api) for name in ("org/base", "org/own")] == ["apache-2.0", "qwen"]
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert base_licence(str(tmp_path), "", api=api) == "mit"
    (tmp_path / "README.md").unlink()
    for unknown in (str(tmp_path), "org/none", "org/missing", "tiny"):
        with pytest.raises(BadInput, match=r"the licence of the base model is not stated; fix: name it with --licence, such as apache-2.0"):
            base_licence(unknown, "", api=api)
