"""What calls cost: tokens per role and model from the journal, priced by the table in the settings, and held under the spend cap."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.endpoints.replay import Paid
from tasks.schema.errors import BadSettings, SpendCapReached
from tasks.schema.records import Usage
from tasks.schema.settings import PREFIX, Price

MILLION = 1_000_000


@dataclass
class Account:
    """Running totals of the calls of one role."""

    calls: int = 0
    replayed: int = 0  # answers from the journal, which cost nothing again
    retries: int = 0
    prompt: int = 0  # tokens, cached ones included
    cached: int = 0
    completion: int = 0
    seconds: float = 0.0  # of the calls, added up
    dollars: float = 0.0

    def add(self, usage: Usage, seconds: float, dollars: float) -> None:
        self.calls += 1
        self.prompt += usage.prompt
        self.cached += usage.cached
        self.completion += usage.completion
        self.seconds += seconds
        self.dollars += dollars


def cost(usage: Usage, price: Price) -> float:
    """Dollars of a call."""
    cached = price.prompt if price.cached is None else price.cached
    return ((usage.prompt - usage.cached) * price.prompt + usage.cached * cached + usage.completion * price.completion) / MILLION


def totals(lines: Iterable[Paid], prices: dict[str, Price]) -> dict[tuple[str, str], Account]:
    """An account per role and model. A model without a price costs 0 dollars. Counts that cannot be true, as earlier versions kept them
    in the journal, are left out: they would make the whole cheaper."""
    accounts: dict[tuple[str, str], Account] = defaultdict(Account)
    for line in lines:
        usage = Usage(max(0, line.prompt), max(0, line.completion), line.cached if 0 <= line.cached <= line.prompt else 0)
        price = prices.get(line.model)
        accounts[line.role, line.model].add(usage, line.seconds, cost(usage, price) if price else 0.0)
    return dict(accounts)


class Budget:
    """The spend cap: what the workspace's journal holds, what is under way, and the next call together stay under it."""

    def __init__(self, cap: float | None, spent: float):
        self.cap, self.spent, self.under_way = cap, spent, 0.0

    @contextmanager
    def reserved(self, dollars: float) -> Iterator[None]:
        """Set dollars aside for a call that is about to be made. Raises SpendCapReached when they are not there."""
        if self.cap is not None and self.spent + self.under_way + dollars > self.cap:
            raise SpendCapReached(
                f"spend cap: ${self.spent:.2f} of ${self.cap:.2f} are spent, and the next calls may cost more than is left; "
                f"raise {PREFIX}SPEND_CAP and run again, paid replies are kept"
            )
        self.under_way += dollars
        try:
            yield
        finally:
            self.under_way -= dollars


def price_of(model: str, prices: dict[str, Price], *, cap: float | None) -> Price | None:
    """The model's price, if it has one. Raises BadSettings for a spend cap over a model without a price, before anything is paid."""
    if cap is not None and model not in prices:
        raise BadSettings(f"{PREFIX}SPEND_CAP is set, and {PREFIX}PRICES has no price for {model}; add its price, 0 if it is your own")
    return prices.get(model)
