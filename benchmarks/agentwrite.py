"""AgentWrite's write step against a lower bound, in one run on this machine: `make bench`.

The rehearsal endpoint answers each call after a fixed latency; `slots` calls at most are in flight. No schedule can beat
max(longest chain, all calls / slots) × latency. Beside it stands the plainest alternative: samples in file order, each
holding a slot from its first paragraph to its last.
"""

import asyncio
import os
import random
import resource
import tempfile
import time

from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import each
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.rehearsal import Switches, rehearsal_server
from tasks.schema.params import Model
from tasks.schema.records import Draft, Instruction, Plan, Step
from tasks.schema.settings import Settings

SAMPLES, SLOTS, LATENCY, SEED = 64, 16, 0.2, 7
TEACHER = Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=4096)


def plans() -> list[Plan]:
    """Chains of 4 to 40 paragraphs, the same for every contender."""
    luck = random.Random(SEED)
    return [
        Plan(
            instruction=Instruction(id=str(n), text=f"Write about bread, number {n}.", language="en", words=200, source=f"bench:{n}"),
            steps=tuple(Step(point=f"bread {part}", words=50) for part in range(luck.randint(4, 40))),
        )
        for n in range(SAMPLES)
    ]


async def engine(url: str, work: list[Plan]) -> int:
    """As tasks/write.py does it: calls hold slots, longest plans start first."""
    async with openai_chat("teacher", url, TEACHER, Settings(concurrency=SLOTS)) as chat:
        by_length = sorted(work, key=lambda plan: -len(plan.steps))
        return len(
            [d for d in await each(by_length, lambda plan: write_draft(chat, plan, tries=1), unit="", label=None) if isinstance(d, Draft)]
        )


async def sample_slots(url: str, work: list[Plan]) -> int:
    """Samples hold slots, in file order."""
    slots = asyncio.Semaphore(SLOTS)
    async with openai_chat("teacher", url, TEACHER, Settings(concurrency=SLOTS)) as chat:

        async def one(plan: Plan) -> object:
            async with slots:
                return await write_draft(chat, plan, tries=1)

        return len([d for d in await each(work, one, unit="", label=None) if isinstance(d, Draft)])


async def main() -> None:
    work = plans()
    calls = sum(len(plan.steps) for plan in work)
    bound = max(max(len(plan.steps) for plan in work), calls / SLOTS) * LATENCY
    print(f"{SAMPLES} samples, {calls} calls, {SLOTS} slots, {LATENCY} s a call: lower bound {bound:.2f} s")
    print(f"{'':24}{'wall s':>8}{'x bound':>9}{'CPU ms a call':>15}   (client and endpoint share the process)")
    async with rehearsal_server(Switches(latency=LATENCY)) as url:
        for name, contender in (("this engine", engine), ("samples hold slots", sample_slots)):
            cpu, start = time.process_time(), time.monotonic()
            assert await contender(url, work) == SAMPLES
            wall = time.monotonic() - start
            print(f"{name:24}{wall:8.2f}{wall / bound:9.3f}{(time.process_time() - cpu) / calls * 1000:15.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["LONGWRITER_HOME"] = home
        asyncio.run(main())
