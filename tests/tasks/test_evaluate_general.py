"""The evaluate_general stage: the real lm-evaluation-harness against an endpoint that knows some of the answers."""

import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import evaluate_general, store
from tasks.endpoints.roles import Answering
from tasks.harness.job import Measurement, Refused
from tasks.harness.measure import BadTask, HarnessFailed, check, measure
from tasks.schema.errors import BadInput, BadParams
from tasks.schema.params import EvaluateGeneral, Model
from tasks.schema.records import Abilities, ByName
from tasks.schema.settings import settings
from tests.conftest import ROOT, descendants
from tests.tasks.harness.answering import Endpoint, Reply, Seen, endpoint, said

FACTS = "profiles/general/facts.yaml"
CANDIDATE = Model(name="some-model", revision="1", temperature=0.5, max_tokens=64)
KNOWN = {row["question"]: row["answer"] for row in map(json.loads, (ROOT / "profiles/general/facts.jsonl").read_text().splitlines())}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Task files name their data from the repository's root; what the harness caches stays with the test."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def answered_by(there: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_CANDIDATE_URL", there.url)
    monkeypatch.setenv("LONGWRITER_CANDIDATE_API_KEY", "a-secret")
    settings.cache_clear()


def run(tmp_path: Path, *tasks: str, limit: int | None = None) -> dict[str, float]:
    (tmp_path / "checkpoints" / "student").mkdir(parents=True, exist_ok=True)
    (tmp_path / "out").mkdir(exist_ok=True)
    own = EvaluateGeneral(version=1, tasks=list(tasks), limit=limit, fewshot=None)
    return dict(
        evaluate_general.run(
            tmp_path / "checkpoints",
            tmp_path / "aligned",
            tmp_path / "reinforced",
            tmp_path / "out",
            evaluate_general=own,
            candidate_model=CANDIDATE,
        )
    )


@pytest.mark.integration
def test_the_score_is_the_share_of_right_answers_without_a_refused_question_which_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    right = {question: f" {answer}{'.' if question.isascii() else '。'}" for question, answer in list(KNOWN.items())[:18]}
    refused = list(KNOWN)[4]

    def recall(seen: Seen, _: int) -> Reply:
        question = seen.body["messages"][-1]["content"]
        if question == refused:
            return 403, {"error": {"message": "the request was moderated"}}
        return said(right.get(question, "a long story"))

    with endpoint(recall) as there:
        answered_by(there, monkeypatch)
        share = 17 / 23
        assert run(tmp_path, FACTS) == {"tasks": 1, "student_facts": pytest.approx(share), "student_refused": 1}
    assert len(there.seen) == 24
    assert {seen.key for seen in there.seen} == {"Bearer a-secret"}, "the key is sent"
    assert store.read_document(tmp_path / "out/general.json", Abilities).root == {"student": {"facts": pytest.approx(share)}}
    raw = store.read_document(tmp_path / "out/harness.json", ByName[Measurement]).root["student"]
    (score,) = raw.scores
    assert (score.metric, score.questions, score.fewshot, score.versions) == ("exact_match", 23, {"facts": 0}, {"facts": 1.0})
    assert score.refused == (Refused(task="facts", question=4, reason="403: the request was moderated"),)
    assert score.stderr == pytest.approx((share * (1 - share) / 22) ** 0.5)
    assert set(raw.sources) == {FACTS, "profiles/general/facts.jsonl"}
    assert "a-secret" not in (tmp_path / "out/harness.json").read_text()
    shown = capfd.readouterr().err
    shown = shown[shown.index("facts:") :]  # a recorder of an earlier test may have said before that it waited too long
    assert "facts: 100%" in shown
    *bar, named = shown.strip().split("\n")
    assert named == "facts: question 4 has no answer and is in no score: 403: the request was moderated"
    assert len(bar) == 1, "nothing else but the bar, redrawn"


@pytest.mark.slow
def test_more_refused_questions_than_a_tenth_stop_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = list(KNOWN)[::4]

    def moderate(seen: Seen, _: int) -> Reply:
        question = seen.body["messages"][-1]["content"]
        return (400, {"error": {"code": "content_filter", "message": "no"}}) if question in refused else said(KNOWN[question])

    with endpoint(moderate) as there:
        answered_by(there, monkeypatch)
        with pytest.raises(HarnessFailed, match=r"it refused \d of 24 requests, such as: 400: no; at most 10% may be refused") as raised:
            run(tmp_path, FACTS)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out/general.json").exists()


@pytest.mark.slow
def test_credentials_in_the_candidates_url_are_sent_with_each_question_and_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with endpoint(lambda *_: said("a long story")) as there:
        monkeypatch.setenv("LONGWRITER_CANDIDATE_URL", there.url.replace("://", "://me:canary-5f4dcc3b@"))
        settings.cache_clear()
        run(tmp_path, FACTS, limit=2)
    assert {seen.key for seen in there.seen} == {f"Basic {base64.b64encode(b'me:canary-5f4dcc3b').decode()}"}
    assert "canary" not in (tmp_path / "out/harness.json").read_text() + "".join(capfd.readouterr())


@pytest.mark.slow
def test_an_endpoint_that_fails_is_named_and_no_score_is_made_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cannot = rf"^{FACTS}: the endpoint at http://127\.0\.0\.1:\d+/v1 cannot answer it \(400: too long\)$"
    with endpoint(lambda *_: (400, {"error": {"message": "too long"}})) as there:
        answered_by(there, monkeypatch)
        with pytest.raises(HarnessFailed, match=cannot) as raised:
            run(tmp_path, FACTS, limit=1)
    assert (len(there.seen), raised.value.exit_code) == (1, 1)
    assert not (tmp_path / "out/general.json").exists()


@pytest.mark.slow
def test_an_unknown_task_is_named_before_a_question_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(lambda *_: said("")) as there:
        answered_by(there, monkeypatch)
        with pytest.raises(BadTask, match=r"^hellaswagg: lm-evaluation-harness knows no such task; fix: use hellaswag") as raised:
            run(tmp_path, FACTS, "hellaswagg")
    assert (there.seen, raised.value.exit_code) == ([], 2)


@pytest.mark.slow
def test_a_measurement_that_is_cancelled_leaves_no_process_behind(tmp_path: Path) -> None:
    """As when the server that is measured cannot be kept up, or the run is ended."""

    async def cancelled(there: Endpoint) -> None:
        own = EvaluateGeneral(version=1, tasks=[FACTS], limit=None, fewshot=None)
        measuring = asyncio.create_task(measure(own, Answering(there.url, "some-model"), checkpoint=tmp_path))
        while not there.seen:
            assert not measuring.done()
            await asyncio.sleep(0.05)
        measuring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await measuring

    with endpoint(lambda *_: (0, None)) as there:  # never answers
        asyncio.run(cancelled(there))
    assert not descendants("tasks.harness.child")


def test_without_tasks_nothing_is_served_and_nothing_measured(tmp_path: Path) -> None:
    assert run(tmp_path) == {"tasks": 0}
    assert store.read_document(tmp_path / "out/general.json", Abilities).root == {}
    assert store.read_document(tmp_path / "out/harness.json", ByName[Measurement]).root == {}


def test_without_tasks_nothing_heavy_is_imported() -> None:
    heavy = "('lm_eval', 'datasets', 'torch', 'transformers')"
    code = f"import sys, tasks.evaluate_general; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_task_file_that_is_not_there_is_named_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.yaml: no such task file; fix: correct evaluate_general\.tasks in params\.yaml"):
        run(tmp_path, "nowhere.yaml")


def test_a_task_that_is_named_twice_is_told_also_by_its_files_name() -> None:
    for tasks in ([FACTS, FACTS], [FACTS, "facts"], ["mmlu", "mmlu"]):
        with pytest.raises(BadParams, match=r"params\.yaml: evaluate_general\.tasks: (facts|mmlu) is named 2 times; "):
            check(tasks)
