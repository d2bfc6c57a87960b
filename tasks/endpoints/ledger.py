"""Computes what calls cost: tokens per role and model from the journal, times the prices in settings; and checks the spend cap."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.endpoints.replay import Paid
from tasks.schema.errors import BadSettings, SpendCapReached
from tasks.schema.records import Usage
from tasks.schema.settings import PREFIX, Price

MILLION = 1_000_000


@dataclass
class RoleTotals:
    """Running totals of the calls of one role."""

    calls: int = 0
    replayed: int = 0  # replies from the journal, which cost nothing
    retries: int = 0
    prompt: int = 0  # tokens, cached ones included
    cached: int = 0
    completion: int = 0
    seconds: float = 0.0  # summed over the calls
    dollars: float = 0.0
    stopped: int = 0  # calls of replies that were stopped while they came
    saved: int = 0  # completion tokens that these did not take, at most
    batched: int = 0  # calls that came by a batch

    def add(self, usage: Usage, seconds: float, dollars: float) -> None:
        """Adds a paid call. Replayed calls and retries are counted by the caller."""
        self.calls += 1
        self.prompt += usage.prompt
        self.cached += usage.cached
        self.completion += usage.completion
        self.seconds += seconds
        self.dollars += dollars


def cost(usage: Usage, price: Price, *, batched: bool = False) -> float:
    """Returns the cost of a call in dollars. Without a price for cached tokens, they cost as much as prompt tokens.

    `batched`: the call is part of a batch, at a share of the price.
    """
    cached = price.prompt if price.cached is None else price.cached
    share = price.batch if batched else 1.0
    return share * ((usage.prompt - usage.cached) * price.prompt + usage.cached * cached + usage.completion * price.completion) / MILLION


def totals(lines: Iterable[Paid], prices: dict[str, Price]) -> dict[tuple[str, str], RoleTotals]:
    """Returns an account per role and model. A model without a price costs 0 dollars.

    Impossible token counts, which earlier versions recorded, count as 0: a negative count would reduce the total.
    """
    accounts: dict[tuple[str, str], RoleTotals] = defaultdict(RoleTotals)
    for line in lines:
        usage = Usage(max(0, line.prompt), max(0, line.completion), line.cached if 0 <= line.cached <= line.prompt else 0)
        price = prices.get(line.model)
        account = accounts[line.role, line.model]
        account.add(usage, line.seconds, cost(usage, price, batched=line.batched) if price else 0.0)
        account.batched += line.batched
        account.stopped += bool(line.stopped)
        account.saved += max(0, line.saved)
    return dict(accounts)


WAYS = ("direct", "repaired", "serial")  # of write.mode direct, from the cheapest on
CONSISTENCY = "consistency"  # the way of checks and patches of write.consistency
REFLECTION = "reflection"  # the way of notes on paragraphs, with write.reflect teacher


@dataclass
class SampleTotals:
    """What one sample of write.mode direct took, and how it was made."""

    record: str
    way: str
    calls: int = 0
    prompt: int = 0
    completion: int = 0
    dollars: float = 0.0


def samples(lines: Iterable[Paid], prices: dict[str, Price], ways: Sequence[str] = WAYS) -> list[SampleTotals]:
    """Returns the samples that were written in mode direct, in order of their first calls; or those with calls of other ways.

    A sample is repaired if one of its calls was a repair, and serial if one of its calls was made after it was begun again serially.
    Calls that were paid in another mode are not counted: their lines name no sample.
    """
    return samples_by_ways(lines, prices, [ways])[0]


def samples_by_ways(lines: Iterable[Paid], prices: dict[str, Price], groups: Sequence[Sequence[str]]) -> list[list[SampleTotals]]:
    """As `samples`, for several groups of ways in one pass over the lines."""
    found: list[dict[str, SampleTotals]] = [{} for _ in groups]
    for line in lines:
        for ways, its in zip(groups, found, strict=True):
            if line.record and line.way in ways:
                known = its.setdefault(line.record, SampleTotals(line.record, line.way))
                known.way = max(known.way, line.way, key=ways.index)
                known.calls += 1
                known.prompt += line.prompt
                known.completion += line.completion
                if price := prices.get(line.model):
                    known.dollars += cost(Usage(line.prompt, line.completion, line.cached), price, batched=line.batched)
    return [list(its.values()) for its in found]


class Budget:
    """The spend cap, in dollars: the cost of the journal, of the calls in flight and of the next call together stay under it."""

    def __init__(self, cap: float | None, spent: float):
        self.cap, self.spent, self.under_way = cap, spent, 0.0

    @contextmanager
    def reserved(self, dollars: float) -> Iterator[None]:
        """Reserves dollars for the call that the block makes. Raises SpendCapReached if the cap does not allow them."""
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
    """Returns the model's price; None without one. Raises BadSettings, before any call, if there is a spend cap and no price for the
    model.
    """
    if cap is not None and model not in prices:
        raise BadSettings(f"{PREFIX}SPEND_CAP is set, and {PREFIX}PRICES has no price for {model}; add its price, 0 if it is your own")
    return prices.get(model)
