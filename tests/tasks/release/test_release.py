"""A release in a workspace with git and DVC, fetched as users fetch it, and the difference between two releases."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tasks import store
from tasks.corpus.dataset import GENERAL, write_dataset
from tasks.longbench.scorecard import read_scorecards
from tasks.release.card import card
from tasks.release.diff import difference, text_of
from tasks.release.facts import gather
from tasks.release.sides import side_of
from tasks.schema.contract_results import ContractVerdict, Outcome, Passed
from tasks.schema.params import load
from tasks.schema.records import Reason, Reject, Sample
from tests.conftest import ROOT
from tests.hub import OWNER, hub
from tests.tasks.dataset_samples import good, prose, sample
from tests.tasks.promotions import candidate


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "clone"
    folder.mkdir()
    for name in ("dvc.yaml", "params.yaml", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    for stage in ("collect", "plan", "write", "assemble"):
        store.write_json(folder / f"data/{stage}/metrics.json", {"rows": 30})
    store.write(folder / "data/collect/rejects.jsonl", [Reject(id="r", stage="collect", reason=Reason.TOXIC, detail="x", source="pool:1")])
    chat = sample(50).model_copy(update={"id": "chat", "asked_words": None})
    write_dataset(folder / "data/assemble/general", [chat], card=GENERAL)
    make(folder, good())
    for command in ("git init -q", "git config user.name test", "git config user.email test@localhost", "dvc init -q"):
        words = command.split()
        ran(folder, *([sys.executable, "-m", *words] if words[0] == "dvc" else words))
    commit(folder)
    return folder


def make(folder: Path, samples: list[Sample]) -> None:
    """The long texts, and the verdict on them."""
    shutil.rmtree(folder / "data/assemble/dataset", ignore_errors=True)
    write_dataset(folder / "data/assemble/dataset", samples)
    outcome = Outcome(name="unique_ids", severity="critical", meaning="x", success=True, observed=None, unexpected_count=0, ids=())
    store.write_json(
        folder / "data/validate_dataset/verdict.json", ContractVerdict(passed=True, rows=len(samples), expectations=(outcome,))
    )
    digest = store.digest(folder / "data/assemble/dataset", folder / "data/assemble/general")
    store.write_json(folder / "data/validate_dataset/passed.json", Passed(contract="validate_dataset", sha256=digest))


def ran(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def commit(folder: Path) -> None:
    ran(folder, "git", "add", "-A")
    ran(folder, "git", "commit", "-qm", "state", "--allow-empty")


def command(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tasks.release.__main__ import app; app()"
    given = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code, *words], cwd=folder, env=given, capture_output=True, text=True)


@pytest.mark.integration
def test_a_release_is_tagged_committed_and_fetched_and_opened_as_others_do(workspace: Path, tmp_path: Path) -> None:
    from datasets import load_dataset
    from huggingface_hub import DatasetCard

    done = command(workspace, "release", "v1.0.0")
    assert done.returncode == 0, done.stderr
    assert ran(workspace, "git", "tag").stdout.strip() == "longwriter-6k@v1.0.0"
    assert not ran(workspace, "git", "status", "--porcelain").stdout
    got = tmp_path / "got"
    ran(tmp_path, sys.executable, "-m", "dvc", "artifacts", "get", str(workspace), "longwriter-6k", "--rev", "v1.0.0", "-o", str(got))
    long = load_dataset(str(got), cache_dir=str(tmp_path / "cache"))["train"]
    assert (len(long), long[0]["messages"][0]["role"]) == (24, "user")
    assert len(load_dataset(str(got), "general", cache_dir=str(tmp_path / "cache"))["train"]) == 1
    card = DatasetCard.load(str(got / "README.md"))
    assert (card.data.license, card.data.language, card.data.size_categories) == ("cc0-1.0", ["en", "zh"], ["n<1K"])
    for told in ("| collect | toxic | 1 |", "CC0-1.0", "This is a rehearsal", "write.txt", "git checkout 'longwriter-6k@v1.0.0'"):
        assert told in card.text
    assert "{{" not in card.text


@pytest.mark.integration
def test_a_release_is_pushed_to_the_hub_and_a_repeated_push_goes_on(workspace: Path) -> None:
    """v1.0.0 exists already: it is pushed as it was released, not as the data are now."""
    with hub() as there:
        given = {"HF_TOKEN": OWNER, "HF_ENDPOINT": there.url, "HF_HUB_DISABLE_XET": "1"}
        words = ("release", "v1.0.0", "--hub", "ada/longwriter-6k")
        refused = command(workspace, *words, HF_TOKEN="", HF_ENDPOINT=there.url)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "HF_TOKEN is not set; fix:" in refused.stderr
        (workspace / "data/longwriter-6k.new").write_text("not of the release")
        done = command(workspace, *words, **given)
        (workspace / "data/longwriter-6k.new").unlink()
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("dataset ada/longwriter-6k: a new private repository; a new pull request: longwriter-6k@v1.0.0")
        repository = there.repositories["datasets/ada/longwriter-6k"]
        request = repository.requests[1]
        assert repository.private
        assert set(request.files) == {".gitattributes", "README.md", "contract.json", "long/train.parquet", "general/train.parquet"}
        card = request.files["README.md"].decode()
        assert 'load_dataset("ada/longwriter-6k")' in card
        assert "license: cc0-1.0" in card
        again = command(workspace, *words, **given)
        assert "nothing to send: the hub has these files" in again.stdout
        assert (len(repository.requests), len(there.sent)) == (1, 2)


@pytest.mark.integration
def test_a_version_is_never_made_twice_and_never_of_uncommitted_or_unchecked_data(workspace: Path) -> None:
    assert "this version exists already" in command(workspace, "release", "v1.0.0").stderr
    assert "write v1.0.0" in command(workspace, "release", "1.0").stderr
    (workspace / "params.yaml").write_text((workspace / "params.yaml").read_text() + "# changed\n")
    assert "params.yaml: not committed" in command(workspace, "release", "v1.0.1").stderr
    commit(workspace)
    write_dataset(workspace / "again", good(25))
    shutil.copy(workspace / "again/train.parquet", workspace / "data/assemble/dataset/train.parquet")
    shutil.rmtree(workspace / "again")
    done = command(workspace, "release", "v1.0.1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "not the data that passed the contract" in done.stderr


@pytest.mark.integration
def test_what_changed_between_two_versions_is_told_by_row_and_field(workspace: Path, tmp_path: Path) -> None:
    longer = sample(4, answer=prose(4, "en") + " It rained.", asked=62)
    make(workspace, [*good()[2:4], longer, *good()[5:], sample(30)])
    commit(workspace)
    assert command(workspace, "release", "v1.1.0").returncode == 0
    done = command(workspace, "diff", "v1.0.0", "longwriter-6k@v1.1.0", "--out", str(tmp_path / "diff"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["came"], found["left"], found["same"]) == (["sample-30"], ["sample-0", "sample-1"], 21)
    (change,) = found["changed"]
    assert change == {"id": "sample-4", "fields": ["answer", "written", "asked"], "was": 60, "now": 62, "source": "pool.jsonl:4"}
    assert found["a_rows"] + len(found["came"]) - len(found["left"]) == found["b_rows"]
    page = (tmp_path / "diff/index.html").read_text()
    assert "sample-4" in page
    assert "<svg" in page


@pytest.mark.integration
def test_a_side_that_is_nowhere_is_one_line(workspace: Path) -> None:
    for name in ("nowhere", "v9.0.0", "longwriter-6k@v9.0.0"):
        done = command(workspace, "diff", name, "data/assemble/dataset")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert f"{name}: neither a path nor a revision" in done.stderr


def test_rows_without_an_id_are_the_same_by_their_request(tmp_path: Path) -> None:
    for name, order in (("a", (1, 2, 3)), ("b", (3, 1, 4))):
        rows = [{"prompt": f"Tell me of bird number {n}.", "response": f"Bird {n} sings."} for n in order]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = difference(("a", "b"), side_of(tmp_path / "a.jsonl"), side_of(tmp_path / "b.jsonl"))
    assert (len(found.came), len(found.left), found.same, found.changed) == (1, 1, 2, ())
    assert "  in              1" in text_of(found)


@pytest.mark.integration
def test_a_released_version_is_read_in_the_browser(workspace: Path) -> None:
    """`longwriter read v1.0.0` fetches it to a temporary folder."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tasks.reader.__main__ import app; app()"
    words = [sys.executable, "-c", code, "v1.0.0", "--no-open"]
    with subprocess.Popen(words, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(url, timeout=60) as answer:
            page = answer.read().decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0, process.stderr.read()
    assert "long (24)" in page
    assert "general (1)" in page
    done = subprocess.run([*words[:3], "v9.0.0", "--no-open"], cwd=workspace, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "v9.0.0: neither a path nor a revision" in done.stderr


@pytest.mark.integration
def test_the_card_shows_the_scores_of_the_models_that_were_trained_on_this_data_alone(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    scored = candidate(tmp_path, weights=b"1", s_bar=60.0) / "score"
    shutil.copytree(scored, workspace / "data/score")
    facts = gather(Path("data"), load(), version="v9.0.0", commit="0" * 40)
    shutil.rmtree(workspace / "data/score")
    assert facts.scores == {}, "DVC does not know these scores to be of this data"
    assert "Models trained on it" not in card(facts)
    shown = card(facts._replace(scores=read_scorecards(scored / "scorecard.json")))
    (line,) = [line for line in shown.splitlines() if line.startswith("| student |")]
    assert line.startswith("| student | 8 | 8 | 80.0 [")
    assert line.endswith("| j |")
