"""`longwriter eval rank`: models of known strengths, compared by a rule judge over HTTP."""

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from tasks import store
from tasks.endpoints.allowance import SpendLimit, limit_of
from tasks.evaluation.__main__ import app
from tasks.evaluation.rank import Ranking, RankOptions, rank
from tasks.judging.bradley_terry import Duelled, fit
from tasks.schema.errors import BadInput
from tasks.schema.params import Params, load
from tasks.schema.records import BenchmarkItem, Duel, Prediction
from tests.conftest import ROOT
from tests.tasks.judging.endpoint import Body, asked, endpoint

STRENGTHS = (3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0)
TEXT = re.compile(r"Text (\d) on subject (\d+)")


@pytest.fixture(scope="module")
def params() -> Params:
    return load(ROOT / "params.yaml")


def models(folder: Path, *, count: int = 7, prompts: int = 30) -> list[str]:
    """Evaluations of models on the same prompts; the folders' names are no order of the strengths."""
    places = []
    for model in range(count):
        path = folder / f"m{(3 * model) % 10}"
        rows = []
        for number in range(prompts):
            item = BenchmarkItem(id=f"p{number}", prompt=f"Write about subject {number}.", type="", length=100, language="en")
            text = f"Text {model} on subject {number}."
            rows.append(Prediction(item=item, model="student", response=text, finish_reason="stop", tokens=1, seconds=0.1))
        store.write(path / "predictions.jsonl", rows)
        places.append(str(path))
    return places


def uniform(*words: object) -> float:
    return (int(hashlib.sha256(repr(words).encode()).hexdigest()[:12], 16) + 0.5) / 16**12


def quality(model: int, subject: int) -> float:
    """Strength plus Gumbel noise of the text: then the better of two texts follows the Bradley–Terry model exactly."""
    return STRENGTHS[model] - math.log(-math.log(uniform(model, subject)))


def bradley_terry(body: Body) -> str:
    """The better text, wherever it stands."""
    first, second = (quality(int(model), int(subject)) for model, subject in TEXT.findall(asked(body))[:2])
    return json.dumps({"winner": "first" if first > second else "second"})


def strongest(body: Body) -> str:
    """The stronger model always wins."""
    (first, _), (second, _) = TEXT.findall(asked(body))[:2]
    return json.dumps({"winner": "tie" if first == second else "first" if first < second else "second"})


def ranked(sources: list[str], params: Params, limit: SpendLimit = SpendLimit(), out: Path | None = None) -> Ranking:
    found = rank(sources, params=params, options=RankOptions(limit, out=out), say=lambda _: None).ranking
    assert found
    return found


def test_seven_models_of_known_strengths_are_ranked_within_their_intervals_by_fewer_calls_than_all_pairs(
    tmp_path: Path, params: Params
) -> None:
    sources = models(tmp_path)
    with endpoint(bradley_terry) as bodies:
        found = ranked(sources, params, out=tmp_path / "duels.jsonl")
        calls = len(bodies)
        again = ranked(sources, params)
        assert len(bodies) == calls
    assert found.all_pairs == 21 * 30 * 2
    assert calls == found.calls < 0.6 * found.all_pairs
    for row in found.models:
        true = STRENGTHS[sources.index(row.model)]
        assert row.interval.low <= true <= row.interval.high, row
        assert row.best <= 1 + sources.index(row.model) <= row.worst, row
    assert again == found.model_copy(update={"calls": 0})
    assert len(list(store.read(tmp_path / "duels.jsonl", Duel))) == found.duels


def test_a_clear_order_is_settled_early(tmp_path: Path, params: Params) -> None:
    sources = models(tmp_path, prompts=60)
    with endpoint(strongest):
        found = ranked(sources, params)
    assert found.stopped == "settled"
    assert [row.model for row in found.models] == sources
    assert [(row.best, row.worst) for row in found.models] == [(place, place) for place in range(1, 8)]
    assert found.calls < 0.2 * found.all_pairs


def test_calls_go_where_ranks_are_unclear(tmp_path: Path, params: Params) -> None:
    """The models 3 and 4 are equal, all others far apart."""
    sources = models(tmp_path, prompts=40)

    def judge(body: Body) -> str:
        (first, subject), (second, _) = TEXT.findall(asked(body))[:2]
        if {first, second} == {"3", "4"}:
            better = "3" if uniform(subject) < 0.5 else "4"
            return json.dumps({"winner": "first" if first == better else "second"})
        return json.dumps({"winner": "first" if first < second else "second"})

    with endpoint(judge):
        found = ranked(sources, params, out=tmp_path / "duels.jsonl")
    pairs: dict[frozenset[str], int] = {}
    for duel in store.read(tmp_path / "duels.jsonl", Duel):
        pairs[frozenset((duel.a, duel.b))] = pairs.get(frozenset((duel.a, duel.b)), 0) + 1
    assert pairs[frozenset(sources[3:5])] == max(pairs.values()) == 40
    assert found.stopped == "no prompt left"
    rows = {row.model: row for row in found.models}
    assert [(rows[name].best, rows[name].worst) for name in sources[3:5]] == [(4, 5), (4, 5)]


def test_a_budget_in_calls_is_kept_and_more_goes_on_from_there(tmp_path: Path, params: Params) -> None:
    sources = models(tmp_path)
    with endpoint(bradley_terry) as bodies:
        small = ranked(sources, params, limit_of("101 calls", "--budget"))
        assert (small.stopped, len(bodies), small.calls, small.duels) == ("budget", 100, 100, 50)
        more = ranked(sources, params, limit_of("60", "--budget"))
        assert (more.calls, more.duels, len(bodies)) == (60, 80, 160)


def test_a_budget_in_dollars_needs_a_price_and_is_kept(tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = models(tmp_path)
    with endpoint(bradley_terry) as bodies:
        with pytest.raises(BadInput, match="--budget: dollars without a price for the model; fix: add its price to LONGWRITER_PRICES"):
            ranked(sources, params, limit_of("$1", "--budget"))
        assert bodies == []
        monkeypatch.setenv("LONGWRITER_PRICES", '{"rehearsal-judge": {"prompt": 1000, "completion": 0}}')
        from tasks.schema.settings import settings

        settings.cache_clear()
        found = ranked(sources, params, limit_of("$9.50", "--budget"))
        settings.cache_clear()
    assert found.stopped == "budget"
    assert found.dollars is not None
    assert 5 < found.dollars <= 9.5


def test_a_judge_that_prefers_a_place_ranks_nobody(tmp_path: Path, params: Params) -> None:
    with endpoint(lambda _: '{"winner": "first"}'):
        found = ranked(models(tmp_path, count=3, prompts=8), params)
    assert (found.first_place, found.contradictions, found.stopped) == (1.0, found.duels, "no prompt left")
    assert all(abs(row.strength) < 1e-6 and (row.best, row.worst) == (1, 3) for row in found.models)


@pytest.mark.parametrize("text", ["", "0", "many", "$0", "-5", "5 €", "1e9"])
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--budget: not a number of calls or dollars"):
        limit_of(text, "--budget")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("400", SpendLimit(calls=400)),
        ("1,200 calls", SpendLimit(calls=1200)),
        ("$2.50", SpendLimit(dollars=2.5)),
        ("3 usd", SpendLimit(dollars=3.0)),
        ("0.5$", SpendLimit(dollars=0.5)),
    ],
)
def test_budgets_are_calls_or_dollars(text: str, limit: SpendLimit) -> None:
    assert limit_of(text, "--budget") == limit


def test_sources_that_cannot_be_ranked_are_named(tmp_path: Path, params: Params) -> None:
    sources = models(tmp_path, count=2, prompts=3)
    with pytest.raises(BadInput, match="one model; fix: give two or more"):
        ranked(sources[:1], params)
    with pytest.raises(BadInput, match="one model is given twice"):
        ranked([*sources, sources[0]], params)
    item = BenchmarkItem(id="other", prompt="Write about nothing.", type="", length=100, language="en")
    alone = Prediction(item=item, model="student", response="Text.", finish_reason="stop", tokens=1, seconds=0.1)
    store.write(tmp_path / "alone/predictions.jsonl", [alone])
    with pytest.raises(BadInput, match="alone: no prompt in common with another model"):
        ranked([*sources, str(tmp_path / "alone")], params)


def test_the_command_prints_a_table_its_cost_first_and_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = models(tmp_path, count=3, prompts=8)
    for name in ("params.yaml", "tasks/prompts/judge.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with endpoint(strongest) as bodies:
        estimate = CliRunner().invoke(app, ["rank", *sources, "--estimate"])
        assert (bodies, estimate.exit_code) == ([], 0)
        assert "48 calls" in estimate.stdout
        done = CliRunner().invoke(app, ["rank", *sources])
        assert done.exit_code == 0, done.output
        assert "all pairs would cost: 48 calls" in done.stderr
        assert "ranks left open" in done.stdout
        as_json = CliRunner().invoke(app, ["rank", *sources, "--json"])
    assert [row["model"] for row in orjson.loads(as_json.stdout.splitlines()[-1])["models"]] == sources


def test_the_fit_is_the_textbooks_for_two_models() -> None:
    """30 of 40 duels: the difference is log 3, up to the weak prior; its variance is 1 ÷ (40 · 0.75 · 0.25)."""
    found = fit([Duelled(0, 1, 1.0 if n < 30 else 0.0, n) for n in range(40)], 2)
    assert found.theta[0] - found.theta[1] == pytest.approx(math.log(3), rel=0.02)
    assert found.z(0, 1) == pytest.approx(math.log(3) * math.sqrt(40 * 0.1875), rel=0.03)


def test_duels_of_one_topic_are_one_observation() -> None:
    """Forty duels on ten topics, the duels of a topic alike: the interval is that of ten duels, not of forty."""
    alike = fit([Duelled(0, 1, float(n % 10 < 7), n % 10) for n in range(40)], 2)
    ten = fit([Duelled(0, 1, float(n < 7), n) for n in range(10)], 2)
    apart = fit([Duelled(0, 1, float(n % 10 < 7), n) for n in range(40)], 2)
    assert np.sqrt(alike.covariance[0, 0]) == pytest.approx(np.sqrt(ten.covariance[0, 0]), rel=0.15)
    assert np.sqrt(apart.covariance[0, 0]) < 0.6 * np.sqrt(alike.covariance[0, 0])


def test_recorded_answers_are_ranked_as_they_are_without_a_requested_length(tmp_path: Path, params: Params) -> None:
    sources = []
    for model in range(3):
        rows = [{"prompt": f"Write about subject {n}.", "response": f"Text {model} on subject {n}."} for n in range(8)]
        (tmp_path / f"r{model}").mkdir()
        (tmp_path / f"r{model}/answers.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        sources.append(str(tmp_path / f"r{model}"))
    with endpoint(strongest):
        assert [row.model for row in ranked(sources, params).models] == sources


LIGHT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "prefect", "dvc", "mlflow", "trl", "transformers", "pandas", "ray"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
from tasks.evaluation.__main__ import app
app()
"""


@pytest.mark.integration
def test_exam_and_ranking_run_without_the_pipelines_packages(tmp_path: Path) -> None:
    sources = models(tmp_path, count=2, prompts=8)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    benchmark = tmp_path / "data/raw/benchmark.jsonl"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_bytes((ROOT / "data/raw/benchmark.jsonl").read_bytes())
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for words in (["judge-exam", "--texts", "6", "--repeats", "2", "--json"], ["rank", *sources, "--json"]):
        command = [sys.executable, "-c", LIGHT, *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert orjson.loads(done.stdout.splitlines()[-1])["judge"].startswith("rehearsal-judge@1")
