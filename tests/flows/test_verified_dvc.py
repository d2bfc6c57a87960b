"""DVC's cache never returns damaged data: objects are verified, moved away, restored, fetched again, or made again by their stage."""

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from dvc.repo import Repo

from flows import verified_dvc
from flows.longwriter import longwriter
from tasks.schema.errors import BadInput
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("api")

OUTPUTS = ("first.txt", "second.txt", "two.txt", "third.txt")
FOLDER = """
stages:
  many:
    cmd: exec python many.py in.txt many
    deps: [in.txt]
    outs: [many]
"""
MANY = """
import sys
import time
from pathlib import Path

source, output = map(Path, sys.argv[1:])
output.mkdir()
for number in range(3):
    (output / f"{number}.txt").write_text(source.read_text() * (number + 1))
Path("ran.log").open("a").write("many\\n")
"""


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def quietly(path: Path) -> None:
    """A byte that changes on the disk by itself: size and times stay."""
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


DAMAGES = [flip, cut, empty, quietly]


def objects(folder: Path) -> list[Path]:
    return [path for path in (folder / ".dvc/cache/files/md5").rglob("*") if path.is_file()]


def damage(objects: list[Path], how: Callable[[Path], None]) -> None:
    for path in objects:
        path.chmod(0o644)
        how(path)
        path.chmod(0o444)


def ran(folder: Path) -> list[str]:
    log = folder / "ran.log"
    names = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return names


def repro(folder: Path) -> "subprocess.CompletedProcess[str]":
    """As a user without an activated environment: PATH has no Python with the project's packages."""
    command = [sys.executable, "-m", "flows.verified_dvc", "repro"]
    return subprocess.run(command, cwd=folder, env=os.environ | {"PATH": os.defpath}, capture_output=True, text=True)


@pytest.mark.integration
@pytest.mark.parametrize("how", [quietly, cut, *(pytest.param(how, marks=pytest.mark.slow) for how in (flip, empty))])
def test_a_damaged_object_is_named_and_set_aside_and_its_stage_runs_again(
    done: Path, how: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    good = {name: (done / name).read_bytes() for name in OUTPUTS}
    for name in OUTPUTS:
        (done / name).unlink()
    damage(objects(done), how)
    assert longwriter() == dict.fromkeys(("first", "second", "third"), "Completed")
    assert {name: (done / name).read_bytes() for name in OUTPUTS} == good
    said = capfd.readouterr().err
    assert "warning: first.txt: its object in DVC's cache is damaged" in said
    assert len(list((done / ".dvc/cache/damaged").iterdir())) == len(set(good.values()))
    assert ran(done) == ["first", "second", "third"]
    assert longwriter() == dict.fromkeys(("first", "second", "third"), "Cached")


@pytest.mark.integration
def test_dvc_repro_with_a_verified_cache_makes_a_damaged_output_again(done: Path) -> None:
    good = (done / "third.txt").read_bytes()
    (done / "third.txt").unlink()
    damage(objects(done), quietly)
    finished = repro(done)
    assert finished.returncode == 0, finished.stderr
    assert (done / "third.txt").read_bytes() == good
    assert ran(done) == ["third"], "the other outputs are whole in the workspace and go back into the cache"
    assert "first.txt: put back into DVC's cache from the workspace" in finished.stderr
    assert repro(done).returncode == 0
    assert ran(done) == []


@pytest.mark.integration
def test_a_damaged_object_whose_output_is_whole_is_put_back_and_nothing_runs(done: Path) -> None:
    damage(objects(done), flip)
    assert set(longwriter().values()) <= {"Cached", "Restored"}
    assert ran(done) == []
    (done / "first.txt").unlink()
    assert set(longwriter().values()) <= {"Cached", "Restored"}, "it is restored from the object that was put back"


@pytest.mark.integration
def test_a_damaged_output_in_the_workspace_is_restored_from_its_whole_object(done: Path) -> None:
    good = {name: (done / name).read_bytes() for name in OUTPUTS}
    for number, name in enumerate(OUTPUTS):
        DAMAGES[number % 3](done / name)
    assert set(longwriter().values()) <= {"Cached", "Restored"}
    assert {name: (done / name).read_bytes() for name in OUTPUTS} == good
    assert ran(done) == []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("the list", lambda path: path.write_text('[{"md5": 3}]')),
        ("a file", flip),
        *(pytest.param(what, how, marks=pytest.mark.slow) for what in ("the list", "a file") for how in (flip, cut, empty)),
    ],
)
def test_a_folder_with_a_damaged_list_or_file_is_made_again(toy: Path, what: str, how: Callable[[Path], None]) -> None:
    (toy / "dvc.yaml").write_text(FOLDER)
    (toy / "many.py").write_text(MANY)
    assert longwriter() == {"many": "Completed"}
    good = {path.name: path.read_bytes() for path in (toy / "many").iterdir()}
    shutil.rmtree(toy / "many")
    damage([path for path in objects(toy) if (path.suffix == ".dir") is (what == "the list")][:1], how)
    assert longwriter() == {"many": "Completed"}
    assert {path.name: path.read_bytes() for path in (toy / "many").iterdir()} == good


@pytest.mark.integration
def test_a_damaged_object_is_fetched_again_from_the_remote(done: Path, tmp_path: Path) -> None:
    for words in (["remote", "add", "--default", "far", str(tmp_path / "far")], ["push", "--run-cache"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], cwd=done, check=True, capture_output=True)
    good = (done / "first.txt").read_bytes()
    for name in OUTPUTS:
        (done / name).unlink()
    damage(objects(done), flip)
    assert set(longwriter().values()) <= {"Cached", "Restored"}
    assert (done / "first.txt").read_bytes() == good
    assert ran(done) == []


@pytest.mark.integration
def test_what_a_remote_sends_damaged_is_not_used(done: Path, tmp_path: Path) -> None:
    for words in (["remote", "add", "--default", "far", str(tmp_path / "far")], ["push", "--run-cache"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], cwd=done, check=True, capture_output=True)
    good = {name: (done / name).read_bytes() for name in OUTPUTS}
    for name in OUTPUTS:
        (done / name).unlink()
    shutil.rmtree(done / ".dvc/cache/files")
    damage([path for path in (tmp_path / "far/files/md5").rglob("*") if path.is_file()], flip)
    longwriter()
    assert {name: (done / name).read_bytes() for name in OUTPUTS} == good
    assert ran(done) == ["first", "second", "third"]


@pytest.mark.integration
def test_a_run_that_changes_nothing_reads_no_object_again(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longwriter()

    def read(*_: object, **__: object) -> None:
        raise AssertionError("an object was read")

    monkeypatch.setattr(verified_dvc, "hash_file", read)
    assert set(longwriter().values()) <= {"Cached", "Restored"}


@pytest.mark.integration
def test_a_damaged_memory_of_what_was_verified_costs_time_only(done: Path, tmp_path: Path) -> None:
    longwriter()
    verified_dvc._memory.cache_clear()
    (tmp_path / "home/verified.db").write_bytes(b"not a database" * 100)
    assert set(longwriter().values()) <= {"Cached", "Restored"}


def test_dvcs_site_cache_lies_in_the_checkout_and_is_nobody_elses(toy: Path) -> None:
    verified_dvc.install()
    with Repo() as repo:
        place = Path(repo.site_cache_dir).resolve()
    assert place.is_relative_to(toy / verified_dvc.SITE_CACHE)
    for folder in (toy / verified_dvc.SITE_CACHE, toy / verified_dvc.SITE_CACHE / "repo"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert f"site_cache_dir = {verified_dvc.SITE_CACHE}" in (ROOT / ".dvc/config").read_text()


def test_dvcs_site_cache_has_an_absolute_path_for_commands_in_other_folders_and_other_settings_stay(toy: Path) -> None:
    local = toy / ".dvc/config.local"
    own = "[core]\n    remote = team\n['remote \"team\"']\n    url = s3://bucket/dvc\n"
    for given in (own, own.replace("team\n[", f"team\n    site_cache_dir = /moved/{verified_dvc.SITE_CACHE}\n[")):
        local.write_text(given)
        verified_dvc.install()
        written = local.read_text()
        with Repo() as repo:
            assert repo.config["core"]["site_cache_dir"] == str(toy / verified_dvc.SITE_CACHE)
            assert (repo.config["core"]["remote"], repo.config["remote"]["team"]["url"]) == ("team", "s3://bucket/dvc")
        verified_dvc.install()
        assert local.read_text() == written
    local.write_text("[core]\n    site_cache_dir = /elsewhere\n")
    verified_dvc.install()
    assert local.read_text() == "[core]\n    site_cache_dir = /elsewhere\n"
    local.write_text("[core")
    verified_dvc.install()  # DVC's own commands report it


@pytest.mark.integration
def test_an_entry_of_a_dead_process_whose_number_lives_again_blocks_no_run(done: Path) -> None:
    (done / "first.txt").unlink()
    dead = {"pid": os.getpid(), "cmd": "dvc repro --single-item first"}
    (done / ".dvc/tmp/rwlock").write_bytes(orjson.dumps({"write": {str(done / "first.txt"): dead}, "read": {str(done / "in.txt"): [dead]}}))
    assert set(longwriter().values()) <= {"Cached", "Restored"}
    (done / ".dvc/tmp/rwlock").write_bytes(b"\xff{")
    (done / "first.txt").unlink()
    assert set(longwriter().values()) <= {"Cached", "Restored"}


def test_an_entry_of_a_living_dvc_command_stays(done: Path) -> None:
    (done / "in.txt").write_text("slow\n")
    command = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "first"], cwd=done, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not (done / "pids").exists():
            assert command.poll() is None
            time.sleep(0.05)
        held = orjson.loads((done / ".dvc/tmp/rwlock").read_bytes())
        assert held["write"]
        verified_dvc.release_dead()
        assert orjson.loads((done / ".dvc/tmp/rwlock").read_bytes()) == held
    finally:
        command.kill()
        command.wait()


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"", b"stages: [1, 2]\n", b"<<<<<<< HEAD\nschema: '2.0'\n=======\n", b"schema: '2.0\n"]
)
def test_a_damaged_dvc_lock_is_named_as_what_it_is(done: Path, content: bytes) -> None:
    (done / "dvc.lock").write_bytes(content)
    with pytest.raises(BadInput, match=r"^dvc\.lock(:\d+)?: .*; fix: take the committed one, `git checkout -- dvc\.lock`$"):
        longwriter()
