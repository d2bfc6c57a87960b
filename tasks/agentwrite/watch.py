"""What a person sees of a run of many drafts: one bar, the same numbers in MLflow, and a few whole samples as traces."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType

from tasks import progress
from tasks.agentwrite.glance import Glance
from tasks.endpoints.ledger import Account
from tasks.schema.records import Plan
from tasks.schema.settings import settings
from tasks.tracking.live import live_run
from tasks.tracking.traces import Exchange


class _Sample:
    """A draft on its way."""

    def __init__(self, plan: Plan):
        self.plan, self.counts = plan, Counter[str]()
        self.written: dict[int, str] = {}  # paragraphs; their texts where they are traced
        self.exchanges: list[Exchange] = []


class Watch:
    """Counts what passes. `chains` has the number of paragraphs of each sample; `account` is the running total of the role's calls."""

    def __init__(self, label: str, account: Account, *, chains: Sequence[int], params: Mapping[str, object]):
        self._account, self._chains = account, chains
        self._bar = progress.bar(total=sum(chains), unit="paragraph", label=label)
        self._live = live_run(label, params)
        traced = min(settings().traces, len(chains))
        self._traced = {len(chains) * n // traced for n in range(traced)}
        self._start = self._shown = time.monotonic()
        self._under_way: dict[int, _Sample] = {}
        self._counts, self._samples = Counter[str](), 0

    def __enter__(self) -> "Watch":
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._show()
        self._bar.close()
        self._live.__exit__(kind, error, trace)

    def traced(self, place: int) -> bool:
        """Is the sample one of those whose requests and answers are kept?"""
        return place in self._traced

    def begin(self, place: int, plan: Plan) -> None:
        """A draft begins; once more where its worker died: then what was counted of it is taken back."""
        if void := self._under_way.get(place):
            self._counts.subtract(void.counts)
            self._bar.update(-len(void.written))
        self._under_way[place] = _Sample(plan)

    def heard(self, place: int, glance: Glance) -> None:
        """A request of a draft, and its reply."""
        sample = self._under_way[place]
        counts = Counter(
            calls=1,
            faults=int(not glance.good),
            prompt=glance.prompt,
            completion=glance.completion,
            repeated=glance.repeated,
            characters=glance.characters,
            words=glance.words,
        )
        sample.counts.update(counts)
        self._counts.update(counts)
        if glance.number and glance.good:
            self._bar.update(glance.number not in sample.written)
            sample.written[glance.number] = glance.exchange.reply.text if glance.exchange and glance.exchange.reply else ""
        if glance.exchange:
            sample.exchanges.append(glance.exchange)
        if time.monotonic() - self._shown > 1.0:
            self._show()

    def end(self, place: int) -> None:
        """A draft is written, or will not be."""
        sample = self._under_way.pop(place)
        self._samples += 1
        self._bar.update(self._chains[place] - len(sample.written))
        if sample.exchanges:
            asked, answered = sample.plan.instruction, "\n\n".join(sample.written[number] for number in sorted(sample.written))
            self._live.trace(f"sample {asked.id}", asked=asked.text, answered=answered, exchanges=sample.exchanges)

    def totals(self) -> dict[str, float]:
        """Of all requests, also of those answered from the journal; so they are the same for a run that was resumed."""
        counts = self._counts
        share = counts["repeated"] / counts["characters"] if counts["characters"] else 0.0
        tokens = {"prompt_tokens": counts["prompt"], "completion_tokens": counts["completion"]}
        return {"calls": counts["calls"], "asked_again": counts["faults"], **tokens, "repeated_prompt_share": round(share, 4)}

    def _show(self) -> None:
        self._shown = time.monotonic()
        account, rate = self._account, self._account.completion / max(0.001, self._shown - self._start)
        samples, words = f"{self._samples}/{len(self._chains)} samples", self._counts["words"]
        self._bar.set_postfix_str(f"{samples}, {words:,} words, {rate:,.0f} tokens/s, ${account.dollars:.2f}")
        numbers = {"samples": self._samples, "paragraphs": self._bar.n, "words": words, "asked_again": self._counts["faults"]}
        paid = {"paid_calls": account.calls, "replayed_calls": account.replayed, "retries": account.retries, "spend": account.dollars}
        tokens = {"prompt_tokens": account.prompt, "cached_tokens": account.cached, "completion_tokens": account.completion}
        self._live.log({**numbers, **paid, **tokens, "tokens_per_second": rate, "seconds_left": self._seconds_left()})

    def _seconds_left(self) -> float:
        done = self._bar.n
        return (self._shown - self._start) * (sum(self._chains) - done) / done if done else float("inf")
