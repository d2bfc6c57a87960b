"""The sample stage over HTTP: every drawn prompt gets the number of answers in params, and nothing is served if alignment is off."""

from pathlib import Path

import pytest

from tasks import sample, store
from tasks.corpus.dataset import write_dataset
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, SampleSection
from tasks.schema.records import Message, Prediction, Sample

REHEARSAL = Model(name="rehearsal-candidate", revision="1", temperature=0.5, max_tokens=500)


def run(tmp_path: Path, *, prompts: int, model: Model = REHEARSAL) -> tuple[dict[str, float], list[Prediction]]:
    write_dataset(tmp_path / "dataset", [one(number) for number in range(10)])
    (tmp_path / "out").mkdir()
    wanted = SampleSection(version=1, prompts=prompts, answers=4)
    metrics = sample.run(tmp_path / "dataset", tmp_path / "checkpoints", tmp_path / "out", seed=1, sample=wanted, candidate_model=model)
    answers = tmp_path / "out/answers.jsonl"
    return dict(metrics), store.read_list(answers, Prediction) if answers.stat().st_size else []


def one(number: int) -> Sample:
    ask = Message(role="user", content=f"Write a 100-word essay about ferries, version {number}.")
    said = (ask, Message(role="assistant", content="Ferries cross rivers."))
    return Sample(
        id=f"{number:03}", messages=said, language="en", asked_words=100, written_words=3, paragraphs=1, source=f"pool.jsonl:{number + 1}"
    )


def test_each_request_has_its_answers_together_drawn_apart(tmp_path: Path) -> None:
    (tmp_path / "checkpoints/student").mkdir(parents=True)
    metrics, answers = run(tmp_path, prompts=3)
    assert (metrics["prompts"], metrics["predictions"]) == (3, 12)
    assert [answer.sample for answer in answers] == [0, 1, 2, 3] * 3
    assert len({answer.item.id for answer in answers}) == 3
    for answer in answers:
        assert (answer.model, answer.item.length, answer.finish_reason) == ("student", 100, "stop")
        assert len({other.response for other in answers if other.item.id == answer.item.id}) == 4


def test_without_requests_nothing_is_served(tmp_path: Path) -> None:
    assert run(tmp_path, prompts=0, model=REHEARSAL.model_copy(update={"name": "student"})) == (
        {"prompts": 0, "predictions": 0, "tokens": 0, "cut_at_max_tokens": 0},
        [],
    )


def test_a_student_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"student: no such checkpoint; fix: run the train stage again"):
        run(tmp_path, prompts=3)
