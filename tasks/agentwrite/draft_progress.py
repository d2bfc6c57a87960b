"""Show the progress of many drafts: a progress bar, the same numbers in MLflow, and a few complete samples as traces."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType

from tasks import progress
from tasks.agentwrite.context import common_prefix
from tasks.agentwrite.writer import Event
from tasks.endpoints.ledger import RoleTotals
from tasks.schema.records import Plan
from tasks.schema.settings import settings
from tasks.text.counts import count_words
from tasks.tracking.live import live_run
from tasks.tracking.traces import Exchange


class DraftProgress:
    """Counts requests, words and drafts. `paragraphs`: number per plan; `account`: running totals of the role's calls."""

    def __init__(self, label: str, account: RoleTotals, *, paragraphs: Sequence[int], params: Mapping[str, object]):
        self._account, self._paragraphs = account, paragraphs
        self._bar = progress.bar(total=sum(paragraphs), unit="paragraph", label=label)
        self._live = live_run(label, params)
        traced = min(settings().traces, len(paragraphs))
        self._traced = {len(paragraphs) * n // traced for n in range(traced)}
        self._start = self._shown = time.monotonic()
        self._counts, self._drafts = Counter[str](), 0

    def __enter__(self) -> "DraftProgress":
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._show()
        self._bar.close()
        self._live.__exit__(kind, error, trace)

    def open(self, place: int, plan: Plan) -> "OpenDraft":
        """Begin a draft. `place`: the index of its plan in `paragraphs`."""
        return OpenDraft(self, place, plan, traced=place in self._traced)

    def count(self, request: Counter[str]) -> None:
        """Add one request and its reply."""
        self._counts.update(request)
        self._bar.update(request["paragraphs"])
        if time.monotonic() - self._shown > 1.0:
            self._show()

    def end(self, draft: "OpenDraft") -> None:
        """Count a draft as finished, written or rejected."""
        self._drafts += 1
        self._bar.update(self._paragraphs[draft.place] - len(draft.written))
        if draft.exchanges:
            asked, answered = draft.plan.instruction, "\n\n".join(draft.written[number] for number in sorted(draft.written))
            self._live.trace(f"sample {asked.id}", asked=asked.text, answered=answered, exchanges=draft.exchanges)

    def totals(self) -> dict[str, float]:
        """Totals of all requests, including replayed ones, so a resumed run has the same totals."""
        counts = self._counts
        share = counts["repeated"] / counts["characters"] if counts["characters"] else 0.0
        tokens = {"prompt_tokens": counts["prompt"], "completion_tokens": counts["completion"]}
        return {"calls": counts["calls"], "asked_again": counts["faults"], **tokens, "repeated_prompt_share": round(share, 4)}

    def _show(self) -> None:
        self._shown = time.monotonic()
        account, rate = self._account, self._account.completion / max(0.001, self._shown - self._start)
        drafts, words = f"{self._drafts}/{len(self._paragraphs)} samples", self._counts["words"]
        self._bar.set_postfix_str(f"{drafts}, {words:,} words, {rate:,.0f} tokens/s, ${account.dollars:.2f}")
        numbers = {"samples": self._drafts, "paragraphs": self._bar.n, "words": words, "asked_again": self._counts["faults"]}
        paid = {"paid_calls": account.calls, "replayed_calls": account.replayed, "retries": account.retries, "spend": account.dollars}
        tokens = {"prompt_tokens": account.prompt, "cached_tokens": account.cached, "completion_tokens": account.completion}
        self._live.log({**numbers, **paid, **tokens, "tokens_per_second": rate, "seconds_left": self._seconds_left()})

    def _seconds_left(self) -> float:
        done = self._bar.n
        return (self._shown - self._start) * (sum(self._paragraphs) - done) / done if done else float("inf")


class OpenDraft:
    """A draft that is being written. Pass it as `see` to `write_draft`: it is called with each request and its reply."""

    def __init__(self, progress: DraftProgress, place: int, plan: Plan, *, traced: bool):
        self.place, self.plan = place, plan
        self.written: dict[int, str] = {}  # paragraphs by number; the texts are empty unless the draft is traced
        self.exchanges: list[Exchange] = []  # empty unless the draft is traced
        self._progress, self._traced = progress, traced
        self._before: dict[int, str] = {}  # the newest prompt of each chain, so that the counts do not depend on the order of replies

    def __call__(self, event: Event) -> None:
        prompt = "\n\n".join(message.content for message in event.request.messages)
        usage, good = event.reply.usage, event.fault is None
        repeated = common_prefix(self._before.get(event.chain, ""), prompt)
        new = bool(event.number and good and event.number not in self.written)
        if event.number:  # a summary's prompt is different; the next paragraph's prompt shares its beginning with the last one's
            self._before[event.chain] = prompt
        if event.number and good:
            self.written[event.number] = event.reply.text if self._traced else ""
        several = {number: text for number, text in event.parts.items() if number not in self.written}
        self.written.update({number: text if self._traced else "" for number, text in several.items()})
        if self._traced:
            self.exchanges.append(_exchange(event))
        self._progress.count(
            Counter(
                calls=1,
                faults=int(not good),
                prompt=usage.prompt,
                completion=usage.completion,
                repeated=repeated,  # characters
                characters=len(prompt),
                paragraphs=int(new) + len(several),
                words=(count_words(event.reply.text) if new else 0) + sum(map(count_words, several.values())),
            )
        )


def _exchange(event: Event) -> Exchange:
    """An event in the form of a trace."""
    fault = f"{event.fault.reason}: {event.fault.detail}" if event.fault else None
    return Exchange(event.name, event.request.messages, event.request.sample, event.reply, fault, event.reply.seconds)
