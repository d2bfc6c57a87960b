"""The loss on texts that no model trained on, of the base and of each trained model: whether training taught more than its own texts.

A child process computes it, `python -m tasks.training.held_out ROWS MODELS`, so that the stage itself never imports torch.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from tasks import progress
from tasks.models.local import located
from tasks.models.token_losses import token_losses
from tasks.processes import bound, die_with_parent
from tasks.schema.errors import TrainingFailed
from tasks.schema.params import Base
from tasks.stage import fail
from tasks.training.conversations import IGNORED
from tasks.training.packing import read_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOSSES = TypeAdapter(dict[str, float])


def losses(rows: Path, models: Mapping[str, Base]) -> dict[str, float]:
    """Mean loss over all target tokens of the rows, in nats per token, of each named model.

    `rows` is a file that tasks.training.packing.write_held_out wrote; the models share its tokenizer. Raises TrainingFailed if the child
    process fails, after it printed why.
    """
    words = [
        sys.executable,
        "-m",
        "tasks.training.held_out",
        str(rows),
        json.dumps({name: base.model_dump() for name, base in models.items()}),
    ]
    child = subprocess.run(words, stdout=subprocess.PIPE, text=True, preexec_fn=bound())
    if child.returncode:
        raise TrainingFailed(f"held_out: the loss on {rows} was not measured: the process ended with code {child.returncode}")
    return _LOSSES.validate_json(child.stdout.splitlines()[-1])


def _measured(rows: Path, model: "PreTrainedModel", *, label: str) -> float:
    texts, found = list(read_rows(rows)), list[float]()
    for row in progress.track(texts, unit="text", label=label, total=len(texts)):
        losses = token_losses(model, row["input_ids"], known=1)
        found += [loss for loss, label in zip(losses, row["labels"][1:], strict=True) if label != IGNORED]
    return fmean(found)


def _load(base: Base) -> "PreTrainedModel":
    import torch
    from transformers import AutoModelForCausalLM

    gpu = torch.cuda.is_available()
    at = located(base)
    model = AutoModelForCausalLM.from_pretrained(
        at.model,
        revision=at.revision or None,
        use_safetensors=True,
        trust_remote_code=at.remote_code,
        dtype="auto" if gpu else torch.float32,
    )
    return model.eval().to("cuda" if gpu else "cpu")


def main() -> None:
    die_with_parent()
    models = TypeAdapter(dict[str, Base]).validate_json(sys.argv[2])
    found = {}
    for name, base in models.items():
        try:
            found[name] = _measured(Path(sys.argv[1]), _load(base), label=f"held-out loss, {name}")
        except (OSError, ValueError, RuntimeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            fail(f"{base.model}: its loss on held-out texts was not measured: {reason}", code=1)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
