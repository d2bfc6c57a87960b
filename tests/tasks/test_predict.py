import json
from pathlib import Path

import pytest

from tasks import predict, store
from tasks.endpoints.launch import launch_of
from tasks.models.gguf import convert
from tasks.schema.errors import BadInput
from tasks.schema.params import Base, Model, Predict
from tasks.schema.records import Prediction
from tasks.schema.settings import settings
from tasks.training.base_candidate import base_folder
from tests.tasks.models.gguf_files import write_gguf

TRAINING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
REHEARSAL = Model(name="rehearsal-candidate", revision="1", temperature=0.5, max_tokens=500)
ASKED = [(f"Write a {length}-word essay about {topic}.", length) for length in (50, 100) for topic in ("bread", "ferries", "owls")]


def run(tmp_path: Path, *models: str, samples: int = 1, base: str = "") -> tuple[dict[str, float], list[Prediction]]:
    benchmark, out = tmp_path / "benchmark.jsonl", tmp_path / "out"
    benchmark.write_text("".join(json.dumps({"prompt": prompt, "type": "News", "length": length}) + "\n" for prompt, length in ASKED))
    for model in models:
        (tmp_path / "checkpoints" / model).mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkpoints" / model / "config.json").write_text(model)
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    (tmp_path / "aligned").mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    metrics = predict.run(
        benchmark,
        tmp_path / "checkpoints",
        tmp_path / "aligned",
        out,
        seed=1,
        base=Base(model=base or "tiny", revision="", remote_code=False),
        predict=Predict(version=1, samples=samples, base=bool(base)),
        candidate_model=REHEARSAL,
    )
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


def test_the_aligned_student_answers_after_the_student_and_before_the_control(tmp_path: Path) -> None:
    (tmp_path / "aligned/aligned").mkdir(parents=True)
    (tmp_path / "aligned/aligned/config.json").write_text("aligned")
    _, predictions = run(tmp_path, "control", "student")
    assert list(dict.fromkeys(p.model for p in predictions)) == ["student", "aligned", "control"]


def test_how_an_answer_was_drawn_is_recorded_with_it(tmp_path: Path) -> None:
    _, predictions = run(tmp_path, "student")
    drawn = predictions[0].decoding
    assert drawn is not None
    assert (drawn.name, drawn.temperature, drawn.max_tokens, drawn.seed) == ("rehearsal-candidate", 0.5, 500, 1)
    assert drawn.checkpoint is None  # the rehearsal answered, not the folder


def test_several_answers_to_each_prompt_stand_together_and_are_drawn_apart(tmp_path: Path) -> None:
    metrics, predictions = run(tmp_path, "student", samples=3)
    assert [(p.item.prompt, p.sample) for p in predictions] == [(prompt, sample) for prompt, _ in ASKED for sample in range(3)]
    assert metrics["predictions"] == 18
    assert all(len({p.response for p in predictions if p.item.prompt == prompt}) == 3 for prompt, _ in ASKED)
    _, one = run(tmp_path, "student")
    assert [p.response for p in one] == [p.response for p in predictions if p.sample == 0]


def test_a_second_run_gives_the_same_predictions(tmp_path: Path) -> None:
    assert run(tmp_path, "student") == run(tmp_path, "student")


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"checkpoints: the folder has no checkpoint; fix: run the train stage again"):
        run(tmp_path)


def test_the_base_model_is_a_candidate_of_its_own_and_answers_before_the_control(tmp_path: Path) -> None:
    write_gguf(tmp_path / "weights.gguf")
    metrics, predictions = run(tmp_path, "control", "student", base=str(tmp_path / "weights.gguf"))
    assert list(dict.fromkeys(p.model for p in predictions)) == ["student", "base", "control"]
    assert metrics["base_predictions"] == len(ASKED)


def test_a_base_that_has_no_weights_before_the_training_is_no_candidate() -> None:
    with pytest.raises(BadInput, match="`tiny` has no weights before it is trained; fix: set it to false"):
        base_folder(Base(model="tiny", revision="", remote_code=False))


def test_a_base_without_a_chat_template_is_served_with_the_one_that_its_student_is_trained_with(tmp_path: Path) -> None:
    write_gguf(tmp_path / "weights.gguf")
    convert(tmp_path / "weights.gguf", tmp_path / "plain")
    (tmp_path / "plain/chat_template.jinja").unlink()
    (tmp_path / "form.jinja").write_text(TRAINING)
    given = Base(model=str(tmp_path / "plain"), revision="", remote_code=False, chat_template=str(tmp_path / "form.jinja"))
    folder = base_folder(given)
    assert folder != tmp_path / "plain"
    assert (folder / "chat_template.jinja").read_text() == (tmp_path / "form.jinja").read_text()
    assert launch_of(folder, settings(), 1234).words
