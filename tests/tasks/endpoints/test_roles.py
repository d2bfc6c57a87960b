"""Which endpoint serves a role, and that roles can be used together in one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from pydantic import SecretStr

from tasks.endpoints.chat import Reply, user
from tasks.endpoints.replay import JOURNAL, ReplayStore, read_journal
from tasks.endpoints.roles import only_model, open_role
from tasks.rehearsal.endpoint import Switches, rehearsal_server
from tasks.schema.errors import BadSettings, EndpointError, SpendCapReached
from tasks.schema.params import Model
from tasks.schema.settings import Settings, settings
from tests.web import served_app

CANDIDATE = Model(name="rehearsal-candidate", revision="1", temperature=0.5, max_tokens=256)
JUDGE = Model(name="rehearsal-judge", revision="1", temperature=0.5, max_tokens=256)
ASK = "Write a 50-word essay about bread."
NO_KEY = SecretStr("")


@asynccontextmanager
async def listing(answer: web.Response) -> AsyncIterator[str]:
    """The base URL of an endpoint that answers `answer` when it is asked for its models."""

    async def models(_: web.Request) -> web.Response:
        return answer

    application = web.Application()
    application.router.add_get("/v1/models", models)
    async with served_app(application) as url:
        yield url


def model_of(answer: web.Response) -> str:
    async def go() -> str:
        async with listing(answer) as url:
            return await only_model(url, NO_KEY)

    return asyncio.run(go())


def test_both_judges_may_be_open_at_once_and_share_the_journal() -> None:
    async def go() -> list[Reply]:
        async with open_role("judge", JUDGE) as first, open_role("second_judge", CANDIDATE) as second:
            replies = [await first(user(ASK)), await second(user(ASK))]
        async with open_role("second_judge", CANDIDATE) as second:
            assert await second(user(ASK)) == replies[1]
            assert second.account.replayed == 1
        return replies

    asyncio.run(go())
    assert [(paid.role, paid.model) for paid in read_journal(settings().home / JOURNAL)] == [
        ("judge", JUDGE.name),
        ("second_judge", CANDIDATE.name),
    ]
    ReplayStore(settings().home / JOURNAL).close()  # nobody holds it any more


def test_the_role_that_is_left_open_keeps_the_journal() -> None:
    async def go() -> int:
        async with open_role("judge", JUDGE) as judge:
            async with open_role("second_judge", CANDIDATE):
                pass
            await judge(user(ASK))
        return len(list(read_journal(settings().home / JOURNAL)))

    assert asyncio.run(go()) == 1


def test_a_url_that_is_given_goes_before_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_CANDIDATE_URL", "http://127.0.0.1:9/v1")
    settings.cache_clear()

    async def go() -> Reply:
        async with rehearsal_server(Switches()) as url, open_role("candidate", CANDIDATE, url=url) as chat:
            return await chat(user(ASK))

    assert asyncio.run(go()).text


def test_a_paid_model_at_a_given_url_has_its_price_under_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWRITER_SPEND_CAP", "1")
    settings.cache_clear()

    async def go() -> None:
        async with open_role("candidate", CANDIDATE.model_copy(update={"name": "gpt-4o"}), url="http://127.0.0.1:9/v1"):
            pass

    with pytest.raises(BadSettings, match="gpt-4o"):
        asyncio.run(go())


def test_the_judge_that_trains_is_asked_where_the_judge_is_unless_it_has_its_own_url() -> None:
    judge = Settings(judge_url="https://a/v1", judge_api_key=SecretStr("a"))
    assert (judge.url("reward_judge"), judge.api_key("reward_judge").get_secret_value()) == ("https://a/v1", "a")
    elsewhere = judge.model_copy(update={"reward_judge_url": "https://b/v1"})
    assert (elsewhere.url("reward_judge"), elsewhere.api_key("reward_judge").get_secret_value()) == ("https://b/v1", "")


def test_the_second_judge_is_asked_where_the_judge_is_with_its_key_but_its_key_goes_nowhere_else() -> None:
    judge = Settings(judge_url="https://a/v1", judge_api_key=SecretStr("a"))
    assert judge.url("second_judge") == "https://a/v1"
    assert judge.api_key("second_judge").get_secret_value() == "a"
    elsewhere = judge.model_copy(update={"second_judge_url": "https://b/v1"})
    assert elsewhere.url("second_judge") == "https://b/v1"
    assert elsewhere.api_key("second_judge").get_secret_value() == ""


def test_the_one_model_of_an_endpoint_need_not_be_named() -> None:
    assert model_of(web.json_response({"object": "list", "data": [{"id": "writer-9b", "object": "model"}]})) == "writer-9b"


def test_of_several_models_one_has_to_be_named() -> None:
    with pytest.raises(BadSettings, match=r"candidate at .*: it serves 2 models \(a, b\); choose one with --model NAME"):
        model_of(web.json_response({"data": [{"id": "a"}, {"id": "b"}]}))


@pytest.mark.parametrize(
    "answer",
    [web.Response(text="<html>"), web.json_response({"data": []}), web.json_response({"data": None}), web.Response(status=404)],
    ids=["a page", "none", "null", "404"],
)
def test_an_endpoint_that_lists_no_model_is_an_error_that_says_so(answer: web.Response) -> None:
    with pytest.raises(EndpointError, match=r"no list of models at /models; check the URL, it should end in /v1, or name the model"):
        model_of(answer)


def test_a_refused_key_names_the_variable() -> None:
    with pytest.raises(EndpointError, match="401, the key was refused; set LONGWRITER_CANDIDATE_API_KEY"):
        model_of(web.Response(status=401))


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with pytest.raises(EndpointError, match=r"candidate at http://127\.0\.0\.1:9/v1: cannot connect"):
        asyncio.run(only_model("http://127.0.0.1:9/v1", NO_KEY))


def test_roles_that_are_open_at_once_spend_from_one_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "LONGWRITER_PRICES",
        '{"rehearsal-candidate": {"prompt": 0, "completion": 1000}, "rehearsal-judge": {"prompt": 0, "completion": 1000}}',
    )
    monkeypatch.setenv("LONGWRITER_SPEND_CAP", "0.4")  # one call may cost 0.256
    settings.cache_clear()

    async def go() -> None:
        async with open_role("candidate", CANDIDATE) as candidate, open_role("judge", JUDGE) as judge:
            spent = (await candidate(user(ASK.replace("50", "200")))).usage.completion / 1000
            assert spent + 0.256 > 0.4, "the test needs a dear answer"
            with pytest.raises(SpendCapReached):
                await judge(user(ASK))

    asyncio.run(go())
