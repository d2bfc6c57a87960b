"""Does GRPO on rules teach a length? A tiny policy with random weights, a control with shuffled rewards, three seeds; no GPU, no key.

    python -m benchmarks.reinforce --steps 80
    python -m benchmarks.reinforce --model smollm2 --steps 60 --seeds 1

The policy's tokens are words, so its first answers are random words of random lengths. It is trained on the rules of the rehearsal's
profile (length, repetition, ended, substance). In the control the advantages of each group are shuffled among its answers; everything else
is equal, also the answers of the first step. Printed are the mean length reward of the first and last tenth of the steps, with Gaffke's 95%
interval over these steps of all seeds, and S_l without loops on prompts that are not trained on.

With `--model` (what base.model can be) the policy is a pretrained model. It is asked for texts of 60 to 120 words, and its answers have at
most 200 tokens. `--out` keeps the numbers of every step, one file for each training.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from tasks import store
from tasks.models.local import local_folder
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
ARMS = {"rewards": False, "shuffled": True}
SUBJECTS = (
    "bread, rivers, bicycles, honey bees, clean water, bridges, forests, the piano, libraries, winter, maps, clocks, salt,"
    " glass, paper, trains, gardens, whales, volcanoes, the moon, chess, football, tea, coffee, lighthouses, markets, schools,"
    " rain, mountains, deserts, ships, kites, soap, shoes, windmills, apples, cheese, owls, horses, painting, theatre,"
    " dancing, cooking, sleep, friendship, courage, travel, letters, birthdays, neighbours, robots, telephones, cameras,"
    " museums, harbours, islands, caves, snow, fire, music"
)
WIDE = (60, 80, 100, 120)  # words that a pretrained model is asked for


class Policy(NamedTuple):
    """What is trained, and how."""

    model: Path | None  # folder; None: a tiny model with random weights
    steps: int
    global_batch: int  # answers of a step
    learning_rate: float
    micro_batch: int
    threads: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--model", default="", help="smollm2, a GGUF file or a folder; without it a tiny model")
    parser.add_argument("--global-batch", type=int, default=16, help="answers of a step, in groups of 4")
    parser.add_argument("--learning-rate", type=float, help="default: 3e-3 for the tiny model, 3e-5 for --model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, help="a folder for the numbers of every step")
    asked = parser.parse_args()
    model = Path(local_folder(asked.model)) if asked.model else None
    rate = asked.learning_rate or (3e-5 if model else 3e-3)
    own = Policy(model, asked.steps, asked.global_batch, rate, min(asked.global_batch, 4 if model else 16), asked.threads)
    print(
        f"{asked.model or 'tiny'}, {own.steps} steps of {own.global_batch} answers, rate {rate}, load {os.getloadavg()[0]:.1f}", flush=True
    )
    began = time.process_time()
    for name in asked.arms:
        runs = []
        for seed in asked.seeds:
            runs.append(trained(own, seed, shuffled=ARMS[name], keep=asked.out and asked.out / f"{name}-{seed}.jsonl"))
            print(f"{name}, seed {seed}: {_line(runs[-1])}", flush=True)
        for number, part in enumerate(_tenths(runs), 1):
            found = bounded(part, 0.0, 1.0)
            assert found
            print(f"{name}, tenth {number}: length reward {fmean(part):.3f} [{found.low:.3f}, {found.high:.3f}]", flush=True)
    print(f"{time.process_time() - began:.0f} s of CPU")


def trained(own: Policy, seed: int, *, shuffled: bool, keep: Path | None = None) -> list[TrainingStep]:
    """The steps of one training. `keep`: a file for them."""
    import torch
    from transformers import AutoTokenizer

    from tasks.training.reinforced import build

    torch.set_num_threads(own.threads)
    with tempfile.TemporaryDirectory() as folder:
        job = job_of(Path(folder), seed, own)
        trainer = build(job, AutoTokenizer.from_pretrained(job.tokenizer), _shuffling() if shuffled else _plain())
        trainer.train()
        if keep:
            keep.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(job.scratch / HISTORY, keep)
        return list(store.read(job.scratch / HISTORY, TrainingStep))


def job_of(folder: Path, seed: int, own: Policy) -> TrainingJob:
    """A training below `folder`, of a new policy if `own` names no model."""
    section = params(own)
    if own.model is None:
        policy(folder / "policy", seed=seed)
    start = own.model or folder / "policy"
    items = [_asked(number, seed) if own.model else _item(number) for number in range(PROMPTS + HELD_OUT)]
    write_rows(Drawn(items[:PROMPTS], items[PROMPTS:]), folder / "prompts")
    job = plan(
        "reinforced",
        Grpo(reinforce=section, judge=None, reference=""),
        rows=folder / "prompts",
        tokenizer=start,
        out=folder / "reinforced",
        base=Base(model=str(start), revision="", remote_code=False),
        optimization=section,
        seed=seed,
        steps=own.steps,
        settings=Settings(home=folder / "home", checkpoints=0, threads=own.threads, micro_batch=own.micro_batch),
    )
    job.scratch.mkdir(parents=True)
    return job


def params(own: Policy) -> Reinforce:
    """The rehearsal's section, with groups of 4, and the watching switched off: every training runs to its end."""
    changes: dict[str, float | str] = {
        "prompts": PROMPTS,
        "held_out": HELD_OUT,
        "group": 4,
        "global_batch": own.global_batch,
        "learning_rate": own.learning_rate,
    }
    changes |= {"max_tokens": 200, "precision": "bf16"} if own.model else {"max_tokens": 40}
    watching = {"watch_every": max(1, own.steps // 4), "max_fall": 100.0, "max_flat": own.steps, "max_loss_jump": 1e6}
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


def _asked(number: int, seed: int) -> BenchmarkItem:
    """A prompt for a pretrained model. The seed decides which subject has which length; held-out subjects are never trained on."""
    length = WIDE[(number + seed) % len(WIDE)]
    prompt = f"Write a short text of about {length} words about {SUBJECTS.split(', ')[number]}."
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


def _tenths(runs: Sequence[Sequence[TrainingStep]]) -> list[list[float]]:
    """The mean length rewards of the steps of all seeds, in up to ten parts of equal length."""
    steps = len(runs[0])
    parts = max(1, min(10, steps // 2))
    ends = [steps * part // parts for part in range(parts + 1)]
    return [[_number(step, "reward_length") for run in runs for step in run[low:high]] for low, high in pairwise(ends)]


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
