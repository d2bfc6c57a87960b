"""reinforce: GRPO of the aligned student (of the SFT student, if there is none) on rewards, launched and watched as in train.

The policy answers each prompt `group` times at a step; rewards compare the answers of a group (tasks/rewards), and answers that are better
than their group become likelier. The cost is answers × their lengths, to write and to train on, and the comparisons of a judge if `ranking`
is among the rewards. If `reinforce.prompts` is 0, the folder of checkpoints stays empty, and nothing is drawn or loaded.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean

from tasks import stage, store
from tasks.rewards.registry import rewards
from tasks.schema.errors import BadInput, BadSettings
from tasks.schema.params import Base, Model, Reinforce
from tasks.schema.records import Instruction
from tasks.schema.settings import Settings, settings
from tasks.training.configs import config_of
from tasks.training.job import Grpo, TrainingStep
from tasks.training.launch import plan
from tasks.training.live_training import train_live
from tasks.training.preflight import check_base, check_jobs
from tasks.training.reward_prompts import Drawn, check_room, draw, prompt_tokens, write_rows
from tasks.training.row_order import steps_of
from tasks.training.tokenizer import tokenizer_of

STUDENT, ALIGNED, REINFORCED = "student", "aligned", "reinforced"
CLOSING = 0.1  # share of steps at the end that the metrics average


def run(
    instructions: Path,
    trained: Path,
    aligned: Path,
    out: Path,
    *,
    seed: int,
    reinforce: Reinforce,
    reward_judge_model: Model | None,
) -> stage.Metrics:
    """`trained` and `aligned` are folders of checkpoints; `aligned` is empty if alignment is off."""
    (out / "checkpoints").mkdir()
    drawn, history = Drawn([], []), list[TrainingStep]()
    store.write(out / "history.jsonl", ())  # stays empty without a training
    if reinforce.prompts:
        check_rollouts(reinforce, settings())
        check_judge(reinforce, reward_judge_model)
        drawn = draw(store.read(instructions, Instruction), reinforce, seed=seed)
        student = aligned / ALIGNED if (aligned / ALIGNED).is_dir() else trained / STUDENT
        history = _trained(drawn, student, out, seed=seed, reinforce=reinforce, judge=reward_judge_model)
    return {"prompts": len(drawn.trained), "held_out": len(drawn.held_out), "steps": len(history), **_closing(history)}


def check_rollouts(reinforce: Reinforce, own: Settings) -> None:
    """Raises BadSettings if the settings cannot run GRPO."""
    if own.sequence_parallel > 1:
        raise BadSettings("LONGWRITER_SEQUENCE_PARALLEL: TRL's GRPOTrainer does not split sequences; unset it for this stage")
    if own.rollouts != "transformers" and find_spec("vllm") is None:
        problem = f"{own.rollouts} needs vLLM in the environment of the training, and it is not installed"
        raise BadSettings(f"LONGWRITER_ROLLOUTS: {problem}; see docs/reinforcement.md, or set it to transformers")
    if own.rollouts == "colocate" and reinforce.adapter and own.processes * own.machines > 1:
        problem = "TRL hangs with an adapter, vLLM on the same GPUs and several processes"
        raise BadSettings(f"LONGWRITER_ROLLOUTS: {problem}; set it to server, or train all weights")


def check_judge(reinforce: Reinforce, judge: Model | None) -> None:
    """Raises BadInput for a reward that is not there, and for one that asks a judge if there is none."""
    asking = [reward.name for reward in rewards(reinforce.rewards) if reward.judged]
    if asking and judge is None:
        raise BadInput("params.yaml", f"the reward {asking[0]} asks a judge", field="models.reward_judge", fix="name one")


def _trained(drawn: Drawn, student: Path, out: Path, *, seed: int, reinforce: Reinforce, judge: Model | None) -> list[TrainingStep]:
    """Train the reinforced student into out/checkpoints; returns the steps."""
    tokenizer = tokenizer_of(student)
    base = Base(model=str(student), revision="", remote_code=False)
    check_base(base)
    lengths = prompt_tokens(tokenizer, [*drawn.trained, *drawn.held_out])
    positions = config_of(base).fields.get("max_position_embeddings")
    check_room(tokenizer, drawn, reinforce, positions=positions if isinstance(positions, int) else None, lengths=lengths)
    steps = steps_of(len(drawn.trained), epochs=reinforce.epochs, global_batch=reinforce.prompts_per_step)
    print(f"reinforcing the {student.name} for {steps} steps on {len(drawn.trained)} prompts", flush=True)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        write_rows(drawn, rows := Path(scratch) / "prompts")
        job = plan(
            REINFORCED,
            Grpo(reinforce=reinforce, judge=judge, reference=store.folder_digest(student)),
            rows=rows,
            tokenizer=student,
            out=out / "checkpoints" / REINFORCED,
            base=base,
            optimization=reinforce,
            seed=seed,
            steps=steps,
            settings=settings(),
        )
        check_jobs([job], settings(), context=max(lengths) + reinforce.max_tokens, vocabulary=0)
        about = {"steps": steps, "prompts": len(drawn.trained), "group": reinforce.group, "learning_rate": reinforce.learning_rate}
        (done,) = train_live("reinforce", [job], about, out / "history.jsonl")
    return done.history


def _closing(history: Sequence[TrainingStep]) -> dict[str, float]:
    """The mean trained reward of the first and of the last steps, and the held-out measure at both ends."""
    if not history:
        return {}
    number = max(1, round(CLOSING * len(history)))
    extras = [point.model_extra or {} for point in history]
    looked = [extra["held_out"] for extra in extras if "held_out" in extra]
    return {
        "reward_first": fmean(extra["reward"] for extra in extras[:number]),
        "reward_last": fmean(extra["reward"] for extra in extras[-number:]),
        **({"held_out_first": looked[0], "held_out_last": looked[-1]} if looked else {}),
    }


if __name__ == "__main__":
    stage.main(
        "INSTRUCTIONS TRAINED ALIGNED OUT",
        lambda params: partial(run, seed=params.seed, reinforce=params.reinforce, reward_judge_model=params.models.reward_judge),
    )
