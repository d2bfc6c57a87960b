"""A publication or fetch that cannot work is refused in one line, before any work, without revealing a secret."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import botocore.auth
import pytest

from tasks.schema.errors import BadInput, BadSettings, StorageError
from tasks.schema.settings import settings
from tasks.storage import client
from tasks.storage.fetch import fetch
from tasks.storage.paths import plain_name
from tasks.storage.place import Place, place
from tasks.storage.publish import publish
from tests.conftest import ROOT
from tests.tasks.storage import servers
from tests.tasks.storage.conftest import PART, use

NOWHERE = Path("no/such/folder")  # had any work begun, the message would be about it
OTHER = "canary-other-Yx47"


def refusal() -> str:
    with pytest.raises((StorageError, BadSettings)) as caught:
        publish(NOWHERE, "data", to=place(), label=None)
    message = str(caught.value)
    assert "\n" not in message
    assert not any(secret in message for secret in (servers.SECRET, OTHER, servers.KEY))
    return message


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": OTHER}, "the secret key does not fit the access key; set AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": OTHER}, "the access key is unknown there"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no credentials; set AWS_ACCESS_KEY_ID and"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "half of the credentials"),
        ({"AWS_PROFILE": "nobody"}, "AWS_PROFILE names no profile"),
        ({"LONGWRITER_S3_ENDPOINT": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "nobody answers at the endpoint"),
        (
            {"LONGWRITER_S3_ENDPOINT": f"http://me:{OTHER}@127.0.0.1"},
            "LONGWRITER_S3_ENDPOINT: Value error, credentials do not belong in it",
        ),
        ({"LONGWRITER_STORE": f"s3://me:{OTHER}@bucket"}, "LONGWRITER_STORE: Value error, credentials do not belong in it"),
        ({"LONGWRITER_STORE": ""}, "LONGWRITER_STORE is not set"),
        ({"LONGWRITER_STORE": "s3://no-such-bucket/x"}, "no such bucket; `longwriter store bucket` makes it"),
    ],
)
def test_wrong_settings_are_one_line_before_any_work(
    at: Place, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], said: str
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
    settings.cache_clear()
    assert said in refusal()


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
@pytest.mark.parametrize(("hours", "said"), [(1, "clock is 60 minutes ahead of the server's; set it"), (-1, "clock is 60 minutes behind")])
def test_a_clock_that_is_an_hour_off_is_told(at: Place, monkeypatch: pytest.MonkeyPatch, hours: int, said: str) -> None:
    """The machine's clock, wherever it is read here: for the signature, which the server refuses, and for the message."""
    now: Callable[..., datetime] = getattr(botocore.auth, "get_current_datetime")  # noqa: B009  not in its stubs
    clock = time.time
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: now(*a, **k) + timedelta(hours=hours))
    monkeypatch.setattr(client, "time", SimpleNamespace(time=lambda: clock() + hours * 3600))
    assert said in refusal()


@pytest.mark.integration
@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_the_command_line_says_it_in_one_line_and_ends_with_a_code(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OTHER)
    command = [sys.executable, "-m", "tasks.storage", "publish", "data", str(NOWHERE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {at}: ListObjectsV2 refused")
    assert OTHER not in done.stderr


@pytest.mark.parametrize("endpoint", ["rclone"], indirect=True)
def test_a_full_disk_is_one_line_and_what_came_in_is_kept(at: Place, folder: Path, tmp_path: Path) -> None:
    publish(folder, "data", to=at, part_size=PART, label=None)

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6 * 2**20, 6 * 2**20))

    command = [sys.executable, "-m", "tasks.storage", "fetch", "data", str(tmp_path / "got")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=small)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith("free some space and run again, what is done is kept")
    assert not (tmp_path / "got").exists()
    fetch("data", tmp_path / "got", source=at, label=None)


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_of_two_who_publish_one_version_at_once_one_wins_and_its_files_are_its_own(at: Place, tmp_path: Path) -> None:
    outcomes: dict[str, object] = {}
    start = threading.Barrier(3)

    def one(text: str) -> None:
        (tmp_path / text).mkdir()
        (tmp_path / text / "data.txt").write_text(text)
        start.wait()
        try:
            outcomes[text] = publish(tmp_path / text, "data", to=at, version="v1", label=None).new
        except BadInput as error:
            outcomes[text] = error

    threads = [threading.Thread(target=one, args=(text,)) for text in ("red", "green", "blue")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [text for text, outcome in outcomes.items() if outcome is True]
    assert len(winners) == 1
    assert all("with other content" in str(outcome) for text, outcome in outcomes.items() if text not in winners)
    fetch("data", tmp_path / "got", source=at, label=None)
    assert (tmp_path / "got" / "data.txt").read_text() == winners[0]


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_links_and_pickles_are_not_published_and_pickles_are_not_fetched(at: Place, tmp_path: Path) -> None:
    (made := tmp_path / "made").mkdir()
    (made / "link.txt").symlink_to("/etc/hostname")
    with pytest.raises(BadInput, match="neither a file nor a folder; fix: put the file itself there"):
        publish(made, "data", to=at, label=None)
    (made / "link.txt").unlink()
    (made / "optimizer.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(BadInput, match="a pickle, which runs code when it is loaded"):
        publish(made, "data", to=at, label=None)
    assert publish(made, "data", to=at, pickles=True, label=None).new  # a training's state
    with pytest.raises(BadInput, match="a pickle"):
        fetch("data", tmp_path / "got", source=at, label=None)
    fetch("data", tmp_path / "got", source=at, pickles=True, label=None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no files in it"):
        publish(tmp_path / "empty", "data", to=at, label=None)


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "a b", "x" * 65, "é", "a."])
def test_names_of_collections_and_versions_are_plain(name: str) -> None:
    with pytest.raises(BadInput, match="not fit for"):
        plain_name(name, what="a version")


@pytest.mark.slow
def test_a_server_that_is_busy_for_half_a_minute_is_sat_out(
    at: Place, endpoint: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = servers.Proxy(endpoint)
    use(monkeypatch, proxy.url, str(at))
    end = time.monotonic() + 30
    proxy.rule = lambda request, before: "503" if time.monotonic() < end else None
    publish(folder, "data", to=at, part_size=PART, label=None)
    assert time.monotonic() > end
    end = time.monotonic() + 30
    fetch("data", tmp_path / "got", source=at, label=None)
    assert time.monotonic() > end
    proxy.close()
    assert os.listdir(tmp_path / "got")
