"""Loss and gradients are the mean over all target tokens of the global batch, however the batch is divided."""

import os
import subprocess
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer

from tasks import store
from tasks.schema.settings import Settings
from tasks.training import weights
from tasks.training.conversations import IGNORED, Tokens
from tasks.training.job import JOB, Sft, TrainingJob
from tasks.training.launch import launcher
from tasks.training.packing import read_packs
from tasks.training.supervised import sequence_weights
from tests.conftest import ROOT
from tests.tasks.training.jobs import TINY, job
from tests.tasks.training.one_step import one_step
from tests.tasks.training.packs import answers, encoded, write, write_alone
from tests.tasks.training.preloaded import Stages
from tests.tasks.workspace import free_port

pytestmark = pytest.mark.integration  # all of them need the same slow fixture

EXACT = 1e-5


LENGTHS = [60, 40, 20, 30, 20, 10, 50, 8, 4]  # four packs of 64, the targets of the lightest a tenth of the heaviest's


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same samples as four packs, and one a pack. A few tokens of each are targets, or most."""
    folder = tmp_path_factory.mktemp("pack")
    tokenizer, _ = encoded(answers(8))
    tokenizer.save_pretrained(folder / "tokenizer")
    draw = np.random.default_rng(1)
    samples = [_sample(length, draw, share=(0.1, 0.9)[number % 2]) for number, length in enumerate(LENGTHS)]
    assert write(samples, folder / "packs/student", context=64).packs == 4
    write_alone(samples, folder / "packs/alone")
    return folder


def _sample(length: int, draw: np.random.Generator, *, share: float) -> Tokens:
    ids = draw.integers(4, 400, length).astype(np.int32)
    labels = np.where(np.arange(length) >= max(1, int(length * (1 - share))), ids, IGNORED).astype(np.int32)
    return Tokens(ids, labels)


def by_hand(packed: Path, made: TrainingJob) -> dict[str, torch.Tensor]:
    """The definition, sample by sample, without packing, batches, or TRL."""
    model = weights.load(made, AutoTokenizer.from_pretrained(made.tokenizer), tiny=TINY)
    losses = []
    for row in read_packs(packed / "packs/alone"):
        logits = model(torch.tensor([row["input_ids"]])).logits[0, :-1]
        losses.append(cross_entropy(logits, torch.tensor(row["labels"][1:]), reduction="none")[torch.tensor(row["labels"][1:]) != IGNORED])
    assert isinstance(made.method, Sft)
    loss = torch.cat(losses).mean() if made.method.weighting == "token" else torch.stack([each.mean() for each in losses]).mean()
    loss.backward()
    return {"loss": loss.detach(), **{name: parameter.grad for name, parameter in model.named_parameters()}}


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        assert (found[name] - expected[name]).abs().max() <= EXACT, name


@pytest.mark.parametrize("weighting", ["token", "sequence"])
@pytest.mark.parametrize(
    ("packs", "batch", "at_once"), [("student", 4, 1), ("student", 4, 4), ("student", 4, 2), ("alone", 9, 1), ("alone", 9, 9)]
)
def test_loss_and_gradients_are_the_definition_s_packed_or_not_and_however_accumulated(
    packed: Path, tmp_path: Path, weighting: Literal["token", "sequence"], packs: str, batch: int, at_once: int
) -> None:
    settings = Settings(home=tmp_path, trainings=1, micro_batch=at_once, checkpoints=0)
    made = job(packed, tmp_path / "out", settings, packs=packs, steps=1, weighting=weighting, global_batch=batch, max_grad_norm=1e9)
    assert made.accumulation == batch // at_once
    same(one_step(made), by_hand(packed, made))


def test_the_two_weightings_are_not_the_same(packed: Path, tmp_path: Path) -> None:
    made = [job(packed, tmp_path, Settings(home=tmp_path), weighting=kind, global_batch=4) for kind in ("token", "sequence")]
    token, sequence = (by_hand(packed, one)["loss"] for one in made)
    assert abs(token - sequence) > 1e-3


RANKS = """
import os, sys
from tests.tasks.training import one_step

children = []
for rank in range(2):
    children.append(os.fork())
    if not children[-1]:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        one_step.main()
        sys.exit()
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.parametrize("launched", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_make_the_loss_and_gradients_of_one(packed: Path, tmp_path: Path, forks: Stages, launched: bool) -> None:
    """Two forks with the variables that the launcher gives its processes, or started by the launcher itself."""
    settings = Settings(home=tmp_path, trainings=1, processes=2, checkpoints=0)
    kinds: tuple[Literal["token", "sequence"], ...] = ("token", "sequence")
    jobs = [job(packed, tmp_path, settings, steps=1, weighting=kind, global_batch=4, max_grad_norm=1e9) for kind in kinds]
    files = [made.scratch / JOB for made in jobs]
    for made, file in zip(jobs, files, strict=True):
        store.write_json(file, made)
    if launched:
        subprocess.run([*launcher(jobs[0], settings), "-m", "tests.tasks.training.one_step", *map(str, files)], cwd=ROOT, check=True)
    else:
        world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        ranks = forks.start(RANKS, files, folder=tmp_path, environment=os.environ | world)
        _, said = ranks.communicate()
        assert ranks.returncode == 0, said
    for made, file in zip(jobs, files, strict=True):
        same(load_file(f"{file}.safetensors"), by_hand(packed, made))


def test_weights_sum_to_one_within_each_sequence_that_has_targets() -> None:
    labels = torch.tensor([[IGNORED, 5, 5, IGNORED, 7, IGNORED, IGNORED]])
    positions = torch.tensor([[0, 1, 2, 0, 1, 0, 1]])
    assert sequence_weights(labels, positions).tolist() == [[0.5, 0.5, 0, 1, 0, 0]]
