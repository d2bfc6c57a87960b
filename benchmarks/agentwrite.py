"""Compare AgentWrite's write step with other implementations, and with the lower bound of the endpoint's time.

At full size (8 minutes): `python -m benchmarks.agentwrite --samples 6000 --slots 256 --latency 0.7 --only engine`.

The endpoint is a separate process with a fixed time to the first token, a fixed rate of tokens per second and stream, and a number of
slots; further requests wait for a slot. No schedule can end before max(longest chain, total slot time / slots), the lower bound. All
contenders use the same plans and the same kind of endpoint. Each has its own process, for separate CPU and memory:

- engine: tasks.write as in the pipeline, with journal, checks and bar. It has a ninth more requests in flight than slots, so that a
  free slot always has a waiting request.
- openai loop: one asyncio task per sample over the openai SDK, with as many calls at once as slots.
- two scripts: the official flow, reimplemented. Each thread writes one sample from beginning to end; 8 threads as published, and tuned
  to one per slot.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import psutil
import typer

from benchmarks.loopback import endpoint, health
from benchmarks.processes import cpu_seconds
from tasks import store
from tasks.agentwrite.planner import render, render_step
from tasks.prompts import fill
from tasks.schema.params import Model, load
from tasks.schema.records import Instruction, Plan, Step
from tasks.schema.settings import PREFIX, settings

ROOT = Path(__file__).parents[1]
TOKENS_PER_SECOND = 400.0
SEED = 7
KEY = f"{PREFIX}TEACHER_API_KEY"


class Target(NamedTuple):
    """The endpoint that a contender calls. Its key is in the environment, under KEY."""

    url: str  # ends in /v1
    model: str = "rehearsal-teacher"
    max_tokens: int = 4096  # of one paragraph
    temperature: float = 1.0
    params: str = "params.yaml"  # of the engine's checks and tries

    def body(self, prompt: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt}]
        return {"model": self.model, "messages": messages, "temperature": self.temperature, "max_tokens": self.max_tokens}


def plans(samples: int) -> list[Plan]:
    """Chains of 5 to 40 paragraphs of about 50 words, the same for every contender."""
    luck = random.Random(SEED)
    counts = [luck.randint(5, 40) for _ in range(samples)]
    return [_plan(number, count) for number, count in enumerate(counts)]


def _plan(number: int, count: int) -> Plan:
    text = f"Write a {50 * count}-word essay about bread, number {number}."
    instruction = Instruction(id=f"{number:016x}", text=text, language="en", words=50 * count, source=f"bench:{number}")
    return Plan(instruction=instruction, steps=tuple(Step(point=f"bread, part {part}", words=50) for part in range(1, count + 1)))


def prompt(plan: Plan, outline: str, written: list[str]) -> str:
    step = render_step(len(written) + 1, plan.steps[len(written)])
    return fill("write", instruction=plan.instruction.text, plan=outline, text="\n\n".join(written), step=step)


def run_engine(work: Path, target: Target, slots: int, *, layout: str = "text") -> None:
    from tasks import write

    os.environ.update({f"{PREFIX}TEACHER_URL": target.url, f"{PREFIX}CONCURRENCY": str(slots + slots // 9), f"{PREFIX}TRACES": "0"})
    params = load(ROOT / target.params)
    model = Model(name=target.model, revision="1", temperature=target.temperature, max_tokens=target.max_tokens)
    out = work / "out"
    out.mkdir()
    section = params.write.model_copy(update={"max_rejects": 1.0, "layout": layout})  # rejects are counted, not a failure
    write.run(work / "plans.jsonl", out, write=section, plan=params.plan, teacher_model=model)


def run_openai_loop(work: Path, target: Target, slots: int) -> None:
    import openai

    async def sample(client: Any, gate: asyncio.Semaphore, plan: Plan) -> list[str]:
        outline, written = render(plan.steps), list[str]()
        for _ in plan.steps:
            async with gate:
                said = await client.chat.completions.create(**target.body(prompt(plan, outline, written)))
            written.append(said.choices[0].message.content)
        return written

    async def everything() -> list[list[str]]:
        gate = asyncio.Semaphore(slots)
        key = os.environ.get(KEY) or "none"
        async with openai.AsyncOpenAI(base_url=target.url, api_key=key, max_retries=5, timeout=3600) as client:
            return await asyncio.gather(*(sample(client, gate, plan) for plan in store.read(work / "plans.jsonl", Plan)))

    _keep(work, asyncio.run(everything()))


def run_two_scripts(work: Path, target: Target, slots: int, *, workers: int = 8) -> None:
    head = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get(KEY) or 'none'}"}

    def call(text: str) -> str:
        request = urllib.request.Request(f"{target.url}/chat/completions", json.dumps(target.body(text)).encode(), head)
        with urllib.request.urlopen(request, timeout=3600) as answer:
            return str(json.load(answer)["choices"][0]["message"]["content"])

    def sample(plan: Plan) -> list[str]:
        outline, written = render(plan.steps), list[str]()
        for _ in plan.steps:
            written.append(call(prompt(plan, outline, written)))
        return written

    with ThreadPoolExecutor(workers) as pool:
        _keep(work, list(pool.map(sample, store.read(work / "plans.jsonl", Plan))))


def _keep(work: Path, texts: list[list[str]]) -> None:
    """Save the texts of a contender that has no drafts: a list of paragraphs for each sample."""
    (work / "texts.json").write_text(json.dumps(texts))


CONTENDERS: dict[str, Callable[[Path, Target, int], None]] = {
    "engine": run_engine,
    "engine, turns": partial(run_engine, layout="turns"),
    "openai loop": run_openai_loop,
    "two scripts, 8 workers": run_two_scripts,
    "two scripts, tuned": lambda work, target, slots: run_two_scripts(work, target, slots, workers=slots),
}

FAULTS = {"engine, 10% refused": "rate_limited=0.1", "engine, 1% hanging": "hanging=0.01"}  # the engine with a failing endpoint
ROWS = ["engine", "openai loop", "two scripts, 8 workers", *FAULTS]


def measure(name: str, samples: int, slots: int, latency: float) -> None:
    """Run one contender in a new process against a new endpoint; prints its row."""
    contender = "engine" if name in FAULTS else name
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        store.write(work / "plans.jsonl", plans(samples))
        switches = [f"latency={latency}", f"tokens_per_second={TOKENS_PER_SECOND}", f"slots={slots}", *filter(None, [FAULTS.get(name)])]
        with endpoint(*switches) as url:
            command = [sys.executable, "-m", "benchmarks.agentwrite", "--contender", contender, "--work", folder, "--url", url]
            own = os.environ | {"LONGWRITER_HOME": f"{folder}/home"}
            start = time.monotonic()
            process = psutil.Popen([*command, "--slots", str(slots)], env=own, stderr=None if contender == "engine" else subprocess.DEVNULL)
            peak = 0
            while process.poll() is None:
                peak = max(peak, _memory(process))
                time.sleep(0.2)
            whole = time.monotonic() - start
            assert process.returncode == 0, name
            report = json.loads((work / "report.json").read_text())
            served = health(url)
    chain = max(len(plan.steps) for plan in plans(samples)) * served["busy_s"] / served["answered"]
    bound = max(chain, served["busy_s"] / slots)
    ratio, use, cpu = report["wall"] / bound, served["busy_s"] / slots / report["wall"], report["cpu"] / served["answered"] * 1000
    row = f"{name:24}{report['wall']:8.1f}{ratio:10.3f}{use:12.1%}{cpu:12.2f}{peak / 2**20:10.0f}{whole - report['wall']:9.1f}"
    print(f"{row}   {served['answered']:,} calls, bound {bound:.1f} s", flush=True)


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def contend(name: str, work: Path, target: Target, slots: int) -> None:
    """Called in the contender's process: times only its run, not Python's start."""
    settings.cache_clear()  # the contender changes the environment
    wall, cpu = time.monotonic(), cpu_seconds()
    CONTENDERS[name](work, target, slots)
    (work / "report.json").write_text(json.dumps({"wall": time.monotonic() - wall, "cpu": cpu_seconds() - cpu}))


def main(
    samples: int = 256,
    slots: int = 64,
    latency: Annotated[float, typer.Option(help="seconds to the first token")] = 0.25,
    only: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join((*CONTENDERS, *FAULTS))}; may be given again")] = None,
    contender: Annotated[str, typer.Option(hidden=True)] = "",
    work: Annotated[Path, typer.Option(hidden=True)] = Path(),
    url: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """AgentWrite against the least time that an endpoint allows."""
    if contender:
        return contend(contender, work, Target(url), slots)
    pace = f"{latency} s + 1/{TOKENS_PER_SECOND:.0f} s a token"
    print(f"{samples} samples, {slots} slots, {pace}; same seed, same plans for all")
    print(f"{'':24}{'wall s':>8}{'x bound':>10}{'slots used':>12}{'CPU ms/call':>12}{'peak MiB':>10}{'start s':>9}")
    for name in only or ROWS:
        measure(name, samples, slots, latency)


if __name__ == "__main__":
    typer.run(main)
