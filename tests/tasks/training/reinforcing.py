"""Helpers for the tests of reinforcement: a tiny student, prompts that ask for a few words, and jobs of a few seconds."""

from pathlib import Path
from typing import Any

from tasks import store
from tasks.rehearsal.prose import paragraph
from tasks.schema.params import Base, Model, Reinforce, load
from tasks.schema.records import BenchmarkItem, Instruction
from tasks.schema.settings import Settings
from tasks.training.job import Grpo, TrainingJob
from tasks.training.launch import plan
from tasks.training.reward_prompts import Drawn, write_rows
from tasks.training.tokenizer import train_tokenizer
from tests.conftest import ROOT

LEARNS = {
    "prompts": 8,
    "group": 4,
    "global_batch": 8,
    "max_tokens": 16,
    "held_out": 2,
    "watch_every": 2,
    "learning_rate": 1e-2,
    "max_fall": 100.0,
    "overlong": "keep",
}


def given(**changes: Any) -> Reinforce:
    return load(ROOT / "profiles/rehearsal.yaml").reinforce.model_copy(update=LEARNS | changes)


def items(count: int, *, words: int = 8) -> list[BenchmarkItem]:
    return [
        BenchmarkItem(id=f"p{number}", prompt=f"Write {words} words about bread {number}.", type="training", length=words, language="en")
        for number in range(count)
    ]


def instructions(count: int, *, words: int = 8) -> list[Instruction]:
    return [
        Instruction(id=one.id, text=one.prompt, language="en", words=words, length_kind="exact", source=f"pool:{number}")
        for number, one in enumerate(items(count, words=words))
    ]


def student(folder: Path, *, vocabulary: int = 300) -> Path:
    """`folder`/student: a tiny Llama with weights drawn at random."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    texts = [paragraph(topic="bread", language="en", words=50, part=1, parts=1, seed=number) for number in range(16)]
    tokenizer = train_tokenizer(texts, vocabulary=vocabulary)
    set_seed(1)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 256}
    config = LlamaConfig(
        vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=True, **shape
    )
    LlamaForCausalLM(config).save_pretrained(folder / "student")
    tokenizer.save_pretrained(folder / "student")
    return folder / "student"


def job(policy: Path, folder: Path, settings: Settings, *, steps: int, judge: Model | None = None, **changes: Any) -> TrainingJob:
    """A reinforcement of `policy` into `folder`/reinforced; changes are those of the params."""
    own = given(**changes)
    found = items(own.prompts + own.held_out)
    if not (rows := folder / "prompts").exists():
        write_rows(Drawn(found[: own.prompts], found[own.prompts :]), rows)
    made = plan(
        "reinforced",
        Grpo(reinforce=own, judge=judge, reference=store.folder_digest(policy)),
        rows=rows,
        tokenizer=policy,
        out=folder / "reinforced",
        base=Base(model=str(policy), revision="", remote_code=False),
        optimization=own,
        seed=1,
        steps=steps,
        settings=settings,
    )
    made.scratch.mkdir(parents=True, exist_ok=True)
    return made
