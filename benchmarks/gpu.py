"""Measure training on one GPU: tokens/s and MFU of random weights in the shapes of real models, at the profiles' context.

Each row is a training by the pipeline's own code (tasks.training.launch) in separate processes. A row that runs out of memory is reported
as such. The peer is transformers' plain Trainer with padding on the same samples. MFU is the share of the GPU's matrix rate, measured at
the start of the row. Finished rows are stored in `results.json` under --out; running the command again continues with the other rows.
`--dry` runs the same code on a CPU, with a model of 0.1 million parameters and texts of a few words.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from pydantic import JsonValue

from benchmarks import packing
from tasks import store
from tasks.processes import die_with_parent
from tasks.rehearsal.prose import paragraph
from tasks.schema.errors import PipelineError
from tasks.schema.params import Adapter, Base, Optimization, Tiny
from tasks.schema.records import ByName
from tasks.schema.settings import Attention, Settings
from tasks.training.conversations import IGNORED, Tokens
from tasks.training.job import JOB, Sft, TrainingJob, TrainingStep
from tasks.training.launch import join, plan, train_all
from tasks.training.packing import Samples, best_fit_decreasing, write_packs
from tasks.training.tokenizer import train_tokenizer

ROOT = Path(__file__).parents[1]
WARM = 2  # steps that are not counted, because kernels are compiled and tuned in them
NEEDED = 150.0  # seconds that must be left to begin a row: imports, weights, and kernels that are compiled in the first step


class ModelShape(NamedTuple):
    """The shapes of a Llama, under the names of config.json."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    tie_word_embeddings: bool


MODELS = {
    "1B": ModelShape(2048, 8192, 16, 32, 8, 128_256, True),  # Llama-3.2-1B's
    "8B": ModelShape(4096, 14_336, 32, 32, 8, 128_256, False),  # Llama-3.1-8B's
    "8B, 8 of 32 layers": ModelShape(4096, 14_336, 8, 32, 8, 128_256, False),
    "0.1B": ModelShape(768, 2048, 8, 12, 12, 32_000, True),
    "dry": ModelShape(64, 128, 2, 4, 2, 512, True),
}


class TrainingRow(NamedTuple):
    """One training. `at_once` is the peer's number of samples per padded batch; 0: packs, by the pipeline."""

    model: str
    attention: Attention = "sdpa"
    liger: bool = False
    adapter: bool = False
    config: str = ""  # under infra/accelerate
    at_once: int = 0
    resumed: bool = False

    @property
    def name(self) -> str:
        if self.at_once:
            return f"{self.model}: plain Trainer, {self.at_once} samples padded"
        parts = [self.attention, "Liger" if self.liger else "", "LoRA" if self.adapter else "", self.config]
        return f"{self.model}: " + ", ".join(filter(None, [*parts, "killed and resumed" if self.resumed else ""]))


FLASH: Attention = "flash_attention_2"
ROWS = [
    *(TrainingRow("1B", attention, liger) for attention in (FLASH, "flex_attention", "sdpa") for liger in (True, False)),
    *(TrainingRow("1B", at_once=count) for count in (1, 4, 8)),
    TrainingRow("1B", liger=True, config="zero3"),
    *(TrainingRow("8B, 8 of 32 layers", attention, True) for attention in (FLASH, "flex_attention", "sdpa")),
    TrainingRow("8B", "flex_attention", liger=True, adapter=True),
    TrainingRow("0.1B", resumed=True),
]
DRY = [
    TrainingRow("dry"),
    TrainingRow("dry", at_once=4),
    TrainingRow("dry", "eager", adapter=True),
    TrainingRow("dry", resumed=True),
    TrainingRow("dry", config="zero3"),
]


class Size(NamedTuple):
    context: int
    batch: int  # packs per optimizer step
    steps: int


FULL, SMALL = Size(32_768, 4, 6), Size(256, 2, 6)


class RowResult(NamedTuple):
    tokens_per_second: float
    mfu: float
    memory_gib: float
    rate: float  # measured FLOP/s of matrix products
    device: str
    note: str = ""


app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="folder of the figures, and of what is needed to go on")] = Path(".longwriter/bench-gpu"),
    budget: Annotated[float, typer.Option(min=1, help="seconds after which no row is begun, and one that runs is ended")] = 570.0,
    dry: Annotated[bool, typer.Option(help="the same path on a CPU, in small: no figures")] = False,
    rows: Annotated[str, typer.Option(help="only rows whose name has this in it")] = "",
    one: Annotated[int, typer.Option(hidden=True, help="this row, in this process")] = -1,
) -> None:
    known = DRY if dry else ROWS
    if one >= 0:
        die_with_parent()
        print(json.dumps(_row(known[one], SMALL if dry else FULL, out / "work")._asdict()))
        return
    out.mkdir(parents=True, exist_ok=True)
    _run(known, [number for number, row in enumerate(known) if rows in row.name], out, budget=budget, dry=dry)


def _run(known: list[TrainingRow], chosen: list[int], out: Path, *, budget: float, dry: bool) -> None:
    path, until = out / "results.json", time.monotonic() + budget
    done: dict[str, Any] = dict(store.read_document(path, ByName[dict[str, JsonValue]]).root) if path.exists() else {}
    for number in chosen:
        name, left = known[number].name, until - time.monotonic()
        if name in done or left < NEEDED:
            continue
        print(f"{name} …", flush=True)
        done[name] = _apart(number, out, seconds=left, dry=dry)
        store.write_json(path, done)
    text = table([(known[number], done.get(known[number].name)) for number in chosen])
    text += "A dry run: these are no figures.\n" if dry else ""
    (out / "results.md").write_text(text, encoding="utf-8")
    print(text)


def _apart(number: int, out: Path, *, seconds: float, dry: bool) -> dict[str, Any]:
    """Run a row in a child process: its result, or only `note` with the reason for its failure."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--one", str(number), "--out", str(out), *(["--dry"] if dry else [])]
    with (out / "last.log").open("w+", encoding="utf-8") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True, cwd=ROOT)
        try:
            said, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            return {"note": f"not done after {seconds:.0f} s"}
        log.seek(0)
        return dict(json.loads(said.splitlines()[-1])) if child.returncode == 0 else {"note": _reason(log.read(), child.returncode)}


def _reason(said: str, code: int) -> str:
    """The error line of a traceback; out of memory first."""
    told = [line.strip() for line in said.splitlines() if "Error" in line or "error:" in line]
    memory = [line for line in told if "OutOfMemory" in line or "out of memory" in line]
    return (memory or told or [f"exit code {code}"])[0].removeprefix("[rank0]: ")[:160]


def table(rows: list[tuple[TrainingRow, dict[str, Any] | None]]) -> str:
    """A Markdown table of all rows, also those without a result, and the ratio of the best packed to the best padded row."""
    found = [(row, RowResult(**given)) for row, given in rows if given and "rate" in given]
    lines = ["| training | tokens/s | MFU | GiB | |", "|---|---|---|---|---|"]
    for row, given in rows:
        if given and "rate" in given:
            done = RowResult(**given)
            lines.append(f"| {row.name} | {done.tokens_per_second:,.0f} | {done.mfu:.1%} | {done.memory_gib:.1f} | {done.note} |")
        else:
            lines.append(f"| {row.name} | – | – | – | {given['note'] if given else 'not begun: run it again'} |")
    if found:
        rates = [done.rate / 1e12 for _, done in found]
        lines += ["", f"{found[0][1].device}; matrix products at {min(rates):,.3g} to {max(rates):,.3g} TFLOP/s, measured row by row."]
    for model in dict.fromkeys(row.model for row, _ in found):
        own = [(row, done) for row, done in found if row.model == model and not row.adapter]
        padded = max((done.tokens_per_second for row, done in own if row.at_once), default=0.0)
        packed = max((done.tokens_per_second for row, done in own if not row.at_once), default=0.0)
        if padded and packed:
            lines.append(f"{model}: packed, {packed / padded:.2f} × the best of the plain Trainer with padding.")
    return "\n".join(lines) + "\n"


def _row(row: TrainingRow, size: Size, work: Path) -> RowResult:
    given = _given(row.model, size, work)
    if row.at_once:
        command = [sys.executable, "-m", "benchmarks.gpu_padded", str(given), str(row.at_once), str(size.batch), str(WARM)]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout
        return RowResult(**json.loads(said.splitlines()[-1]))
    settings = Settings(
        home=work / "home",
        trainings=1,
        attention=row.attention,
        liger=row.liger,
        checkpoints=2 if row.resumed else 0,
        accelerate_config=_config(row.config, work) if row.config else None,
    )
    job = _job(row, size, given, settings)
    try:
        return _resumed(job, settings) if row.resumed else _result(job, settings)
    finally:
        shutil.rmtree(job.out, ignore_errors=True)
        shutil.rmtree(job.scratch, ignore_errors=True)


def _result(job: TrainingJob, settings: Settings, note: str = "") -> RowResult:
    (done,) = train_all([job], settings)
    counted = done.history[WARM:]
    speed, mfu = (median(getattr(point, name) for point in counted) for name in ("tokens_per_second", "mfu"))
    rate, device = done.machine.matrix_rate, done.machine.device
    return RowResult(speed, mfu, max(point.memory_gib for point in done.history), rate, device, note)


def _resumed(job: TrainingJob, settings: Settings) -> RowResult:
    """Train, kill a second training after its first sealed checkpoint, and resume it. The note gives the largest difference of losses."""
    (calm,) = train_all([job], settings)
    kill_behind_a_checkpoint(job, settings)
    (again,) = train_all([job], settings)
    apart = max(abs(one.loss - other.loss) for one, other in zip(calm.history, again.history, strict=True))
    last: TrainingStep = again.history[-1]
    rate, device = again.machine.matrix_rate, again.machine.device
    note = f"losses at most {apart:.1e} from the unbroken training's"
    return RowResult(last.tokens_per_second, last.mfu, last.memory_gib, rate, device, note)


def kill_behind_a_checkpoint(job: TrainingJob, settings: Settings) -> None:
    """Start the training, and kill it after its first sealed checkpoint. Raises RuntimeError if it ends before."""
    job.scratch.mkdir(parents=True, exist_ok=True)
    store.write_json(job.scratch / JOB, job)
    victim = join(job, settings)
    while not list(job.scratch.glob("checkpoint-*/seal.json")):
        if victim.poll() is not None:
            raise RuntimeError(f"the training that was to be killed ended with exit code {victim.returncode}")
        time.sleep(0.05)
    victim.kill()
    victim.wait()


def _job(row: TrainingRow, size: Size, given: Path, settings: Settings) -> TrainingJob:
    optimization = Optimization(
        epochs=1,
        global_batch=size.batch,
        learning_rate=1e-5,
        schedule="cosine",
        warmup=0.03,
        weight_decay=0.1,
        betas=(0.9, 0.95),
        max_grad_norm=1.0,
        max_loss_jump=100.0,
        precision="bf16",
        adapter=Adapter(rank=64, alpha=128, dropout=0.0, bits=16) if row.adapter else None,
    )
    return plan(
        "row",
        Sft(weighting="token", tiny=Tiny(layers=1, width=32, heads=2)),
        rows=given / "packs",
        tokenizer=given / "tokenizer",
        out=given / "out",
        base=Base(model=str((given / "base").absolute()), revision="", remote_code=False),
        optimization=optimization,
        seed=1,
        steps=size.steps,
        settings=settings,
    )


def _config(name: str, work: Path) -> Path:
    """The project's accelerate config; without a GPU, a copy that uses the CPU."""
    shipped = ROOT / f"infra/accelerate/{name}.yaml"
    if Path("/dev/nvidiactl").exists():
        return shipped
    (work / f"{name}.yaml").write_text(shipped.read_text(encoding="utf-8") + "use_cpu: true\n", encoding="utf-8")
    return work / f"{name}.yaml"


def _given(model: str, size: Size, work: Path) -> Path:
    """A folder with the model's random weights, a tokenizer and packs; created if it does not exist."""
    folder = work / model.replace(", ", "-").replace(" ", "-")
    if not (folder / "base/config.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        tokenizer = train_tokenizer([_text(seed) for seed in range(4)], vocabulary=512)
        tokenizer.save_pretrained(folder / "tokenizer")
        _write_packs(folder / "packs", size, vocabulary=MODELS[model].vocab_size)
        fields = json.dumps(MODELS[model]._asdict() | {"max_position_embeddings": size.context})
        subprocess.run([sys.executable, "-m", "benchmarks.gpu_padded", "weights", str(folder / "base"), fields], check=True, cwd=ROOT)
    return folder


def _text(seed: int) -> str:
    return paragraph(topic="bread", language="en", words=60, part=1, parts=1, seed=seed)


def _write_packs(folder: Path, size: Size, *, vocabulary: int) -> None:
    """Write the packs of all steps, filled like the paper's mixture, with random tokens of which half are targets."""
    draw, wanted = np.random.default_rng(1), size.batch * size.steps
    lengths = np.maximum(8, packing.lengths() * size.context // packing.CONTEXT)
    lengths = draw.permutation(lengths)[: wanted * size.context // 64]
    packs = best_fit_decreasing(lengths, size.context)
    chosen = lengths[[place for number in draw.permutation(len(packs))[:wanted] for place in packs[number]]]
    samples = Samples(folder.with_suffix(".samples"))
    for start in range(0, len(chosen), 256):
        some = [_sample(int(length), draw, vocabulary) for length in chosen[start : start + 256]]
        samples.add([f"s{start + number}" for number in range(len(some))], some)
    write_packs(samples, samples.close(), range(len(chosen)), folder, context=size.context)
    folder.with_suffix(".samples").unlink()


def _sample(length: int, draw: np.random.Generator, vocabulary: int) -> Tokens:
    ids = draw.integers(4, vocabulary, length).astype(np.int32)
    return Tokens(ids, np.where(np.arange(length) >= length // 2, ids, IGNORED).astype(np.int32))


if __name__ == "__main__":
    try:
        app()
    except PipelineError as error:
        sys.exit(f"error: {error}")
