"""GRPO by TRL's GRPOTrainer on this project's rewards. Only the training process imports this module.

TRL generates, computes log-probabilities and the clipped loss (the mean over all tokens of the step, "dapo"). Rewards and advantages are
tasks.rewards: TRL gets the finished advantage of each answer as its only reward. The first process scores all groups of a step, because
groups may be split among processes and the journal of paid replies has one owner.

The answers of each step depend on the seed and the step, and are stored before they are scored. A resumed training reads them, so it
asks the judge for nothing again, also where generation is not deterministic.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import orjson
import torch
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset, load_from_disk
from transformers import PreTrainedTokenizerBase, set_seed
from trl import GRPOConfig, GRPOTrainer

from tasks import store
from tasks.rewards.combine import advantages, trained_reward
from tasks.rewards.interface import AnswerGroup, Scores, WrittenAnswer
from tasks.rewards.ranking import Jury, open_jury
from tasks.rewards.registry import rewards
from tasks.rewards.rules import overlong
from tasks.rewards.scoring import scores_of
from tasks.schema.errors import PipelineError, TrainingFailed
from tasks.schema.records import BenchmarkItem
from tasks.text.thoughts import split_thoughts
from tasks.text.unrepeated import count_without_loops
from tasks.text.words import constraint, s_l_fixed
from tasks.training import reward_watch, weights
from tasks.training.arguments import arguments
from tasks.training.job import HISTORY, Grpo, TrainingJob, TrainingStep
from tasks.training.memory import adapter_parameters
from tasks.training.row_order import order
from tasks.training.shapes import Shapes
from tasks.training.watch import Costs, Watched, callbacks

ROLLOUTS = "rollouts"  # folder in the scratch folder: the answers of each step and process
OVERLONG = "overlong"  # the reward that `overlong: soft` adds


class _Given(NamedTuple):
    """An answer with its prompt."""

    item: BenchmarkItem
    answer: WrittenAnswer
    tokens: int  # with the prompt


class _Outcome(NamedTuple):
    """What the first process tells the others about a step."""

    advantages: list[float]
    numbers: dict[str, float]
    problem: str | None


class Reinforced(Watched, GRPOTrainer):
    """GRPOTrainer with a watched loss and this project's rewards."""

    def __init__(self, *args: Any, job: TrainingJob, held_out: Sequence[BenchmarkItem], **kwargs: Any) -> None:
        assert isinstance(job.method, Grpo)
        self._reinforce, self._judge = job.method.reinforce, job.method.judge
        self._rewards, self._held_out = rewards(self._reinforce.rewards), held_out
        self._jury: Jury | None = None
        self._scored: dict[str, float] = {}
        self._lengths: list[int] = []  # tokens of the step's prompts with their answers
        super().__init__(*args, job=job, **kwargs)
        history = job.scratch / HISTORY
        self._steps = list(store.read(history, TrainingStep)) if history.exists() and history.stat().st_size else []
        (job.scratch / ROLLOUTS).mkdir(exist_ok=True)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        own, main = self._reinforce, self.is_world_process_zero()
        judge = self._judge if any(reward.judged for reward in self._rewards) else None
        with open_jury(judge, opponents=own.opponents, tries=own.tries) if main else nullcontext() as self._jury:
            return super().train(*args, **kwargs)

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any) -> Any:
        """The stored answers of this step, if every process has them; else new ones, sampled by seed, step and process, and stored."""
        if not self.model.training:
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)
        step, process = self.state.global_step + 1, self.accelerator.process_index
        path = self._job.scratch / ROLLOUTS / f"{step}-{process}.json"
        found = _stored(path, count=len(prompt_ids))
        if not all(self._of_all([found is not None])):
            set_seed(_seed(self._job.seed, "answers", step, process))
            found = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            with store.replacing(path) as scratch:
                scratch.write_bytes(orjson.dumps(found))
        set_seed(_seed(self._job.seed, "order", step, process))  # TRL shuffles the answers next
        return found

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[list[int]]
    ) -> torch.Tensor:
        """The advantage of every answer of all processes, shape (answers, 1)."""
        items = [BenchmarkItem.model_validate_json(row["item"]) for row in inputs]
        sizes = [len(ids) for ids in self._tokenize_prompts(prompts)[0]]
        mine = [
            _Given(item, self._answer(completion, ids), size + len(ids))
            for item, completion, ids, size in zip(items, completions, completion_ids_list, sizes, strict=True)
        ]
        every = self._of_all(mine)
        self._lengths = [given.tokens for given in every]
        told = self._told(self._outcome(every) if self.is_world_process_zero() else None)
        if told.problem:
            raise TrainingFailed(f"train {self._job.name}: step {self.state.global_step + 1}: {told.problem}")
        self._scored = told.numbers
        return torch.tensor(told.advantages, dtype=torch.float32, device=self.accelerator.device)[:, None]

    def _answer(self, completion: list[dict[str, Any]], ids: list[int]) -> WrittenAnswer:
        text = split_thoughts(str(completion[0].get("content") or "")).text
        return WrittenAnswer(text, len(ids), ended=bool(ids) and ids[-1] in self.eos_token_ids)

    def _outcome(self, every: Sequence[_Given]) -> _Outcome:
        size = self._reinforce.group
        starts = range(0, len(every), size)
        groups = [AnswerGroup(every[start].item, tuple(given.answer for given in every[start : start + size])) for start in starts]
        try:
            scored = self._all_scores(groups)
        except PipelineError as error:
            return _Outcome([], {}, str(error))
        found = self.advantages_of(scored)
        numbers = {
            "reward": trained_reward(scored, self._weights()),
            "flat": fmean(not self._teaches(group, values) for group, values in zip(groups, found, strict=True)),
            "cut": fmean(not given.answer.ended for given in every),
            "words": fmean(count_without_loops(given.answer.text) for given in every),
            **_by_reward(scored),
        }
        return _Outcome([value for group in found for value in group], numbers, None)

    def _teaches(self, group: AnswerGroup, values: Sequence[float]) -> bool:
        """Whether an answer of the group has a gradient. An answer that was cut off has none if `overlong` masks it."""
        masked = self._reinforce.overlong == "mask"
        return any(value and (answer.ended or not masked) for answer, value in zip(group.answers, values, strict=True))

    def advantages_of(self, scored: Sequence[Mapping[str, Scores]]) -> list[list[float]]:
        """The advantages of each group, from its scores by reward."""
        return [advantages(group, self._weights(), self._reinforce.combine) for group in scored]

    def _weights(self) -> dict[str, float]:
        return self._reinforce.rewards | ({OVERLONG: 1.0} if self._reinforce.overlong == "soft" else {})

    def _all_scores(self, groups: Sequence[AnswerGroup]) -> list[dict[str, Scores]]:
        """The scores of each group by reward."""
        columns = {reward.name: scores_of(reward, groups, self._jury) for reward in self._rewards}
        if self._reinforce.overlong == "soft":
            columns[OVERLONG] = [[overlong(answer, self._reinforce.max_tokens) for answer in group.answers] for group in groups]
        return [{name: column[number] for name, column in columns.items()} for number in range(len(groups))]

    def own_numbers(self) -> dict[str, float]:
        """The step's scores, TRL's measures of the policy and, every `watch_every` steps, the held-out measure."""
        seen = self._metrics["train"]
        trls = {name: [value for value in seen.get(name, []) if np.isfinite(value)] for name in ("entropy", "kl")}
        looked = {"held_out": self._look()} if self._looks_now() else {}
        return {**self._scored, **{name: fmean(values) for name, values in trls.items() if values}, **looked}

    def _looks_now(self) -> bool:
        step = self.state.global_step
        return bool(self._held_out) and (step == 1 or step % self._reinforce.watch_every == 0 or step == self._job.steps)

    def _look(self) -> float:
        """Mean S_l without loops, 0 to 100, of one answer to each held-out prompt. The processes share the prompts."""
        world, process = self._job.where.world, self.accelerator.process_index
        share = -(-len(self._held_out) // world)  # every process answers as many, because all of them take part in each generation
        numbers = [(process * share + place) % len(self._held_out) for place in range(share)]
        at_once = max(1, self._job.accumulation * self._job.where.micro_batch)
        set_seed(_seed(self._job.seed, "held out", self.state.global_step, process))
        found: list[tuple[int, float]] = []
        self.model.eval()
        try:
            for start in range(0, len(numbers), at_once):
                found += self._held_out_scores(numbers[start : start + at_once])
        finally:
            self.model.train()
        return fmean(dict(self._of_all(found)).values())

    def _held_out_scores(self, numbers: Sequence[int]) -> list[tuple[int, float]]:
        items = [self._held_out[number] for number in numbers]
        prompts = [[{"role": "user", "content": item.prompt}] for item in items]
        ids, images, fields = self._tokenize_prompts(prompts)
        answers, _ = self._generate_single_turn(ids, images, fields, 1)
        texts = [split_thoughts(text).text for text in self.processing_class.batch_decode(answers, skip_special_tokens=True)]
        lengths = (
            s_l_fixed(constraint(item.prompt, item.length), count_without_loops(text)) for item, text in zip(items, texts, strict=True)
        )
        return list(zip(numbers, lengths, strict=True))

    def _check(self, point: TrainingStep) -> None:
        super()._check(point)
        self._steps.append(point)
        if found := self._told(reward_watch.problem(self._steps, self._reinforce) if self.is_world_process_zero() else None):
            judge = self._jury.judge if self._jury else None
            last = f"; the judge's last problem: {judge.problem}" if judge and judge.problem else ""
            raise TrainingFailed(f"train {self._job.name}: step {point.step}: {found}{last}")

    def work_of(self, step: int) -> tuple[float, float]:
        """Tokens of the step's prompts and answers, and the FLOPs of their update and of writing the answers (a forward pass)."""
        shapes, lengths = Shapes.of(self.model.config), np.asarray(self._lengths, np.float64)
        trained = adapter_parameters(shapes, self._job.optimization.adapter)
        again = shapes.flops(lengths) / 3 * (2 if self._reinforce.beta else 1)
        return float(lengths.sum()), float((shapes.flops(lengths, adapter=trained) + again).sum())

    def contents(self, row: int) -> list[str]:
        return [str(load_from_disk(str(self._job.rows))[row]["id"])]

    def _of_all(self, mine: list[Any]) -> list[Any]:
        """The entries of all processes, in the order of the processes."""
        return list(gather_object(mine)) if self._job.where.world > 1 else mine

    def _told(self, value: Any) -> Any:
        """The first process's value."""
        return broadcast_object_list([value])[0] if self._job.where.world > 1 else value


def build(job: TrainingJob, tokenizer: PreTrainedTokenizerBase, kind: type[Reinforced] = Reinforced) -> Reinforced:
    """The trainer of a job. `kind`: a subclass, for experiments."""
    assert isinstance(job.method, Grpo)
    own, rows = job.method.reinforce, load_from_disk(str(job.rows))
    marks = list(rows["held_out"])
    trained, held_out = (rows.select([number for number, mark in enumerate(marks) if mark == held]) for held in (False, True))
    model, adapter = weights.pretrained(job), weights.lora(job.optimization.adapter)
    nothing = np.zeros(len(trained))  # the lengths of answers are not known before they are written
    return kind(
        job=job,
        costs=Costs(rows=len(trained), tokens=nothing, flops=nothing),
        each_step=own.prompts_per_step,
        held_out=[BenchmarkItem.model_validate_json(text) for text in held_out["item"]],
        model=model,
        reward_funcs=_advantage,
        peft_config=adapter,
        args=GRPOConfig(**trainer_arguments(job)),
        train_dataset=_in_order(trained, job),
        processing_class=tokenizer,
        callbacks=callbacks(job),
    )


def trainer_arguments(job: TrainingJob) -> dict[str, object]:
    """The arguments of TRL's GRPOConfig."""
    assert isinstance(job.method, Grpo)
    own = job.method.reinforce
    shared = {name: value for name, value in arguments(job).items() if name != "max_length"}
    return {
        **shared,
        "num_generations": own.group,
        "max_completion_length": own.max_tokens,  # TRL's default of 512 would cut every long answer
        "temperature": own.temperature,
        "top_p": own.top_p,
        "beta": own.beta,
        "epsilon": own.clip[0],
        "epsilon_high": own.clip[1],
        "loss_type": "dapo",
        "scale_rewards": "none",  # the reward is the finished advantage
        "mask_truncated_completions": own.overlong == "mask",
        "disable_dropout": True,
        "shuffle_dataset": False,  # tasks.training.row_order decides
        "use_vllm": job.where.rollouts != "transformers",
        **({} if job.where.rollouts == "transformers" else _vllm(job)),
    }


def _vllm(job: TrainingJob) -> dict[str, object]:
    if job.where.rollouts == "server":
        return {"vllm_mode": "server", "vllm_server_base_url": str(job.where.rollouts_url)}
    return {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": job.where.rollouts_memory, "vllm_enable_sleep_mode": True}


def _in_order(rows: Dataset, job: TrainingJob) -> Dataset:
    assert isinstance(job.method, Grpo)
    return rows.select(order(len(rows), steps=job.steps, global_batch=job.method.reinforce.prompts_per_step, seed=job.seed))


def _advantage(**_: object) -> list[float]:
    """Names the only reward that TRL sees; `_calculate_rewards` computes it."""
    raise AssertionError("unreachable")


def _by_reward(scored: Sequence[Mapping[str, Scores]]) -> dict[str, float]:
    """The mean score of each reward, and the share of answers that it did not score if there are any."""
    found = dict[str, float]()
    for name in scored[0]:
        scores = [score for group in scored for score in group[name]]
        known = [score for score in scores if score is not None]
        if known:
            found[f"reward_{name}"] = fmean(known)
        if len(known) < len(scores):
            found[f"unscored_{name}"] = 1 - len(known) / len(scores)
    return found


def _stored(path: Path, *, count: int) -> tuple[list[list[int]], Any] | None:
    """The stored token ids and log-probabilities of `count` answers; None if there are none."""
    if not path.exists():
        return None
    ids, logprobs = orjson.loads(path.read_bytes())
    return (ids, logprobs) if len(ids) == count else None


def _seed(seed: int, *parts: object) -> int:
    """A seed for the random generators, below 2^32, that differs between steps and processes."""
    return int.from_bytes(hashlib.sha256(repr((seed, *parts)).encode()).digest()[:4], "big")
