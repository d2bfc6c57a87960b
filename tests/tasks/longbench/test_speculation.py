"""Speculative decoding: vLLM's arguments, and the comparison that refuses a setting."""

import json
from pathlib import Path

import pytest

from tasks import store
from tasks.endpoints.launch import note_speculation, speculative
from tasks.longbench.speculation import compared
from tasks.rehearsal.prose import paragraph
from tasks.schema.errors import BadInput, BadSettings
from tasks.schema.records import BenchmarkItem, Prediction
from tasks.schema.settings import Settings

LOOP = "He knew that it was the only thing that he could do. " * 40


def text(number: int, words: int = 300) -> str:
    return paragraph(topic="bread", language="en", words=words, part=number + 1, parts=99, seed=1)


def written(path: Path, texts: list[str], *, seconds: float = 2.0) -> Path:
    def one(number: int, response: str) -> Prediction:
        item = BenchmarkItem(id=f"p{number}", prompt=f"Write 300 words about loaf {number}.", type="News", length=300, language="en")
        return Prediction(item=item, model="student", response=response, finish_reason="stop", tokens=400, seconds=seconds)

    store.write(path, [one(number, response) for number, response in enumerate(texts)])
    return path


def test_equal_answers_are_not_refused_and_the_speed_is_told(tmp_path: Path) -> None:
    texts = [text(number) for number in range(12)]
    found = compared(written(tmp_path / "a", texts), written(tmp_path / "b", texts, seconds=1.0))
    assert found.refused is None
    assert (found.answers, found.identical, found.tokens_per_second) == (12, 12, pytest.approx(2.0))


def test_a_setting_whose_answers_loop_more_is_refused(tmp_path: Path) -> None:
    good = [text(number) for number in range(12)]
    bad = [LOOP if number % 2 else one for number, one in enumerate(good)]
    found = compared(written(tmp_path / "a", good), written(tmp_path / "b", bad))
    assert found.refused
    assert "more answers loop" in found.refused
    assert compared(tmp_path / "b", tmp_path / "a").refused is None, "fewer loops are no reason"


def test_a_setting_whose_answers_are_shorter_is_refused_and_one_bad_answer_is_chance(tmp_path: Path) -> None:
    good = [text(number) for number in range(12)]
    short = [text(number, 150) for number in range(12)]
    found = compared(written(tmp_path / "a", good), written(tmp_path / "b", short))
    assert found.refused
    assert "S_l falls" in found.refused
    assert compared(tmp_path / "a", written(tmp_path / "c", [short[0], *good[1:]])).refused is None


def test_files_of_other_prompts_are_one_clear_line(tmp_path: Path) -> None:
    one, two = written(tmp_path / "a", [text(1)]), written(tmp_path / "b", [text(1), text(2)])
    for pair in ((one, two), (two, one)):
        with pytest.raises(BadInput, match="no answer to p1, sample 0; fix: write both files with the same prompts"):
            compared(*pair)


def test_the_arguments_are_those_of_vllm(tmp_path: Path) -> None:
    def config(**changes: object) -> dict[str, object] | None:
        words = speculative(Settings(home=tmp_path / "home", **changes))  # type: ignore[arg-type]
        assert words[:1] == (["--speculative-config"] if words else [])
        return dict(json.loads(words[1])) if words else None

    assert config() is None
    assert config(speculation="ngram") == {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 4}
    assert config(speculation="suffix", speculative_tokens=32) == {"method": "suffix", "num_speculative_tokens": 32}
    with pytest.raises(BadSettings, match="LONGWRITER_DRAFT_MODEL: no model folder"):
        config(speculation="draft_model", draft_model=tmp_path)
    (tmp_path / "config.json").write_text("{}")
    draft = {"method": "draft_model", "num_speculative_tokens": 5, "model": str(tmp_path)}
    assert config(speculation="draft_model", draft_model=tmp_path) == draft


def test_a_refused_setting_is_not_served_until_a_comparison_passes(tmp_path: Path) -> None:
    own = Settings(home=tmp_path / "home", speculation="ngram")
    note_speculation(own, "more answers loop")
    with pytest.raises(BadSettings, match=r"compared ngram and refused it \(more answers loop\)"):
        speculative(own)
    assert speculative(own.model_copy(update={"speculative_tokens": 3})), "another setting"
    note_speculation(own, None)
    assert speculative(own)
