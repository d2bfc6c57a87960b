"""CachedChat: sends no request again that was already paid for."""

import asyncio

from tasks.endpoints.budgeted import BudgetedCache
from tasks.endpoints.chat import Chat, Reply, Request
from tasks.endpoints.ledger import RoleTotals
from tasks.schema.errors import SecretInReply
from tasks.schema.redaction import REMOVED
from tasks.text.live_checks import Watch


class CachedChat:
    """Returns the recorded reply, or else calls `chat`. Equal requests in flight at the same time are sent once.

    Raises SecretInReply for a reply that contains a secret. It is raised on every run, because the reply comes from the cache.
    """

    def __init__(self, chat: Chat, cache: BudgetedCache):
        self._chat, self._cache = chat, cache
        self._under_way: dict[tuple[str, Watch | None], asyncio.Task[Reply]] = {}

    @property
    def account(self) -> RoleTotals:
        """Running totals of this role's calls."""
        return self._cache.account

    def is_recorded(self, request: Request) -> bool:
        """Whether the journal has the reply to a request, so that it costs nothing."""
        return self._cache.is_recorded(self._cache.key(request))

    async def __call__(self, request: Request) -> Reply:
        key = self._cache.key(request)
        if (reply := self._cache.lookup(key, request.watch)) is None:
            same = key, request.watch
            if same not in self._under_way:
                self._under_way[same] = asyncio.create_task(self._chat(request._replace(key=key)))
                self._under_way[same].add_done_callback(lambda _: self._under_way.pop(same))
            reply = await self._under_way[same]
        if REMOVED in reply.text:
            raise SecretInReply("the reply contains a key or password of this workspace; the reply is not used")
        return reply
