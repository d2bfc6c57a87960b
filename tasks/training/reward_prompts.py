"""The prompts of the stage reinforce: drawn from the collected instructions, checked against the limit of tokens, written as rows."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.schema.errors import BadInput
from tasks.schema.params import Reinforce
from tasks.schema.records import BenchmarkItem, Instruction
from tasks.text.words import count_fixed
from tasks.training.pair_requests import lot

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Drawn(NamedTuple):
    """Prompts to train on, and prompts that are only watched. No prompt is in both."""

    trained: list[BenchmarkItem]
    held_out: list[BenchmarkItem]


def draw(instructions: Iterable[Instruction], reinforce: Reinforce, *, seed: int) -> Drawn:
    """Prompts that state a length of at most `max_words`, by a digest of seed and id. The order of `instructions` does not matter.

    The held-out prompts are drawn first, so a larger number of prompts includes the smaller one's. Raises BadInput if none are left to
    train on.
    """
    most = reinforce.max_words
    asked = [one for one in instructions if one.length_kind != "none" and (most is None or one.words <= most)]
    items = [_item(one) for one in sorted(asked, key=lambda one: lot(seed, one.id))]
    held_out, rest = items[: reinforce.held_out], items[reinforce.held_out :]
    if not rest:
        problem = f"{len(items)} collected prompts state a length of at most {most} words, and {reinforce.held_out} are held out"
        raise BadInput("params.yaml", problem, field="reinforce.held_out", fix="lower it, or collect more prompts")
    return Drawn(rest[: reinforce.prompts], held_out)


def _item(one: Instruction) -> BenchmarkItem:
    return BenchmarkItem(id=one.id, prompt=one.text, type="training", length=one.words, language=one.language)


def prompt_tokens(tokenizer: "PreTrainedTokenizerBase", items: Sequence[BenchmarkItem]) -> list[int]:
    """The number of tokens of each prompt, rendered by the chat template up to the beginning of the answer."""
    turns = [[{"role": "user", "content": item.prompt}] for item in items]
    return [
        len(ids) for ids in tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
    ]


def check_room(
    tokenizer: "PreTrainedTokenizerBase", drawn: Drawn, reinforce: Reinforce, *, positions: int | None, lengths: Sequence[int]
) -> None:
    """Raises BadInput if an answer of the requested length exceeds max_tokens, or the longest prompt and max_tokens exceed the context.

    A limit that is too low gives every answer a low reward without any error. A requested word is counted as the tokens that a word of the
    prompts takes, at least one. `positions`: the model's context in tokens, None if it is not known; `lengths`: the number of tokens of
    each prompt, the trained prompts first.
    """
    items = [*drawn.trained, *drawn.held_out]
    each = _tokens_per_word(tokenizer, items)
    longest = max(items, key=lambda item: item.length * each[item.language])
    needed = round(longest.length * each[longest.language])
    if needed > reinforce.max_tokens:
        problem = (
            f"{reinforce.max_tokens:,} tokens cannot hold an answer of {longest.length:,} words, about {needed:,} tokens; the prompt"
            f" {longest.id} asks for it"
        )
        raise BadInput("params.yaml", problem, field="reinforce.max_tokens", fix="raise it, or lower reinforce.max_words")
    if positions is not None and (total := max(lengths) + reinforce.max_tokens) > positions:
        problem = f"the longest prompt with an answer takes {total:,} tokens, the model has {positions:,} positions"
        raise BadInput("params.yaml", problem, field="reinforce.max_tokens", fix="lower it")


def _tokens_per_word(tokenizer: "PreTrainedTokenizerBase", items: Sequence[BenchmarkItem]) -> dict[str, float]:
    """Tokens per word in the prompts of each language, at least 1."""
    found = dict[str, float]()
    for language in {item.language for item in items}:
        texts = [item.prompt for item in items if item.language == language]
        tokens = sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
        found[language] = max(1.0, tokens / max(1, sum(map(count_fixed, texts))))
    return found


def write_rows(drawn: Drawn, folder: Path) -> None:
    """Write the prompts as an Arrow dataset with deterministic bytes, because their digest identifies a killed training."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    rows = [
        {
            "id": item.id,
            "prompt": [{"role": "user", "content": item.prompt}],
            "item": item.model_dump_json(),
            "held_out": held_out,
        }
        for items, held_out in ((drawn.trained, False), (drawn.held_out, True))
        for item in items
    ]
    Dataset.from_list(rows).save_to_disk(str(folder))
