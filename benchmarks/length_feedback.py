"""Measure the share of texts within 10% of their requested length, with and without length feedback; `make bench`.

The rehearsal teacher writes 256 texts of 2 to 40 paragraphs over HTTP, each paragraph up to 40% longer or shorter than planned.
"""

import asyncio
import random

from tasks.agentwrite.budget import on_target
from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import map_async
from tasks.endpoints.openai_api import openai_chat
from tasks.rehearsal.endpoint import Switches, rehearsal_server
from tasks.schema.params import Bounds, Model, Write
from tasks.schema.records import Draft, Instruction, Plan, Step
from tasks.schema.settings import Settings
from tasks.text.counts import count_words

SAMPLES, MISS, SEED = 256, 0.4, 7
TEACHER = Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=4096)
BOUNDS = Bounds(min=40, max=60)
WAYS = {"open loop": (False, 0), "feedback": (True, 0), "feedback, last paragraph retaken": (True, 3)}


def plans() -> list[Plan]:
    luck = random.Random(SEED)
    counts = [luck.choice([2, 4, 8, 16, 40]) for _ in range(SAMPLES)]
    return [_plan(number, count) for number, count in enumerate(counts)]


def _plan(number: int, count: int) -> Plan:
    text = f"Write a {50 * count}-word essay about bread, number {number}."
    instruction = Instruction(id=str(number), text=text, language="en", words=50 * count, source=f"bench:{number}")
    return Plan(instruction=instruction, steps=tuple(Step(point=f"bread, part {part}", words=50) for part in range(count)))


async def main() -> None:
    print(f"{SAMPLES} texts of 2 to 40 paragraphs, each paragraph up to {MISS:.0%} longer or shorter than asked")
    print(f"{'':34}{'within 10%':>11}{'mean miss':>11}{'calls':>8}")
    async with (
        rehearsal_server(Switches(miss=MISS)) as url,
        openai_chat("teacher", url, TEACHER, Settings(concurrency=64)) as chat,
    ):
        for name, (feedback, retakes) in WAYS.items():
            write = Write(version=1, mode="serial", feedback=feedback, context=65536, tries=3, retakes=retakes, max_rejects=0)
            calls = 0

            def count(_: object) -> None:
                nonlocal calls
                calls += 1

            async def draft(plan: Plan, write: Write = write) -> tuple[int, int]:
                made = await write_draft(chat, plan, write=write, bounds=BOUNDS, see=count)
                assert isinstance(made, Draft), made
                return sum(map(count_words, made.paragraphs)), plan.instruction.words

            lengths = await map_async(plans(), draft, unit="sample", label=None)
            landed = sum(on_target(words, target) for words, target in lengths) / len(lengths)
            miss = sum(abs(words / target - 1) for words, target in lengths) / len(lengths)
            print(f"{name:34}{landed:11.1%}{miss:11.1%}{calls:8,}", flush=True)
    print()


if __name__ == "__main__":
    asyncio.run(main())
