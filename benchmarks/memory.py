"""Compare write.memory summary and state on texts of 10,000 to 100,000 words: prompt sizes, repeated prompt tokens, calls, CPU.

The rehearsal's teacher writes in this process, so only the engine is measured. Sizes are characters ÷ 4 of the requests for paragraphs;
"last fifth" is their mean over the end of the text. "repeats" is the share of a prompt that is the beginning of the one before it. The plan
has chapters, of which a request shows the current one in full. `make bench`.
"""

import asyncio
import time
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple, get_args

from tasks.agentwrite.context import common_prefix
from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import Reply, Request
from tasks.rehearsal import roles
from tasks.schema.params import Bounds, Write, WriteMemory
from tasks.schema.records import Draft, Instruction, Plan, Step, Usage

WORDS = (10_000, 20_000, 50_000, 100_000)
PARAGRAPH, CHAPTER, CONTEXT = 450, 10, 16_384
BOUNDS = Bounds(min=200, max=1_000)


def plan(words: int) -> Plan:
    count = round(words / PARAGRAPH)
    steps = [
        Step(point=f"the history of bread, part {part + 1} of {count}", words=PARAGRAPH, chapter=part // CHAPTER + 1)
        for part in range(count)
    ]
    asked = Instruction(id=str(words), text=f"Write a {words}-word essay about bread.", language="en", words=words, source="bench:1")
    chapters = tuple(
        Step(point=f"bread, chapter {number}", words=sum(step.words for step in steps if step.chapter == number))
        for number in range(1, steps[-1].chapter + 1)
    )
    return Plan(instruction=asked, steps=tuple(steps), chapters=chapters)


class Measured(NamedTuple):
    prompts: list[str]  # of the paragraphs
    others: int  # calls for summaries or records
    seconds: float  # of the processor, the teacher's rules included


def measure(words: int, memory: WriteMemory) -> Measured:
    """Write one text. Raises AssertionError for one that cannot be written."""
    write = Write(version=1, mode="serial", feedback=True, context=CONTEXT, tries=3, retakes=0, max_rejects=0, memory=memory)
    asked = list[str]()

    async def chat(request: Request) -> Reply:
        asked.append(request.messages[0].content)
        text = roles.answer("rehearsal-teacher", [("user", asked[-1])], seed=request.sample, schema=request.schema)
        return Reply(text, "stop", Usage(0, 0), 0.0)

    start = time.process_time()
    made = asyncio.run(write_draft(chat, plan(words), write=write, bounds=BOUNDS))
    assert isinstance(made, Draft), made
    prompts = [prompt for prompt in asked if "<step>" in prompt]
    return Measured(prompts, len(asked) - len(prompts), time.process_time() - start)


def main() -> None:
    heads = f"{'paragraphs':>11}{'other calls':>12}{'mean prompt':>12}{'last fifth':>11}{'largest':>9}{'repeats':>9}{'CPU s':>7}"
    print(f"write.context {CONTEXT:,} tokens, paragraphs of {PARAGRAPH} words; sizes in tokens\n{'':22}{heads}")
    for memory in get_args(WriteMemory):
        for words in WORDS:
            found = measure(words, memory)
            sizes = [len(prompt) / 4 for prompt in found.prompts]
            last = fmean(sizes[-max(1, len(sizes) // 5) :])
            repeats = fmean(common_prefix(one, other) / len(other) for one, other in pairwise(found.prompts))
            row = (
                f"{len(sizes):11,}{found.others:12,}{fmean(sizes):12,.0f}{last:11,.0f}{max(sizes):9,.0f}{repeats:9.0%}{found.seconds:7.1f}"
            )
            print(f"{memory:9}{words:8,} words{row}", flush=True)


if __name__ == "__main__":
    main()
