"""A Chat that pays for each request once: the till is asked first, and every answer goes into it."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

from tasks.endpoints.chat import Reply, Request, user
from tasks.endpoints.ledger import Account
from tasks.endpoints.openai_api import PROBE, Client, Keep
from tasks.endpoints.replay import key_of
from tasks.endpoints.till import Till
from tasks.endpoints.usage import expected
from tasks.schema.errors import SecretInReply
from tasks.schema.redaction import REMOVED


class PaidOnce:
    """`client`, asked only what `till` does not know. The same request made twice at once is paid once. Raises SecretInReply for a reply
    with a secret in it, on every run: it comes from the journal.
    """

    def __init__(self, client: Client, till: Till, *, identity: dict[str, Any]):
        self.till = till
        self._client, self._identity = client, identity
        self._in_flight: dict[str, asyncio.Task[Reply]] = {}
        client.probe_purse = self._probe_purse

    @property
    def account(self) -> Account:
        return self.till.account

    async def __call__(self, request: Request) -> Reply:
        key = key_of(request, self._identity)
        if key not in self._in_flight:
            self._in_flight[key] = asyncio.create_task(self._have(key, request))
            self._in_flight[key].add_done_callback(lambda _: self._in_flight.pop(key))
        reply = await self._in_flight[key]
        if REMOVED in reply.text:
            raise SecretInReply("the reply repeats a key or password of this workspace; it is not used")
        return reply

    def _probe_purse(self) -> AbstractAsyncContextManager[Keep]:
        """For a request that is never asked twice: its answer is worth nothing but the proof that there is one."""
        probe = user(PROBE, sample=time.time_ns())._replace(words=1)
        return self.till.purse(key_of(probe, self._identity), expected(probe, self._client.model.max_tokens))

    async def _have(self, key: str, request: Request) -> Reply:
        if (known := await self.till.find(key)) is not None:
            return known
        tokens = expected(request, self._client.model.max_tokens)
        try:
            return await self._client.ask(request, purse=lambda: self.till.purse(key, tokens))
        finally:
            self.till.over(key, retries=self._client.retries)
