import csv
from pathlib import Path

import pytest

from tasks import score, store
from tasks.judging.judged import Judged
from tasks.longbench.scorecard import read_scorecards
from tasks.schema.errors import BadInput
from tasks.schema.params import Pack
from tasks.schema.records import BenchmarkItem, Prediction, Rubric, ScoredItem, Verdict

PACK = Pack(context=2048, vocabulary=2048, control_cap=0.25, held_out=0, max_rejects=0.0)
FAIR = Rubric(relevance=3, accuracy=3, coherence=3, clarity=3, breadth_and_depth=3, reading_experience=3)


def prediction(asked: int, written: int, model: str = "student") -> Prediction:
    prompt = f"Write {asked} words on subject {'x' * (asked // 100)}."
    item = BenchmarkItem(id=f"i{asked}", prompt=prompt, type="News", length=asked, language="en")
    return Prediction(item=item, model=model, response="word " * written, finish_reason="stop", tokens=written, seconds=0.1)


def verdict(asked: int, model: str = "student", rubric: Rubric | None = FAIR) -> Verdict:
    return Verdict(id=f"i{asked}", model=model, rubric=rubric, judge="j", replies=("r",), problem=None if rubric else "no JSON object")


def run(tmp_path: Path, predictions: list[Prediction], verdicts: list[Verdict]) -> dict[str, float]:
    store.write(tmp_path / "predictions.jsonl", predictions)
    store.write(tmp_path / "verdicts.jsonl", verdicts)
    store.write(tmp_path / "duels.jsonl", [])
    (tmp_path / "out").mkdir()
    return dict(score.run(tmp_path / "predictions.jsonl", tmp_path, tmp_path / "exams", tmp_path / "out", pack=PACK))


def test_both_models_are_scored_and_compared_above_the_controls_cap(tmp_path: Path) -> None:
    written = {"student": {100: 100, 200: 200, 400: 400, 800: 800}, "control": {100: 100, 200: 200, 400: 200, 800: 200}}
    predictions = [prediction(asked, length, model) for model, lengths in written.items() for asked, length in lengths.items()]
    metrics = run(tmp_path, predictions, [verdict(p.item.length, p.model) for p in reversed(predictions)])
    assert (metrics["student_s_l"], metrics["student_s_q"], metrics["student_s_bar"], metrics["student_unscored"]) == (100, 50, 75, 0)
    assert metrics["control_s_l"] == (100 + 100 + 50 + 0) / 4
    assert (metrics["student_s_l_above_cap"], metrics["control_s_l_above_cap"], metrics["above_cap"]) == (100, 25, 75)
    assert list(read_scorecards(tmp_path / "out/scorecard.json")) == ["control", "student"]
    assert [item.model for item in store.read(tmp_path / "out/items.jsonl", ScoredItem)] == ["student"] * 4 + ["control"] * 4
    with (tmp_path / "out/ruler.csv").open(newline="") as file:
        assert list(csv.DictReader(file))[-1] == {"model": "control", "asked": "800", "written": "200", "language": "en"}


def test_an_unscored_answer_is_counted_and_never_imputed(tmp_path: Path) -> None:
    metrics = run(tmp_path, [prediction(100, 100), prediction(200, 200)], [verdict(100), verdict(200, rubric=None)])
    assert (metrics["student_unscored"], metrics["student_s_q"]) == (1, 50)


def test_intervals_ruler_and_degeneration_are_on_the_card_in_the_items_and_in_the_metrics(tmp_path: Path) -> None:
    metrics = run(tmp_path, [prediction(100, 100), prediction(200, 90), prediction(400, 100)], [verdict(100), verdict(200), verdict(400)])
    card = read_scorecards(tmp_path / "out/scorecard.json")["student"]
    assert card.s_l_interval is not None
    assert (metrics["student_s_l_low"], metrics["student_s_l_high"]) == (card.s_l_interval.low, card.s_l_interval.high)
    assert card.ceiling is not None
    assert (card.ceiling.longest, card.ceiling.asked) == (metrics["student_longest"], metrics["student_ceiling"]) == (100, 100)
    assert metrics["student_looped"] == pytest.approx(0.99, abs=0.01)
    assert metrics["student_unfinished"] == 1
    assert [item.degeneration is not None for item in store.read(tmp_path / "out/items.jsonl", ScoredItem)] == [True] * 3


def test_repeats_are_averaged_and_the_second_judge_enters_no_score(tmp_path: Path) -> None:
    best, worst = (Rubric(**dict.fromkeys(Rubric.model_fields, score)) for score in (5, 1))
    verdicts = [verdict(100), verdict(100, rubric=best).model_copy(update={"repeat": 1}), verdict(200), verdict(200, rubric=None)]
    verdicts[3] = verdicts[3].model_copy(update={"repeat": 1})
    verdicts += [verdict(asked, rubric=worst).model_copy(update={"second": True, "judge": "other"}) for asked in (100, 200)]
    metrics = run(tmp_path, [prediction(100, 100), prediction(200, 200)], verdicts)
    assert (metrics["student_s_q"], metrics["student_unscored"]) == ((75 + 50) / 2, 0)
    assert read_scorecards(tmp_path / "out/scorecard.json")["student"].judge == "j"
    found = store.read_document(tmp_path / "out/reliability.json", Judged).judge
    assert found
    assert found.judge == "j"


def test_samples_are_matched_with_their_own_verdicts(tmp_path: Path) -> None:
    again = prediction(100, 50).model_copy(update={"sample": 1})
    other = verdict(100, rubric=None).model_copy(update={"sample": 1})
    metrics = run(tmp_path, [prediction(100, 100), again], [other, verdict(100)])
    assert (metrics["student_items"], metrics["student_answers"], metrics["student_s_l"]) == (1, 2, 75)
    items = store.read_list(tmp_path / "out/items.jsonl", ScoredItem)
    assert [(item.sample, item.written, item.s_q) for item in items] == [(0, 100, 50), (1, 50, None)]


def test_nothing_judged_leaves_the_quality_out_of_the_metrics(tmp_path: Path) -> None:
    metrics = run(tmp_path, [prediction(100, 100)], [verdict(100, rubric=None)])
    assert not {"student_s_q", "student_s_bar", "above_cap"} & metrics.keys()
    assert read_scorecards(tmp_path / "out/scorecard.json")["student"].s_q is None


def test_an_empty_answer_scores_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, [prediction(100, 0)], [verdict(100)])["student_s_l"] == 0


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        ([verdict(100)], r"verdicts\.jsonl: id: no verdict on i200 by student; fix: run the judge stage again"),
        ([verdict(100), verdict(200, "control")], r"verdicts\.jsonl:2: id: i200 by control has no prediction"),
        ([verdict(100), verdict(200), verdict(300)], r"verdicts\.jsonl:3: id: i300 by student has no prediction"),
        ([verdict(100), verdict(200), verdict(100)], r"verdicts\.jsonl:3: id: i100 by student is there twice"),
    ],
)
def test_verdicts_that_do_not_match_the_predictions_are_named(tmp_path: Path, verdicts: list[Verdict], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        run(tmp_path, [prediction(100, 100), prediction(200, 200)], verdicts)


def test_a_prediction_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"predictions\.jsonl:2: item\.id: i100 by student is there twice"):
        run(tmp_path, [prediction(100, 100), prediction(100, 90)], [verdict(100)])


def test_without_a_judge_every_answer_is_unscored_and_lengths_are_scored(tmp_path: Path) -> None:
    metrics = run(tmp_path, [prediction(100, 100), prediction(200, 200)], [])
    card = read_scorecards(tmp_path / "out/scorecard.json")["student"]
    assert (card.judge, card.s_q, card.s_bar, card.unscored, card.s_l) == (None, None, None, 2, 100)
    assert "student_s_q" not in metrics
    assert store.read_document(tmp_path / "out/reliability.json", Judged).judge is None
