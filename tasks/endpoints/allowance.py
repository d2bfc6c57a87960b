"""What calls will cost before they are made, and a limit on the calls and dollars that one command may spend.

The spend cap of the workspace (LONGWRITER_SPEND_CAP) holds below this limit. Replies in the journal cost nothing and are not counted.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.ledger import cost
from tasks.endpoints.usage import expected
from tasks.schema.errors import BadInput, SpendCapReached, Unanswered
from tasks.schema.records import Usage
from tasks.schema.settings import PREFIX, Price

_CALLS = re.compile(r"([\d_,]{1,12})\s?(?:calls?)?")
_DOLLARS = re.compile(r"\$\s?(\d{1,9}(?:\.\d{1,6})?)|(\d{1,9}(?:\.\d{1,6})?)\s?(?:\$|usd|dollars?)", re.IGNORECASE)


class Recording(Protocol):
    """A Chat that knows which of its replies are recorded."""

    async def __call__(self, request: Request) -> Reply: ...

    def is_recorded(self, request: Request) -> bool: ...


class SpendLimit(NamedTuple):
    """The most that a command may spend; None: no limit."""

    calls: int | None = None
    dollars: float | None = None

    def __str__(self) -> str:
        parts = [f"{self.calls:,} calls"] if self.calls is not None else []
        return " and ".join(parts + ([f"${self.dollars:,.2f}"] if self.dollars is not None else [])) or "no limit"


class Forecast(NamedTuple):
    """Calls that are not recorded yet, with the most that they cost: no cached tokens, replies of max_tokens."""

    calls: int = 0
    recorded: int = 0  # requests with a recorded reply, which cost nothing
    prompt: int = 0  # tokens
    completion: int = 0
    dollars: float | None = 0.0  # None: no price is known

    def plus(self, other: "Forecast") -> "Forecast":
        dollars = None if self.dollars is None or other.dollars is None else self.dollars + other.dollars
        return Forecast(
            self.calls + other.calls,
            self.recorded + other.recorded,
            self.prompt + other.prompt,
            self.completion + other.completion,
            dollars,
        )

    def __str__(self) -> str:
        """One line: `312 calls (24 more are recorded), at most 401,000 prompt and 98,304 completion tokens, $2.10 at most`."""
        known = f" ({self.recorded:,} more are recorded and cost nothing)" if self.recorded else ""
        dollars = f"dollars unknown, {PREFIX}PRICES has no price" if self.dollars is None else f"${self.dollars:,.2f} at most"
        return f"{self.calls:,} calls{known}, about {self.prompt:,} prompt and at most {self.completion:,} completion tokens, {dollars}"


def limit_of(text: str, option: str) -> SpendLimit:
    """Reads a limit: `400`, `400 calls`, `$2.50`, `2.50 usd`. Raises BadInput for anything else."""
    plain = text.strip()
    if found := _CALLS.fullmatch(plain):
        digits = re.sub(r"[_,]", "", found[1])
        if digits and int(digits):
            return SpendLimit(calls=int(digits))
    if (money := _DOLLARS.fullmatch(plain)) and float(money[1] or money[2]):
        return SpendLimit(dollars=float(money[1] or money[2]))
    raise BadInput(option, f"not a number of calls or dollars over 0: {plain[:40]!r}", fix="write 400 for calls, '$2.50' for dollars")


def announced(cost: Forecast, limit: SpendLimit) -> str:
    """The lines that say what a command costs and may cost, before its first call."""
    return f"cost: {cost}" + (f"\nlimit: {limit}" if limit != SpendLimit() else "")


def forecast(chat: Recording, requests: Iterable[Request], *, max_tokens: int, price: Price | None) -> Forecast:
    """Returns the calls that these requests need. Equal requests are one call."""
    found, seen = Forecast(dollars=0.0 if price else None), set[int]()
    for request in requests:
        same = hash((request.messages, request.sample))  # not the messages: they may be long
        if same in seen:
            continue
        seen.add(same)
        if chat.is_recorded(request):
            found = found._replace(recorded=found.recorded + 1)
            continue
        usage = expected(request, max_tokens)
        found = found.plus(Forecast(1, 0, usage.prompt, usage.completion, cost(usage, price) if price else None))
    return found


def check_priced(found: Forecast, limit: SpendLimit, option: str) -> None:
    """Raises BadInput if a limit in dollars has no price to check it by."""
    if limit.dollars is not None and found.dollars is None:
        raise BadInput(option, "dollars without a price for the model", fix=f"add its price to {PREFIX}PRICES, or give a number of calls")


def check_limit(found: Forecast, limit: SpendLimit, option: str) -> None:
    """Raises SpendCapReached if the calls may cost more than the limit, BadInput as `check_priced`."""
    check_priced(found, limit, option)
    over = limit.calls is not None and found.calls > limit.calls
    if over or (limit.dollars is not None and found.dollars is not None and found.dollars > limit.dollars):
        raise SpendCapReached(f"{option}: {limit} allowed, and this needs {found}; raise {option}, or ask for less")


class Allowance:
    """The limit of one command, shared by its roles. Counts calls when they start, and dollars with the most that they can cost until they
    end.
    """

    def __init__(self, limit: SpendLimit, option: str):
        self.limit, self.option = limit, option
        self.calls, self.dollars, self._under_way = 0, 0.0, 0.0

    def allows(self, dollars: float = 0.0, *, calls: int = 1) -> bool:
        """Whether so many more calls, of so many dollars together, stay within the limit."""
        limit = self.limit
        spent = self.dollars + self._under_way + dollars
        return (limit.calls is None or self.calls + calls <= limit.calls) and (limit.dollars is None or spent <= limit.dollars + 1e-12)

    @contextmanager
    def reserved(self, dollars: float) -> Iterator[None]:
        """Counts one call; its dollars are reserved during the block."""
        self.calls += 1
        self._under_way += dollars
        try:
            yield
        finally:
            self._under_way -= dollars


class LimitedChat:
    """A Chat that makes no call beyond an allowance. Recorded replies are free.

    `stops`: a call beyond the allowance raises SpendCapReached, which ends the command; otherwise Unanswered, which fails one request.
    """

    def __init__(self, chat: Recording, allowance: Allowance, *, max_tokens: int, price: Price | None, stops: bool):
        self._chat, self._allowance, self._max_tokens, self._price, self._stops = chat, allowance, max_tokens, price, stops

    async def __call__(self, request: Request) -> Reply:
        if self._chat.is_recorded(request):
            return await self._chat(request)
        most = self._cost(expected(request, self._max_tokens))
        if not self._allowance.allows(most):
            problem = f"{self._allowance.option}: {self._allowance.limit} are used up; raise it and run again, paid replies are kept"
            raise SpendCapReached(problem) if self._stops else Unanswered(problem)
        with self._allowance.reserved(most):
            reply = await self._chat(request)
            self._allowance.dollars += self._cost(reply.usage)
        return reply

    def is_recorded(self, request: Request) -> bool:
        """Whether the reply to a request is in the journal."""
        return self._chat.is_recorded(request)

    def forecast(self, requests: Iterable[Request]) -> Forecast:
        """What these requests would cost now."""
        return forecast(self._chat, requests, max_tokens=self._max_tokens, price=self._price)

    def _cost(self, usage: Usage) -> float:
        return cost(usage, self._price) if self._price else 0.0
