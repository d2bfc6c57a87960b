"""Compare the ways to write a text, by a real model on a real server: `python -m benchmarks.write_modes_real`.

12 plans of 600 words, with three chapters of two paragraphs, are written in each way by SmolLM2 (or by `--model`), all texts at once,
with the checks and tries of profiles/smollm2.yaml and equal seeds. All ways share one server. `write.stop_early` is on in all rows but one.

Columns: seconds; drafts, the others being rejects; calls; completion tokens, by the server's counter; S_l of the drafts, and S_l without
loops, with 95% intervals over the drafts; the share of runs of eight words that came before in the draft; faulty borders of chapters.
At the end serial writing with and without stop_early is compared over the texts that both have.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, NamedTuple

import typer

from benchmarks.agentwrite_real import COMPUTED, MAX_TOKENS, PARAMS, TEMPERATURE, counted, plans
from benchmarks.serving import installed
from benchmarks.write_modes import faulty_seams, repeated
from tasks.agentwrite.writer import Event, write_draft
from tasks.endpoints.chat import for_each_async
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.server import ServedCheckpoint, model_server
from tasks.models.local import local_folder
from tasks.schema.params import Model, Params, Write, load
from tasks.schema.records import Draft, Plan, Step
from tasks.schema.settings import Settings, settings
from tasks.stage import one_line_errors
from tasks.statistics import Interval, intervals, paired
from tasks.text.counts import count_words, s_l
from tasks.text.unrepeated import count_without_loops

EACH = 2  # paragraphs of a chapter
SLOTS = 32  # requests at once
WATCHED, UNWATCHED = "serial", "serial, without stop_early"
WAYS: dict[str, dict[str, object]] = {
    WATCHED: {"mode": "serial"},
    UNWATCHED: {"mode": "serial", "stop_early": False},
    "serial, turns": {"mode": "serial", "layout": "turns"},
    "parallel": {"mode": "parallel"},
    "chapters": {"mode": "serial", "parallel": "chapters"},
    "direct": {"mode": "direct"},
}


class Way(NamedTuple):
    """What one way made of all plans."""

    wall: float  # seconds
    drafts: dict[str, Draft]  # by the instruction's id
    calls: int
    stopped: int  # replies that were stopped while they came
    completion: int  # tokens, by the server's counter

    def lengths(self, *, loops: bool) -> dict[str, float]:
        """S_l of each draft, with or without the words in loops."""
        count = count_words if loops else count_without_loops
        return {name: s_l(draft.instruction.words, count("\n\n".join(draft.paragraphs))) for name, draft in self.drafts.items()}


def chaptered(plan: Plan) -> Plan:
    """The plan with a chapter for every EACH paragraphs."""
    steps = tuple(step.model_copy(update={"chapter": place // EACH + 1}) for place, step in enumerate(plan.steps))
    heads = tuple(
        Step(point=steps[start].point, words=sum(step.words for step in steps[start : start + EACH]))
        for start in range(0, len(steps), EACH)
    )
    return plan.model_copy(update={"steps": steps, "chapters": heads})


async def way(server: str, served: ServedCheckpoint, section: Write, params: Params, asked: Sequence[Plan], seed: int) -> Way:
    """Write all plans. The server's journal is not used, so every reply is new."""
    model = Model(name=served.name, revision="1", temperature=TEMPERATURE, max_tokens=MAX_TOKENS * (6 if section.mode == "direct" else 1))
    events, drafts, before = list[Event](), dict[str, Draft](), await counted(served, server)
    own = Settings(concurrency=SLOTS)
    async with openai_chat("teacher", served.url, model, own, seed=seed, api_key=served.api_key) as chat:
        begun = time.perf_counter()

        async def one(plan: Plan) -> None:
            bounds, most = params.plan.paragraph_words, model.max_tokens
            made = await write_draft(chat, plan, write=section, bounds=bounds, see=events.append, max_tokens=most)
            if isinstance(made, Draft):
                drafts[plan.instruction.id] = made

        await for_each_async(asked, one, at_once=SLOTS)
        wall = time.perf_counter() - begun
    stopped = sum(event.reply.stopped is not None for event in events)
    return Way(wall, drafts, len(events), stopped, (await counted(served, server))[1] - before[1])


def _plan_of(draft: Draft) -> Plan:
    return Plan(instruction=draft.instruction, steps=draft.steps)


def row(name: str, found: Way) -> str:
    drafts = list(found.drafts.values())
    cells = f"{name:28}{found.wall:7.0f}{len(drafts):8}{found.calls:7}{found.stopped:9}{found.completion:12,}"
    if not drafts:
        return cells
    means = "".join(f"   {_mean(list(found.lengths(loops=loops).values()))}" for loops in (True, False))
    return f"{cells}{means}{fmean(map(repeated, drafts)):10.1%}{sum(faulty_seams(draft, chaptered(_plan_of(draft))) for draft in drafts):7}"


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):5.1f} {_shown(intervals(values, [None] * len(values)).s_l):14}"


def _shown(found: Interval | None) -> str:
    return f"[{found.low:.1f}, {found.high:.1f}]" if found else "-"


def saved(found: Mapping[str, Way]) -> list[str]:
    """What stopping replies early changed."""
    on, off = found[WATCHED], found[UNWATCHED]
    lines = [f"stop_early: completion tokens {off.completion:,} -> {on.completion:,} ({on.completion / off.completion - 1:+.0%})"]
    for loops, name in ((True, "S_l"), (False, "S_l without loops")):
        one, other = on.lengths(loops=loops), off.lengths(loops=loops)
        both = [one[key] - other[key] for key in one if key in other]
        if both:
            interval = _shown(paired(both, [None] * len(both)).s_l.interval)
            lines.append(f"{name}, with minus without, {len(both)} texts that both have: {fmean(both):+.1f} {interval}")
    return lines


async def compare(model: str, server: str, texts: int, only: Sequence[str], seed: int) -> None:
    checkpoint, params = Path(local_folder(model)), load(Path(PARAMS))
    servers = {name: own for name, own in installed(settings()).items() if name in COMPUTED}
    if server not in servers:
        raise SystemExit(f"{server or 'no server'}: not installed; installed are: {', '.join(servers) or 'none'}")
    print(f"{model} on {server}, {texts} texts of 600 words, {SLOTS} requests at once, seed {seed}, {os.cpu_count()} cores")
    lengths = f"{'S_l':23}{'without loops':20}"
    print(f"{'':28}{'s':>7}{'drafts':>8}{'calls':>7}{'stopped':>9}{'completion':>12}   {lengths}{'repeated':>10}{'seams':>7}")
    asked, found = [chaptered(plan) for plan in plans(texts)], dict[str, Way]()
    async with model_server(checkpoint, servers[server]) as served:
        for name in only or WAYS:
            section = Write.model_validate(params.write.model_dump() | WAYS[name])
            found[name] = await way(server, served, section, params, asked, seed)
            print(f"{row(name, found[name])}   load {os.getloadavg()[0]:.1f}", flush=True)
    if {WATCHED, UNWATCHED} <= found.keys():
        print("\n".join(saved(found)))


def main(
    model: Annotated[str, typer.Option(help="smollm2, a GGUF file or a folder")] = "smollm2",
    server: Annotated[str, typer.Option(help=f"one of {', '.join(COMPUTED)}")] = "vLLM",
    texts: Annotated[int, typer.Option(min=2, max=24)] = 12,
    only: Annotated[list[str] | None, typer.Option(help=f"one of {'; '.join(WAYS)}; may be given again")] = None,
    seed: int = 42,
) -> None:
    """The ways to write, by a real model."""
    with one_line_errors():
        asyncio.run(compare(model, server, texts, only or [], seed))


if __name__ == "__main__":
    typer.run(main)
