"""The loss on texts that no model trained on, measured by a child process with real weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tasks.schema.errors import TrainingFailed
from tasks.schema.params import Base
from tasks.training.conversations import IGNORED, Tokens
from tasks.training.held_out import losses
from tasks.training.packing import Samples, write_held_out
from tests.tasks.model_files import random_llama

SEQUENCES = ([1, 5, 7, 9, 11, 2], [1, 8, 8, 3, 2, 14, 15, 2])
PROMPTS = (2, 3)  # tokens without a target


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    samples = Samples(tmp_path / "samples.arrow")
    tokens = []
    for ids, prompt in zip(SEQUENCES, PROMPTS, strict=True):
        inputs = np.array(ids, dtype=np.int32)
        tokens.append(Tokens(inputs, np.where(np.arange(len(ids)) < prompt, IGNORED, inputs).astype(np.int32)))
    samples.add(["a", "b"], tokens)
    write_held_out(samples.close(), [0, 1], tmp_path / "rows.arrow")
    return tmp_path / "rows.arrow"


@pytest.mark.integration
def test_the_loss_is_the_mean_over_all_targets_of_all_texts(rows: Path, tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    expected = []
    for ids, prompt in zip(SEQUENCES, PROMPTS, strict=True):
        with torch.no_grad():
            chances = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected += [-float(chances[place - 1, ids[place]]) for place in range(prompt, len(ids))]
    base = Base(model=str(folder), revision="", remote_code=False)
    assert losses(rows, {"base": base}) == {"base": pytest.approx(sum(expected) / len(expected), rel=1e-5)}


@pytest.mark.integration
def test_weights_that_cannot_be_loaded_end_in_one_error(rows: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TrainingFailed, match="was not measured"):
        losses(rows, {"base": Base(model=str(tmp_path / "none"), revision="", remote_code=False)})
    (said,) = capfd.readouterr().err.strip().splitlines()
    assert said.startswith(f"error: {tmp_path / 'none'}: its loss on held-out texts was not measured: ")
