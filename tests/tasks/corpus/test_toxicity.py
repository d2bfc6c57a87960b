import pytest

from tasks.corpus.filters import FilteredPrompt, fault
from tasks.corpus.toxicity import toxic_word
from tasks.schema.params import load
from tasks.schema.records import Reason
from tasks.sources.adapters import RawPrompt
from tests.conftest import ROOT

COLLECT = load(ROOT / "profiles/rehearsal.yaml").collect


@pytest.mark.parametrize("text", ["Write a 400-word NSFW tale", "an erotic story of 400 words", "写一篇400字的色情小说"])
def test_a_word_of_the_list_is_toxic_unless_the_list_is_off(text: str) -> None:
    found = fault(FilteredPrompt(RawPrompt(text)), COLLECT)
    assert found
    assert found[0] is Reason.TOXIC
    assert fault(FilteredPrompt(RawPrompt(text)), COLLECT.model_copy(update={"toxicity": "off"})) is None
    assert fault(FilteredPrompt(RawPrompt(text, toxic=True)), COLLECT.model_copy(update={"toxicity": "off"})) == (
        Reason.TOXIC,
        "flagged by the source",
    )


@pytest.mark.parametrize(
    "text",
    [
        "the Essex coast and its cocktails",
        "a report on sex education",
        "Scunthorpe's history",
        "a war novel full of killing",
        "高潮迭起的故事",
    ],
)
def test_a_hard_subject_and_an_unlucky_spelling_are_not(text: str) -> None:
    assert toxic_word(text.lower()) is None
