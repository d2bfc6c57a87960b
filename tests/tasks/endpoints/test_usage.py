"""An endpoint's token counts, right or wrong: the reply is kept, its price is plausible, and the spend cap is respected."""

import asyncio
import json

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tasks.endpoints.chat import map_async, user
from tasks.endpoints.ledger import cost
from tasks.endpoints.roles import open_role
from tasks.endpoints.usage import charge, expected, most, prompt_bytes
from tasks.schema.errors import SpendCapReached
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.settings import Price, settings
from tests.tasks.judging.endpoint import serving

MODEL = Model(name="priced", revision="1", temperature=1.0, max_tokens=1000)
PRICE = Price(prompt=10, cached=1, completion=100)
EXPECTED, MOST = Usage(10, 200), Usage(5000, 1000)
ABSENT = "left out"


@pytest.mark.parametrize(
    "reported",
    [
        None,
        [],
        "many",
        7,
        {},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": -5, "completion_tokens": -7500},
        {"prompt_tokens": "12", "completion_tokens": "30"},
        {"prompt_tokens": 12.5, "completion_tokens": 1e30},
        {"prompt_tokens": True, "completion_tokens": [3]},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": {"total": 3}, "completion_tokens": {}},
    ],
    ids=str,
)
def test_what_is_no_count_is_charged_as_expected(reported: object) -> None:
    found = charge(reported, expected=EXPECTED, most=MOST, empty=False)
    assert found.usage == EXPECTED
    assert found.problem


def test_a_count_that_can_be_true_is_charged_as_it_is() -> None:
    reported = {"prompt_tokens": 12, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 8}}
    assert charge(reported, expected=EXPECTED, most=MOST, empty=False) == (Usage(12, 30, 8), None)
    assert charge(reported | {"prompt_tokens_details": None}, expected=EXPECTED, most=MOST, empty=False) == (Usage(12, 30, 0), None)
    assert charge({"prompt_tokens": 12, "completion_tokens": 0}, expected=EXPECTED, most=MOST, empty=True) == (Usage(12, 0, 0), None)


@pytest.mark.parametrize("count", [2**63, 10**30, 10**6])
def test_a_count_above_what_the_request_can_take_is_cut_to_it(count: int) -> None:
    found = charge({"prompt_tokens": count, "completion_tokens": count}, expected=EXPECTED, most=MOST, empty=False)
    assert found.usage == MOST


@pytest.mark.parametrize("cached", [13, -1, 10**30, "8", 8.0, True, {}])
def test_a_count_of_cached_tokens_that_cannot_be_true_makes_nothing_cheaper(cached: object) -> None:
    reported = {"prompt_tokens": 12, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": cached}}
    assert charge(reported, expected=EXPECTED, most=MOST, empty=False).usage == Usage(12, 30, 0)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2), max_leaves=3
)
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": VALUES,
        "completion_tokens": VALUES,
        "prompt_tokens_details": VALUES | st.fixed_dictionaries({}, optional={"cached_tokens": VALUES}),
    },
)


@given(VALUES | REPORTS, st.booleans())
def test_whatever_is_reported_the_charge_is_one_that_the_request_can_have(reported: object, empty: bool) -> None:
    usage = charge(reported, expected=EXPECTED, most=MOST, empty=empty).usage
    assert all(type(count) is int for count in usage)
    assert 1 <= usage.prompt <= MOST.prompt
    assert 0 <= usage.cached <= usage.prompt
    assert (0 if empty else 1) <= usage.completion <= MOST.completion
    assert 0 < cost(usage, PRICE) <= cost(MOST, PRICE)


def ask_all(count: int) -> float:
    """The dollars that so many requests cost, by the role's account."""

    async def go() -> float:
        async with open_role("judge", MODEL) as chat:
            await map_async(range(count), lambda number: chat(user(f"Name a loaf, {number}.")._replace(words=100)), unit="call", label=None)
            return chat.account.dollars

    return asyncio.run(go())


@pytest.mark.parametrize(
    "reported",
    [
        ABSENT,
        "null",
        '{"prompt_tokens": -1000000, "completion_tokens": -7500000000}',
        '{"prompt_tokens": 9, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 900000000}}',
        '{"prompt_tokens": 184467440737095516160, "completion_tokens": 1e400}',
        '{"prompt_tokens": "9", "completion_tokens": "9"}',
        '{"prompt_tokens": 9.5, "completion_tokens": NaN}',
        "[1, 2, 3]",
    ],
)
def test_the_cap_is_kept_to_the_reply_is_kept_and_one_line_says_what_was_wrong(
    reported: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONGWRITER_PRICES", json.dumps({"priced": PRICE.model_dump()}))
    monkeypatch.setenv("LONGWRITER_SPEND_CAP", "0.10")
    monkeypatch.setenv("LONGWRITER_CONCURRENCY", "4")
    served = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal served
        served += 1
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rye. \ud800"}}
        body = json.dumps({"choices": [choice]})
        usage = "" if reported == ABSENT else f', "usage": {reported}'
        return web.Response(text=body[:-1] + usage + "}", content_type="application/json")

    with serving(answer):
        first = ask_all(4)
        assert 0 < first <= 4 * cost(most(prompt_bytes(user("Name a loaf, 3.")), 200), PRICE)
        assert ask_all(4) == 0  # replayed
        assert served == 4
        with pytest.raises(SpendCapReached):
            ask_all(200)
        assert served < 60
        monkeypatch.setenv("LONGWRITER_SPEND_CAP", "50")
        settings.cache_clear()
        before = served
        ask_all(200)
        assert served == 200  # none of those that were answered before is asked again
        assert before < 200
    said = [line for line in capsys.readouterr().err.splitlines() if "charged" in line]
    assert len(said) <= 3  # once for each time that the role was opened and asked
    if "900000000" not in reported:
        assert "such replies are charged what their requests are expected to take" in said[0]


def test_what_a_request_is_expected_to_take_is_within_what_it_can_take() -> None:
    for words in (None, 1, 10**9):
        request = user("Write 400 words about bread.")._replace(words=words)
        assert expected(request, 1000).prompt <= most(prompt_bytes(request), 1000).prompt
        assert expected(request, 1000).completion <= most(prompt_bytes(request), 1000).completion == 1000
