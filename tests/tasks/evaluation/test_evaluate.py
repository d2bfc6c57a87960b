"""The evaluator as a separate tool: from a URL, a folder or an alias to a scorecard."""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import store
from tasks.evaluation.evaluate import EvaluateOptions, evaluate, folder_of, model_of, resolve
from tasks.longbench.adapters import read_items
from tasks.longbench.scorecard import read_scorecards
from tasks.rehearsal.endpoint import Switches
from tasks.schema.errors import BadInput, BadSettings, ReplyError
from tasks.schema.params import Params, load
from tasks.schema.records import Prediction, ScoredItem, Verdict
from tasks.schema.settings import settings
from tasks.schema.standins import MARK
from tests.conftest import ROOT
from tests.tasks.evaluation.evaluations import candidate
from tests.tasks.judging.endpoint import GOOD, Body, asked, endpoint

LENGTHS = (100, 200, 400)
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def params() -> Params:
    return load(ROOT / "params.yaml")


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    path = tmp_path / "benchmark.jsonl"
    rows = [
        {"prompt": f"Write a {length}-word essay about {topic}.", "type": "News", "length": length} for length in LENGTHS for topic in "ab"
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answered(url: str) -> int:
    import urllib.request

    with urllib.request.urlopen(url.replace("/v1", "/health")) as response:
        return int(json.load(response)["answered"])


def options(benchmark: Path, **given: Any) -> EvaluateOptions:
    return EvaluateOptions(benchmark=benchmark, **({"model": "rehearsal-candidate"} | given))


def test_a_url_becomes_a_scorecard_with_everything_that_led_to_it(tmp_path: Path, params: Params, benchmark: Path) -> None:
    out = tmp_path / "out"
    with candidate() as url:
        card = evaluate(url, out, params=params, options=options(benchmark, samples=2))
    assert (card.items, card.answers, card.unscored) == (6, 12, 0)
    assert card.fixed is not None
    assert card.s_bar is not None
    assert card.s_l > 90
    predictions = store.read_list(out / "predictions.jsonl", Prediction)
    assert [(p.item.length, p.sample) for p in predictions[:3]] == [(100, 0), (100, 1), (100, 0)]
    drawn = {(p.decoding.temperature, p.decoding.max_tokens, p.decoding.seed) for p in predictions if p.decoding}
    assert drawn == {(0.5, 32_768, params.seed)}  # the paper's
    verdicts = store.read_list(out / "verdicts.jsonl", Verdict)
    assert [sum(verdict.second == second for verdict in verdicts) for second in (False, True)] == [12 * params.judge.repeats, 12]
    assert [item.model for item in store.read(out / "items.jsonl", ScoredItem)] == ["rehearsal-candidate"] * 12
    assert list(read_scorecards(out / "scorecard.json")) == ["rehearsal-candidate"]
    assert (out / "reliability.json").is_file()


def test_started_again_it_goes_on_and_asks_for_nothing_twice(tmp_path: Path, params: Params, benchmark: Path) -> None:
    with candidate() as url:
        first = evaluate(url, tmp_path / "out", params=params, options=options(benchmark))
        assert evaluate(url, tmp_path / "out", params=params, options=options(benchmark)) == first
        assert answered(url) == 6


@pytest.mark.integration
def test_killed_in_the_middle_it_repeats_what_was_in_flight_and_no_more(tmp_path: Path, params: Params) -> None:
    rows = [{"prompt": f"Write a 100-word essay about bread, number {n}.", "type": "News", "length": 100} for n in range(40)]
    benchmark, out, slots = tmp_path / "benchmark.jsonl", tmp_path / "out", 4
    benchmark.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with candidate(Switches(latency=0.2)) as url, pytest.MonkeyPatch.context() as environment:
        environment.setenv("LONGWRITER_CONCURRENCY", str(slots))
        words = [sys.executable, "-m", "tasks.evaluation", "evaluate", url, "--model", "rehearsal-candidate"]
        running = subprocess.Popen([*words, "--out", out, "--benchmark", benchmark], cwd=ROOT, stderr=subprocess.DEVNULL)
        while answered(url) < 12:
            time.sleep(0.05)
        running.kill()
        running.wait()
        assert not (out / "predictions.jsonl").exists()
        card = evaluate(url, out, params=params, options=options(benchmark))
        assert 40 <= answered(url) <= 40 + slots
        assert evaluate(url, out, params=params, options=options(benchmark)) == card
    assert len({p.item.id for p in store.read(out / "predictions.jsonl", Prediction)}) == 40


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, params: Params, benchmark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps, now = itertools.cycle((-3600.0, 3600.0, 0.0)), time.time
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    with candidate() as url:
        card = evaluate(url, tmp_path / "out", params=params, options=options(benchmark))
        assert evaluate(url, tmp_path / "out", params=params, options=options(benchmark)) == card
        assert answered(url) == 6
    assert all(0 <= prediction.seconds < 60 for prediction in store.read(tmp_path / "out" / "predictions.jsonl", Prediction))


def test_another_folder_or_fresh_asks_a_url_anew_as_it_may_serve_other_weights(tmp_path: Path, params: Params, benchmark: Path) -> None:
    with candidate() as url:
        for out, fresh in (("a", False), ("b", False), ("a", True)):
            evaluate(url, tmp_path / out, params=params, options=options(benchmark, fresh=fresh, judged=False))
        assert answered(url) == 18


def test_a_folder_of_another_evaluation_is_not_gone_on_with(tmp_path: Path, params: Params, benchmark: Path) -> None:
    with candidate() as url:
        evaluate(url, tmp_path / "out", params=params, options=options(benchmark, judged=False))
        with pytest.raises(BadInput, match=r"evaluation\.json: decoding: the folder holds another evaluation; fix: choose another --out"):
            evaluate(url, tmp_path / "out", params=params, options=options(benchmark, judged=False, temperature=0.9))
        benchmark.write_text(benchmark.read_text().replace("200", "300"))
        with pytest.raises(BadInput, match=r"evaluation\.json: benchmark_sha256: the folder holds another"):
            evaluate(url, tmp_path / "out", params=params, options=options(benchmark, judged=False))


def test_without_a_judge_the_length_scores_stand_alone(tmp_path: Path, params: Params, benchmark: Path) -> None:
    with candidate() as url:
        card = evaluate(url, tmp_path / "out", params=params, options=options(benchmark, judged=False))
    assert (card.s_q, card.s_bar, card.unscored, card.judge) == (None, None, 6, None)
    assert not (tmp_path / "out" / "verdicts.jsonl").exists()


def shown(candidate: str, out: Path, benchmark: Path, model: str = "rehearsal-candidate") -> str:
    words = [sys.executable, "-m", "tasks.evaluation", "evaluate", candidate, "--model", model]
    words += ["--out", str(out), "--benchmark", str(benchmark)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_people_are_told_how_answers_ended_and_how_far_to_trust_the_judge(tmp_path: Path, benchmark: Path) -> None:
    def say(body: Body) -> tuple[str, str]:
        return "Bread is old.", "EOS" if "100-word essay about a" in asked(body) else "max_tokens"

    with endpoint(say, role="candidate"):
        seen = shown(settings().candidate_url, tmp_path / "out", benchmark)
    assert "How the answers ended: 5 cut at max_tokens, 1 ended by themselves." in seen
    for line in (
        "Judge: rehearsal-judge@1",
        "From repeat to repeat",
        "Second judge: rehearsal-judge-strict@1",
        f"All of it is in {tmp_path}",
    ):
        assert line in seen


def test_a_judge_of_whom_no_verdict_can_be_read_is_an_error_and_the_length_scores_are_kept(
    tmp_path: Path, params: Params, benchmark: Path
) -> None:
    why = "none of 12 verdicts could be read; last problem: no JSON object; the replies are in"
    with candidate() as url, endpoint(lambda _: "All six deserve a 5."), pytest.raises(ReplyError, match=why):
        evaluate(url, tmp_path / "out", params=params, options=options(benchmark))
    (card,) = read_scorecards(tmp_path / "out" / "scorecard.json").values()
    assert (card.s_q, card.unscored) == (None, 6)
    assert card.s_l > 0


@pytest.fixture
def real() -> Iterator[str]:
    """An endpoint with one model that is no stand-in; its base URL."""

    def say(body: Body) -> tuple[str, str]:
        return " ".join(["word"] * 100), "stop"

    with endpoint(say, role="candidate"):
        yield settings().candidate_url


def test_a_stand_in_never_judges_a_real_candidate(tmp_path: Path, params: Params, benchmark: Path, real: str, capsys: Capture) -> None:
    card = evaluate(real, tmp_path / "out", params=params, options=options(benchmark, model="some-model"))
    assert (card.s_q, card.judge) == (None, None)
    assert "models.judge (rehearsal-judge) is a stand-in that answers by rules; set models.judge.name" in capsys.readouterr().err
    assert "not judged" in shown(real, tmp_path / "shown", benchmark, model="some-model")


def test_a_judge_that_is_named_later_judges_the_same_answers(tmp_path: Path, params: Params, benchmark: Path, real: str) -> None:
    evaluate(real, tmp_path / "out", params=params, options=options(benchmark, model="some-model"))
    answers = (tmp_path / "out" / "predictions.jsonl").read_bytes()
    with endpoint(lambda _: GOOD):
        card = evaluate(real, tmp_path / "out", params=params, options=options(benchmark, model="some-model"))
    assert (card.s_q, card.unscored) == (75.0, 0)
    assert (tmp_path / "out" / "predictions.jsonl").read_bytes() == answers


def test_another_checkpoint_is_not_decoded_like_the_tiny_student(tmp_path: Path, params: Params, benchmark: Path) -> None:
    items, _ = read_items(benchmark, None)
    configs = {"tiny": {MARK: True}, "real": {"max_position_embeddings": 4096}, "large": {"max_position_embeddings": 131_072}}
    drawn: dict[str, int] = {}
    for name, config in configs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        drawn[name] = asyncio.run(
            model_of(resolve(str(tmp_path / name)), params, EvaluateOptions(), [item.prompt for item in items])
        ).max_tokens
    longest = max(len(item.prompt) for item in items)
    assert drawn == {"tiny": params.models.candidate.max_tokens, "real": 4096 - longest, "large": 32_768}


def test_through_agentwrite_the_plans_are_known_and_the_answers_held_to_them(tmp_path: Path, params: Params, benchmark: Path) -> None:
    with candidate() as url:
        card = evaluate(
            url, tmp_path / "out", params=params, options=options(benchmark, model="rehearsal-teacher", agentwrite=True, judged=False)
        )
    predictions = store.read_list(tmp_path / "out" / "predictions.jsonl", Prediction)
    assert [len(p.plan) for p in predictions] == [2, 2, 4, 4, 8, 8]
    assert card.adherence is not None
    assert card.adherence.answers == 6
    assert card.s_l > 95


def test_the_one_model_of_a_url_needs_no_name_and_one_of_several_does(tmp_path: Path, params: Params, benchmark: Path) -> None:
    with candidate() as url, pytest.raises(BadSettings, match=r"rehearsal-candidate.*--model"):
        evaluate(url, tmp_path / "out", params=params, options=options(benchmark, model=None))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", r"nowhere: no such folder; fix: give a checkpoint folder, a GGUF file, a URL, or models:"),
        (".", r"\.: no config\.json in it; fix: give a checkpoint folder"),
    ],
)
def test_a_candidate_that_is_none_is_named(tmp_path: Path, params: Params, benchmark: Path, given: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        evaluate(given, tmp_path / "out", params=params, options=options(benchmark))
    assert not (tmp_path / "out").exists()


def test_an_alias_that_does_not_exist_is_named(tmp_path: Path, params: Params, benchmark: Path, mlflow_home: Path) -> None:
    with pytest.raises(BadInput, match=r"models:/longwriter@challenger: no registered model longwriter"):
        evaluate("models:/longwriter@challenger", tmp_path / "out", params=params, options=options(benchmark))


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("http://127.0.0.1:8000/v1", "evaluations/127.0.0.1-8000-v1"),
        ("models:/longwriter@challenger", "evaluations/longwriter@challenger"),
        ("data/train/checkpoints/student", "evaluations/student"),
    ],
)
def test_results_go_into_a_folder_that_is_called_like_the_candidate(given: str, folder: str) -> None:
    assert folder_of(given) == Path(folder)


@pytest.mark.integration
def test_the_command_prints_the_scorecard_and_one_line_for_an_error(tmp_path: Path, benchmark: Path) -> None:
    def command(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "tasks.evaluation", "evaluate", *words, "--benchmark", str(benchmark)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    with candidate() as url:
        done = command(url, "--model", "rehearsal-candidate", "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["answers"] == 6
    wrong = command("nowhere")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.strip().startswith("error: nowhere: no such folder; fix: give a checkpoint folder, a GGUF file, a URL, or models:")
