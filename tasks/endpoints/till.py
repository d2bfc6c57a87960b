"""Where replies are paid for and kept: the workspace's journal, its spend cap, and the role's account."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from tasks.endpoints.chat import Reply
from tasks.endpoints.ledger import Account, Budget, cost, price_of, totals
from tasks.endpoints.openai_api import Keep
from tasks.endpoints.replay import ReplayStore, paid
from tasks.schema.records import Usage
from tasks.schema.settings import Role, Settings

RECORD, BYTES = 1024, 5  # of the disk: a reply's record, and each token of it; English and Chinese have 3 to 5


class Till:
    """Of one role. `account` has its running totals; of replayed answers only their number."""

    def __init__(self, store: ReplayStore, *, role: Role, model: str, settings: Settings):
        self.account = Account()
        self._store, self._role, self._model = store, role, model
        # What the pipeline serves itself, a checkpoint or the rehearsal, costs nothing unless somebody says so.
        self._price = price_of(model, settings.prices, cap=settings.spend_cap if settings.url(role) else None)
        self._budget = _budget(store, settings)

    async def find(self, key: str) -> Reply | None:
        """The reply that was paid for earlier."""
        if (known := self._store.get(key)) is not None:
            self.account.replayed += 1
        return known

    @asynccontextmanager
    async def purse(self, key: str, expected: Usage) -> AsyncIterator[Keep]:
        """Money for one try, which may take `expected`. Raises SpendCapReached; and OSError where its reply could not be kept."""

        async def keep(reply: Reply) -> None:
            self.keep(key, reply)

        with self._budget.reserved(self._dollars(expected)), self._store.room(RECORD + BYTES * expected.completion):
            yield keep

    def keep(self, key: str, reply: Reply) -> None:
        """A reply that was paid for, into the journal before anybody sees it. Raises OSError where it cannot be written."""
        self._store.put(key, paid(self._role, self._model, reply))
        self._budget.spent += (spent := self._dollars(reply.usage))
        self.account.add(reply.usage, reply.seconds, spent)

    def over(self, key: str, *, retries: int) -> None:
        """A request has its reply or will have none. `retries`: of its chat so far, over all requests."""
        self.account.retries = retries

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
