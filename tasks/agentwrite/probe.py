"""Compare the modes of the stage write on a few of the user's own instructions, with the real teacher.

Each instruction is planned once and written in each mode. The requests are those of a run, so the journal keeps the replies and a run does
not pay for them again. The figures count every call of a mode, also one that was paid before, and are scaled to all instructions.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.agentwrite.budget import on_target
from tasks.agentwrite.estimate import EndpointPace, EstimatedCalls, PromptsOnDisk, estimate_sample
from tasks.agentwrite.planner import plan_or_reject
from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import Chat, Reply, Request, map_async
from tasks.endpoints.ledger import RoleTotals, cost
from tasks.endpoints.roles import open_role
from tasks.schema.params import Model, PlanSection, Write, WriteMode
from tasks.schema.records import Draft, Instruction, Plan, Usage
from tasks.schema.settings import Price
from tasks.text.counts import count_words, s_l


@dataclass
class ProbedMode:
    """What a mode took for the probed instructions, plans included. Rejects are plans and drafts that failed."""

    mode: WriteMode
    instructions: int
    rejects: int = 0
    within_10_percent: int = 0
    s_l: float = 0.0  # mean over the drafts
    ways: dict[str, int] = field(default_factory=dict)  # of mode direct: direct, repaired, serial
    calls: int = 0
    prompt: int = 0  # tokens, cached ones included
    cached: int = 0
    completion: int = 0
    seconds: float = 0.0  # summed over the calls
    longest: float = 0.0  # seconds of the longest sample

    def dollars(self, price: Price) -> float:
        return cost(Usage(self.prompt, self.completion, self.cached), price)

    def wall(self, slots: int, *, scale: float) -> float:
        """A lower bound of the run time in seconds with `slots` concurrent requests."""
        return max(self.longest, self.seconds * scale / slots)


class _Counted:
    """A Chat that counts the calls of one sample."""

    def __init__(self, chat: Chat):
        self._chat, self.totals = chat, RoleTotals()

    async def __call__(self, request: Request) -> Reply:
        reply = await self._chat(request)
        self.totals.add(reply.usage, reply.seconds, 0.0)
        return reply


def expected_work(
    prompts: PromptsOnDisk, *, count: int, modes: Sequence[WriteMode], plan: PlanSection, write: Write, pace: EndpointPace, max_tokens: int
) -> EstimatedCalls:
    """The work of a probe by the rehearsal's rules, at most: replies that are in the journal already are not known here."""
    total = EstimatedCalls()
    for mode in modes:
        changed = write.model_copy(update={"mode": mode})
        total = total.plus(estimate_sample(list(prompts.spaced(count)), plan=plan, write=changed, pace=pace, max_tokens=max_tokens))
    return total


async def probe(
    prompts: PromptsOnDisk, *, count: int, modes: Sequence[WriteMode], plan: PlanSection, write: Write, teacher: Model
) -> tuple[list[ProbedMode], RoleTotals]:
    """Plan and write `count` instructions, evenly spaced by length, in each mode. Returns the modes' figures and what was paid for them."""
    chosen = list(prompts.spaced(count))
    async with open_role("teacher", teacher) as chat:

        async def one(instruction: Instruction) -> list[ProbedMode]:
            planning = _Counted(chat)
            planned = await plan_or_reject(planning, instruction, plan)
            if not isinstance(planned, Plan):
                return [_result(mode, planning.totals, RoleTotals(), None) for mode in modes]
            return list(await asyncio.gather(*(written(mode, planned, planning.totals) for mode in modes)))

        async def written(mode: WriteMode, planned: Plan, planning: RoleTotals) -> ProbedMode:
            writing, section = _Counted(chat), write.model_copy(update={"mode": mode})
            draft = await write_draft(writing, planned, write=section, bounds=plan.paragraph_words, max_tokens=teacher.max_tokens)
            return _result(mode, planning, writing.totals, draft if isinstance(draft, Draft) else None)

        by_instruction = await map_async(chosen, one, unit="instruction", label="probe")
        return [_summed(results) for results in zip(*by_instruction, strict=True)], chat.account


def _result(mode: WriteMode, planning: RoleTotals, writing: RoleTotals, draft: Draft | None) -> ProbedMode:
    both = [planning, writing]
    found = ProbedMode(mode, 1, rejects=int(draft is None), longest=sum(totals.seconds for totals in both))
    found.seconds = found.longest
    for name in ("calls", "prompt", "cached", "completion"):
        setattr(found, name, sum(getattr(totals, name) for totals in both))
    if draft:
        words = sum(map(count_words, draft.paragraphs))
        found.within_10_percent, found.s_l = int(on_target(words, draft.instruction.words)), s_l(draft.instruction.words, words)
        found.ways = {draft.way: 1} if draft.way else {}
    return found


def _summed(results: Sequence[ProbedMode]) -> ProbedMode:
    """The figures of one mode over its samples."""
    total = ProbedMode(results[0].mode, len(results), longest=max(each.longest for each in results))
    for name in ("rejects", "within_10_percent", "calls", "prompt", "cached", "completion", "seconds"):
        setattr(total, name, sum(getattr(each, name) for each in results))
    total.s_l = sum(each.s_l for each in results) / max(1, total.instructions - total.rejects)
    total.ways = dict(sum((Counter(each.ways) for each in results), Counter()))
    return total
