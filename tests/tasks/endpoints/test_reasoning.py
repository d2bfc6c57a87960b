"""models.<role>.reasoning: what is sent for it, to endpoints that know some of its fields, all of them or none."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from tasks import doctor
from tasks.agentwrite.estimate import EndpointPace, with_thoughts
from tasks.endpoints import openai_api
from tasks.endpoints.batch_forms import messages_request
from tasks.endpoints.chat import user
from tasks.endpoints.replay import JOURNAL, Paid, journal, key_of
from tasks.endpoints.roles import open_role
from tasks.endpoints.thoughts import fields
from tasks.endpoints.usage import expected
from tasks.longbench.answers import decoding_of
from tasks.schema.errors import EndpointError
from tasks.schema.params import Model, load
from tasks.schema.records import Decoding, Reasoning, ThinkingBudget
from tasks.schema.settings import settings
from tests.tasks.judging.endpoint import serving

PLAIN = Model(name="some-model", revision="1", temperature=1.0, max_tokens=4096)
BUDGET = ThinkingBudget(budget=1024)
SETTINGS: list[Reasoning] = ["none", "low", "medium", "high", BUDGET]
ASK = user("Write about rye.")


def thinking(reasoning: Reasoning | None) -> Model:
    return PLAIN.model_copy(update={"reasoning": reasoning})


@contextmanager
def endpoint(knows: Sequence[str] | None = None, *, thoughts: str = "", tokens: int = 5) -> Iterator[list[dict[str, Any]]]:
    """An endpoint that refuses all fields for thoughts but those that it knows; None: it ignores what it does not know."""
    bodies: list[dict[str, Any]] = []
    every = {*fields("low"), *fields(BUDGET)}

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        bodies.append(body)
        strange = [name for name in body if name in every and knows is not None and name not in knows]
        if strange:
            return web.json_response({"error": {"message": f"Unrecognized request argument supplied: {strange[0]}"}}, status=400)
        message = {
            "role": "assistant",
            "content": '{"ready": true}' if "response_format" in body else "Rye.",
            "reasoning_content": thoughts,
        }
        usage = {"prompt_tokens": 5, "completion_tokens": tokens}
        return web.json_response({"choices": [{"finish_reason": "stop", "message": message}], "usage": usage})

    openai_api._dialects.clear()
    with serving(complete):
        yield bodies


def ask(model: Model, text: str = "Write about rye.") -> str:
    async def go() -> str:
        async with open_role("judge", model) as chat:
            return (await chat(user(text))).text

    return asyncio.run(go())


def sent(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name in {*fields("low"), *fields(BUDGET)}}


def test_without_the_setting_nothing_is_sent_and_the_key_of_the_reply_is_as_before() -> None:
    with endpoint([]) as bodies:
        ask(PLAIN)
    assert sent(bodies[0]) == {}
    identity = {"model": "some-model", "revision": "1", "temperature": 1.0, "max_tokens": 4096, "seed": None, "checkpoint": None}
    with journal(settings().home / JOURNAL) as replies:
        assert replies.get(key_of(ASK, identity))


@pytest.mark.parametrize("reasoning", SETTINGS, ids=str)
def test_each_setting_is_sent_in_all_forms_and_has_replies_of_its_own(reasoning: Reasoning) -> None:
    with endpoint() as bodies:
        ask(PLAIN), ask(thinking(reasoning)), ask(thinking(reasoning))
    assert [sent(body) for body in bodies] == [{}, fields(reasoning)]


def test_the_settings_say_what_servers_know() -> None:
    assert fields("none") == {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": False}}
    assert fields("high") == {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": True}}
    assert fields(BUDGET) == {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "reasoning": {"max_tokens": 1024},
        "thinking_token_budget": 1024,
        "chat_template_kwargs": {"enable_thinking": True, "thinking_budget": 1024},
    }


@pytest.mark.parametrize(
    ("reasoning", "knows"),
    [
        ("high", ["reasoning_effort"]),
        ("none", ["chat_template_kwargs"]),
        (BUDGET, ["thinking"]),
        (BUDGET, ["reasoning"]),
        (BUDGET, ["thinking_token_budget"]),
    ],
    ids=str,
)
def test_an_endpoint_that_knows_one_form_is_sent_that_form_after_it_refused_the_others(reasoning: Reasoning, knows: list[str]) -> None:
    with endpoint(knows) as bodies:
        assert ask(thinking(reasoning)) == "Rye."
        refusals = len(bodies) - 1
        ask(thinking(reasoning), "Write about oats.")
    assert [list(sent(body)) for body in bodies[-2:]] == [knows, knows]
    assert refusals == len(fields(reasoning)) - 1
    assert len(bodies) == refusals + 2, "what was refused is not sent again"


@pytest.mark.parametrize("reasoning", SETTINGS, ids=str)
def test_an_endpoint_that_knows_no_form_stops_the_run_in_one_line(reasoning: Reasoning) -> None:
    with (
        endpoint([]),
        pytest.raises(EndpointError, match=r"takes no such setting, and models.judge.reasoning is .*; fix: set it to null") as error,
    ):
        ask(thinking(reasoning))
    assert "\n" not in str(error.value)


def test_a_budget_must_leave_tokens_for_the_text() -> None:
    given = PLAIN.model_dump() | {"reasoning": {"budget": 4096}}
    with pytest.raises(ValidationError, match=r"reasoning.budget 4096 leaves nothing of max_tokens 4096 for the text"):
        Model.model_validate(given)
    for wrong in ("much", "", {"budget": 0}, {"budget": 10, "effort": "low"}, True, 5):
        with pytest.raises(ValidationError):
            Model.model_validate(given | {"reasoning": wrong})


def test_a_model_and_its_answers_are_named_with_the_setting_if_there_is_one() -> None:
    assert str(PLAIN) == "some-model@1, temperature 1, at most 4096 tokens"
    assert str(thinking("low")) == "some-model@1, temperature 1, at most 4096 tokens, reasoning low"
    assert str(thinking(BUDGET)).endswith(", reasoning 1024 tokens")
    assert "reasoning" not in decoding_of(PLAIN, seed=1, checkpoint=None).model_dump_json()
    again = Decoding.model_validate_json(decoding_of(thinking(BUDGET), seed=1, checkpoint=None).model_dump_json())
    assert again.reasoning == BUDGET


def test_a_thinking_model_is_charged_its_thoughts_before_the_call() -> None:
    request = ASK._replace(words=100)
    assert (expected(request, 4096).completion, expected(request, 4096, thoughts=1024).completion) == (200, 1224)
    assert expected(request, 4096, thoughts=4096).completion == 4096


@pytest.mark.parametrize(
    ("reasoning", "written"),
    [
        (None, {}),
        ("none", {"thinking": {"type": "disabled"}}),
        ("high", {"output_config": {"effort": "high"}}),
        (BUDGET, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ],
    ids=str,
)
def test_a_batch_of_anthropics_form_has_its_own_fields(reasoning: Reasoning | None, written: dict[str, Any]) -> None:
    body = {"model": "m", "max_tokens": 10, "messages": [], **fields(reasoning)}
    assert messages_request(body) == {"model": "m", "max_tokens": 10, "messages": [], **written}


@pytest.mark.parametrize(
    ("reasoning", "knows", "thoughts", "tokens", "status", "said"),
    [
        ("none", None, "", 5, "ok", "some-model, in"),
        ("none", None, "Hmm, rye.", 5, "warning", "with thoughts, though models.judge.reasoning is none"),
        ("high", None, "Hmm, rye.", 300, "ok", "some-model, in"),
        ("high", None, "", 300, "ok", "some-model, in"),  # thoughts that the endpoint hides, and counts
        (BUDGET, None, "", 5, "warning", "without thoughts, though models.judge.reasoning is 1024 tokens; it may ignore the setting"),
        ("high", [], "", 5, "error", "takes no such setting, and models.judge.reasoning is high"),
    ],
)
def test_doctor_says_whether_an_endpoint_takes_the_setting(
    reasoning: Reasoning, knows: list[str] | None, thoughts: str, tokens: int, status: str, said: str
) -> None:
    models = load().models.model_copy(update={"judge": thinking(reasoning)})
    with endpoint(knows, thoughts=thoughts, tokens=tokens) as bodies:
        (found,) = doctor.answers(load().model_copy(update={"models": models}), settings(), ["judge"])
    assert (found.status, said in str(found)) == (status, True), found
    assert all(body["max_tokens"] > 1024 for body in bodies if reasoning == BUDGET)


PACE = EndpointPace(1.0, 50.0, "assumed")


def paid(completion: int) -> Paid:
    return Paid("teacher", "some-model", 10, completion, 0, 1.0, 1, "stop", "x" * 400)


def test_thoughts_are_priced_by_the_journal_else_by_the_budget_else_said_to_be_unknown() -> None:
    assert with_thoughts(PACE, [paid(600)] * 60, PLAIN) == PACE
    assert with_thoughts(PACE, [], thinking("none")) == PACE
    seen = with_thoughts(PACE, [paid(600)] * 60, thinking("high"))
    assert (seen.thoughts, seen.thoughts_source) == (500.0, "seen in 60 calls")
    budget = with_thoughts(PACE, [paid(600)] * 3, thinking(BUDGET))
    assert (budget.thoughts, budget.thoughts_source) == (1024.0, "the whole budget, for each call")
    unknown = with_thoughts(PACE, [], thinking("low"))
    assert unknown.thoughts == 0
    assert unknown.thoughts_source.startswith("not known for reasoning low")
    assert seen.seconds(10) == PACE.seconds(10)
