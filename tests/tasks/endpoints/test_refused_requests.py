"""A request that stays refused is rejected; an endpoint that refuses all requests stops the run, in first and later runs."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import pytest
from aiohttp import web

from tasks.endpoints.chat import Reply, user
from tasks.endpoints.retrying import PROBE
from tasks.endpoints.roles import open_role
from tasks.schema.errors import EndpointError, Unanswered
from tasks.schema.params import Model
from tests.tasks.judging.endpoint import serving

MODEL = Model(name="some-model", revision="1", temperature=1.0, max_tokens=100)
ANSWER = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rye."}}]}
FAR = {"Retry-After": "86400"}

Refusal = tuple[int, dict[str, str]]
Refuse = Callable[[str], Refusal | None]


class Endpoint:
    """Answers what `refuse` lets through, and counts what it is asked."""

    def __init__(self, refuse: Refuse) -> None:
        self.refuse, self.asked = refuse, Counter[str]()

    async def complete(self, request: web.Request) -> web.Response:
        text = str((await request.json())["messages"][0]["content"])
        self.asked[text] += 1
        if refusal := self.refuse(text):
            status, headers = refusal
            return web.json_response({"error": {"message": "not this one"}}, status=status, headers=headers)
        return web.json_response(ANSWER)


def ask(*texts: str, stop: bool = False) -> dict[str, Reply | BaseException]:
    """What came of each request. With `stop` the first error ends the run, as in a stage."""

    async def go() -> list[Reply | BaseException]:
        async with open_role("judge", MODEL) as chat:
            return await asyncio.gather(*(chat(user(text)) for text in texts), return_exceptions=not stop)

    return dict(zip(texts, asyncio.run(go()), strict=True))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_PATIENCE", "1.5")
    monkeypatch.setenv("LONGWRITER_RETRIES", "2")
    monkeypatch.setenv("LONGWRITER_CONCURRENCY", "4")


FIRST: list[Refusal] = [(429, {}), (503, FAR), (500, FAR), (403, {}), (413, {})]  # of each kind one
REFUSALS: list[Refusal] = [(429, FAR), (503, {}), (401, {}), (402, {}), (451, {})]
SLOW = [pytest.param(refusal, marks=pytest.mark.slow) for refusal in REFUSALS]


@pytest.mark.integration
@pytest.mark.parametrize("refusal", [*FIRST, *SLOW], ids=str)
def test_one_request_refused_while_others_are_answered_is_its_own_affair_on_every_run(refusal: Refusal) -> None:
    texts = [f"loaf {number}" for number in range(12)]
    bad = {"loaf 0", "loaf 7"}
    endpoint = Endpoint(lambda text: refusal if text in bad else None)
    with serving(endpoint.complete):
        for _ in range(2):
            found = ask(*texts)
            assert {text for text, result in found.items() if isinstance(result, Unanswered)} == bad
            assert sum(isinstance(result, Reply) for result in found.values()) == 10
            assert "not this one" in str(found["loaf 7"])
    assert all(endpoint.asked[text] == 1 for text in texts if text not in bad)


@pytest.mark.integration
@pytest.mark.parametrize("refusal", [*FIRST[:-1], *SLOW[:-1]], ids=str)
def test_an_endpoint_that_refuses_everybody_stops_the_run_and_what_was_answered_is_kept(refusal: Refusal) -> None:
    closed = False
    endpoint = Endpoint(lambda _: refusal if closed else None)
    with serving(endpoint.complete):
        ask("loaf 0", "loaf 1")
        closed = True
        begun = time.monotonic()
        for _ in range(2):
            with pytest.raises((EndpointError, Unanswered)) as error:
                ask(*(f"loaf {number}" for number in range(30)), stop=True)
            assert isinstance(error.value, EndpointError) or refusal[0] == 500
        assert time.monotonic() - begun < 60  # not the day that it asks for
        closed = False
        assert all(isinstance(result, Reply) for result in ask(*(f"loaf {number}" for number in range(30))).values())
    assert endpoint.asked["loaf 0"] == endpoint.asked["loaf 1"] == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_for_everybody_is_the_keys_fault(status: int) -> None:
    endpoint = Endpoint(lambda _: (status, {}))
    with serving(endpoint.complete), pytest.raises(EndpointError, match=rf"{status}, the key was refused; set LONGWRITER_JUDGE_API_KEY"):
        ask("loaf", stop=True)


def test_a_harmless_request_is_sent_only_where_no_answer_tells() -> None:
    endpoint = Endpoint(lambda text: (400, {}) if text == "bad" else None)
    with serving(endpoint.complete):
        ask("bad", "loaf")
        ask("bad")
    assert endpoint.asked[PROBE] == 0
    endpoint = Endpoint(lambda text: (403, {}) if text == "worse" else None)
    with serving(endpoint.complete):
        assert isinstance(ask("worse")["worse"], Unanswered)
    assert endpoint.asked[PROBE] == 1


@pytest.mark.parametrize("said", ["86400", "1e400", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("status", [500, 429])
def test_a_pause_that_is_longer_than_patience_is_not_made(status: int, said: str) -> None:
    endpoint = Endpoint(lambda text: (status, {"Retry-After": said}) if text == "slow" else None)
    with serving(endpoint.complete):
        begun = time.monotonic()
        assert isinstance(ask("slow", "loaf")["slow"], Unanswered)
        assert time.monotonic() - begun < 60


def test_an_endpoint_that_accepts_no_request_at_all_stops_the_run() -> None:
    endpoint = Endpoint(lambda _: (400, {}))
    with serving(endpoint.complete):
        found = ask(*(f"loaf {number}" for number in range(40)))
    assert any(isinstance(result, EndpointError) for result in found.values())


def test_a_refused_request_is_its_own_affair_where_the_harmless_one_is_not_liked_either() -> None:
    endpoint = Endpoint(lambda text: (429, FAR) if text == "bad" else (422, {}))
    with serving(endpoint.complete):
        assert isinstance(ask("bad")["bad"], Unanswered)
