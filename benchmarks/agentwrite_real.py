"""Compare AgentWrite's write step with other implementations on a real model server: `python -m benchmarks.agentwrite_real`.

24 plans of six paragraphs of 100 words, made beforehand, are written by SmolLM2 (or by `--model`) on a new server for each contender, so
that each begins with an empty prefix cache. The servers are the installed ones: llama.cpp, and vLLM where LONGWRITER_VLLM_PYTHON names an
interpreter with it. The contenders are those of benchmarks.agentwrite: the engine with the prompt, checks and tries of
profiles/smollm2.yaml, the same with write.layout turns, an asyncio loop over the openai SDK, and the official flow with eight threads. The
last two keep whatever the model writes. They send tasks/prompts/write.txt, which has the parts of the official prompt in its order:
instruction, plan, text, step.

Columns: seconds; finished drafts; words, and words outside loops and repeated passages ("clean"); prompt tokens that the server computed,
which are those not found in its prefix cache, by its own counters; completion tokens. "per 1,000" are computed prompt tokens and seconds
per 1,000 clean words. The engine rejects loops and pays for further tries, so only the figures per 1,000 compare equal results.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NamedTuple

import aiohttp
import typer

from benchmarks.agentwrite import CONTENDERS, KEY, Target, contend
from benchmarks.serving import installed
from tasks import store
from tasks.endpoints.server import ServedCheckpoint, model_server
from tasks.models.local import local_folder
from tasks.processes import bound
from tasks.schema.records import Draft, Instruction, Plan, Step
from tasks.schema.settings import Settings, settings
from tasks.stage import one_line_errors
from tasks.text.counts import count_words
from tasks.text.unrepeated import count_without_loops

SLOTS = 8  # requests at once
MAX_TOKENS = 512  # of one paragraph
TEMPERATURE = 0.7
WORDS = 100  # of one paragraph
PARAMS = "profiles/smollm2.yaml"
ROWS = ("engine", "engine, turns", "openai loop", "two scripts, 8 workers")
TOPICS = (
    "how bridges carry weight",
    "the history of bread",
    "why forests matter to rivers",
    "learning to play the piano",
    "how cities get clean water",
    "the life of honey bees",
    "what makes a good school library",
    "how bicycles changed travel",
)
VIEWS = ("a curious beginner", "a town newspaper", "a class of fifteen-year-olds")
POINTS = (
    "introduce the topic and say why it matters to the reader",
    "tell how it began, with one early example",
    "explain in simple words how it works today",
    "describe one real case in detail",
    "name two difficulties and what people do about them",
    "end with what the reader can do next",
)
COMPUTED = {  # of each server: tokens looked up in the cache, minus tokens found there; llama.cpp counts the computed ones itself
    "llama.cpp": (r"llamacpp:prompt_tokens_total", None),
    "vLLM": (r"vllm:prefix_cache_queries_total", r"vllm:prefix_cache_hits_total"),
}
COMPLETION = {"llama.cpp": r"llamacpp:tokens_predicted_total", "vLLM": r"vllm:generation_tokens_total"}


class Row(NamedTuple):
    """What one contender did on one server."""

    wall: float  # seconds
    drafts: int
    words: int
    clean: int  # words outside loops and repeated passages
    computed: int  # prompt tokens
    completion: int  # tokens


def plans(samples: int) -> list[Plan]:
    """At most 24 different plans of 600 words."""
    asks = [f"Write an essay of {WORDS * len(POINTS)} words about {topic} for {view}." for view in VIEWS for topic in TOPICS]
    steps = tuple(Step(point=point, words=WORDS) for point in POINTS)
    return [
        Plan(instruction=Instruction(id=f"{number:016x}", text=text, language="en", words=600, source=f"bench:{number}"), steps=steps)
        for number, text in enumerate(asks[:samples])
    ]


async def counted(served: ServedCheckpoint, server: str) -> tuple[int, int]:
    """The server's counters: (prompt tokens that it computed, completion tokens)."""
    key = served.api_key.get_secret_value()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
        session.get(f"{served.url.removesuffix('/v1')}/metrics") as response,
    ):
        response.raise_for_status()
        text = await response.text()
    looked, hit = COMPUTED[server]
    return _total(text, looked) - (_total(text, hit) if hit else 0), _total(text, COMPLETION[server])


def _total(text: str, name: str) -> int:
    return sum(int(float(count)) for count in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


async def measure(server: str, own: Settings, checkpoint: Path, name: str, samples: int) -> Row:
    """Run one contender in a new process on a new server."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        store.write(work / "plans.jsonl", plans(samples))
        async with model_server(checkpoint, own) as served:
            before = await counted(served, server)
            words = [sys.executable, "-m", "benchmarks.agentwrite_real", "--contender", name, "--work", folder, "--url", served.url]
            environment = os.environ | {KEY: served.api_key.get_secret_value(), "LONGWRITER_HOME": f"{folder}/home"}
            process = await asyncio.create_subprocess_exec(*words, "--model", served.name, env=environment, preexec_fn=bound())
            if await process.wait():
                raise SystemExit(f"{name} ended with code {process.returncode}; its lines above say why")
            after = await counted(served, server)
        texts, wall = _texts(work), json.loads((work / "report.json").read_text())["wall"]
    return Row(wall, len(texts), *_words(texts), after[0] - before[0], after[1] - before[1])


def _texts(work: Path) -> list[str]:
    drafts = work / "out/drafts.jsonl"
    if drafts.is_file():
        return ["\n\n".join(draft.paragraphs) for draft in store.read(drafts, Draft)]
    return ["\n\n".join(paragraphs) for paragraphs in json.loads((work / "texts.json").read_text())]


def _words(texts: list[str]) -> tuple[int, int]:
    return sum(map(count_words, texts)), sum(map(count_without_loops, texts))


async def compare(model: str, samples: int, wanted: list[str], only: list[str]) -> None:
    checkpoint = Path(local_folder(model))
    servers = {name: own for name, own in installed(settings()).items() if name in wanted}
    if not servers:
        raise SystemExit("no server: `pip install xllamacpp`, or name a Python with vLLM in LONGWRITER_VLLM_PYTHON")
    print(
        f"{model}, {samples} samples of {WORDS * len(POINTS)} words, {SLOTS} at once, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for server, own in servers.items():
        print(f"{server:26}{'s':>8}{'drafts':>8}{'words':>8}{'clean':>8}{'computed':>10}{'written':>9}   per 1,000: tokens, s", flush=True)
        for name in only or ROWS:
            row = await measure(server, own, checkpoint, name, samples)
            each = 1_000 / max(1, row.clean)
            figures = f"{row.wall:8.0f}{row.drafts:8}{row.words:8,}{row.clean:8,}{row.computed:10,}{row.completion:9,}"
            print(f"{name:26}{figures}{row.computed * each:14,.0f}{row.wall * each:8.0f}", flush=True)


def main(
    model: Annotated[str, typer.Option(help="smollm2, a GGUF file or a folder")] = "smollm2",
    samples: Annotated[int, typer.Option(min=1, max=len(TOPICS) * len(VIEWS))] = len(TOPICS) * len(VIEWS),
    server: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(COMPUTED)}; may be given again")] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(CONTENDERS)}; may be given again")] = None,
    contender: Annotated[str, typer.Option(hidden=True)] = "",
    work: Annotated[Path, typer.Option(hidden=True)] = Path(),
    url: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """AgentWrite on a real model, beside other implementations."""
    if contender:
        return contend(contender, work, Target(url, model, MAX_TOKENS, TEMPERATURE, PARAMS), SLOTS)
    with one_line_errors():
        asyncio.run(compare(model, samples, server or list(COMPUTED), only or []))


if __name__ == "__main__":
    typer.run(main)
