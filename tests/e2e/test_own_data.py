"""The steps of docs/own-data.md, run literally: from a file of prompts to a promoted model, with endpoints that reply by rules."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.tasks.workspace import endpoint

pytestmark = pytest.mark.slow

PROMPTS = [f"Write a {words}-word essay about {topic}." for words in (150, 200, 300) for topic in ("bread", "rivers", "clocks", "bees")]
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def base_model(folder: Path) -> Path:
    """A small untrained Llama with a tokenizer and a chat template, as a user's folder would hold one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    set_seed(1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(PROMPTS * 20, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    fast.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8192,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def commands() -> list[str]:
    """Every command line of the document's blocks, in order, but for those that need the network or a person."""
    text = (ROOT / "docs/own-data.md").read_text(encoding="utf-8")
    lines = [line.strip() for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(("make install", "export", "longwriter eval official"))]


def test_a_users_prompts_become_a_promoted_model_exactly_as_the_document_says(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    (clone / "my-prompts.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    base = base_model(tmp_path / "base")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "longwriter"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m flows.cli "$@"\n')
    command.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LONGWRITER_", "PREFECT_", "MLFLOW_"))}
    clean |= {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(line: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(shlex.split(line), cwd=clone, env=clean | more, capture_output=True, text=True)

    with endpoint() as server:
        urls = {f"LONGWRITER_{role}_URL": server.url for role in ("TEACHER", "SELECTOR", "JUDGE")}
        for line in commands():
            if line == "longwriter estimate":
                early = run("longwriter run")  # before the models are named: refused at once, nothing touched
                assert early.returncode == 2, early.stderr
                assert "LONGWRITER_TEACHER_URL" in early.stderr
                edit(clone / "params.yaml", base)
            done = run(line.replace(" --open", ""), **urls)
            assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    scores = json.loads((clone / "metrics/scores.json").read_text())
    assert "student" in scores
    assert json.loads((clone / "data/promote/decision.json").read_text())["alias"] == "champion"


def edit(path: Path, base: Path) -> None:
    """Step 3 and 4: the user's models, and a benchmark of their own; small enough for a CPU."""
    yaml = YAML()
    tree = yaml.load(path.read_text(encoding="utf-8"))
    tree["benchmark"] = "data/raw/benchmark.jsonl"
    for role in ("teacher", "selector", "judge"):
        tree["models"][role]["name"] = f"my-{role}"
    tree["models"]["candidate"]["max_tokens"] = 4096  # of 300 tokens one ends: even a model that learned nothing ends by itself
    tree["base"]["model"] = str(base)
    tree["plan"]["paragraph_words"] = {"min": 40, "max": 60}
    tree["pack"]["context"] = 4096
    tree["train"] |= {"precision": "fp32", "adapter": None, "epochs": 1}
    tree["serve"]["words"] = 100
    yaml.dump(tree, path)
