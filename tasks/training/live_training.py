"""Train the jobs of one stage within a live run of MLflow: each step is shown there, and the history is kept with its digest."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks import store
from tasks.schema.settings import settings
from tasks.tracking.checkpoint import sha256
from tasks.tracking.lineage import HISTORY
from tasks.tracking.live import live_run
from tasks.training.job import TrainingJob
from tasks.training.launch import FinishedTraining, train_all


def train_live(stage: str, jobs: Sequence[TrainingJob], about: Mapping[str, object], history: Path) -> list[FinishedTraining]:
    """Trains all jobs and writes every step to the file `history`. `about`: params of the live run. Raises as `train_all`."""
    with live_run(stage, about) as live:
        done = train_all(jobs, settings(), watch=lambda point: live.log(point.numbers()))
        store.write(history, (point.result() for trained in done for point in trained.history))
        live.tag(**{HISTORY: sha256(history)})
    return done
