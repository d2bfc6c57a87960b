"""DPO by TRL's DPOTrainer over tokenized pairs. Only the training process imports this module.

The loss (arXiv 2305.18290, equation 7) is the mean over the pairs of the global batch. With `sigmoid` log-probabilities are summed over
whole answers; with `sigmoid_norm` they are averaged over each answer's tokens. `sft_weight` adds the SFT loss of the chosen answers. The
reference model is the checkpoint that the training starts from.
"""

from statistics import fmean

import numpy as np
from datasets import Dataset, load_from_disk
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from tasks.schema.params import Adapter
from tasks.training import weights
from tasks.training.arguments import arguments
from tasks.training.job import Dpo, TrainingJob
from tasks.training.memory import adapter_parameters
from tasks.training.row_order import order
from tasks.training.shapes import Shapes
from tasks.training.watch import Costs, Watched, callbacks

# Our name: TRL's name. A reward is beta × (log-probability of an answer minus that under the reference), in nats, summed over the answer;
# also for sigmoid_norm, where the loss uses the mean.
REWARDS = {
    "reward_chosen": "rewards/chosen",
    "reward_rejected": "rewards/rejected",
    "margin": "rewards/margins",
    "accuracy": "rewards/accuracies",
}


class Preferred(Watched, DPOTrainer):
    """DPOTrainer with a watched loss, over pairs that tasks.training.pair_tokens has tokenized."""

    def _prepare_dataset(self, dataset: Dataset, *_: object, **__: object) -> Dataset:
        """Return the dataset unchanged. TRL's method would tokenize again, and has no option for tokenized rows."""
        return dataset

    def contents(self, row: int) -> list[str]:
        return list(load_from_disk(str(self._job.rows))[row]["ids"])

    def own_numbers(self) -> dict[str, float]:
        """The step's mean rewards over the global batch."""
        seen = self._metrics["train"]
        return {name: fmean(seen[trls]) for name, trls in REWARDS.items() if seen[trls]}


def build(job: TrainingJob, tokenizer: PreTrainedTokenizerBase) -> Preferred:
    assert isinstance(job.method, Dpo)
    rows = load_from_disk(str(job.rows))
    model, adapter, losses = weights.pretrained(job), weights.lora(job.optimization.adapter), job.method.losses
    return Preferred(
        job=job,
        costs=_costs(rows, Shapes.of(model.config), job.optimization.adapter),
        model=model,
        ref_model=None if adapter else weights.pretrained(job),  # with an adapter, the reference is the model without the adapter
        peft_config=adapter,
        args=DPOConfig(**arguments(job), beta=job.method.beta, loss_type=list(losses), loss_weights=list(losses.values())),
        train_dataset=rows.select(order(len(rows), steps=job.steps, global_batch=job.optimization.global_batch, seed=job.seed)),
        processing_class=tokenizer,
        callbacks=callbacks(job),
    )


def _costs(rows: Dataset, shapes: Shapes, adapter: Adapter | None) -> Costs:
    """Tokens and FLOPs of every pair: the prompt with each answer, and the reference's forward pass over both."""
    prompt, chosen, rejected = (
        np.asarray([len(ids) for ids in rows[name]], np.float64) for name in ("prompt_ids", "chosen_ids", "rejected_ids")
    )
    trained = adapter_parameters(shapes, adapter)
    one, other = (shapes.flops(length, adapter=trained) + shapes.flops(length) / 3 for length in (prompt + chosen, prompt + rejected))
    return Costs(rows=len(rows), tokens=2 * prompt + chosen + rejected, flops=one + other)
