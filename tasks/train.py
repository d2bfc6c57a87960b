"""train: SFT of the student and, where there is one, of its control (paper, section 4), each in a process of its own.

Both follow the same recipe, `epochs` over their own packs, so that each reads each of its texts equally often; the control, with fewer
packs, takes fewer steps. (Trained for as many steps as the student it learns its few texts by heart, and is no better for it.)
Tokens × parameters is the cost.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from tasks import stage, store
from tasks.schema.params import Base, Train
from tasks.schema.settings import settings
from tasks.sft.job import Point
from tasks.sft.launch import plan, train_all

STUDENT = "student"


def run(packs: Path, tokenizer: Path, out: Path, *, seed: int, base: Base, train: Train) -> stage.Metrics:
    names = sorted((folder.name for folder in packs.iterdir() if folder.is_dir()), key=lambda name: name != STUDENT)
    steps = {name: math.ceil(train.epochs * _rows(packs / name) / train.global_batch) for name in names}
    print("training " + ", ".join(f"the {name} for {steps[name]} steps" for name in names), flush=True)
    jobs = [
        plan(
            name,
            packs / name,
            tokenizer,
            out / "checkpoints" / name,
            base=base,
            train=train,
            seed=seed,
            steps=steps[name],
            settings=settings(),
        )
        for name in names
    ]
    history = train_all(jobs, settings())
    store.write(out / "history.jsonl", history)
    _write_curve(out / "loss.csv", history)
    last = {point.model: point for point in history}
    return {f"{name}_{key}": getattr(last[name], key) for name in names for key in ("step", "loss", "tokens_per_second")}


def _rows(folder: Path) -> int:
    from datasets import load_from_disk

    return len(load_from_disk(str(folder)))


def _write_curve(path: Path, history: Sequence[Point]) -> None:
    with store.replacing(path) as scratch, scratch.open("w", newline="") as file:
        rows = csv.DictWriter(file, ["model", "step", "loss"], extrasaction="ignore")
        rows.writeheader()
        rows.writerows(point.model_dump() for point in history)


if __name__ == "__main__":
    stage.main(run)
