"""DPO with both losses on a finished run's student and pairs: several seeds, several answers to each prompt. Not part of `make bench`.

    python -m benchmarks.alignment OUT --seeds 1 --seeds 2 --seeds 3 --answers 6

It trains `align` with `sigmoid` (the params' beta) and `sigmoid_norm` (`--beta-norm`) for each seed, evaluates the student and each aligned
model without a judge, and prints one table: mean S_l and its difference to the student with the 95% interval, and written ÷ asked words.
It runs in the checkout of the finished run (data/train, data/build_pairs) and resumes: what is in OUT is not done again.
"""

import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from tasks import align as stage
from tasks import store
from tasks.longbench.compare import Side, paired
from tasks.longbench.samples import Mode
from tasks.schema.params import Align, load
from tasks.schema.records import ScoredItem
from tasks.stage import one_line_errors

MODE: Mode = "without_loops"


def main(
    out: Annotated[Path, typer.Argument(help="folder for the checkpoints and evaluations")],
    seeds: Annotated[list[int], typer.Option(help="seeds of the trainings")] = [1, 2, 3],  # noqa: B006 (typer copies it)
    answers: Annotated[int, typer.Option(min=1, help="answers to each prompt")] = 6,
    beta_norm: Annotated[float, typer.Option(help="beta of sigmoid_norm")] = 5.0,
    data: Annotated[Path, typer.Option(help="the finished run")] = Path("data"),
) -> None:
    """Train and evaluate the arms, and print the table."""
    with one_line_errors():
        out.mkdir(parents=True, exist_ok=True)
        given = load().align
        student = _evaluated(data / "train/checkpoints/student", out / "student-scores", answers)
        print("| arm | S_l without loops | difference to the student | written ÷ asked |\n|---|---|---|---|")
        print(_row("student", student, student))
        for loss, beta in (("sigmoid", given.beta), ("sigmoid_norm", beta_norm)):
            params = given.model_copy(update={"loss": loss, "beta": beta})
            for seed in seeds:
                arm = f"{loss}, seed {seed}"
                folder = _aligned(data, out / f"{loss}-{seed}", seed=seed, params=params)
                print(_row(arm, _evaluated(folder / "checkpoints/aligned", out / f"{loss}-{seed}-scores", answers), student), flush=True)


def _aligned(data: Path, folder: Path, *, seed: int, params: Align) -> Path:
    if not folder.exists():
        with store.replacing(folder) as scratch:
            scratch.mkdir()
            stage.run(data / "build_pairs/pairs.jsonl", data / "train/checkpoints", scratch, seed=seed, align=params)
    return folder


def _evaluated(checkpoint: Path, scores: Path, answers: int) -> list[ScoredItem]:
    command = ["eval", "run", str(checkpoint), "--samples", str(answers), "--no-judge", "--out", str(scores)]
    subprocess.run([sys.executable, "-m", "flows.cli", *command], check=True, stdout=sys.stderr)
    return store.read_list(scores / "items.jsonl", ScoredItem)


def _row(arm: str, items: list[ScoredItem], student: list[ScoredItem]) -> str:
    found = next(row for row in paired(Side(arm, items), Side("student", student), mode=MODE).rows if row.measure == "s_l")
    ratio = fmean(item.fixed.written / item.asked for item in items if item.fixed)
    interval = f" ({found.interval.low:+.1f} to {found.interval.high:+.1f})" if found.interval else ""
    return f"| {arm} | {found.a:.1f} | {found.difference:+.1f}{interval} | {ratio:.2f} |"


if __name__ == "__main__":
    typer.run(main)
