"""Which training prompts are answered again."""

import random

from tasks.schema.records import Message, Sample
from tasks.training.pair_requests import draw


def sample(number: int, *, asked: int | None = 100, turns: int = 2) -> Sample:
    said = tuple(Message(role="assistant" if turn % 2 else "user", content=f"Turn {turn} of {number}.") for turn in range(turns))
    return Sample(
        id=f"{number:04}", messages=said, language="en", asked_words=asked, written_words=90, paragraphs=2, source=f"pool.jsonl:{number}"
    )


SAMPLES = [sample(number) for number in range(200)]


def test_the_draw_knows_ids_and_seed_and_no_order() -> None:
    drawn = draw(SAMPLES, count=20, seed=1)
    assert len({item.id for item in drawn}) == 20
    assert draw(random.Random(3).sample(SAMPLES, 200), count=20, seed=1) == drawn
    assert draw(SAMPLES, count=20, seed=2) != drawn


def test_more_requests_are_the_same_and_others_and_what_is_left_out_moves_none() -> None:
    drawn = draw(SAMPLES, count=40, seed=1)
    assert drawn[:20] == draw(SAMPLES, count=20, seed=1)
    without = [one for one in SAMPLES if one.id != drawn[5].id]
    assert draw(without, count=39, seed=1) == [*drawn[:5], *drawn[6:]]


def test_a_request_is_asked_as_in_training_with_its_length() -> None:
    (item,) = draw([sample(7)], count=5, seed=1)
    assert (item.id, item.prompt, item.length, item.language) == ("0007", "Turn 0 of 7.", 100, "en")


def test_chats_of_several_turns_and_general_data_are_no_requests() -> None:
    assert draw([sample(1, turns=4), sample(2, asked=None), sample(3, turns=1)], count=5, seed=1) == []
