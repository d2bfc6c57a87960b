"""A candidate that answers through AgentWrite: what one reply has room for limits what one call requests."""

import asyncio

import pytest

from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.usage import TOKENS_PER_WORD
from tasks.evaluation.planned import through_agentwrite
from tasks.longbench.answers import WholeAnswer
from tasks.rehearsal import roles
from tasks.schema.params import Params, load
from tasks.schema.records import BenchmarkItem, Usage
from tests.conftest import ROOT

ITEM = BenchmarkItem(id="b1", prompt="Write a 1000-word essay about bread.", type="News", length=1000, language="en")


@pytest.fixture(scope="module")
def params() -> Params:
    return load(ROOT / "profiles/rehearsal.yaml")


@pytest.mark.parametrize("max_tokens", [600, 32_768])
def test_in_mode_direct_no_call_requests_more_words_than_one_reply_has_room_for(params: Params, max_tokens: int) -> None:
    asked: list[Request] = []

    async def candidate(request: Request) -> Reply:
        asked.append(request)
        text = roles.answer("rehearsal-teacher", [("user", request.messages[0].content)], seed=0)
        return Reply(text, "stop", Usage(9, 20), 0.0)

    write = params.write.model_copy(update={"mode": "direct"})

    async def main() -> WholeAnswer:
        return await through_agentwrite(params.plan, write, max_tokens=max_tokens)(candidate, ITEM, 0)

    assert not asyncio.run(main()).problem
    written = [request.words or 0 for request in asked if request.way]
    assert max(written) <= max_tokens / TOKENS_PER_WORD
    assert (len(written) == 1) == (max_tokens > 1000 * TOKENS_PER_WORD)
