"""DPO's loss and the lengths of the answers, on a model in which the next token depends on the last one alone.

Each answer ends with the prompt's last token. A repeated answer is then the same transitions again, so its log-probability is exactly as
many times as large.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tasks import align
from tasks.schema.params import Base
from tasks.schema.settings import Settings
from tasks.training.job import Dpo, TrainingJob
from tasks.training.launch import plan
from tasks.training.pair_tokens import Encoded
from tasks.training.tokenizer import train_tokenizer
from tests.tasks.training.jobs import OPTIMIZATION

if TYPE_CHECKING:
    import torch

LAST = 9
PAIRS = [([5, LAST], [11, 12, 13, LAST], [14, LAST]), ([6, 7, LAST], [15, LAST], [16, 17, 18, 19, LAST])]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("student")
    tokenizer = train_tokenizer(["a text about bread and ovens"], vocabulary=512)
    set_seed(1)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 0, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=3, **shape))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def job(student: Path, folder: Path, *, loss: Literal["sigmoid", "sigmoid_norm"], times: int) -> TrainingJob:
    rows = [(f"p{number}", Encoded(ask, good * times, bad * times)) for number, (ask, good, bad) in enumerate(PAIRS)]
    align.write_rows(rows, folder / "rows")
    made = plan(
        "aligned",
        Dpo(loss=loss, beta=0.5, sft_weight=0.0, reference="-"),
        rows=folder / "rows",
        tokenizer=student,
        out=folder / "out",
        base=Base(model=str(student), revision="", remote_code=False),
        optimization=OPTIMIZATION.model_copy(update={"max_grad_norm": 1e9, "weight_decay": 0.0}),
        seed=1,
        steps=1,
        settings=Settings(home=folder, trainings=1, micro_batch=2, checkpoints=0),
    )
    made.scratch.mkdir(parents=True, exist_ok=True)
    return made


def gradients(made: TrainingJob) -> "torch.Tensor":
    """The gradient of all weights in the first step."""
    import torch
    from transformers import AutoTokenizer

    from tasks.training.preference import build
    from tests.tasks.training.one_step import Catch

    trainer = build(made, AutoTokenizer.from_pretrained(made.tokenizer))
    trainer.add_callback(catch := Catch())
    trainer.train()
    return torch.cat([value.flatten() for value in catch.gradients.values()])


def test_the_loss_is_the_one_of_params_and_the_sft_loss_has_its_weight() -> None:
    assert Dpo(loss="sigmoid_norm", beta=5.0, sft_weight=0.0, reference="-").losses == {"sigmoid_norm": 1.0}
    assert Dpo(loss="sigmoid", beta=0.1, sft_weight=10.0, reference="-").losses == {"sigmoid": 1.0, "sft": 10.0}


@pytest.mark.slow
def test_repeating_both_answers_changes_the_gradient_of_sigmoid_and_not_that_of_sigmoid_norm(student: Path, tmp_path: Path) -> None:
    import torch

    def at(loss: Literal["sigmoid", "sigmoid_norm"], times: int) -> "torch.Tensor":
        (folder := tmp_path / f"{loss}{times}").mkdir()
        return gradients(job(student, folder, loss=loss, times=times))

    once, thrice = at("sigmoid_norm", 1), at("sigmoid_norm", 3)
    assert once.norm() > 0.01
    assert torch.allclose(thrice, once, rtol=1e-4, atol=1e-7)
    once, thrice = at("sigmoid", 1), at("sigmoid", 3)
    assert torch.allclose(thrice, 3 * once, rtol=1e-4, atol=1e-7), "the log-probabilities are sums over the answers"
