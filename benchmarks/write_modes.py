"""Compare the ways to write a text: serial and direct by a teacher that often writes too little in one call, and four ways side by side.

64 texts of 10,000 words by the rehearsal's teacher. `short`: share of its long replies that have only 40% to 90% of the words; they end
early, or are condensed. `reach`: words that it never exceeds in one call. Prices are those of gpt-4o-2024-08-06, with and without its price
for cached tokens. The plans are given, so their cost, which is the same in both modes, is not counted. `make bench`.

The second table (alone: `ways`) has 16 texts of 8 chapters, one at a time: serial, all paragraphs at once, chapters at once, takes, direct.
Where its teacher sees no text before a paragraph, it often begins with the same sentences, as models do: `seams` are the faults at the
borders of chapters that are left in the drafts.
"""

import asyncio
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tasks.agentwrite.budget import on_target
from tasks.agentwrite.chapters import AROUND, ranges
from tasks.agentwrite.seams import RUN, grams_of, seam_fault
from tasks.agentwrite.writer import write_draft
from tasks.corpus.samples import DraftFault, sample_of
from tasks.endpoints.chat import Reply, Request, map_async
from tasks.endpoints.ledger import cost
from tasks.endpoints.openai_api import openai_chat
from tasks.rehearsal.endpoint import Switches, rehearsal_server
from tasks.schema.params import Bounds, Model, Recipe, Write, WriteMode
from tasks.schema.records import Draft, Instruction, Plan, Step, Usage
from tasks.schema.settings import Price, Settings
from tasks.text.counts import count_words, s_l

SAMPLES, PARAGRAPH, MISS, BOUNDS = 64, 450, 0.1, Bounds(min=200, max=1000)
WORDS = 10_000
TEACHER = Model(name="rehearsal-teacher", revision="1", temperature=1.0, max_tokens=32_768)
PRICE = Price(prompt=2.5, cached=1.25, completion=10.0)
RECIPE = Recipe(words=Bounds(min=1, max=100_000), explicit_only=False, min_s_l=0.0)
ROWS: tuple[tuple[str, WriteMode, Switches], ...] = (
    ("serial", "serial", Switches(miss=MISS)),
    ("direct, all replies whole", "direct", Switches(miss=MISS)),
    ("direct, 20% short, end early", "direct", Switches(miss=MISS, short=0.2)),
    ("direct, 20% short, half of them condensed", "direct", Switches(miss=MISS, short=0.2, condensing=0.5)),
    ("direct, 50% short, end early", "direct", Switches(miss=MISS, short=0.5)),
    ("direct, reach 4,000 words", "direct", Switches(miss=MISS, reach=4_000)),
    ("direct, 10% loop, 5% refuse", "direct", Switches(miss=MISS, looping=0.1, refusing=0.05)),
)


def plans() -> list[Plan]:
    return [_plan(number, WORDS) for number in range(SAMPLES)]


def _plan(number: int, words: int) -> Plan:
    count = max(1, round(words / PARAGRAPH))
    budgets = [words * (part + 1) // count - words * part // count for part in range(count)]
    text = f"Write a {words}-word essay about bread and its history, number {number}."
    asked = Instruction(id=str(number), text=text, language="en", words=words, source=f"bench:{number}")
    steps = tuple(Step(point=f"the history of bread, part {part + 1} of {count}", words=budget) for part, budget in enumerate(budgets))
    return Plan(instruction=asked, steps=steps)


class Compared(NamedTuple):
    """What one teacher wrote in one mode, and what it took."""

    drafts: list[Draft]
    calls: int
    usage: Usage

    def dollars(self, *, cache: bool) -> float:
        return cost(self.usage if cache else self.usage._replace(cached=0), PRICE)

    @property
    def ways(self) -> Counter[str]:
        return Counter(str(draft.way) for draft in self.drafts)

    @property
    def s_l(self) -> float:
        return sum(s_l(draft.instruction.words, _words(draft)) for draft in self.drafts) / len(self.drafts)

    @property
    def faults(self) -> int:
        """Drafts that are not within 10% of their length, or become no samples."""
        return sum(isinstance(sample_of(draft, RECIPE, Counter()), DraftFault) or not _lands(draft) for draft in self.drafts)


def _words(draft: Draft) -> int:
    return sum(map(count_words, draft.paragraphs))


def _lands(draft: Draft) -> bool:
    return on_target(_words(draft), draft.instruction.words)


async def compared(mode: WriteMode, switches: Switches, plans: Sequence[Plan]) -> Compared:
    """Write all plans in a mode. Raises AssertionError for one that cannot be written."""
    write = Write(version=1, mode=mode, feedback=True, context=65_536, tries=3, retakes=3, max_rejects=0)
    usages = list[Usage]()
    async with rehearsal_server(switches) as url, openai_chat("teacher", url, TEACHER, Settings(concurrency=64)) as chat:

        async def draft(plan: Plan) -> Draft:
            see = lambda event: usages.append(event.reply.usage)  # noqa: E731
            made = await write_draft(chat, plan, write=write, bounds=BOUNDS, see=see, max_tokens=TEACHER.max_tokens)
            assert isinstance(made, Draft), made
            return made

        drafts = await map_async(plans, draft, unit="sample", label=None)
    return Compared(drafts, len(usages), Usage(*map(sum, zip(*usages, strict=True))))


WAYS: tuple[tuple[str, dict[str, object]], ...] = (
    ("serial", {"mode": "serial"}),
    ("parallel, all paragraphs at once", {"mode": "parallel"}),
    ("chapters at once", {"mode": "serial", "parallel": "chapters"}),
    ("chapters at once, 3 takes", {"mode": "serial", "parallel": "chapters", "takes": 3}),
    ("serial, 3 takes", {"mode": "serial", "takes": 3}),
    ("direct", {"mode": "direct"}),
)
TEXTS, CHAPTERS, EACH, LATENCY, TOKENS_PER_SECOND, STOCK = 16, 8, 3, 0.05, 40_000.0, 0.4
_STEP = re.compile(r"<step>\nParagraph (\d+)")
_SEEN = re.compile(r"<text>\n(.*?)\n</text>", re.DOTALL)


def chaptered(number: int) -> Plan:
    """A plan of CHAPTERS chapters with EACH paragraphs each."""
    whole = _plan(number, CHAPTERS * EACH * PARAGRAPH)
    steps = tuple(step.model_copy(update={"chapter": place // EACH + 1}) for place, step in enumerate(whole.steps))
    heads = tuple(Step(point=f"chapter {chapter}", words=EACH * PARAGRAPH) for chapter in range(1, CHAPTERS + 1))
    return whole.model_copy(update={"steps": steps, "chapters": heads})


class Forgetful:
    """A teacher that begins a text with the same sentences wherever it sees no text before, in a share STOCK of such replies."""

    def __init__(self, chat: object):
        self._chat = chat

    async def __call__(self, request: Request) -> Reply:
        reply: Reply = await self._chat(request)  # type: ignore[operator]
        prompt = request.messages[-1].content
        step, seen = _STEP.search(prompt), _SEEN.search(prompt)
        if not step or int(step[1]) == 1 or (seen and seen[1].strip()) or random.Random(f"{prompt} {request.sample}").random() >= STOCK:
            return reply
        stock = " ".join(f"In the {name} century the bakers of the old town kept {count} ovens." for name, count in _OPENING)
        return reply._replace(text=f"{stock} {' '.join(reply.text.split()[len(stock.split()) :])}")


_OPENING = [(name, 3 * place) for place, name in enumerate(("tenth", "eleventh", "twelfth", "thirteenth"), 2)]


class Way(NamedTuple):
    """What one way of writing took for all texts, one after the other."""

    wall: float  # seconds
    calls: int
    dollars: float
    s_l: float
    repeated: float  # share of n-grams
    seams: int  # faults at the borders of chapters


async def way(changes: dict[str, object]) -> Way:
    write = Write(version=1, mode="serial", feedback=True, context=65_536, tries=3, retakes=3, max_rejects=0)
    write, usages, drafts = Write.model_validate(write.model_dump() | changes), list[Usage](), list[Draft]()
    switches = Switches(miss=MISS, latency=LATENCY, tokens_per_second=TOKENS_PER_SECOND)
    async with rehearsal_server(switches) as url, openai_chat("teacher", url, TEACHER, Settings(concurrency=64)) as chat:
        teacher, begun = Forgetful(chat), time.perf_counter()
        for number in range(TEXTS):
            see = lambda event: usages.append(event.reply.usage)  # noqa: E731
            plan = chaptered(number)
            made = await write_draft(teacher, plan, write=write, bounds=BOUNDS, see=see, max_tokens=TEACHER.max_tokens)
            assert isinstance(made, Draft), made
            drafts.append(made)
        wall = time.perf_counter() - begun
    return Way(
        wall / TEXTS,
        len(usages),
        cost(Usage(*map(sum, zip(*usages, strict=True))), PRICE),
        sum(s_l(draft.instruction.words, _words(draft)) for draft in drafts) / len(drafts),
        sum(map(repeated, drafts)) / len(drafts),
        sum(faulty_seams(draft, chaptered(0)) for draft in drafts),
    )


def repeated(draft: Draft) -> float:
    """The share of runs of RUN words that came before in the draft."""
    runs = grams_of(" ".join("\n".join(draft.paragraphs).casefold().split()), RUN)
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def faulty_seams(draft: Draft, plan: Plan) -> int:
    """Borders of the plan's chapters with a fault."""
    starts, parts = [first for first, _ in ranges(plan)], draft.paragraphs
    openings = [parts[start] for start in starts]
    return sum(
        seam_fault(parts[start], parts[max(0, start - AROUND) : start], openings[:number]) is not None
        for number, start in enumerate(starts)
        if number
    )


async def ways() -> None:
    print(f"{TEXTS} texts of {CHAPTERS} chapters with {EACH} paragraphs each, one after the other; seconds of one text")
    print(f"{'':36}{'wall':>8}{'share':>7}{'calls':>7}{'dollars':>9}{'share':>7}{'S_l':>7}{'repeated':>10}{'seams':>7}")
    first: Way | None = None
    for name, changes in WAYS:
        found = await way(changes)
        first = first or found
        cells = f"{found.wall:8.2f}{found.wall / first.wall:7.0%}{found.calls:7,}{found.dollars:9.2f}{found.dollars / first.dollars:7.0%}"
        print(f"{name:36}{cells}{found.s_l:7.1f}{found.repeated:10.1%}{found.seams:7}", flush=True)
    print(f"repeated: share of runs of eight words that came before; seams: faulty ones of {TEXTS * (CHAPTERS - 1)}\n")


async def main() -> None:
    await ways()
    if "ways" not in sys.argv:
        await modes()


async def modes() -> None:
    heads = (
        f"{'accepted':>9}{'repaired':>9}{'serial':>7}{'calls':>7}{'dollars':>9}{'share':>7}{'cached':>9}{'share':>7}{'S_l':>7}{'faults':>8}"
    )
    print(f"{SAMPLES} texts of {WORDS:,} words; dollars at ${PRICE.prompt} and ${PRICE.completion} per million tokens")
    print(f"{'':44}{heads}")
    first: Compared | None = None
    for name, mode, switches in ROWS:
        found = await compared(mode, switches, plans())
        first, ways = first or found, found.ways
        made = f"{ways['direct'] / SAMPLES:9.0%}{ways['repaired']:9}{ways['serial']:7}" if mode == "direct" else " " * 25
        shares = [
            f"{found.dollars(cache=cache):9.2f}{found.dollars(cache=cache) / first.dollars(cache=cache):7.0%}" for cache in (False, True)
        ]
        print(f"{name:44}{made}{found.calls:7,}{''.join(shares)}{found.s_l:7.1f}{found.faults:8}", flush=True)
    print("share: of serial mode's dollars; cached: dollars with cached prompt tokens at half price; faults: drafts that are no samples\n")


if __name__ == "__main__":
    asyncio.run(main())
