"""What a person sees of a run of many drafts: one bar, the same numbers in MLflow, and a few whole samples as traces."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

from tasks import progress
from tasks.agentwrite.writer import Event, See
from tasks.endpoints.ledger import Account
from tasks.longbench.length import count_words
from tasks.schema.records import Plan
from tasks.schema.settings import settings
from tasks.tracking.live import live_run
from tasks.tracking.traces import Exchange


class Watch:
    """Counts what passes. `chains` has the number of paragraphs of each sample; `account` is the running total of the role's calls."""

    def __init__(self, label: str, account: Account, *, chains: Sequence[int], params: Mapping[str, object]):
        self._account, self._chains = account, chains
        self._bar = progress.bar(total=sum(chains), unit="paragraph", label=label)
        self._live = live_run(label, params)
        traced = min(settings().traces, len(chains))
        self._traced = {len(chains) * n // traced for n in range(traced)}
        self._start = self._shown = time.monotonic()
        self.samples = self.words = self.calls = self.faults = self.prompt = self.completion = self.characters = self.repeated = 0

    def __enter__(self) -> "Watch":
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._show()
        self._bar.close()
        self._live.__exit__(kind, error, trace)

    @contextmanager
    def sample(self, place: int, plan: Plan) -> Iterator[See]:
        """Watch one draft: what it yields is told of every request and its reply."""
        exchanges: list[Exchange] = []
        texts: dict[int, str] = {}
        before = ""

        def see(event: Event) -> None:
            nonlocal before
            prompt = event.request.messages[-1].content
            self._count(event, repeated=shared(before, prompt), characters=len(prompt))
            if event.number:  # a summary's prompt has another form; the next paragraph's begins as the last one's did
                before = prompt
            if event.number and event.fault is None:
                self._bar.update(event.number not in texts)
                self.words += 0 if event.number in texts else count_words(event.reply.text)
                texts[event.number] = event.reply.text if place in self._traced else ""
            if place in self._traced:
                exchanges.append(exchange(event))
            if time.monotonic() - self._shown > 1.0:
                self._show()

        yield see
        self.samples += 1
        self._bar.update(self._chains[place] - len(texts))
        if exchanges:
            answered = "\n\n".join(texts[number] for number in sorted(texts))
            self._live.trace(f"sample {plan.instruction.id}", asked=plan.instruction.text, answered=answered, exchanges=exchanges)

    def totals(self) -> dict[str, float]:
        """Of all requests, also of those answered from the journal; so they are the same for a run that was resumed."""
        share = self.repeated / self.characters if self.characters else 0.0
        tokens = {"prompt_tokens": self.prompt, "completion_tokens": self.completion}
        return {"calls": self.calls, "asked_again": self.faults, **tokens, "repeated_prompt_share": round(share, 4)}

    def _count(self, event: Event, *, repeated: int, characters: int) -> None:
        self.calls += 1
        self.faults += event.fault is not None
        self.prompt += event.reply.usage.prompt
        self.completion += event.reply.usage.completion
        self.repeated += repeated
        self.characters += characters

    def _show(self) -> None:
        self._shown = time.monotonic()
        account, rate = self._account, self._account.completion / max(0.001, self._shown - self._start)
        samples = f"{self.samples}/{len(self._chains)} samples"
        self._bar.set_postfix_str(f"{samples}, {self.words:,} words, {rate:,.0f} tokens/s, ${account.dollars:.2f}")
        numbers = {"samples": self.samples, "paragraphs": self._bar.n, "words": self.words, "asked_again": self.faults}
        paid = {"paid_calls": account.calls, "replayed_calls": account.replayed, "retries": account.retries, "spend": account.dollars}
        tokens = {"prompt_tokens": account.prompt, "cached_tokens": account.cached, "completion_tokens": account.completion}
        self._live.log({**numbers, **paid, **tokens, "tokens_per_second": rate, "seconds_left": self._seconds_left()})

    def _seconds_left(self) -> float:
        done = self._bar.n
        return (self._shown - self._start) * (sum(self._chains) - done) / done if done else float("inf")


def exchange(event: Event) -> Exchange:
    """An event as a trace shows it."""
    fault = f"{event.fault.reason}: {event.fault.detail}" if event.fault else None
    return Exchange(event.name, event.request.messages, event.request.sample, event.reply, fault, event.reply.seconds)


def shared(before: str, prompt: str) -> int:
    """Characters of the longest common beginning."""
    low, high = 0, min(len(before), len(prompt))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if prompt.startswith(before[low:middle], low) else (low, middle - 1)
    return low
