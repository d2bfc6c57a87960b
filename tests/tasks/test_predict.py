import json
from pathlib import Path

import pytest

from tasks import predict, store
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, Predict
from tasks.schema.records import Prediction

REHEARSAL = Model(name="rehearsal-candidate", revision="1", temperature=0.5, max_tokens=500)
ASKED = [(f"Write a {length}-word essay about {topic}.", length) for length in (50, 100) for topic in ("bread", "ferries", "owls")]


def run(tmp_path: Path, *models: str) -> tuple[dict[str, float], list[Prediction]]:
    benchmark, out = tmp_path / "benchmark.jsonl", tmp_path / "out"
    benchmark.write_text("".join(json.dumps({"prompt": prompt, "type": "News", "length": length}) + "\n" for prompt, length in ASKED))
    for model in models:
        (tmp_path / "checkpoints" / model).mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkpoints" / model / "config.json").write_text(model)
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    metrics = predict.run(benchmark, tmp_path / "checkpoints", out, seed=1, predict=Predict(version=1), candidate_model=REHEARSAL)
    return dict(metrics), store.read_list(out / "predictions.jsonl", Prediction)


def test_every_checkpoint_answers_every_item_and_each_answer_is_with_its_question(tmp_path: Path) -> None:
    metrics, predictions = run(tmp_path, "student", "control")
    assert [(p.model, p.item.prompt) for p in predictions] == [(model, prompt) for model in ("student", "control") for prompt, _ in ASKED]
    for prediction in predictions:
        assert prediction.item.prompt.split()[-1].strip(".") in prediction.response
        assert (prediction.finish_reason, prediction.tokens > 0, prediction.seconds > 0) == ("stop", True, True)
    assert (metrics["predictions"], metrics["student_predictions"], metrics["control_predictions"]) == (12, 6, 6)
    assert metrics["tokens"] == sum(p.tokens for p in predictions)
    assert metrics["tokens_per_second"] > 0


def test_a_second_run_gives_the_same_predictions(tmp_path: Path) -> None:
    assert run(tmp_path, "student") == run(tmp_path, "student")


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"checkpoints: no checkpoint folder in it; run train again"):
        run(tmp_path)
