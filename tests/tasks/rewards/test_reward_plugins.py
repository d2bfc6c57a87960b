"""Rewards are plug-ins: found by entry point, and refused in one line if they cannot be used."""

import sys
import tomllib
from pathlib import Path

import pytest

from tasks.rewards.interface import AnswerGroup, Reward, WrittenAnswer
from tasks.rewards.registry import GROUP, OWN, names, rewards
from tasks.rewards.scoring import scores_of
from tasks.schema.errors import BadInput, TrainingFailed
from tasks.schema.records import BenchmarkItem
from tests.conftest import ROOT

MINE = """from tasks.rewards.interface import Reward
REWARD = Reward("mine", "full stops", rule=lambda prompt, answer: answer.text.count("."))
NEITHER = Reward("neither", "nothing")
OTHER = 3
"""


def distribution(folder: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """An installed distribution with one entry point of ours."""
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nmine = {value}\n")
    (folder / "my_reward.py").write_text(MINE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "my_reward", raising=False)


def test_the_projects_own_rewards_are_declared_as_entry_points() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"][GROUP] == OWN
    assert [one.name for one in rewards(OWN)] == list(OWN)
    assert all(one.about for one in rewards(OWN))


def test_a_reward_of_another_distribution_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, monkeypatch, "my_reward:REWARD")
    assert "mine" in names()
    (found,) = rewards(["mine"])
    assert found.about == "full stops"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("my_reward:GONE", "the plug-in my_reward:GONE cannot be imported"),
        ("my_reward:OTHER", r"my_reward:OTHER is no tasks\.rewards\.interface\.Reward"),
        ("my_reward:NEITHER", "has not exactly one of `rule` and `judged`"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, says: str) -> None:
    distribution(tmp_path, monkeypatch, value)
    with pytest.raises(BadInput, match=says):
        rewards(["mine"])


def test_an_unknown_reward_is_named_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match=r"reinforce\.rewards: no reward 'lenght'; fix: use one of length, repetition"):
        rewards(["lenght"])


ITEM = BenchmarkItem(id="a", prompt="Write 40 words.", type="training", length=40, language="en")
ANSWERS = AnswerGroup(ITEM, (WrittenAnswer("one", 1, ended=True), WrittenAnswer("two", 1, ended=True)))


def raises(prompt: BenchmarkItem, answer: WrittenAnswer) -> float:
    raise KeyError("mood\nof the text")


async def asking(group: AnswerGroup, judge: object) -> list[float]:
    return [1.0]


@pytest.mark.parametrize(
    ("reward", "says"),
    [
        (Reward("mine", "", rule=raises), "the reward mine failed: KeyError: 'mood"),
        (Reward("mine", "", rule=lambda prompt, answer: float("nan")), "the reward mine failed: ValueError: a score of nan"),
        (Reward("mine", "", rule=lambda prompt, answer: "good"), "the reward mine failed: TypeError"),  # type: ignore[arg-type, return-value]
        (Reward("mine", "", judged=asking), "the reward mine asks a judge, and models.reward_judge is null"),
    ],
)
def test_a_reward_that_fails_is_named_in_one_line(reward: Reward, says: str) -> None:
    with pytest.raises(TrainingFailed) as error:
        scores_of(reward, [ANSWERS], None)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


def test_what_a_reward_does_not_score_is_none_and_no_zero() -> None:
    found = scores_of(Reward("mine", "", rule=lambda prompt, answer: None if answer.text == "one" else 0.0), [ANSWERS], None)
    assert found == [[None, 0.0]]
