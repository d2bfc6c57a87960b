"""Reserves money and disk space before each call, and records the reply in the journal before the caller gets it."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from weakref import WeakKeyDictionary

from tasks.endpoints.chat import Chat, Reply, Request, stopped
from tasks.endpoints.ledger import Budget, RoleTotals, cost, price_of, totals
from tasks.endpoints.replay import ReplayStore, key_of, paid, stopped_key
from tasks.endpoints.thoughts import most
from tasks.endpoints.usage import expected
from tasks.schema.params import Model
from tasks.schema.records import Usage
from tasks.schema.settings import Role, Settings
from tasks.text.live_checks import Watch, find_stop

RECORD, BYTES = 1024, 5  # bytes on disk per reply and per token of it; a token of English or Chinese text has 3 to 5
DRAIN, DRAIN_AFTER_ERROR = 4.0, 60.0  # seconds to wait for calls in flight, which are paid for, after an interrupt or an error


class BudgetedCache:
    """The recorded replies of one role, and the spend cap that all roles of the workspace share.

    `account` has the role's running totals; cached replies add only to the number of replays. `identity` is what a reply depends on
    besides the request: model, decoding, seed, checkpoint. `batched`: calls are made by batches, so less money is reserved.
    """

    def __init__(
        self, journal: ReplayStore, *, role: Role, model: Model, identity: Mapping[str, object], settings: Settings, batched: bool = False
    ):
        self.account = RoleTotals()
        self._journal, self._role, self._model, self._identity = journal, role, model, identity
        # A checkpoint or the rehearsal is served by the pipeline: it costs nothing unless it has a price in the settings.
        self._price = price_of(model.name, settings.prices, cap=settings.spend_cap if settings.url(role) else None)
        self._budget, self._batched = _budget(journal, settings), batched

    def key(self, request: Request) -> str:
        """Returns the key under which the reply to a request is recorded."""
        return key_of(request, self._identity)

    def lookup(self, key: str, watch: Watch | None) -> Reply | None:
        """Returns the recorded reply, or the stopped try of a request with a `watch`; None if there is none."""
        known = self._journal.get(key)
        if known is None and watch:
            known = self._journal.get(stopped_key(key, watch))
        if known is not None:
            self.account.replayed += 1
        if known and watch and not known.stopped and (found := find_stop(known.text, watch)):
            return stopped(known, found, watch, saved=0)  # an answer that was recorded when nothing was stopped
        return known

    def recorded(self, key: str) -> Reply | None:
        """Returns the recorded reply, without counting a replay."""
        return self._journal.get(key)

    def is_recorded(self, key: str) -> bool:
        """Whether there is a recorded reply. Does not count as a replay."""
        return self._journal.get(key) is not None

    @contextmanager
    def reserve(self, request: Request) -> Iterator[None]:
        """Reserves money and disk space for one call during the block. Raises SpendCapReached, or OSError without disk space for the
        reply.
        """
        tokens = expected(request, self._model.max_tokens, thoughts=most(self._model.reasoning, self._model.max_tokens))
        with self._budget.reserved(self._dollars(tokens, batched=self._batched)), self._journal.room(RECORD + BYTES * tokens.completion):
            yield

    def record(self, key: str, reply: Reply, request: Request) -> None:
        """Writes a paid reply to the journal and adds its cost. Raises OSError if it cannot be written.

        A stopped reply is recorded as a stopped try, under a key of its own. A batch's reply that is there already is not paid again.
        """
        if reply.stopped and request.watch:
            key = stopped_key(key, request.watch)
        if reply.batched and self.is_recorded(key):
            return
        self._journal.put(key, paid(self._role, self._model.name, reply, request))
        self.account.stopped += reply.stopped is not None
        self.account.saved += reply.saved
        self.account.batched += reply.batched
        self._budget.spent += (spent := self._dollars(reply.usage, batched=reply.batched))
        self.account.add(reply.usage, reply.seconds, spent)

    def _dollars(self, usage: Usage, *, batched: bool) -> float:
        return cost(usage, self._price, batched=batched) if self._price else 0.0


class BudgetedChat:
    """Reserves money and disk space for each call of `chat`, and records the reply before the caller gets it.

    A call continues when its caller is cancelled, because its reply may be paid for. The end of the block waits for such calls.
    """

    def __init__(self, chat: Chat, cache: BudgetedCache):
        self._chat, self._cache = chat, cache
        self._under_way: set[asyncio.Task[Reply]] = set()

    async def __call__(self, request: Request) -> Reply:
        call = asyncio.create_task(self._pay(request))
        self._under_way.add(call)
        call.add_done_callback(self._ended)
        return await asyncio.shield(call)

    async def _pay(self, request: Request) -> Reply:
        with self._cache.reserve(request):
            reply = await self._chat(request)
            self._cache.record(request.key or self._cache.key(request), reply, request)
        return reply

    def _ended(self, call: "asyncio.Task[Reply]") -> None:
        self._under_way.discard(call)
        if not call.cancelled():
            call.exception()  # retrieve the error: asyncio warns about an error that nobody read, as after a cancelled caller

    async def __aenter__(self) -> "BudgetedChat":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=DRAIN if isinstance(error, asyncio.CancelledError) else DRAIN_AFTER_ERROR)
        for call in self._under_way:
            call.cancel()


_budgets: WeakKeyDictionary[ReplayStore, Budget] = WeakKeyDictionary()


def _budget(journal: ReplayStore, settings: Settings) -> Budget:
    """The budget of a journal, shared by all roles that use the journal at the same time."""
    if journal not in _budgets:
        _budgets[journal] = Budget(settings.spend_cap, sum(account.dollars for account in _spent(journal, settings)))
    return _budgets[journal]


def _spent(journal: ReplayStore, settings: Settings) -> list[RoleTotals]:
    """The cost of the journal's replies. The journal is read only if there is a spend cap."""
    if settings.spend_cap is None:
        return []
    return list(totals((line for _, line in journal.all()), settings.prices).values())
