"""When a reinforcement has to stop: constant rewards, unscored answers, and a held-out measure that falls while the reward rises."""

from typing import Any

from hypothesis import given as drawn
from hypothesis import strategies as st

from tasks.training.job import KeptStep
from tasks.training.reward_watch import Look, flat, looks, parted, problem, unscored
from tests.tasks.training.reinforcing import given

OWN = given(rewards={"length": 1.0, "ranking": 1.0}, max_flat=3, max_unscored=0.2, max_fall=10.0)


def step(number: int, **own: float) -> KeptStep:
    fields: dict[str, Any] = {"model": "reinforced", "step": number, "epoch": 0.1, "loss": 0.0, "learning_rate": 0.1, "grad_norm": 1.0}
    return KeptStep.model_validate(fields | own)


def test_a_judge_that_answers_nothing_stops_the_training_at_its_first_step() -> None:
    assert str(unscored([step(1, unscored_ranking=1.0)], OWN)).startswith(
        "the reward ranking did not score 100% of the answers of the last 1 steps; reinforce.max_unscored allows 20%; fix: "
    )


def test_a_few_failed_verdicts_do_not() -> None:
    assert unscored([step(number, unscored_ranking=0.9 if number == 8 else 0.0) for number in range(1, 9)], OWN) is None
    assert unscored([step(1)], OWN) is None


def test_rewards_that_are_constant_in_all_groups_for_some_steps_are_no_gradient() -> None:
    same = [step(number, flat=1.0, reward_length=0.5) for number in range(1, 4)]
    assert "no group had a gradient for 3 steps: the rewards were constant within it (length 0.50, ranking 0.00)" in str(flat(same, OWN))
    assert flat(same[:2], OWN) is None
    assert flat([*same[:2], step(3, flat=0.9)], OWN) is None


def test_a_policy_that_pleases_the_reward_and_loses_the_held_out_measure_is_stopped_at_the_second_look() -> None:
    history = [step(number, reward=number / 10, **({"held_out": 80.0 - 6 * number} if number % 2 else {})) for number in range(1, 8)]
    seen = looks(history)
    assert [(look.step, round(look.reward, 2), look.held_out) for look in seen][:2] == [(1, 0.1, 74.0), (3, 0.25, 62.0)]
    assert parted(seen[:2], max_fall=10.0) is None, "one look may be chance"
    said = str(parted(seen[:3], max_fall=10.0))
    assert "rose from 0.100 (step 1) to 0.450" in said
    assert "fell from 74.0 to 50.0" in said
    assert problem(history, OWN) == parted(seen, max_fall=10.0)


def test_a_reward_that_falls_too_is_no_hacking() -> None:
    assert parted([Look(1, 0.5, 80.0), Look(2, 0.4, 60.0), Look(3, 0.3, 50.0)], max_fall=10.0) is None


@drawn(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100)), max_size=12))
def test_no_history_with_a_held_out_measure_that_never_falls_is_stopped(points: list[tuple[float, float]]) -> None:
    rising = sorted(held_out for _, held_out in points)
    found = [Look(number, reward, held_out) for number, ((reward, _), held_out) in enumerate(zip(points, rising, strict=True), 1)]
    assert parted(found, max_fall=0.0) is None
