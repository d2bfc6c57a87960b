"""train: SFT of the student and, if there is one, of its control (paper, section 4), each in its own processes.

Both train for `epochs` over their own packs, so each reads each of its texts equally often. The control has fewer packs and takes fewer
steps. (With as many steps as the student, the control memorizes its few texts and does not improve.) The cost is tokens × parameters.
"""

import csv
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from tasks import stage, store
from tasks.schema.params import Base, Train
from tasks.schema.records import ByName, SavedTokenizer
from tasks.schema.settings import settings
from tasks.training.held_out import losses
from tasks.training.job import Resolved, Sft, TrainingStep
from tasks.training.launch import plan
from tasks.training.live_training import train_live
from tasks.training.packing import HELD_OUT, count_packs, longest
from tasks.training.preflight import check_base, check_jobs, check_vocabulary
from tasks.training.row_order import steps_of

STUDENT = "student"
CURVE = 100  # points of the loss curve per model


def run(packs: Path, tokenizer: Path, out: Path, *, seed: int, base: Base, train: Train) -> stage.Metrics:
    check_base(base)
    check_vocabulary(base, vocabulary := _vocabulary(tokenizer))
    names = sorted((folder.name for folder in packs.iterdir() if folder.is_dir()), key=lambda name: name != STUDENT)
    steps = {name: steps_of(count_packs(packs / name), epochs=train.epochs, global_batch=train.global_batch) for name in names}
    print("training " + ", ".join(f"the {name} for {steps[name]} steps" for name in names), flush=True)
    method = Sft(weighting=train.weighting, tiny=train.tiny)
    jobs = [
        plan(
            name,
            method,
            rows=packs / name,
            tokenizer=tokenizer,
            out=out / "checkpoints" / name,
            base=base,
            optimization=train,
            seed=seed,
            steps=steps[name],
            settings=settings(),
        )
        for name in names
    ]
    check_jobs(jobs, settings(), context=longest(packs / names[0]), vocabulary=vocabulary)
    about = {"base": base.model, "steps": steps[names[0]], "learning_rate": train.learning_rate}
    done = train_live("train", jobs, about, out / "history.jsonl")
    history = [point for trained in done for point in trained.history]
    machine = done[0].machine
    print(
        f"trained on {machine.world} x {machine.device}, {machine.matrix_rate / 1e12:.3g} TFLOP/s, attention {machine.attention}",
        flush=True,
    )
    store.write_json(out / "resolved.json", ByName[Resolved]({name: trained.resolved for name, trained in zip(names, done, strict=True)}))
    _write_curve(out / "loss.csv", history)
    last = {point.model: point for point in history}
    for name in names:
        own = last[name]
        print(f"{name}: {own.tokens_per_second:,.0f} tokens/s, {_use(own.mfu)}, at most {own.memory_gib:.1f} GiB", flush=True)
    metrics: dict[str, float] = {f"{name}_{key}": getattr(last[name], key) for name in names for key in ("step", "loss")}
    return metrics | _held_out(packs / HELD_OUT, {name: out / "checkpoints" / name for name in names}, base)


def _held_out(rows: Path, trained: Mapping[str, Path], base: Base) -> dict[str, float]:
    """The loss on the held-out texts of the base, where it has weights of its own, and of each trained model."""
    if not rows.exists():
        return {}
    before = {} if base.model == "tiny" else {"base": base}
    after = {name: Base(model=str(folder), revision="", remote_code=base.remote_code) for name, folder in trained.items()}
    found = losses(rows, before | after)
    print("loss on held-out texts: " + ", ".join(f"{name} {loss:.3f}" for name, loss in found.items()), flush=True)
    return {f"{name}_held_out_loss": loss for name, loss in found.items()}


def _use(mfu: float) -> str:
    """Over 1 the machine was busy while the rate of its matrix products was measured, and the share says nothing."""
    return f"{mfu:.1%} of the matrix rate" if mfu <= 1 else "matrix rate measured on a busy machine"


def _vocabulary(tokenizer: Path) -> int:
    """Size of the tokenizer's vocabulary, including special tokens."""
    return store.read_document(tokenizer / "tokenizer.json", SavedTokenizer).size


def _write_curve(path: Path, history: Sequence[TrainingStep]) -> None:
    """Write the loss curve as at most CURVE means per model, so that a long training's file stays small."""
    with store.replacing(path) as scratch, scratch.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["model", "step", "loss"])
        for model in dict.fromkeys(point.model for point in history):
            points = [point for point in history if point.model == model]
            width = -(-len(points) // CURVE)
            for start in range(0, len(points), width):
                some = points[start : start + width]
                rows.writerow([model, some[-1].step, f"{fmean(point.loss for point in some):.4f}"])


if __name__ == "__main__":
    stage.main("PACKS TOKENIZER OUT", lambda params: partial(run, seed=params.seed, base=params.base, train=params.train))
