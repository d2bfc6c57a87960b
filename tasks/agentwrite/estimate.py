"""What a run of plan and write will take, before it starts: calls, tokens, dollars and time, from a rehearsal on the real instructions.

The rehearsal teacher's rules plan and write a sample of the instructions with the real prompts and params, in this process: nothing is
sent, stored or paid. What the rehearsal cannot know is assumed and said so: four bytes a token (English has 4 to 4.5 with
current tokenizers, Chinese 3 to 4), answers that need no second try, and the teacher's pace, unless the journal has seen it.
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
from tasks.agentwrite.planner import make_plan
from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import Reply, Request
from tasks.endpoints.ledger import cost
from tasks.endpoints.replay import Paid
from tasks.rehearsal import roles
from tasks.schema.errors import ReplyError
from tasks.schema.params import Collect, PlanSection, Write
from tasks.schema.records import Instruction, Language, Usage
from tasks.schema.settings import Price
from tasks.sources.reading import asks, asks_of, plain
from tasks.text.languages import language_of
from tasks.text.length_requests import parse_length_request

BYTES_PER_TOKEN = 4
SEEN = 50  # calls of the same model in the journal from which its pace is known


class Pace(NamedTuple):
    """How fast the teacher answers."""

    first_token: float  # seconds
    tokens_per_second: float
    source: str  # "assumed", or how many calls it was seen in

    def seconds(self, tokens: int) -> float:
        return self.first_token + tokens / self.tokens_per_second


@dataclass
class Work:
    """Calls and their tokens; `repeated` are prompt tokens that a request shares with the beginning of the one before in its chain."""

    calls: float = 0
    prompt: float = 0
    repeated: float = 0
    completion: float = 0
    seconds: float = 0  # of slot time, all calls added up
    longest: float = 0  # seconds of the longest chain
    unplanned: float = 0  # instructions that the rehearsal could not plan or write

    def scaled(self, factor: float) -> "Work":
        """As much of everything, except of what is a longest."""
        counts = ("calls", "prompt", "repeated", "completion", "seconds", "unplanned")
        return replace(self, **{name: getattr(self, name) * factor for name in counts})

    def wall(self, slots: int) -> float:
        """Seconds with so many requests in flight: no schedule ends before the longest chain, or before all slot time is used up."""
        return max(self.longest, self.seconds / slots)

    def dollars(self, price: Price, *, cache: bool) -> float:
        usage = Usage(round(self.prompt), round(self.completion), round(self.repeated) if cache else 0)
        return cost(usage, price)


class Prompts:
    """Instructions to estimate for, on disk: memory holds 32 bytes of each."""

    def __init__(self, instructions: Iterable[Instruction] = ()):
        self._spool, self._words = store.Spool(), array("q")
        self.unnamed = 0  # that name no length, and count as the middle of collect.words
        for instruction in instructions:
            self.add(instruction)

    def __len__(self) -> int:
        return len(self._spool)

    def add(self, instruction: Instruction, *, unnamed: bool = False) -> None:
        self._spool.put(len(self), instruction)
        self._words.append(instruction.words)
        self.unnamed += unnamed

    def spaced(self, count: int) -> Iterator[Instruction]:
        """`count` of them, or all if there are fewer: evenly spaced by asked length, the shortest and the longest included."""
        import numpy as np

        by_length, count = np.argsort(np.asarray(self._words), kind="stable"), min(count, len(self))
        for number in range(count):
            yield self._spool.at(by_length[round(number * (len(self) - 1) / max(1, count - 1))], Instruction)


def prompts_of(path: Path | None, collect: Collect) -> Prompts:
    """The instructions of the stage collect, or the prompts of any file that collect could read; without a file those of its sources.

    A prompt without a length counts as the geometric middle of collect.words. Raises BadInput for a file that cannot be read.
    """
    if path and _has_instructions(path):
        return Prompts(store.read(path, Instruction))
    asked = asks_of(plain(path)) if path else itertools.chain(*(asks(entry, Path(collect.folder)) for entry in collect.sources))
    middle = round(math.sqrt(collect.words.min * collect.words.max))
    prompts = Prompts()
    for number, ask in enumerate(asked, 1):
        words, language = parse_length_request(ask.text).target, language_of(ask.text)
        given = {"id": f"{number:016x}", "text": ask.text, "words": words or middle, "source": f"{path or 'collect.sources'}:{number}"}
        written = language if language in get_args(Language) else "en"  # only counted here, never written
        prompts.add(Instruction.model_validate(given | {"language": written}), unnamed=words is None)
    return prompts


def _has_instructions(path: Path) -> bool:
    """Is it a file of the stage collect? Raises BadInput where there is no file, or nothing in it."""
    if path.suffix not in (".jsonl", ""):
        return False
    first = next(iter(store.rows(path)))
    return first.data is not None and Instruction.model_fields.keys() - {"length_kind"} <= first.data.keys()


def estimate(prompts: Prompts, *, plan: PlanSection, write: Write, pace: Pace, sample: int) -> Work:
    """The work of all instructions, scaled up from `sample` of them."""
    total, count = Work(), min(sample, len(prompts))
    for instruction in progress.track(prompts.spaced(count), unit="instruction", label="estimate", total=count):
        asyncio.run(_rehearse(instruction, total, plan=plan, write=write, pace=pace))
    return total.scaled(len(prompts) / count)


async def _rehearse(instruction: Instruction, total: Work, *, plan: PlanSection, write: Write, pace: Pace) -> None:
    """Add one instruction's calls to the total."""
    chain, before = 0.0, ""

    async def chat(request: Request) -> Reply:
        nonlocal chain, before
        prompt = "".join(message.content for message in request.messages)
        messages = [(message.role, message.content) for message in request.messages]
        text = roles.answer("rehearsal-teacher", messages, seed=request.sample, schema=request.schema)
        tokens = round(len(text.encode()) / BYTES_PER_TOKEN)
        total.calls += 1
        total.prompt += len(prompt.encode()) / BYTES_PER_TOKEN
        total.repeated += len(prompt[: common_prefix(before, prompt)].encode()) / BYTES_PER_TOKEN
        total.completion += tokens
        total.seconds += (seconds := pace.seconds(tokens))
        chain, before = chain + seconds, prompt
        return Reply(text, "stop", Usage(0, tokens), seconds)

    try:
        planned = await make_plan(chat, instruction, plan=plan)
    except ReplyError:
        total.unplanned += 1
        return
    chain, before = 0.0, ""  # the write stage starts when all plans are there
    await write_draft(chat, planned, write=write, bounds=plan.paragraph_words)
    total.longest = max(total.longest, chain)


def pace_of(lines: Iterable[Paid], model: str, *, first_token: float, tokens_per_second: float) -> Pace:
    """The pace of a model's calls in the journal, by linear regression of seconds on tokens; as assumed where it has too few."""
    calls = [(line.completion, line.seconds) for line in lines if line.model == model and line.role == "teacher" and line.completion]
    if len(calls) >= SEEN:
        try:
            fit = linear_regression(*zip(*calls, strict=True))
        except StatisticsError:  # all of one length
            fit = None
        if fit and fit.slope > 0 and fit.intercept >= 0:
            return Pace(fit.intercept, 1 / fit.slope, f"seen in {len(calls):,} calls")
        return Pace(0.0, sum(tokens for tokens, _ in calls) / sum(seconds for _, seconds in calls), f"seen in {len(calls):,} calls")
    return Pace(first_token, tokens_per_second, "assumed; --ttft and --tokens-per-second say otherwise")
