"""`longwriter eval duel`: two evaluations' answers, compared by the judge in both orders."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tasks import store
from tasks.evaluation.__main__ import app
from tasks.evaluation.duel import duel
from tasks.schema.errors import BadInput
from tasks.schema.params import Params, load
from tasks.schema.records import Duel, Prediction
from tests.conftest import ROOT
from tests.tasks.judging.endpoint import Body, asked, endpoint
from tests.tasks.judging.endpoint import prediction as answer


@pytest.fixture(scope="module")
def params() -> Params:
    return load(ROOT / "params.yaml")


def prediction(response: str, id: str, *, model: str = "student") -> Prediction:
    """To a prompt of its own."""
    found = answer(response, id, model=model)
    return found.model_copy(update={"item": found.item.model_copy(update={"prompt": f"Write about subject {id}."})})


def evaluation(folder: Path, *answers: Prediction) -> str:
    store.write(folder / "predictions.jsonl", answers)
    return str(folder)


def better(body: Body) -> str:
    """The one with "good" in it, in whatever place it stands."""
    said = asked(body)
    return json.dumps({"winner": "first" if said.index("A good") < said.index("A poor") else "second"})


def test_the_same_model_twice_is_two_sides_and_the_better_text_wins_in_both_orders(tmp_path: Path, params: Params) -> None:
    a = evaluation(tmp_path / "a", *(prediction(f"A good text {n}.", str(n)) for n in range(8)), prediction("alone", "x"))
    b = evaluation(tmp_path / "b", *(prediction(f"A poor text {n}.", str(n)) for n in reversed(range(8))))
    with endpoint(better) as bodies:
        found = duel(a, b, params=params, out=tmp_path / "duels.jsonl")
        assert duel(a, b, params=params) == found
    assert (found.tally.duels, found.tally.a_wins, found.tally.contradictions, found.only_one) == (8, 8, 0, 1)
    assert found.tally.win_rate_interval is not None
    assert found.tally.win_rate_interval.low > 0.5
    assert len(bodies) == 16  # both orders; the second time all of them came from the journal
    assert {one.id for one in store.read(tmp_path / "duels.jsonl", Duel)} == {str(n) for n in range(8)}


def test_a_judge_that_prefers_a_place_tells_nothing(tmp_path: Path) -> None:
    a, b = (evaluation(tmp_path / name, *(prediction(f"Text {name} {n}.", str(n)) for n in range(6))) for name in "ab")
    with endpoint(lambda _: '{"winner": "first"}'):
        shown = CliRunner().invoke(app, ["duel", a, b]).stdout
    assert "cannot tell" in shown
    assert "first place won 100% of the comparisons" in shown


def test_sides_that_cannot_be_compared_are_named(tmp_path: Path, params: Params) -> None:
    a = evaluation(tmp_path / "a", prediction("One.", "1"), prediction("One.", "1", model="control"))
    b = evaluation(tmp_path / "b", prediction("Two.", "2"))
    with pytest.raises(BadInput, match="no prompt in common"):
        duel(f"{a}:student", b, params=params)
    with pytest.raises(BadInput, match="no items of nobody; fix: name one of control, student"):
        duel(f"{a}:nobody", b, params=params)
    with pytest.raises(BadInput, match="no such file"):
        duel(str(tmp_path / "none"), b, params=params)


def test_another_prompt_under_the_same_id_is_refused(tmp_path: Path, params: Params) -> None:
    a = evaluation(tmp_path / "a", prediction("One.", "1"))
    b = evaluation(tmp_path / "b", answer("Two.", "1"))
    with pytest.raises(BadInput, match=r"b: item\.prompt: another prompt than in .* under the id 1; fix: give two evaluations of the same"):
        duel(a, b, params=params)
