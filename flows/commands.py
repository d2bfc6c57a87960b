"""The commands that run flows in this process, and those that deploy them: `longwriter run`, `flow`, `study`, `models rollback`,
`deploy`, `worker`.

Each command imports its flow after `defaults()` has set Prefect's environment.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.embedded import defaults
from tasks.schema.errors import BadSettings
from tasks.schema.params import RECORDED
from tasks.stage import one_line_errors

Push = Annotated[bool, typer.Option("--push", help="send every result to DVC's remote, so that other machines restore it")]
Elsewhere = Annotated[bool, typer.Option("--elsewhere", help="run stages that have a work pool on that pool's workers; needs --push")]
RECORDED_ANSWERS = "data/raw/recorded"
SILENCE = 150.0  # seconds: five heartbeats, so that a server outage of two minutes marks no run as crashed
WORKER = {  # a worker's Prefect settings: web page on loopback only, heartbeats of its runs, retries on errors of the server's database
    "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
}


def run(
    profile: Annotated[str, typer.Option(help="copy this profile to params.yaml first; see `longwriter use`")] = "",
    teacher: Annotated[
        str,
        typer.Option(
            help="take the profile's variant with another teacher, profiles/PROFILE-TEACHER.yaml; recorded: answers that you have, no calls"
        ),
    ] = "",
    answers: Annotated[
        Path | None,
        typer.Option(help=f"with --teacher recorded: a file or folder of rows with a prompt and its answer; copied to {RECORDED_ANSWERS}"),
    ] = None,
    push: Push = False,
    elsewhere: Elsewhere = False,
) -> None:
    """Run the whole pipeline, from raw prompts to a promoted model and a report. Unchanged stages do not run again."""
    if profile or teacher or answers:
        from flows.profiles import use, variant
        from flows.recorded import take

        with one_line_errors():
            name = variant(profile, teacher)
            if teacher == RECORDED:
                take(answers)
            elif answers:
                raise BadSettings("--answers is for --teacher recorded only; fix: add it, or leave out --answers")
            use(name)
    defaults()
    from flows import longwriter, terminal

    terminal.show(longwriter.longwriter, push=push, elsewhere=elsewhere)


def dataset(push: Push = False) -> None:
    """Run every stage that the validated dataset needs."""
    defaults()
    from flows import dataset, terminal

    terminal.show(dataset.dataset, push=push)


def training(push: Push = False) -> None:
    """Run every stage that the trained student needs."""
    defaults()
    from flows import terminal, training

    terminal.show(training.training, push=push)


def evaluation(push: Push = False) -> None:
    """Run every stage that the scores need."""
    defaults()
    from flows import evaluation, terminal

    terminal.show(evaluation.evaluation, push=push)


def promotion(
    push: Push = False,
    approval: Annotated[bool, typer.Option("--approval", help="wait until a person approves in Prefect; needs a server")] = False,
) -> None:
    """Run every stage that the promotion and the report need."""
    defaults()
    from flows import promotion, terminal

    terminal.show(promotion.promotion, push=push, approval=approval)


def study(push: Push = False) -> None:
    """Train the base model on outputs capped at each length of study.caps, and measure how long each trained model writes."""
    defaults()
    from flows import study, terminal

    terminal.show(study.study, push=push)


def rollback(reason: Annotated[str, typer.Option(help="why, for those who read the registry later")] = "") -> None:
    """Make the previous champion champion again. The current champion becomes challenger."""
    defaults()
    from flows import rollback, terminal

    terminal.show(rollback.rollback, reason=reason)


def deploy(
    silence: Annotated[float, typer.Option(min=1, help="seconds without a heartbeat after which a run counts as crashed")] = SILENCE,
) -> None:
    """Register work pools, deployments, schedules and automations at PREFECT_API_URL. Running it again changes nothing."""
    defaults()
    from flows import deploy

    with one_line_errors():
        for line in deploy.deploy(silence=silence) or ["nothing to change"]:
            print(line)


def worker(pool: Annotated[str, typer.Option(help="the work pool: cpu or gpu")] = "cpu") -> None:
    """Run the deployments of a work pool in this checkout, one at a time, until Ctrl-C."""
    environment = os.environ | WORKER | {"LONGWRITER_WORKSPACE": str(Path.cwd())}
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--limit", "1"]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)
