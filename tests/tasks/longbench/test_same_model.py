"""Another form of a model is that model if its lengths and loops are within the original's intervals."""

from pathlib import Path

import pytest

from tasks import store
from tasks.longbench.same_model import FEWEST, same_model
from tasks.schema.errors import BadInput
from tasks.schema.records import BenchmarkItem, Prediction

ASKED = 100


def text(number: int, words: int) -> str:
    return " ".join(f"word{number}x{place}" for place in range(words))


def written(path: Path, texts: list[str]) -> Path:
    def one(number: int, response: str) -> Prediction:
        item = BenchmarkItem(id=f"p{number}", prompt=f"Write {ASKED} words about loaf {number}.", type="News", length=ASKED, language="en")
        return Prediction(item=item, model="m", response=response, finish_reason="stop", tokens=200, seconds=1.0)

    store.write(path, [one(number, response) for number, response in enumerate(texts)])
    return path


def answers(*, more: int = 0) -> list[str]:
    """Twelve answers of 80 to 124 words, and more."""
    return [text(number, 80 + 4 * number + more) for number in range(12)]


def test_the_same_answers_are_of_the_same_model(tmp_path: Path) -> None:
    found = same_model(written(tmp_path / "a", answers()), written(tmp_path / "b", answers()))
    assert (found.refused, found.identical, found.prompts, found.s_l) == (None, 12, 12, found.s_l_other)
    assert str(found).startswith("12 answers to 12 prompts: S_l ")


def test_answers_that_differ_as_two_draws_do_are_of_the_same_model(tmp_path: Path) -> None:
    found = same_model(written(tmp_path / "a", answers()), written(tmp_path / "b", answers(more=2)))
    assert (found.refused, found.identical) == (None, 0)


@pytest.mark.parametrize("more", [200, -78])
def test_answers_of_other_lengths_are_of_another_model(tmp_path: Path, more: int) -> None:
    found = same_model(written(tmp_path / "a", answers()), written(tmp_path / "b", answers(more=more)))
    assert found.refused
    assert found.refused.startswith("its S_l is ")


def test_answers_that_loop_are_of_another_model(tmp_path: Path) -> None:
    looping = [" ".join(["the same few words again"] * (len(answer.split()) // 5)) for answer in answers()]
    found = same_model(written(tmp_path / "a", answers()), written(tmp_path / "b", looping))
    assert found.refused
    assert found.refused.startswith("100.0% of its answers loop")


def test_an_original_that_scores_nothing_proves_nothing(tmp_path: Path) -> None:
    found = same_model(written(tmp_path / "a", [""] * 12), written(tmp_path / "b", [""] * 12))
    assert found.refused
    assert "too low to tell another model from it" in found.refused


def test_few_or_other_prompts_are_refused(tmp_path: Path) -> None:
    few = written(tmp_path / "few", answers()[: FEWEST - 1])
    with pytest.raises(BadInput, match=rf"{FEWEST - 1} prompts tell no two models apart; fix: give at least {FEWEST} prompts"):
        same_model(few, few)
    with pytest.raises(BadInput, match="sample 0, is in one file alone"):
        same_model(written(tmp_path / "a", answers()), few)
