"""Estimate calls, tokens, dollars and time of plan and write before a run, with a rehearsal on the real instructions.

The rehearsal teacher plans and writes a sample of the instructions by rules, with the real prompts and params, in this process.
Nothing is sent, stored or paid. Assumptions: four bytes per token (current tokenizers: English 4 to 4.5, Chinese 3 to 4), no second
tries, and the teacher's speed, unless the journal has enough calls to measure it.
"""

import asyncio
import itertools
import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import StatisticsError, linear_regression
from typing import NamedTuple, get_args

from tasks import progress, store
from tasks.agentwrite.context import common_prefix
from tasks.agentwrite.paragraph_checks import Unwritable
from tasks.agentwrite.planner import make_plan
from tasks.agentwrite.writer import Event, write_draft
from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.ledger import cost
from tasks.endpoints.replay import Paid
from tasks.rehearsal import roles
from tasks.schema.errors import ReplyError
from tasks.schema.params import Collect, Model, PlanSection, Write
from tasks.schema.records import Instruction, Language, ThinkingBudget, Usage
from tasks.schema.settings import Price
from tasks.sources.reading import plain, raw_prompts, raw_prompts_of
from tasks.text.languages import language_of
from tasks.text.length_requests import parse_length_request

BYTES_PER_TOKEN = 4
COUNTS = ("calls", "prompt", "repeated", "completion", "seconds", "unplanned", "unwritten")  # of EstimatedCalls, that add up
BATCH_TIME = 24 * 3600.0  # seconds that providers allow for a batch
SEEN = 50  # calls of the same model in the journal that are needed to measure its speed


class EndpointPace(NamedTuple):
    """The speed of the teacher, and its thoughts."""

    first_token: float  # seconds
    tokens_per_second: float
    source: str  # "assumed …", or the number of measured calls
    thoughts: float = 0.0  # tokens of thoughts of one reply, before its text
    thoughts_source: str = ""  # where `thoughts` is from; empty: the teacher is not asked to think

    def seconds(self, tokens: float) -> float:
        """Seconds for a reply of `tokens` tokens, thoughts included."""
        return self.first_token + tokens / self.tokens_per_second


@dataclass
class EstimatedCalls:
    """Calls and their tokens. `repeated`: prompt tokens in the common prefix with the previous request of the same chain."""

    calls: float = 0
    prompt: float = 0
    repeated: float = 0
    completion: float = 0
    seconds: float = 0  # sum of the durations of all calls
    longest: float = 0  # seconds of the longest chain of calls
    rounds: int = 0  # calls of the longest chain, plans included: by batches, each of its calls waits for one
    unplanned: float = 0  # instructions that the rehearsal could not plan
    unwritten: float = 0  # plans that the rehearsal could not write; their calls count

    def plus(self, other: "EstimatedCalls") -> "EstimatedCalls":
        """The sums of both, and the longer chain."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return EstimatedCalls(**counts, longest=max(self.longest, other.longest), rounds=max(self.rounds, other.rounds))

    def scaled(self, factor: float) -> "EstimatedCalls":
        """All sums multiplied by `factor`; `longest` and `rounds` do not change."""
        return replace(self, **{name: getattr(self, name) * factor for name in COUNTS})

    def wall(self, slots: int) -> float:
        """A lower bound of the run time in seconds with `slots` concurrent requests: the longest chain, or all calls divided by slots."""
        return max(self.longest, self.seconds / slots)

    def dollars(self, price: Price, *, cache: bool, batched: bool = False) -> float:
        """The cost in dollars. `cache`: repeated prompt tokens have the price of cached tokens; `batched`: all calls go by batches."""
        usage = Usage(round(self.prompt), round(self.completion), round(self.repeated) if cache else 0)
        return cost(usage, price, batched=batched)

    def longest_batches(self) -> float:
        """Seconds that the batches may take at most: each call of the longest chain waits for a batch."""
        return self.rounds * BATCH_TIME


class PromptsOnDisk:
    """The instructions to estimate, on disk. Memory holds 32 bytes per instruction."""

    def __init__(self, instructions: Iterable[Instruction] = ()):
        self._spool, self._words = store.Spool(), array("q")
        self.unnamed = 0  # instructions without a length; they count as the middle of collect.words
        for instruction in instructions:
            self.add(instruction)

    def __len__(self) -> int:
        return len(self._spool)

    def add(self, instruction: Instruction, *, unnamed: bool = False) -> None:
        self._spool.put(len(self), instruction)
        self._words.append(instruction.words)
        self.unnamed += unnamed

    def spaced(self, count: int) -> Iterator[Instruction]:
        """`count` instructions, or all if there are fewer, evenly spaced by requested length, from the shortest to the longest."""
        import numpy as np

        by_length, count = np.argsort(np.asarray(self._words), kind="stable"), min(count, len(self))
        for number in range(count):
            yield self._spool.at(by_length[round(number * (len(self) - 1) / max(1, count - 1))], Instruction)


def prompts_of(path: Path | None, collect: Collect) -> PromptsOnDisk:
    """The instructions in a file of the stage collect, or the prompts of another readable file; without a file, of collect's sources.

    A prompt without a length counts as the geometric mean of collect.words' bounds. Raises BadInput for an unreadable file.
    """
    if path and _has_instructions(path):
        return PromptsOnDisk(store.read(path, Instruction))
    asked = (
        raw_prompts_of(plain(path)) if path else itertools.chain(*(raw_prompts(entry, Path(collect.folder)) for entry in collect.sources))
    )
    middle = round(math.sqrt(collect.words.min * collect.words.max))
    prompts = PromptsOnDisk()
    for number, ask in enumerate(asked, 1):
        words, language = parse_length_request(ask.text).target, language_of(ask.text)
        given = {"id": f"{number:016x}", "text": ask.text, "words": words or middle, "source": f"{path or 'collect.sources'}:{number}"}
        written = language if language in get_args(Language) else "en"  # other languages are only counted here
        prompts.add(Instruction.model_validate(given | {"language": written}), unnamed=words is None)
    return prompts


def _has_instructions(path: Path) -> bool:
    """Whether the file was written by the stage collect. Raises BadInput for a missing or empty JSONL file."""
    if path.suffix not in (".jsonl", ""):
        return False
    first = next(iter(store.rows(path)))
    required = {name for name, field in Instruction.model_fields.items() if field.is_required()}
    return first.data is not None and required <= first.data.keys()


def estimate(
    prompts: PromptsOnDisk, *, plan: PlanSection, write: Write, pace: EndpointPace, sample: int, max_tokens: int | None = None
) -> EstimatedCalls:
    """Estimates calls, tokens and time for all instructions: simulates `sample` of them with the rule-based teacher and scales the
    result up. Sends nothing. `max_tokens`: of the teacher, for write.mode direct.
    """
    count = min(sample, len(prompts))
    seen = progress.track(prompts.spaced(count), unit="instruction", label="estimate", total=count)
    return estimate_sample(seen, plan=plan, write=write, pace=pace, max_tokens=max_tokens).scaled(len(prompts) / count)


def estimate_sample(
    instructions: Iterable[Instruction], *, plan: PlanSection, write: Write, pace: EndpointPace, max_tokens: int | None = None
) -> EstimatedCalls:
    """The work for these instructions, by the rule-based teacher. Sends nothing."""
    total = EstimatedCalls()
    for instruction in instructions:
        asyncio.run(_rehearse(instruction, total, plan=plan, write=write, pace=pace, max_tokens=max_tokens))
    return total


def estimate_one(
    instruction: Instruction, *, plan: PlanSection, write: Write, pace: EndpointPace, max_tokens: int | None = None
) -> EstimatedCalls:
    """The work for one instruction. Raises nothing for one that the rehearsal cannot plan: `unplanned` is 1 then."""
    return estimate_sample([instruction], plan=plan, write=write, pace=pace, max_tokens=max_tokens)


async def _rehearse(
    instruction: Instruction, total: EstimatedCalls, *, plan: PlanSection, write: Write, pace: EndpointPace, max_tokens: int | None
) -> None:
    """Add the calls of one instruction to the total."""
    calls, before = list[float](), ""  # seconds of each call

    async def chat(request: Request) -> Reply:
        nonlocal before
        prompt = "".join(message.content for message in request.messages)
        messages = [(message.role, message.content) for message in request.messages]
        text = roles.answer("rehearsal-teacher", messages, seed=request.sample, schema=request.schema)
        tokens = round(len(text.encode()) / BYTES_PER_TOKEN + pace.thoughts)
        total.calls += 1
        total.prompt += len(prompt.encode()) / BYTES_PER_TOKEN
        total.repeated += len(prompt[: common_prefix(before, prompt)].encode()) / BYTES_PER_TOKEN
        total.completion += tokens
        total.seconds += (seconds := pace.seconds(tokens))
        calls.append(seconds)
        before = prompt
        return Reply(text, "stop", Usage(0, tokens), seconds)

    try:
        planned = await make_plan(chat, instruction, plan=plan)
    except ReplyError:
        total.unplanned += 1
        return
    plans, before = len(calls), ""  # the stage write starts after all plans are made
    chains = _Chains()
    draft = await write_draft(chat, planned, write=write, bounds=plan.paragraph_words, see=chains, max_tokens=max_tokens)
    total.unwritten += isinstance(draft, Unwritable)
    total.longest = max(total.longest, chains.seconds())
    total.rounds = max(total.rounds, plans + chains.calls())


class _Chains:
    """The calls of one draft, in order. Calls of one chain follow each other, except for the takes of one paragraph."""

    def __init__(self) -> None:
        self._steps: dict[int, list[tuple[int | None, float]]] = {}  # by chain: paragraph, seconds

    def __call__(self, event: Event) -> None:
        steps = self._steps.setdefault(event.chain, [])
        if event.number is not None and steps and steps[-1][0] == event.number:
            steps[-1] = event.number, max(steps[-1][1], event.reply.seconds)
        else:
            steps.append((event.number, event.reply.seconds))

    def calls(self) -> int:
        """Of the longest chain; what has no chain of its own, such as seams, comes after the chains."""
        return len(self._steps.get(0, ())) + max((len(steps) for chain, steps in self._steps.items() if chain), default=0)

    def seconds(self) -> float:
        """Of the longest chain, as `calls`."""
        sums = {chain: sum(seconds for _, seconds in steps) for chain, steps in self._steps.items()}
        return sums.get(0, 0.0) + max((seconds for chain, seconds in sums.items() if chain), default=0.0)


def pace_of(lines: Iterable[Paid], model: str, *, first_token: float, tokens_per_second: float) -> EndpointPace:
    """The speed of the teacher by linear regression of seconds on tokens over the journal; the assumed speed for fewer than SEEN calls.

    If the regression gives no valid line, the speed is total tokens ÷ total seconds.
    """
    calls = [
        (line.completion, line.seconds)
        for line in lines
        if line.model == model and line.role == "teacher" and line.completion and not line.batched
    ]
    if len(calls) >= SEEN:
        try:
            fit = linear_regression(*zip(*calls, strict=True))
        except StatisticsError:  # all replies have the same length
            fit = None
        if fit and fit.slope > 0 and fit.intercept >= 0:
            return EndpointPace(fit.intercept, 1 / fit.slope, f"seen in {len(calls):,} calls")
        return EndpointPace(0.0, sum(tokens for tokens, _ in calls) / sum(seconds for _, seconds in calls), f"seen in {len(calls):,} calls")
    return EndpointPace(first_token, tokens_per_second, "assumed; --ttft and --tokens-per-second say otherwise")


def with_thoughts(pace: EndpointPace, lines: Iterable[Paid], teacher: Model) -> EndpointPace:
    """The pace with the thoughts of a teacher that is asked to think: the mean over its calls in the journal; for fewer than SEEN calls
    the budget, and 0 where only an effort is set.

    The journal does not say with which setting a call was made.
    """
    if teacher.reasoning in (None, "none"):
        return pace
    seen = [
        max(0.0, line.completion - len(line.text.encode()) / BYTES_PER_TOKEN)
        for line in lines
        if line.model == teacher.name and line.role == "teacher" and line.completion and line.text
    ]
    if len(seen) >= SEEN:
        return pace._replace(thoughts=sum(seen) / len(seen), thoughts_source=f"seen in {len(seen):,} calls")
    if isinstance(teacher.reasoning, ThinkingBudget):
        return pace._replace(thoughts=float(teacher.reasoning.budget), thoughts_source="the whole budget, for each call")
    return pace._replace(
        thoughts_source=f"not known for reasoning {teacher.reasoning}: the dollars are without them; --probe measures them"
    )
