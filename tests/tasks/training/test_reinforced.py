"""Reinforcements by GRPO: they answer, score, train and watch; killed ones end with the same weights and pay for nothing twice."""

import re
import time
from pathlib import Path

import psutil
import pytest

from tasks import store
from tasks.schema.params import Model
from tasks.schema.settings import Rollouts, Settings
from tasks.schema.urls import Url
from tasks.training.job import HISTORY, TrainingJob, TrainingStep
from tasks.training.launch import train_all
from tests.tasks.judging.endpoint import Body, asked, endpoint
from tests.tasks.training import reinforcing
from tests.tasks.training.preloaded import Stages
from tests.tasks.training.stage_runs import finish, on_cpu, start

JUDGE = Model(name="some-judge", revision="1", temperature=0.0, max_tokens=64)
REWARDS = {"length": 1.0, "repetition": 1.0, "ranking": 1.0}


def prefers_the_longer(body: Body) -> str:
    """A judge that likes long texts."""
    texts = [re.search(rf"<{place}-(\w+)>\n(.*?)\n</{place}-\1>", asked(body), re.DOTALL) for place in ("first", "second")]
    first, second = (len(text[2]) if text else 0 for text in texts)
    return '{"winner": "first"}' if first > second else '{"winner": "second"}' if second > first else '{"winner": "tie"}'


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reinforcing.student(tmp_path_factory.mktemp("policy"))


def reinforcement(policy: Path, folder: Path, *, steps: int, **changes: object) -> TrainingJob:
    folder.mkdir(exist_ok=True)
    settings = Settings(home=folder / "home", trainings=1, checkpoints=8, threads=1)
    return reinforcing.job(policy, folder, settings, steps=steps, **changes)  # type: ignore[arg-type]


def kill(folder: Path, made: TrainingJob, moment: float, forks: Stages) -> None:
    """Kill the stage so many seconds after its training began to write."""
    history = made.scratch / HISTORY
    before = history.stat().st_size if history.exists() else 0
    stage = start(folder, [made], forks)
    while not (history.exists() and history.stat().st_size not in (0, before)):
        assert stage.poll() is None
        time.sleep(0.01)
    time.sleep(moment)
    assert stage.poll() is None, "it was killed before its end"
    left = psutil.Process(stage.pid).children(recursive=True)
    stage.kill()
    stage.communicate()
    assert not psutil.wait_procs(left, timeout=5)[1], "a trainer outlived its stage"


def scores(folder: Path) -> list[dict[str, object]]:
    return [point.result().model_dump() for point in store.read(folder / "reinforced.history.jsonl", TrainingStep)]


@pytest.mark.integration
def test_a_reinforcement_answers_scores_trains_and_watches(policy: Path, tmp_path: Path, forks: Stages) -> None:
    made = reinforcement(policy, tmp_path / "a", steps=3, judge=JUDGE, rewards=REWARDS, beta=0.1, overlong="soft")
    with endpoint(prefers_the_longer, "reward_judge") as seen:
        said = finish(tmp_path / "a", [made], forks)
    steps = scores(tmp_path / "a")
    assert "Traceback" not in said
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert {"reward", "reward_length", "reward_repetition", "reward_ranking", "reward_overlong", "flat", "cut", "words", "kl"} <= set(
        steps[0]
    )
    assert ["held_out" in step for step in steps] == [True, True, True]
    assert all(0 <= float(str(step["reward_ranking"])) <= 1 for step in steps)
    assert seen, "the judge was asked"
    assert (made.out / "model.safetensors").read_bytes() != (policy / "model.safetensors").read_bytes()
    names = {path.name for path in made.out.iterdir()}
    assert {"chat_template.jinja", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth"))]
    assert not made.scratch.exists()


@pytest.mark.integration
def test_rewards_without_any_difference_stop_the_training_in_one_line(policy: Path, tmp_path: Path, forks: Stages) -> None:
    made = reinforcement(policy, tmp_path / "a", steps=6, rewards={"ended": 1.0}, max_flat=2, max_tokens=2, held_out=0)
    stage = start(tmp_path / "a", [made], forks)
    _, said = stage.communicate()
    assert stage.returncode
    assert "step 2: no group had a gradient for 2 steps: the rewards were constant within it (ended 0.00)" in said


@pytest.mark.slow
def test_a_reinforcement_killed_twice_ends_with_the_same_weights_and_repeats_no_paid_comparison(
    policy: Path, tmp_path: Path, forks: Stages
) -> None:
    options = {"steps": 12, "judge": JUDGE, "rewards": REWARDS}
    with endpoint(prefers_the_longer, "reward_judge") as paid:
        whole = reinforcement(policy, tmp_path / "whole", **options)  # type: ignore[arg-type]
        finish(tmp_path / "whole", [whole], forks)
    with endpoint(prefers_the_longer, "reward_judge") as again:
        made = reinforcement(policy, tmp_path / "killed", **options)  # type: ignore[arg-type]
        for moment in (0.05, 0.3):
            kill(tmp_path / "killed", made, moment, forks)
        finish(tmp_path / "killed", [made], forks)
    assert (whole.out / "model.safetensors").read_bytes() == (made.out / "model.safetensors").read_bytes()
    assert scores(tmp_path / "whole") == scores(tmp_path / "killed")
    assert len(again) <= len(paid) + 2 * 64, "at most the requests in flight when it was killed"
    assert len({asked(body) for body in again}) == len({asked(body) for body in paid})


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_the_launch_of_several_processes_is_tried_on_the_cpu(policy: Path, tmp_path: Path, stage: int) -> None:
    """The shipped configs of DeepSpeed (0: none) on two processes: groups of answers are split between them, and one of them scores."""
    config = {"accelerate_config": on_cpu(tmp_path, stage)} if stage else {}
    settings = Settings(home=tmp_path / "home", trainings=1, processes=2, checkpoints=0, threads=1, **config)  # type: ignore[arg-type]
    made = reinforcing.job(policy, tmp_path, settings, steps=2, rewards={"length": 1.0, "ended": 1.0}, held_out=3)
    (done,) = train_all([made], settings)
    numbers = [point.model_extra or {} for point in done.history]
    assert [point.step for point in done.history] == [1, 2]
    assert all({"reward", "reward_length", "flat", "cut", "held_out"} <= set(step) for step in numbers)
    assert (made.out / "model.safetensors").read_bytes() != (policy / "model.safetensors").read_bytes()
    assert not [path for path in made.out.iterdir() if path.suffix in {".bin", ".pt", ".pth"}]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("rollouts", "expected"),
    [
        ("transformers", {"use_vllm": False}),
        ("colocate", {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.3, "vllm_enable_sleep_mode": True}),
        ("server", {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": "http://node-2:8000"}),
    ],
)
def test_who_writes_the_answers_is_what_trl_is_configured_with(
    policy: Path, tmp_path: Path, rollouts: Rollouts, expected: dict[str, object]
) -> None:
    from trl import GRPOConfig

    from tasks.training.reinforced import trainer_arguments

    settings = Settings(home=tmp_path, trainings=1, checkpoints=0, rollouts=rollouts, rollouts_url=Url("http://node-2:8000"))
    made = reinforcing.job(policy, tmp_path, settings, steps=1)
    found = GRPOConfig(**trainer_arguments(made))
    assert {name: getattr(found, name) for name in expected} == expected
    assert (found.max_completion_length, found.num_generations) == (16, 4)
