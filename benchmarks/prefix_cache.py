"""Measure how much AgentWrite gains from a prefix cache: the share of repeated prompt tokens, and vLLM's own hit rate.

A real vLLM serves a tiny Llama with random weights, and the pipeline's write loop calls it with 16 plans at once. Such a model writes
noise. So each request is sent and answered in full, but the loop continues with the rehearsal teacher's paragraph. The prompts are
exactly AgentWrite's, and the cache sees them in their real order. Compared are:

- text, then step: the real prompt (tasks/prompts/write.txt), in which each request begins like the previous one;
- step, then text: the same words with the step and its rules before the previous text, as a prompt designed without a cache;
- outgrown: the real prompt in a context so small that a running summary replaces the beginning every few paragraphs;
- parallel: the ablation in which no paragraph sees another.

"characters" is the write stage's repeated_prompt_share, relative to the previous request. "repeats" counts prompt tokens that are a
prefix of an earlier prompt, token by token. "in blocks" counts only complete blocks of vLLM's size, the limit for a cache of unlimited
size; "in 16s" uses blocks of 16, vLLM's size on a GPU. "hit rate" is vLLM's own counter, "reported" the sum of cached_tokens over its
replies, and "computed" the remaining prompt tokens.
"""

import asyncio
import os
import random
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from tasks.agentwrite.context import Frame, common_prefix
from tasks.agentwrite.writer import write_draft
from tasks.endpoints.chat import Chat, Reply, Request, map_async, user
from tasks.endpoints.openai_api import openai_chat
from tasks.endpoints.server import model_server
from tasks.rehearsal import roles
from tasks.rehearsal.prose import paragraph
from tasks.schema.errors import BadSettings
from tasks.schema.params import Bounds, Model, Write
from tasks.schema.records import Draft, Instruction, Plan, Step
from tasks.schema.settings import PREFIX, Settings, settings
from tasks.stage import one_line_errors
from tasks.training.tokenizer import ASSISTANT, CHAT_TEMPLATE, END, PAD, USER

SAMPLES, SEED = 16, 7
WORDS, POINT = 200, 20  # words of a paragraph, and of its line in the plan
CONTEXT, SMALL = 8192, 4096  # tokens: the model's context, and the context of the row `outgrown`
MODEL = Model(name="tiny", revision="1", temperature=1.0, max_tokens=64)
BOUNDS = Bounds(min=WORDS // 2, max=2 * WORDS)
BLOCK, GPU_BLOCK = 128, 16  # tokens of vLLM's blocks on a CPU and on a GPU
QUERIES, HITS = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"  # in tokens
MISSING = f"{PREFIX}VLLM_PYTHON: no interpreter at {{}}; fix: `python -m infra.serve_env`, with --cpu on a machine without a GPU"


class Variant(NamedTuple):
    """One variant of the requests."""

    name: str
    write: Write
    lay_out: Callable[[str], str] = str  # changes a prompt before it is sent


def rows() -> list[Variant]:
    write = Write(version=1, mode="serial", feedback=True, context=CONTEXT, tries=3, retakes=3, max_rejects=0)
    return [
        Variant("text, then step", write),
        Variant("step, then text", write, step_first),
        Variant(f"outgrown, {SMALL:,} tokens", write.model_copy(update={"context": SMALL})),
        Variant("parallel", write.model_copy(update={"mode": "parallel"})),
    ]


def step_first(prompt: str) -> str:
    """A write prompt with the part after the text moved before it; any other prompt unchanged."""
    head, text_found, rest = prompt.partition("<text>\n")
    text, step_found, ask = rest.rpartition("\n</text>\n\n")
    return f"{head}{ask}\n\n<text>\n{text}\n</text>" if text_found and step_found else prompt


def plans() -> list[Plan]:
    luck = random.Random(SEED)
    return [_plan(number, luck.randint(10, 20)) for number in range(SAMPLES)]


def _plan(number: int, count: int) -> Plan:
    text = f"Write a {WORDS * count}-word essay about bread, number {number}."
    instruction = Instruction(id=str(number), text=text, language="en", words=WORDS * count, source=f"bench:{number}")
    points = [paragraph(topic="bread", language="en", words=POINT, part=part, parts=count, seed=number) for part in range(1, count + 1)]
    return Plan(instruction=instruction, steps=tuple(Step(point=point.replace("\n", ": "), words=WORDS) for point in points))


def make_tokenizer(texts: Sequence[str]) -> Any:
    """A byte-level BPE within words, as in real models. The tiny student's tokenizer merges phrases, so texts would have too few tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [PAD, USER, ASSISTANT, END]
    trainer = trainers.BpeTrainer(vocab_size=2048, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, extra_special_tokens=[USER, ASSISTANT])
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def make_checkpoint(folder: Path, texts: Sequence[str]) -> Any:
    """Save a Llama (3 layers, width 128) with random weights, and a tokenizer trained on `texts`; returns the tokenizer.

    Embeddings are not tied, because with random weights the model would repeat its last token, a special token without text.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(texts)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


class Rehearsed:
    """A draft's Chat: sends the request to the server in the row's layout, but replies with the rehearsal teacher's text."""

    def __init__(self, chat: Chat, row: Variant, sent: list[tuple[str, Reply]]):
        self._chat, self._row, self._sent = chat, row, sent
        self._before = ""
        self.repeated = 0  # characters of prompts that repeat the beginning of the previous prompt

    async def __call__(self, request: Request) -> Reply:
        asked = request.messages[-1].content
        prompt = self._row.lay_out(asked)
        reply = await self._chat(user(prompt, sample=request.sample)._replace(words=request.words, urgency=request.urgency))
        self.repeated += common_prefix(self._before, prompt)
        self._before = prompt
        self._sent.append((prompt, reply))
        text = roles.answer("rehearsal-teacher", [("user", asked)], seed=request.sample)
        return reply._replace(text=text, finish_reason="stop")


async def run(row: Variant, chat: Chat) -> tuple[list[tuple[str, Reply]], float]:
    """Write all drafts as the write stage does; ((prompt, reply) in the order of the replies, the stage's repeated_prompt_share)."""
    sent: list[tuple[str, Reply]] = []

    async def draft(plan: Plan) -> int:
        rehearsed = Rehearsed(chat, row, sent)
        made = await write_draft(rehearsed, plan, write=row.write, bounds=BOUNDS)
        assert isinstance(made, Draft), made
        return rehearsed.repeated

    repeated = await map_async(plans(), draft, unit="sample", label=None)
    return sent, sum(repeated) / sum(len(prompt) for prompt, _ in sent)


def served_again(prompts: Sequence[Sequence[int]], *, block: int) -> int:
    """Prompt tokens that an unlimited prefix cache with blocks of `block` tokens would serve, never including a prompt's last token."""
    seen: set[int] = set()
    found = 0
    for prompt in prompts:
        key, hit = 0, True
        for end in range(block, len(prompt) + 1, block):
            key = hash((key, *prompt[end - block : end]))
            hit = hit and key in seen and end < len(prompt)
            found += block * hit
            seen.add(key)
    return found


async def counted(session: aiohttp.ClientSession, server: str) -> tuple[int, int]:
    """vLLM's counters: (tokens looked up in the prefix cache, tokens found there)."""
    async with session.get(f"{server}/metrics") as response:
        text = await response.text()
    queries, hits = (re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE) for name in (QUERIES, HITS))
    return sum(int(float(count)) for count in queries), sum(int(float(count)) for count in hits)


async def measure(row: Variant, chat: Chat, server: str, tokenizer: Any) -> None:
    """Measure and print one row of the table, beginning with an empty cache."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{server}/reset_prefix_cache") as response:
            response.raise_for_status()
        before = await counted(session, server)
        sent, characters = await run(row, chat)
        after = await counted(session, server)
    queries, hits = (now - then for now, then in zip(after, before, strict=True))
    prompts = [_tokens(tokenizer, prompt) for prompt, _ in sent]
    total, reported = sum(map(len, prompts)), sum(reply.usage.cached for _, reply in sent)
    assert total == sum(reply.usage.prompt for _, reply in sent), "the server's tokens are not ours"
    shares = [characters, *(served_again(prompts, block=block) / total for block in (1, GPU_BLOCK, BLOCK)), hits / queries]
    print(
        f"{row.name:24}{len(sent):7,}{total:16,}{''.join(f'{share:11.1%}' for share in shares)}{reported:11,}{total - reported:11,}",
        flush=True,
    )


def _tokens(tokenizer: Any, prompt: str) -> list[int]:
    conversation = [{"role": "user", "content": prompt}]
    return list(tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_dict=True)["input_ids"])


def own_settings() -> Settings:
    """The environment's settings with vLLM as server. Raises BadSettings with installation steps if vLLM is missing."""
    own = settings()
    if not own.vllm_python.is_file():
        raise BadSettings(MISSING.format(own.vllm_python))
    longer = max(300.0, own.startup_timeout)  # on two cores vLLM takes one to two minutes
    return own.model_copy(update={"server": "vllm", "startup_timeout": longer, "concurrency": SAMPLES})


def texts() -> list[str]:
    """Texts to train the tokenizer on: prompts and essays like those of the benchmark."""
    asked = [Frame(plan, context=CONTEXT, template=rows()[0].write.prompt).prompt(1, plan.steps[0], "") for plan in plans()]
    return [*asked, *(roles.essay(plan.instruction.text, seed=0) for plan in plans())]


async def main() -> None:
    own = own_settings()
    os.environ["VLLM_SERVER_DEV_MODE"] = "1"  # /reset_prefix_cache
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB, enough for 700,000 tokens of this model
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "tiny"
        tokenizer = make_checkpoint(checkpoint, texts())
        print(f"{SAMPLES} plans of 10 to 20 paragraphs of {WORDS} words; vLLM starts, which takes a minute or two", flush=True)
        async with (
            model_server(checkpoint, own) as served,
            openai_chat("candidate", served.url, MODEL, own, name=served.name, api_key=served.api_key) as chat,
        ):
            heads = ["characters", "repeats", f"in {GPU_BLOCK}s", "in blocks", "hit rate", "reported", "computed"]
            print(f"{'layout':24}{'calls':>7}{'prompt tokens':>16}{''.join(f'{head:>11}' for head in heads)}")
            for row in rows():
                await measure(row, chat, served.url.removesuffix("/v1"), tokenizer)


if __name__ == "__main__":
    with one_line_errors():
        asyncio.run(main())
