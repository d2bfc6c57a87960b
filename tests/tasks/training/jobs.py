"""Jobs for tests: a one-layer Llama on short texts, a few seconds each."""

from pathlib import Path
from typing import Any, Literal

from tasks.schema.params import Adapter, Base, Optimization, Tiny
from tasks.schema.settings import Settings
from tasks.training.job import Sft, TrainingJob
from tasks.training.launch import plan

TINY = Tiny(layers=2, width=32, heads=2)
OPTIMIZATION = Optimization(
    epochs=1,
    global_batch=2,
    learning_rate=1e-3,
    schedule="cosine",
    warmup=0.1,
    weight_decay=0.1,
    betas=(0.9, 0.95),
    max_grad_norm=1.0,
    max_loss_jump=4.0,
    precision="fp32",
    adapter=None,
)


def job(
    packed: Path,
    out: Path,
    settings: Settings,
    *,
    packs: str = "student",
    steps: int = 2,
    weighting: Literal["token", "sequence"] = "token",
    model: str = "tiny",
    adapter: Adapter | None = None,
    **changes: Any,
) -> TrainingJob:
    """A training on `packed`/packs/NAME; changes are the optimization's."""
    made = plan(
        "student",
        Sft(weighting=weighting, tiny=TINY),
        rows=packed / "packs" / packs,
        tokenizer=packed / "tokenizer",
        out=out,
        base=Base(model=model, revision="", remote_code=False),
        optimization=OPTIMIZATION.model_copy(update={"adapter": adapter, **changes}),
        seed=1,
        steps=steps,
        settings=settings,
    )
    made.scratch.mkdir(parents=True, exist_ok=True)
    return made
