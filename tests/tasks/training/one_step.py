"""One optimizer step, its loss and its gradients; also as several processes.

`accelerate launch -m tests.tasks.training.one_step JOB.json…`
"""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, TrainerCallback

from tasks.training.job import TrainingJob
from tasks.training.supervised import build


class Catch(TrainerCallback):
    """Gradients as the optimizer is about to use them; no clipping bites before, as tests set the bound high."""

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                self.gradients[name.removeprefix("module.")] = parameter.grad.detach().clone()


def one_step(job: TrainingJob) -> dict[str, torch.Tensor]:
    """Gradients by parameter, and the step's loss as `loss`."""
    trainer = build(job, AutoTokenizer.from_pretrained(job.tokenizer))
    trainer.add_callback(catch := Catch())
    trainer.train()
    (loss,) = (entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
    return {**catch.gradients, "loss": torch.tensor(loss)}


def main() -> None:
    for path in sys.argv[1:]:
        found = one_step(TrainingJob.model_validate_json(Path(path).read_bytes()))
        if torch.distributed.get_rank() == 0:
            save_file({name: value.contiguous() for name, value in found.items()}, f"{path}.safetensors")
    if torch.distributed.is_initialized():  # processes that leave one by one can abort the others
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
