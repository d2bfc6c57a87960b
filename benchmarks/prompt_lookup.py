"""Does speculation from the prompt change a greedy answer, and is it quicker? `python -m benchmarks.prompt_lookup`.

SmolLM2 (or `--model`) answers eight prompts greedily in transformers, one at a time, with and without `prompt_lookup_num_tokens`: drafts of
tokens that followed the same words before, checked by the model in one pass. In exact arithmetic both give the same tokens. A pass over
several tokens is a matrix product of another shape than a pass over one, so the sums are rounded differently; with `--dtype bfloat16` a
tie of two tokens can then be decided differently.

Columns: whether both answers of a prompt are equal token for token; tokens per second without and with; the first differing tokens.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tasks.models.local import local_folder
from tasks.stage import one_line_errors

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROMPTS = (
    "Write an essay of 200 words about how bridges carry weight.",
    "Write a story of 200 words about a baker.",
    "Explain to a child in 150 words why it rains.",
    "List ten rules for a school library, each with a sentence that says why.",
    "Repeat this sentence, then explain it in 100 words: A river never goes twice past the same stone.",
    "Write a letter of 150 words to a neighbour about the garden.",
    "Describe in 200 words how honey bees live.",
    "Write Python functions for the area of a circle, of a square and of a triangle.",
)


class Answer(NamedTuple):
    """A greedy answer."""

    tokens: list[int]
    seconds: float


def answered(model: "PreTrainedModel", prompt: "torch.Tensor", *, tokens: int, drafts: int | None) -> Answer:
    """The model's greedy answer to a prompt, shape (1, tokens). `drafts`: tokens of a draft; None: without speculation."""
    import torch

    more = {} if drafts is None else {"prompt_lookup_num_tokens": drafts}
    begun = time.perf_counter()
    with torch.no_grad():
        found = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, do_sample=False, **more)
    return Answer(found[0, prompt.shape[1] :].tolist(), time.perf_counter() - begun)


def asked(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> "torch.Tensor":
    """A prompt in the chat template, up to the beginning of the answer."""
    turns = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)["input_ids"]


def difference(one: Answer, other: Answer) -> str:
    """Where two answers differ first; empty if they are equal."""
    if one.tokens == other.tokens:
        return ""
    place = next((place for place, pair in enumerate(zip(one.tokens, other.tokens, strict=False)) if pair[0] != pair[1]), -1)
    return f"differs from token {place} on" if place >= 0 else "one is longer"


def main(
    model: Annotated[str, typer.Option(help="smollm2, a GGUF file or a folder")] = "smollm2",
    tokens: Annotated[int, typer.Option(help="of an answer, at most")] = 256,
    drafts: Annotated[int, typer.Option(help="tokens of a draft, at most")] = 10,
    prompts: Annotated[int, typer.Option(min=1, max=len(PROMPTS))] = len(PROMPTS),
    dtype: str = "float32",
    threads: int = 1,
) -> None:
    """Greedy answers with and without prompt lookup."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    with one_line_errors():
        folder = Path(local_folder(model))
    loaded, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    print(
        f"{model}, {dtype}, {threads} thread, answers of at most {tokens} tokens, drafts of {drafts}, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    pairs = list[tuple[Answer, Answer]]()
    for prompt in PROMPTS[:prompts]:
        ids = asked(tokenizer, prompt)
        pairs.append((answered(loaded, ids, tokens=tokens, drafts=None), answered(loaded, ids, tokens=tokens, drafts=drafts)))
        plain, looked_up = pairs[-1]
        rates = [len(one.tokens) / one.seconds for one in (plain, looked_up)]
        print(
            f"{prompt[:50]:52}{len(plain.tokens):5} tokens{rates[0]:8.1f}{rates[1]:8.1f} tokens/s  {difference(plain, looked_up)}",
            flush=True,
        )
    rates = [sum(len(one.tokens) for one in side) / sum(one.seconds for one in side) for side in zip(*pairs, strict=True)]
    equal = sum(plain.tokens == looked_up.tokens for plain, looked_up in pairs)
    print(f"{equal} of {len(pairs)} equal token for token; {rates[0]:.1f} -> {rates[1]:.1f} tokens/s ({rates[1] / rates[0]:.2f} times)")


if __name__ == "__main__":
    typer.run(main)
