"""Does GRPO on rules teach a length? A tiny policy with random weights, a control with shuffled rewards, three seeds; no GPU, no key.

    python -m benchmarks.reinforce --steps 80

The policy's tokens are words, so its first answers are random words of random lengths. It is trained on the rules of the rehearsal's
profile (length, repetition, ended, substance). In the control the advantages of each group are shuffled among its answers; everything else
is equal, also the answers of the first step. Printed are the mean length reward of the first and last tenth of the steps, with Gaffke's 95%
interval over these steps of all seeds, and S_l without loops on prompts that are not trained on.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from tasks import store
from tasks.rewards.interface import Scores
from tasks.schema.params import Base, Reinforce, load
from tasks.schema.records import BenchmarkItem
from tasks.schema.settings import Settings
from tasks.statistics import bounded
from tasks.training.job import HISTORY, Grpo, TrainingJob, TrainingStep
from tasks.training.launch import plan
from tasks.training.reward_prompts import Drawn, write_rows
from tasks.training.tokenizer import ASSISTANT, CHAT_TEMPLATE, END, PAD, USER

if TYPE_CHECKING:
    from tasks.training.reinforced import Reinforced

LENGTHS, PROMPTS, HELD_OUT = (8, 12, 16), 48, 12
TEXT = (
    "bread flour water salt yeast oven crust crumb dough baker morning kitchen table butter honey warm cold slow long round golden soft"
    " rises bakes smells tastes waits turns grows holds breaks fills old new first last every other one some many few the a and with from"
    " into over under before after when while because still again"
)
WORDS = TEXT.split()
TENTH = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    asked = parser.parse_args()
    began = time.process_time()
    for name, shuffled in (("rewards", False), ("shuffled", True)):
        runs = [trained(seed, steps=asked.steps, shuffled=shuffled) for seed in asked.seeds]
        for seed, steps in zip(asked.seeds, runs, strict=True):
            print(f"{name}, seed {seed}: {_line(steps)}", flush=True)
        for part, chosen in (("first", _first), ("last", _last)):
            values = [_number(step, "reward_length") for steps in runs for step in chosen(steps)]
            found = bounded(values, 0.0, 1.0)
            assert found
            print(f"{name}, {part} tenth: length reward {fmean(values):.3f} [{found.low:.3f}, {found.high:.3f}]", flush=True)
    print(f"{time.process_time() - began:.0f} s of CPU")


def trained(seed: int, *, steps: int, shuffled: bool) -> list[TrainingStep]:
    """The steps of one training."""
    import torch
    from transformers import AutoTokenizer

    from tasks.training.reinforced import build

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        job = job_of(Path(folder), seed, steps=steps)
        trainer = build(job, AutoTokenizer.from_pretrained(job.tokenizer), _shuffling() if shuffled else _plain())
        trainer.train()
        return list(store.read(job.scratch / HISTORY, TrainingStep))


def job_of(folder: Path, seed: int, *, steps: int) -> TrainingJob:
    """A training of a new policy below `folder`."""
    own = params(steps)
    policy(folder / "policy", seed=seed)
    items = [_item(number) for number in range(PROMPTS + HELD_OUT)]
    write_rows(Drawn(items[:PROMPTS], items[PROMPTS:]), folder / "prompts")
    job = plan(
        "reinforced",
        Grpo(reinforce=own, judge=None, reference=""),
        rows=folder / "prompts",
        tokenizer=folder / "policy",
        out=folder / "reinforced",
        base=Base(model=str(folder / "policy"), revision="", remote_code=False),
        optimization=own,
        seed=seed,
        steps=steps,
        settings=Settings(home=folder / "home", checkpoints=0, threads=1, micro_batch=16),
    )
    job.scratch.mkdir(parents=True)
    return job


def params(steps: int) -> Reinforce:
    """The rehearsal's section, with groups of 4 and a learning rate for random weights."""
    changes = {"prompts": PROMPTS, "held_out": HELD_OUT, "group": 4, "global_batch": 16, "max_tokens": 40, "learning_rate": 3e-3}
    watching = {"watch_every": max(1, steps // 4), "max_fall": 100.0, "max_flat": steps, "max_loss_jump": 1e6}
    return load(Path("profiles/rehearsal.yaml")).reinforce.model_copy(update=changes | watching)


def policy(folder: Path, *, seed: int) -> None:
    """Write a tiny Llama with random weights, and a tokenizer with one token per word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    known = [PAD, USER, ASSISTANT, END, "?", *"0123456789", *dict.fromkeys([*WORDS, "Write", "words", "about"])]
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token=PAD, eos_token=END, unk_token="?", extra_special_tokens=[USER, ASSISTANT]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    set_seed(seed)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}
    config = LlamaConfig(
        vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **shape
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _item(number: int) -> BenchmarkItem:
    length = LENGTHS[number % len(LENGTHS)]
    prompt = f"Write {length} words about {WORDS[number % len(WORDS)]}"
    return BenchmarkItem(id=f"p{number}", prompt=prompt, type="training", length=length, language="en")


def _plain() -> "type[Reinforced]":
    from tasks.training.reinforced import Reinforced

    return Reinforced


def _shuffling() -> "type[Reinforced]":
    from tasks.training.reinforced import Reinforced

    class Shuffled(Reinforced):
        """The control: an answer gets the advantage of a random answer of its group."""

        def advantages_of(self, scored: Sequence[Mapping[str, Scores]]) -> list[list[float]]:
            luck = random.Random(f"{self._job.seed}\0{self.state.global_step}")
            return [luck.sample(group, len(group)) for group in super().advantages_of(scored)]

    return Shuffled


def _first(steps: Sequence[TrainingStep]) -> Sequence[TrainingStep]:
    return steps[: max(2, round(TENTH * len(steps)))]


def _last(steps: Sequence[TrainingStep]) -> Sequence[TrainingStep]:
    return steps[-max(2, round(TENTH * len(steps))) :]


def _number(step: TrainingStep, name: str) -> float:
    return float((step.model_extra or {}).get(name, 0.0))


def _line(steps: Sequence[TrainingStep]) -> str:
    looked = [_number(step, "held_out") for step in steps if "held_out" in (step.model_extra or {})]
    ends = {
        name: [fmean(_number(step, name) for step in part(steps)) for part in (_first, _last)] for name in ("reward_length", "words", "cut")
    }
    shown = ", ".join(f"{name} {before:.3f} -> {after:.3f}" for name, (before, after) in ends.items())
    return f"{shown}; held out S_l {' '.join(f'{value:.1f}' for value in looked)}"


if __name__ == "__main__":
    main()
