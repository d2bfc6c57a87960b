"""The peer of `benchmarks.gpu`, in a separate process: transformers' plain Trainer, with samples padded to the longest of their batch.

`python -m benchmarks.gpu_padded FOLDER AT_ONCE PACKS WARM` trains on the samples of FOLDER's packs; a step has about as many samples as
PACKS packs. `python -m benchmarks.gpu_padded weights FOLDER FIELDS` writes a Llama with random weights instead.
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tasks.training.conversations import IGNORED
from tasks.training.packing import read_packs
from tasks.training.shapes import Shapes
from tasks.training.watch import held, matrix_rate

Example = dict[str, list[int]]


class Clock(TrainerCallback):
    """Seconds of each optimizer step."""

    def __init__(self) -> None:
        self.seconds = list[float]()
        self._since = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self._since)
        self._since = now


def weights(folder: Path, fields: dict[str, Any]) -> None:
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        LlamaForCausalLM(LlamaConfig(**fields, bos_token_id=None, eos_token_id=3, pad_token_id=0)).save_pretrained(folder)


def train(folder: Path, *, at_once: int, packs: int, warm: int) -> dict[str, Any]:
    rows = list(read_packs(folder / "packs"))
    examples = [example for row in rows for example in _samples(row)]
    examples = [examples[place] for place in np.random.default_rng(1).permutation(len(examples))]
    accumulation = max(1, round(len(examples) * packs / len(rows) / at_once))
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32, attn_implementation="sdpa")
    gpu, clock = torch.cuda.is_available(), Clock()
    arguments = TrainingArguments(
        output_dir=str(folder / "padded"),
        max_steps=max(warm + 1, len(examples) // (at_once * accumulation)),
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=accumulation,
        train_sampling_strategy="sequential",
        learning_rate=1e-5,
        bf16=True,
        use_cpu=not gpu,
        gradient_checkpointing=gpu,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=examples, data_collator=_padded, callbacks=[clock])
    trainer.remove_callback(PrinterCallback)
    rate = matrix_rate(trainer.args.device, torch.bfloat16)
    trainer.train()
    lengths = np.array([len(example["input_ids"]) for example in examples])
    batch = at_once * accumulation
    counted = np.take(lengths, range(warm * batch, len(clock.seconds) * batch), mode="wrap").astype(np.float64)
    seconds = sum(clock.seconds[warm:])
    flops = float(Shapes.of(model.config).flops(counted).sum())
    device = torch.cuda.get_device_name() if gpu else "cpu"
    return {
        "tokens_per_second": counted.sum() / seconds,
        "mfu": flops / seconds / rate,
        "memory_gib": held(trainer.args.device),
        "rate": rate,
        "device": device,
    }


def _samples(row: dict[str, list[int]]) -> list[Example]:
    borders = np.cumsum([0, *row["seq_lengths"]])
    return [{name: row[name][a:b] for name in ("input_ids", "labels")} for a, b in pairwise(borders)]


def _padded(examples: list[Example]) -> dict[str, torch.Tensor]:
    def column(name: str, filler: int) -> torch.Tensor:
        return pad_sequence([torch.tensor(example[name]) for example in examples], batch_first=True, padding_value=filler)

    mask = pad_sequence([torch.ones(len(example["input_ids"]), dtype=torch.long) for example in examples], batch_first=True)
    return {"input_ids": column("input_ids", 0), "labels": column("labels", IGNORED), "attention_mask": mask}


if __name__ == "__main__":
    if sys.argv[1] == "weights":
        weights(Path(sys.argv[2]), json.loads(sys.argv[3]))
    else:
        print(json.dumps(train(Path(sys.argv[1]), at_once=int(sys.argv[2]), packs=int(sys.argv[3]), warm=int(sys.argv[4]))))
