"""Published forms of preference rows: each is read as the pair it means, or refused by the name of the field."""

from typing import Any

import pytest

from tasks.schema.params import Collect, GeneralPairs, Source, load
from tasks.schema.records import Message
from tasks.sources.preferences import Preference, TiedPreference, preference_of
from tasks.sources.turns import Misfit
from tests.conftest import ROOT

ASK, GOOD, BAD = "Name a bird.", "The heron.", "Bird."
USER, BETTER, WORSE = ({"role": role, "content": text} for role, text in (("user", ASK), ("assistant", GOOD), ("assistant", BAD)))
PROMPT = (Message(role="user", content=ASK),)
WANTED = Preference(PROMPT, GOOD, BAD)
EARLIER = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASK, "chosen": GOOD, "rejected": BAD},
        {"Question": ASK, "Chosen": GOOD, "Rejected": BAD},
        {"instruction": "Name", "input": "", "chosen": GOOD, "rejected": BAD, "output": "", "instruction_id": 3} | {"instruction": ASK},
        {"chosen": [USER, BETTER], "rejected": [USER, WORSE]},
        {"prompt": ASK, "prompt_id": "1", "chosen": [USER, BETTER], "rejected": [USER, WORSE], "messages": [USER, BETTER]}
        | {"score_chosen": 8.5, "score_rejected": 7.0},
        {"prompt": [USER], "chosen": [BETTER], "rejected": [WORSE]},
        {"prompt": ASK, "chosen": [BETTER], "rejected": [WORSE]},
        {"conversations": [{"from": "human", "value": ASK}], "chosen": {"from": "gpt", "value": GOOD}}
        | {"rejected": {"from": "gpt", "value": BAD}},
        {"chosen": f"\n\nHuman: {ASK}\n\nAssistant: {GOOD}", "rejected": f"\n\nHuman: {ASK}\n\nAssistant: {BAD}"},
        {"question": ASK, "response_j": GOOD, "response_k": BAD},
        {"question": ASK, "response_a": BAD, "response_b": GOOD, "winner": "model_b"},
        {"conversation_a": [USER, BETTER], "conversation_b": [USER, WORSE], "winner": "model_a", "turn": 1},
        {"prompt": ASK, "response_a": BAD, "response_b": GOOD, "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
        {"prompt": ASK, "response_1": GOOD, "response_2": BAD, "preference_strength": -2},
        {"instruction": ASK, "input": "", "output_1": BAD, "output_2": GOOD, "preference": 2},
        {"prompt": ASK, "response_0": BAD, "response_1": GOOD, "better_response_id": 1},
        {"prompt": ASK, "human_ref_A": GOOD, "human_ref_B": BAD, "labels": 1},
        {
            "instruction": ASK,
            "completions": [{"response": text, "overall_score": score} for text, score in ((BAD, 2), ("A duck.", 5), (GOOD, 8))],
        },
        {"prompt": ASK, "answers": [{"answer": GOOD, "rank": 1.0}, {"answer": "A duck.", "rank": 2.0}, {"answer": BAD, "rank": 7.0}]},
    ],
)
def test_rows_of_every_known_form_become_the_pair_they_mean(row: dict[str, Any]) -> None:
    assert preference_of(row) == WANTED


def test_earlier_turns_and_the_system_turn_belong_to_the_prompt() -> None:
    before = tuple(Message.model_validate(turn) for turn in EARLIER)
    both = {"chosen": [*EARLIER, USER, BETTER], "rejected": [*EARLIER, USER, WORSE]}
    assert preference_of(both) == Preference((*before, *PROMPT), GOOD, BAD)
    assert preference_of({"prompt": [*EARLIER, USER], "chosen": GOOD, "rejected": BAD}) == Preference((*before, *PROMPT), GOOD, BAD)
    told = {"system": "Be brief.", "question": ASK, "chosen": GOOD, "rejected": BAD}
    assert preference_of(told) == Preference((before[0], *PROMPT), GOOD, BAD)
    text = "\n\nHuman: Hello.\n\nAssistant: Hello!"
    spoken = {"chosen": f"{text}\n\nHuman: {ASK}\n\nAssistant: {GOOD}", "rejected": f"{text}\n\nHuman: {ASK}\n\nAssistant: {BAD}"}
    assert preference_of(spoken) == Preference((*before[1:], *PROMPT), GOOD, BAD)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prompt": ASK, "response": GOOD}, "no preference: columns such as chosen and rejected are wanted; there are prompt, response"),
        ({"chosen": GOOD, "rejected": BAD}, "missing field"),
        ({"prompt": ASK, "chosen": None, "rejected": BAD}, "chosen: null, a text is wanted"),
        ({"prompt": ASK, "chosen": GOOD, "rejected": 3}, r"rejected: a text is wanted, got a number \(3\)"),
        ({"chosen": [USER, BETTER], "rejected": [{**USER, "content": "Name a fish."}, WORSE]}, "differ from turn 0 on"),
        ({"chosen": [USER, BETTER], "rejected": [USER, BETTER, USER, WORSE]}, "differ from turn 1 on"),
        ({"chosen": [USER, BETTER, USER], "rejected": [USER, WORSE, USER]}, "chosen: an answer of the assistant to the user is wanted"),
        ({"prompt": ASK, "chosen": [BETTER, WORSE], "rejected": BAD}, "chosen: 2 turns of the assistant, one answer is wanted"),
        (
            {"prompt": ASK, "chosen": GOOD, "rejected": BAD, "score_chosen": 1, "score_rejected": 2},
            "score_chosen: 1 is below score_rejected, 2",
        ),
        ({"prompt": ASK, "response_a": GOOD, "response_b": BAD, "winner": "me"}, "winner: model_a, model_b or tie is wanted"),
        ({"prompt": ASK, "response_a": GOOD, "response_b": BAD}, "no preference"),
        ({"prompt": ASK, "completions": [{"response": GOOD}]}, "completions: two answers with a score"),
        ({"prompt": ASK, "completions": [{"score": 1}, {"score": 2}]}, r"completions\.1\.response: missing field"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_by_the_name_of_its_field(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(Misfit, match=problem) as refused:
        preference_of(row)
    assert not isinstance(refused.value, TiedPreference)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASK, "chosen": GOOD, "rejected": f" {GOOD}\n"},
        {"prompt": ASK, "chosen": GOOD, "rejected": BAD, "chosen_rating": 4, "rejected_rating": 4.0},
        {"prompt": ASK, "response_a": GOOD, "response_b": BAD, "winner": "tie (bothbad)"},
        {"prompt": ASK, "response_1": GOOD, "response_2": BAD, "preference_strength": 0},
        {"prompt": ASK, "answers": [{"answer": GOOD, "rank": 1}, {"answer": BAD, "rank": 1}]},
    ],
)
def test_a_tie_is_no_preference(row: dict[str, Any]) -> None:
    with pytest.raises(TiedPreference):
        preference_of(row)


def source(adapter: str) -> dict[str, Any]:
    return {"name": "a", "files": ["a.jsonl"], "format": "auto", "adapter": adapter, "revision": "", "licence": "x"}


def test_pairs_are_read_for_alignment_and_nothing_else_is() -> None:
    assert GeneralPairs(ratio=1, sources=[Source.model_validate(source("preference"))]).ratio == 1
    with pytest.raises(ValueError, match="the adapter alpaca reads no pairs of answers"):
        GeneralPairs.model_validate({"ratio": 1, "sources": [source("alpaca")]})
    with pytest.raises(ValueError, match=r"for build_pairs\.general alone"):
        Collect.model_validate(load(ROOT / "profiles/rehearsal.yaml").collect.model_dump() | {"sources": [source("preference")]})
    with pytest.raises(ValueError, match="ratio 2 without a source"):
        GeneralPairs(ratio=2, sources=[])
