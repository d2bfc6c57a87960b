"""`longwriter train plan` estimates memory and time of a training. `longwriter train worker` lets this machine join a training."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tasks.schema.checks import require
from tasks.schema.errors import BadInput
from tasks.schema.params import Reinforce, load
from tasks.schema.settings import Settings, settings
from tasks.schema.standins import TINY
from tasks.stage import fail, one_line_errors
from tasks.training.base_checks import base
from tasks.training.budget import Course, TrainingData, assumed_tokens, course, on_each_gpu, reinforcing, shapes_of, strategy_of, work_of
from tasks.training.launch import check_division, work_for_others
from tasks.training.memory import STRATEGIES, Memory, Strategy

app = typer.Typer(add_completion=False, help=__doc__)
PACKS = Path("data/pack/packs/student")
COLUMNS = ("weights", "gradients", "optimizer", "activations", "loss", "overhead", "total", "host")


@app.command()
def plan(
    profile: Annotated[str, typer.Option(help="a file in profiles/, without .yaml; default: params.yaml")] = "",
    memory: Annotated[float, typer.Option(min=1, help="GiB of each GPU")] = 80.0,
    peak: Annotated[float, typer.Option(min=0.1, help="TFLOP/s of each GPU in bf16, dense")] = 989.0,
    mfu: Annotated[float, typer.Option(min=0.01, max=1, help="fraction of the peak that the training reaches")] = 0.4,
    tokens: Annotated[
        int | None,
        typer.Option(
            min=1, help="tokens of the dataset, if there are no packs; default: the paper's 189,500,000, or 1.64 times as many with traces"
        ),
    ] = None,
    packs: Annotated[
        Path | None, typer.Option(help="packs of the stage pack; default: data/pack/packs/student, if the stage has run")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Print memory on each GPU for each split of the model states, then steps, tokens and hours.

    Exits with 1 if train, align or reinforce does not fit with the accelerate config of the settings.
    """
    with one_line_errors():
        asked, own = load(Path(f"profiles/{profile}.yaml") if profile else Path("params.yaml")), settings()
        check_division(asked.train.global_batch, own.processes * own.machines, own)
        require(base(asked, fetch=False))
        shapes = shapes_of(asked.base, asked.train.tiny, vocabulary=asked.pack.vocabulary)
        chosen = strategy_of(own.accelerate_config)
        ways = [way for way in STRATEGIES if way.name != chosen.name] + [chosen]
        found = {way: on_each_gpu(shapes, asked.train, way, own, context=asked.pack.context) for way in ways}
        if packs is None and not profile and tokens is None and PACKS.is_dir():
            packs = PACKS
        if packs is None and tokens is None and asked.base.model == TINY:
            raise BadInput(
                "--tokens",
                f"{PACKS} is not there, and the paper's tokens are not a tiny student's",
                fix="run the stage pack, or give --tokens",
            )
        assumed = assumed_tokens(asked.assemble.chosen.form)
        work = work_of(packs, shapes, context=asked.pack.context, tokens=tokens or assumed, adapter=asked.train.adapter)
        gpus = own.processes * own.machines
        run = course(work, asked.train, gpus=gpus, peak=peak * 1e12, mfu=mfu)
        needs = {"train": found}
        if asked.sample.prompts:
            needs["align"] = {way: on_each_gpu(shapes, asked.align, way, own, context=asked.align.context, pairs=True) for way in ways}
        if asked.reinforce.prompts:
            needs["reinforce"] = {way: reinforcing(shapes, asked.reinforce, way, own, gpu=memory) for way in ways}
        if as_json:
            head = {"model": asked.base.model, "parameters": shapes.parameters, "gpus": gpus, "gpu_memory": memory, "strategy": chosen.name}
            _print_json(head, needs, memory, work, run)
        else:
            _say_memory(found, chosen, own, name=asked.base.model, parameters=shapes.parameters, memory=memory)
            _say_course(run, work, gpus=gpus, peak=peak, mfu=mfu)
            if "align" in needs:
                gib, longest = needs["align"][chosen].total, asked.align.context
                print(f"align: {gib:.1f} GiB with {chosen.name}, for a pair of {longest:,} tokens each at once")
            if "reinforce" in needs:
                _say_reinforcement(needs["reinforce"][chosen], asked.reinforce, own, name=chosen.name)
        if misfits := [_misfit(stage, each, chosen, memory, gpus) for stage, each in needs.items() if each[chosen].total > memory]:
            fail("; ".join(misfits), code=1)


@app.command()
def worker() -> None:
    """Join the trainings of machine 0, one after the other, until interrupted. LONGWRITER_HOME must be on a disk that both share."""
    with one_line_errors():
        work_for_others(settings())


def _print_json(head: dict[str, object], needs: dict[str, dict[Strategy, Memory]], memory: float, work: TrainingData, run: Course) -> None:
    """GiB by stage and strategy, and the course of the training, as one JSON document."""
    gib = {
        stage: {way.name: {**need._asdict(), "total": need.total, "fits": need.total <= memory} for way, need in found.items()}
        for stage, found in needs.items()
    }
    print(orjson.dumps({**head, "gib": gib, "work": work._asdict(), "course": run._asdict()}).decode())


def _say_memory(found: dict[Strategy, Memory], chosen: Strategy, own: Settings, *, name: str, parameters: int, memory: float) -> None:
    print(f"{name}: {parameters / 1e9:.2f} billion parameters; GiB on each of {own.processes * own.machines} GPUs of {memory:g} GiB")
    print(f"{'':20}" + "".join(f"{column:>13}" for column in COLUMNS))
    for way, needs in found.items():
        mark = "→ " if way == chosen else "  "
        fits = "" if needs.total <= memory else "  does not fit"
        print(f"{mark}{way.name:18}" + "".join(f"{getattr(needs, column):13.1f}" for column in COLUMNS) + fits)


def _say_course(run: Course, work: TrainingData, *, gpus: int, peak: float, mfu: float) -> None:
    print(f"{work.packs:,} packs, {work.tokens:,} tokens ({work.source}); {run.steps:,} steps, {run.tokens:,.0f} tokens in all")
    rate = run.tokens / run.hours / 3600
    each = run.flops / run.tokens / 1e9
    print(f"{run.hours:,.1f} hours at {mfu:.0%} of {gpus} × {peak:g} TFLOP/s: {rate:,.0f} tokens/s, {each:.1f} GFLOP a token")


def _say_reinforcement(need: Memory, reinforce: Reinforce, own: Settings, *, name: str) -> None:
    reference = "with a reference model" if reinforce.beta else "without a reference model"
    print(
        f"reinforce: {need.total:.1f} GiB with {name}, {reference}, {need.generation:.1f} GiB of it for answers of up to"
        f" {reinforce.max_tokens:,} tokens by {own.rollouts}"
    )


def _misfit(stage: str, found: dict[Strategy, Memory], chosen: Strategy, memory: float, gpus: int) -> str:
    fitting = [way.name for way, needs in found.items() if needs.total <= memory and way.stage]
    fix = f"infra/accelerate/{fitting[0]}.yaml does (LONGWRITER_ACCELERATE_CONFIG)" if fitting else "use more processes, or an adapter"
    return (
        f"{stage}: {found[chosen].total:.0f} GiB on each of {gpus} GPUs of {memory:g} GiB with {chosen.name}; it does not fit; fix: {fix}"
    )


if __name__ == "__main__":
    app()
