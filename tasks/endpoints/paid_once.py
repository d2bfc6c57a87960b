"""A Chat that pays for each request once, within the budget: the journal is asked first, and every answer goes into it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.ledger import Account, Budget, cost, expected, price_of, totals
from tasks.endpoints.openai_api import Client, Keep
from tasks.endpoints.replay import ReplayStore, key_of, paid
from tasks.schema.records import Usage
from tasks.schema.settings import Role, Settings


class PaidOnce:
    """`client`, asked only what `store` does not know. The same request made twice at once is paid once.

    `account` has the running totals of this role; of replayed answers only their number.
    """

    def __init__(self, client: Client, store: ReplayStore, *, role: Role, identity: dict[str, Any], settings: Settings):
        self.account = Account()
        self._client, self._store, self._role, self._identity = client, store, role, identity
        self._model = str(identity["model"])
        # What the pipeline serves itself, a checkpoint or the rehearsal, costs nothing unless somebody says so.
        self._price = price_of(self._model, settings.prices, cap=settings.spend_cap if settings.url(role) else None)
        self._budget = _budget(store, settings)
        self._in_flight: dict[str, asyncio.Task[Reply]] = {}

    async def __call__(self, request: Request) -> Reply:
        key = key_of(request, self._identity)
        if (known := self._store.get(key)) is not None:
            self.account.replayed += 1
            return known
        if key not in self._in_flight:
            self._in_flight[key] = asyncio.create_task(self._pay(key, request))
            self._in_flight[key].add_done_callback(lambda _: self._in_flight.pop(key))
        return await self._in_flight[key]

    async def _pay(self, key: str, request: Request) -> Reply:
        dollars = self._dollars(expected(request, self._client.model.max_tokens))

        def keep(reply: Reply) -> None:
            self._store.put(key, paid(self._role, self._model, reply))
            self._budget.spent += (spent := self._dollars(reply.usage))
            self.account.add(reply.usage, reply.seconds, spent)

        @contextmanager
        def purse() -> Iterator[Keep]:
            self._store.check()
            with self._budget.reserved(dollars):
                yield keep

        try:
            return await self._client.ask(request, purse=purse)
        finally:
            self.account.retries = self._client.retries

    def _dollars(self, usage: Usage) -> float:
        return cost(usage, self._price) if self._price else 0.0


_budgets: WeakKeyDictionary[ReplayStore, Budget] = WeakKeyDictionary()


def _budget(store: ReplayStore, settings: Settings) -> Budget:
    """One for all roles that share a journal: open at once, they spend from the same cap."""
    if store not in _budgets:
        _budgets[store] = Budget(settings.spend_cap, sum(account.dollars for account in _spent(store, settings)))
    return _budgets[store]


def _spent(store: ReplayStore, settings: Settings) -> list[Account]:
    """What the journal holds already; read only where there is a cap."""
    if settings.spend_cap is None:
        return []
    return list(totals((line for _, line in store.all()), settings.prices).values())
