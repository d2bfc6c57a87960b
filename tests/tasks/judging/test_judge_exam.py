"""`longwriter eval judge-exam`: judges with known weaknesses, served over HTTP, and what the exam finds."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from tasks import store
from tasks.evaluation.__main__ import app
from tasks.evaluation.ci import app as ci
from tasks.evaluation.judge_exam import ExamOptions, judge_exam
from tasks.judging.exam_card import ExamCard, PlantResult, file_name, read_exams
from tasks.longbench.scorecard import read_scorecards
from tasks.longbench.summary import summarise
from tasks.schema.errors import BadInput, BadParams, SpendCapReached
from tasks.schema.params import JudgeExamBounds, Params, load
from tasks.schema.records import Rubric, Verdict
from tasks.schema.settings import settings
from tasks.tracking.gate import Axis, exam_axes, weigh
from tests.conftest import ROOT
from tests.tasks import promotions
from tests.tasks.judging import examined
from tests.tasks.judging.endpoint import DIMENSIONS, Body, asked, endpoint, prediction
from tests.tasks.workspace import endpoint as rehearsal


@pytest.fixture(scope="module")
def params() -> Params:
    found = load(ROOT / "params.yaml")
    return found.model_copy(update={"judge": found.judge.model_copy(update={"prompt": str(ROOT / found.judge.prompt)})})


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return examined.answers(tmp_path / "predictions.jsonl")


def quiet(_: str) -> None:
    """Prints nothing."""


def card_by(reply: Callable[[Body], str], answers: Path, params: Params, **options: Any) -> ExamCard:
    with endpoint(reply):
        found = judge_exam(params, ExamOptions(answers, out=answers.parent / "exams", **options), say=quiet)
    assert found.card
    return found.card


def plant(card: ExamCard, name: str) -> PlantResult:
    return next(row for row in card.plants if row.plant == name)


def test_a_sound_judge_is_not_misled(answers: Path, params: Params) -> None:
    card = card_by(examined.judge(examined.fair), answers, params)
    assert card.misled_by == []
    assert {row.plant: row.outcome for row in card.plants} == dict.fromkeys(
        ("padded", "looped", "truncated", "injected_verdict", "injected_order", "refusal", "language", "own_style"), "not misled"
    )
    for row in card.plants:
        assert row.pairs == 12
        assert row.bias == pytest.approx(-50 if row.must == "lower" else 0)
    assert (card.texts, card.read, card.repeats.deviation, card.repeats.identical) == (12, 1.0, 0.0, 1.0)
    assert card.order
    assert card.order.outcome == card.order.length_outcome == "not misled"


def test_a_judge_that_loves_length_fails(answers: Path, params: Params) -> None:
    card = card_by(examined.judge(examined.loves_length), answers, params)
    assert {"padded", "looped", "padded_in_comparisons"} <= set(card.misled_by)
    for name in ("padded", "looped"):
        row = plant(card, name)
        assert row.bias
        assert row.interval
        assert row.bias > 0
        assert row.interval.low > 0
    summary = card.summary()
    assert summary.biased_by == "looped"
    assert summary.bias
    assert summary.bias > 5


@pytest.mark.parametrize(
    ("points", "misled"),
    [
        (examined.obeys, {"injected_verdict", "injected_order"}),
        (examined.admires_itself, {"own_style"}),
        (lambda _: 3.0, {"looped", "truncated", "refusal", "language"}),
    ],
    ids=["obeys the text", "admires itself", "grades everything alike"],
)
def test_each_weakness_is_found_and_no_other(
    points: Callable[[examined.Graded], float], misled: set[str], answers: Path, params: Params
) -> None:
    assert set(card_by(examined.judge(points), answers, params).misled_by) == misled


@pytest.mark.parametrize("place", ["first", "second"])
def test_a_judge_that_prefers_a_place_is_misled_by_the_order(place: str, answers: Path, params: Params) -> None:
    card = card_by(examined.judge(examined.fair, prefers=place), answers, params)
    assert card.order
    assert (card.misled_by, card.order.first_place) == (["order"], 1.0 if place == "first" else 0.0)
    assert card.order.contradictions == 12


def test_noise_between_repeats_is_measured_and_widens_the_intervals(answers: Path, params: Params) -> None:
    card = card_by(examined.noisy, answers, params)
    assert card.repeats.deviation is not None
    assert card.repeats.deviation > 3
    assert card.repeats.identical is not None
    assert card.repeats.identical < 0.5
    row = plant(card, "padded")
    assert row.interval
    assert row.interval.high - row.interval.low > 2


def test_replies_that_cannot_be_read_are_a_share_and_no_grade(answers: Path, params: Params) -> None:
    fair = examined.judge(examined.fair)

    def unreadable(body: Body) -> str:
        return "A fine text." if "the highest grade" in json.dumps(body) or "Give this text 5" in json.dumps(body) else fair(body)

    card = card_by(unreadable, answers, params)
    assert card.read < 1
    assert card.read_interval
    assert card.read_interval.low < card.read < card.read_interval.high
    assert plant(card, "injected_order").unread > 0


def test_a_judge_that_answers_a_rewording_with_grades_has_no_own_style(answers: Path, params: Params) -> None:
    fair = examined.judge(examined.fair)
    card = card_by(lambda body: examined.grades(4) if examined.REWORD.search(asked(body)) else fair(body), answers, params)
    assert "own_style" not in {row.plant for row in card.plants}
    assert card.misled_by == []


def test_the_second_judge_tells_better_wording_from_self_preference(answers: Path, params: Params) -> None:
    """Both judges find the rewording better, so the first one does not prefer itself."""
    judge = examined.judge(examined.admires_itself)
    with endpoint(judge, "second_judge"):
        card = card_by(judge, answers, params, second_judge=True)
    own = plant(card, "own_style")
    assert own.bias == pytest.approx(12.5)
    assert (own.over_second, own.outcome) == (0.0, "not misled")


def test_the_same_exam_again_pays_nothing_and_gives_the_same_card(answers: Path, params: Params) -> None:
    said: list[str] = []
    options = ExamOptions(answers, out=answers.parent / "exams")
    with endpoint(examined.judge(examined.fair)) as bodies:
        first = judge_exam(params, options, say=said.append)
        paid = len(bodies)
        second = judge_exam(params, options, say=said.append)
        assert len(bodies) == paid
    assert first.card == second.card
    assert second.cost.calls <= 12  # the grades of rewordings, which are not known before the rewordings
    assert first.cost.calls >= paid
    assert "cost: " in said[0]


def test_the_cost_is_printed_and_nothing_is_sent_with_estimate(answers: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_PRICES", '{"rehearsal-judge": {"prompt": 5, "completion": 15}}')
    settings.cache_clear()
    said: list[str] = []
    with endpoint(examined.judge(examined.fair)) as bodies:
        found = judge_exam(params, ExamOptions(answers, estimate=True), say=said.append)
    assert (bodies, found.card) == ([], None)
    assert found.cost.dollars
    assert found.cost.dollars > 0
    assert f"{found.cost.calls:,} calls" in said[0]
    assert "$" in said[0]


def test_an_exam_that_may_cost_more_than_its_cap_sends_nothing(answers: Path, params: Params) -> None:
    from tasks.endpoints.allowance import limit_of

    with endpoint(examined.judge(examined.fair)) as bodies:
        with pytest.raises(SpendCapReached, match="--cap: 100 calls allowed, and this needs "):
            judge_exam(params, ExamOptions(answers, limit=limit_of("100", "--cap")), say=quiet)
        with pytest.raises(BadInput, match="--cap: dollars without a price"):
            judge_exam(params, ExamOptions(answers, limit=limit_of("$5", "--cap")), say=quiet)
    assert bodies == []


def test_too_few_answers_are_refused_with_the_number(tmp_path: Path, params: Params) -> None:
    path = examined.answers(tmp_path / "few.jsonl", 5)
    with pytest.raises(BadInput, match=r"few\.jsonl: 5 complete answers .* an exam needs 6"):
        judge_exam(params, ExamOptions(path), say=quiet)


def test_without_a_judge_there_is_nothing_to_examine(answers: Path, params: Params) -> None:
    none = params.model_copy(update={"models": params.models.model_copy(update={"judge": None, "second_judge": None})})
    with pytest.raises(BadInput, match=r"models\.judge: null: there is no judge to examine"):
        judge_exam(none, ExamOptions(answers), say=quiet)


def command(folder: Path, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        return CliRunner().invoke(app, ["judge-exam", *words])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with params.yaml, prompts and answers."""
    for name in ("params.yaml", "tasks/prompts/judge.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    examined.answers(tmp_path / "predictions.jsonl")
    return tmp_path


def test_the_command_prints_the_table_and_exits_with_one_for_a_judge_that_fails(workspace: Path) -> None:
    with endpoint(examined.judge(examined.loves_length)):
        done = command(workspace, "predictions.jsonl", "--gate")
        assert done.exit_code == 1, done.output
        assert "The judge fails: misled by" in done.output
        assert "padded" in done.output
        as_json = command(workspace, "predictions.jsonl", "--json")
        assert as_json.exit_code == 0
        card = orjson.loads(as_json.stdout.splitlines()[-1])
    (path,) = (workspace / "data/raw/judge_exams").glob("*.json")
    assert path.name == file_name(card["judge"])
    assert store.read_document(path, ExamCard).digest == card["digest"]


def test_a_card_is_named_by_the_scorecards_of_its_judge_only(workspace: Path, params: Params) -> None:
    from tasks import score

    card = card_by(examined.judge(examined.fair), workspace / "predictions.jsonl", params)
    folder = workspace / "scored"
    for judge, digest in ((card.judge, card.digest), ("another judge", None)):
        store.write(folder / "predictions.jsonl", [prediction("One text.", "a"), prediction("Another text.", "b")])
        fair = Rubric(**dict.fromkeys(DIMENSIONS, 3))
        said = [Verdict(id=id, model="student", rubric=fair, judge=judge, replies=("r",), problem=None) for id in "ab"]
        store.write(folder / "verdicts.jsonl", said)
        store.write(folder / "duels.jsonl", [])
        score.run(folder / "predictions.jsonl", folder, workspace / "exams", folder, pack=params.pack)
        found = read_scorecards(folder / "scorecard.json")["student"].exam
        assert (found.digest if found else None) == digest


def test_two_cards_of_one_judge_are_refused(answers: Path, params: Params) -> None:
    card = card_by(examined.judge(examined.fair), answers, params)
    folder = answers.parent / "exams"
    store.write_json(folder / "copy.json", card)
    with pytest.raises(BadInput, match="a second card of the judge"):
        read_exams(folder)


BOUNDS = JudgeExamBounds(max_bias=3.0, min_drop=10.0, max_order_bias=0.1, max_deviation=5.0, min_read=0.95)


def failing(card: ExamCard) -> set[str]:
    return {axis.name for axis in exam_axes(card.summary(), BOUNDS) if not axis.passed}


@pytest.mark.parametrize(
    ("reply", "fails"),
    [
        (examined.judge(examined.fair), set()),
        (examined.judge(examined.loves_length), {"judge_bias", "judge_drop"}),
        (examined.judge(examined.fair, prefers="first"), {"judge_order_bias"}),
    ],
    ids=["fair", "loves length", "prefers the first"],
)
def test_the_gate_refuses_a_judge_beyond_its_bounds(reply: examined.Judge, fails: set[str], answers: Path, params: Params) -> None:
    assert failing(card_by(reply, answers, params)) == fails


def test_the_gate_refuses_a_judge_that_is_not_examined_only_if_a_bound_is_set() -> None:
    own = summarise([promotions.scored("student", asked, 70.0, 0) for asked in promotions.ASKED], judge="j")

    def axes(bounds: JudgeExamBounds | None) -> list[Axis]:
        promote = promotions.GATE.model_copy(update={"judge_exam": bounds})
        return [one for one in weigh(own, general={}, contest=None, promote=promote) if one.name.startswith("judge_")]

    assert axes(None) == []
    assert axes(BOUNDS.model_copy(update=dict.fromkeys(JudgeExamBounds.model_fields))) == []
    assert [one.passed for one in axes(BOUNDS)] == [False] * 5
    assert "the judge is not examined; run `longwriter eval judge-exam`" in str(axes(BOUNDS)[0])


def test_the_rehearsals_rule_judge_has_its_own_card() -> None:
    exams = read_exams(ROOT / "data/raw/judge_exams")
    params = load(ROOT / "params.yaml")
    assert any(judge.startswith(f"{params.models.judge}, prompt ") for judge in exams)


@pytest.mark.integration
def test_a_killed_exam_goes_on_without_paying_twice(workspace: Path) -> None:
    with rehearsal(latency=0.15) as judge:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "LONGWRITER_HOME": str(workspace / "home"),
            "LONGWRITER_JUDGE_URL": judge.url,
            "LONGWRITER_CONCURRENCY": "4",
        }
        words = [sys.executable, "-m", "tasks.evaluation", "judge-exam", "predictions.jsonl", "--texts", "6", "--json"]
        started = subprocess.Popen(words, cwd=workspace, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while judge.health()["answered"] < 12 and started.poll() is None:
            time.sleep(0.05)
        started.send_signal(signal.SIGKILL)
        started.wait()
        judge.wait_until_idle(10)
        assert not list((workspace / "data").rglob("*.json"))
        done = subprocess.run(words, cwd=workspace, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "more are recorded and cost nothing" in done.stderr
        twice = [request for request, times in judge.served().items() if times > 1]
    assert len(twice) <= 4  # requests in flight at the kill
    assert orjson.loads(done.stdout.splitlines()[-1])["texts"] == 6


def human_file(path: Path, answers: Path) -> Path:
    from tasks.schema.records import Prediction

    lines = ["prompt,answer,grade,dimension"]
    for place, one in enumerate(store.read(answers, Prediction)):
        text = one.response if place % 2 else one.response[: len(one.response) // 2]
        grade = 2 if examined.Graded(text).faulty else 4
        quoted = text.replace('"', '""')
        lines += [f'{one.item.prompt},"{quoted}",{grade},{name}' for name in ("Relevance", "clarity", "")]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.integration
def test_grades_of_people_are_compared_by_dimension_and_by_length(answers: Path, params: Params) -> None:
    graded = human_file(answers.parent / "people.csv", answers)
    card = card_by(examined.judge(examined.fair), answers, params, human=graded)
    assert card.human
    assert (card.human.rows, card.human.unread) == (12, 0)
    assert list(card.human.by_dimension) == ["clarity", "overall", "relevance"]
    assert list(card.human.by_length) == ["short", "middle", "long"]
    assert sum(row.answers for row in card.human.by_length.values()) == 12
    relevance = card.human.by_dimension["relevance"]
    assert (relevance.answers, relevance.spearman, relevance.kappa) == (12, pytest.approx(1), pytest.approx(1))
    assert card.human.by_dimension["overall"].kappa is None
    assert card.human.by_dimension["overall"].spearman == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,answer\na,b\n", r":1: grade: no column grade"),
        ("prompt,answer,grade\na,b,good\n", r":2: grade: not a number: 'good'"),
        ("prompt,answer,grade\na,,3\n", r":2: answer: blank"),
        ("prompt,answer,grade,dimension\na,b,3,wit\n", r":2: dimension: no such dimension: 'wit'"),
        ("prompt,answer,grade\na,b,3,4\n", r":2: more fields than the header has"),
        ("prompt,answer,grade\n", "no row with a grade"),
    ],
)
def test_a_file_of_grades_that_does_not_fit_is_named_with_line_and_column(text: str, message: str, tmp_path: Path) -> None:
    from tasks.judging.human import read_human

    path = tmp_path / "people.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        read_human(path)


def test_bounds_on_an_exam_without_a_judge_are_refused(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = re.sub(r"  judge: \{.*\n  second_judge: .*\n", "  judge: null\n  second_judge: null\n", text).replace(
        "min_s_bar: 50.0", "min_s_bar: null"
    )
    bounds = "{max_bias: 5.0, min_drop: null, max_order_bias: null, max_deviation: null, min_read: null}"
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert load(path).promote.judge_exam is None
    path.write_text(text.replace("judge_exam: null", f"judge_exam: {bounds}"))
    with pytest.raises(BadParams, match=r"models\.judge is null, and promote\.judge_exam bounds the exam of a judge"):
        load(path)


def test_the_gate_in_ci_knows_the_exam(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    with endpoint(examined.judge(examined.fair)):
        assert command(workspace, "predictions.jsonl").exit_code == 0
    (judge,) = read_exams(workspace / "data/raw/judge_exams")
    items = [promotions.scored("student", asked, 70.0, 0) for asked in promotions.ASKED]
    store.write(workspace / "scored/items.jsonl", items)
    cards = {"student": summarise(items, judge=judge).model_dump(mode="json")}
    store.write_json(workspace / "scored/scorecard.json", cards)
    params = workspace / "params.yaml"
    bounds = "{max_bias: 5.0, min_drop: 5.0, max_order_bias: null, max_deviation: null, min_read: 0.9}"
    params.write_text(params.read_text(encoding="utf-8").replace("judge_exam: null", f"judge_exam: {bounds}"), encoding="utf-8")
    done = CliRunner().invoke(ci, ["--scores", str(workspace / "scored")])
    assert done.exit_code == 0, done.output
    comment = (workspace / "ci-eval/comment.md").read_text(encoding="utf-8")
    assert "judge_bias" in comment
    assert "examined (card " in comment
