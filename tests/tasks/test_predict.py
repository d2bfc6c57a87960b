import json
import re
from pathlib import Path

import pytest

from tasks import predict, store
from tasks.endpoints.launch import launch_of
from tasks.endpoints.ledger import totals
from tasks.endpoints.replay import read_journal
from tasks.models.gguf import convert
from tasks.schema.errors import BadInput, BadParams
from tasks.schema.params import Base, Model, Predict, load
from tasks.schema.records import Prediction
from tasks.schema.settings import settings
from tasks.text.degeneration import looped
from tasks.training.base_candidate import base_folder
from tests.conftest import ROOT
from tests.tasks.models.gguf_files import write_gguf
from tests.tasks.workspace import endpoint

TRAINING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
REHEARSAL = Model(name="rehearsal-candidate", revision="1", temperature=0.5, max_tokens=500)
ASKED = [(f"Write a {length}-word essay about {topic}.", length) for length in (50, 100) for topic in ("bread", "ferries", "owls")]


def run(
    tmp_path: Path, *models: str, samples: int = 1, base: str = "", stop_early: bool = False, max_tokens: int = 500
) -> tuple[dict[str, float], list[Prediction]]:
    benchmark, out = tmp_path / "benchmark.jsonl", tmp_path / "out"
    benchmark.write_text("".join(json.dumps({"prompt": prompt, "type": "News", "length": length}) + "\n" for prompt, length in ASKED))
    for model in models:
        (tmp_path / "checkpoints" / model).mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkpoints" / model / "config.json").write_text(model)
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    (tmp_path / "aligned").mkdir(exist_ok=True)
    (tmp_path / "reinforced").mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    metrics = predict.run(
        benchmark,
        tmp_path / "checkpoints",
        tmp_path / "aligned",
        tmp_path / "reinforced",
        out,
        seed=1,
        base=Base(model=base or "tiny", revision="", remote_code=False),
        predict=Predict(version=1, samples=samples, base=bool(base), stop_early=stop_early),
        candidate_model=REHEARSAL.model_copy(update={"max_tokens": max_tokens}),
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


def test_the_aligned_and_the_reinforced_student_answer_after_the_student_and_before_the_control(tmp_path: Path) -> None:
    for name in ("aligned", "reinforced"):
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / name / "config.json").write_text(name)
    _, predictions = run(tmp_path, "control", "student")
    assert list(dict.fromkeys(p.model for p in predictions)) == ["student", "aligned", "reinforced", "control"]


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


@pytest.mark.integration
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


def test_a_looping_answer_is_stopped_and_asked_again_and_the_last_one_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endpoint(looping=0.5, tokens_per_second=20_000) as calls:
        monkeypatch.setenv("LONGWRITER_CANDIDATE_URL", calls.url)
        for name in ("whole", "stopped"):
            (tmp_path / name).mkdir()
        monkeypatch.setenv("LONGWRITER_HOME", str(tmp_path / "whole/home"))
        settings.cache_clear()
        _, whole = run(tmp_path / "whole", "student", samples=4, max_tokens=4000)
        monkeypatch.setenv("LONGWRITER_HOME", str(tmp_path / "stopped/home"))
        settings.cache_clear()
        _, stopped = run(tmp_path / "stopped", "student", samples=4, stop_early=True, max_tokens=4000)
        again = run(tmp_path / "stopped", "student", samples=4, stop_early=True, max_tokens=4000)[1]
    assert again == stopped
    looping = [sum(looped(p.response) > 0.3 for p in predictions) for predictions in (whole, stopped)]
    assert looping[1] < looping[0]
    assert len(stopped) == len(whole) == 24
    assert all(p.response for p in stopped)
    assert sum(p.tokens for p in stopped) < sum(p.tokens for p in whole)
    (account,) = totals(read_journal(tmp_path / "stopped/home/replay.jsonl"), {}).values()
    assert account.stopped > 0


def test_stopped_answers_of_a_model_that_always_says_the_same_are_refused(tmp_path: Path) -> None:
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    section = params.index("\npredict:")
    params = params[:section] + params[section:].replace("stop_early: false", "stop_early: true", 1)
    cold = re.sub(r"(candidate: .*?temperature: )[0-9.]+", r"\g<1>0.0", params)
    (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
    assert load(tmp_path / "params.yaml").predict.stop_early
    (tmp_path / "params.yaml").write_text(cold, encoding="utf-8")
    with pytest.raises(BadParams, match="temperature 0 gives the stopped answer again"):
        load(tmp_path / "params.yaml")
