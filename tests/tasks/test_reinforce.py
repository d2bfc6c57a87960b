"""The stage reinforce: off it passes through; what cannot work is refused before anything is paid or loaded."""

import re
from pathlib import Path
from typing import Any

import pytest

from tasks import reinforce, store
from tasks.schema.errors import BadInput, BadParams, BadSettings
from tasks.schema.params import Reinforce, load
from tasks.schema.settings import settings
from tasks.training.reward_prompts import check_room, draw, prompt_tokens, write_rows
from tests.conftest import ROOT
from tests.tasks.training.reinforcing import given, instructions, student


def run(tmp_path: Path, own: Reinforce, *, count: int = 12, words: int = 8) -> dict[str, float]:
    store.write(tmp_path / "instructions.jsonl", instructions(count, words=words))
    (tmp_path / "aligned").mkdir(exist_ok=True)
    (tmp_path / "out").mkdir()
    folders = tmp_path / "instructions.jsonl", tmp_path, tmp_path / "aligned", tmp_path / "out"
    return dict(reinforce.run(*folders, seed=1, reinforce=own, reward_judge_model=None))


def test_without_prompts_there_is_no_reinforced_student_and_the_graph_goes_on(tmp_path: Path) -> None:
    assert run(tmp_path, given(prompts=0)) == {"prompts": 0, "held_out": 0, "steps": 0}
    assert list((tmp_path / "out/checkpoints").iterdir()) == []
    assert (tmp_path / "out/history.jsonl").read_bytes() == b""


def test_prompts_state_a_length_are_not_too_long_and_are_in_one_part_only() -> None:
    asked = instructions(20) + [one.model_copy(update={"id": f"long{one.id}", "words": 900}) for one in instructions(5)]
    asked += [one.model_copy(update={"id": f"none{one.id}", "length_kind": "none"}) for one in instructions(5)]
    few, more = (draw(asked, given(prompts=prompts, held_out=4, max_words=800), seed=1) for prompts in (6, 12))
    assert few.held_out == more.held_out
    assert few.trained == more.trained[:6]
    assert {one.id for one in more.trained}.isdisjoint(one.id for one in more.held_out)
    assert all(re.fullmatch(r"p\d+", one.id) for one in (*more.trained, *more.held_out))
    assert draw(reversed(asked), given(prompts=6, held_out=4, max_words=800), seed=1) == few
    with pytest.raises(BadInput, match=r"reinforce\.held_out: 20 collected prompts state a length of at most 800 words, and 50 are held"):
        draw(asked, given(held_out=50, max_words=800), seed=1)


def test_a_limit_of_tokens_below_the_asked_words_is_refused(tmp_path: Path) -> None:
    student(tmp_path)
    with pytest.raises(BadInput, match=r"reinforce\.max_tokens: 16 tokens cannot hold an answer of 100 words, about \d+ tokens"):
        run(tmp_path, given(), words=100)


def test_positions_of_the_model_bound_the_tokens(tmp_path: Path) -> None:
    from tasks.training.tokenizer import tokenizer_of

    tokenizer, found = tokenizer_of(student(tmp_path)), draw(instructions(4), given(held_out=1), seed=1)
    lengths = prompt_tokens(tokenizer, [*found.trained, *found.held_out])
    own = given(max_tokens=200)
    check_room(tokenizer, found, own, positions=max(lengths) + 200, lengths=lengths)
    with pytest.raises(BadInput, match="the model has 199 positions"):
        check_room(tokenizer, found, own, positions=199, lengths=lengths)
    for name in "ab":
        write_rows(found, tmp_path / name)
    assert store.folder_digest(tmp_path / "a") == store.folder_digest(tmp_path / "b"), "a killed training is known again"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"SEQUENCE_PARALLEL": "2", "PROCESSES": "2"}, "LONGWRITER_SEQUENCE_PARALLEL"),
        ({"ROLLOUTS": "server"}, "LONGWRITER_ROLLOUTS: server needs vLLM"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], says: str
) -> None:
    monkeypatch.setattr(reinforce, "find_spec", lambda _: None)
    for name, value in variables.items():
        monkeypatch.setenv(f"LONGWRITER_{name}", value)
    settings.cache_clear()
    with pytest.raises(BadSettings, match=says):
        run(tmp_path, given())


def test_an_unknown_reward_is_refused_before_the_prompts_are_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no reward 'lenght'"):
        run(tmp_path, given(rewards={"lenght": 1.0}))


def test_a_ranking_without_a_judge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"models\.reward_judge: the reward ranking asks a judge"):
        run(tmp_path, given(rewards={"ranking": 1.0}))


def changed(**own: Any) -> str:
    """rehearsal.yaml with another section reinforce and other models, as a file's text."""
    text = (ROOT / "profiles/rehearsal.yaml").read_text(encoding="utf-8")
    head, section = text.split("\nreinforce:\n")
    if judge := own.pop("reward_judge", None):
        head = head.replace("reward_judge: null", f'reward_judge: {{name: {judge}, revision: "1", temperature: 0.0, max_tokens: 64}}')
    for name, value in own.items():
        section = re.sub(rf"^  {name}: .*$", f"  {name}: {value}", section, count=1, flags=re.MULTILINE)
    return f"{head}\nreinforce:\n{section}"


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"group": 1}, "group is 1: an answer alone has no advantage over its group"),
        ({"group": 3}, "global_batch 8 is no multiple of group 3"),
        ({"rewards": "{length: 2.0, ended: 1.0}"}, "combine `average` weighs all rewards equally"),
        ({"prompts": 4, "rewards": "{ranking: 1.0}"}, "reinforce.rewards has `ranking`, and models.reward_judge is null"),
        ({"prompts": 4, "reward_judge": "rehearsal-judge"}, "models.reward_judge is rehearsal-judge, which is also models.judge"),
        ({"prompts": 4, "reward_judge": "provider/Rehearsal-Judge-Strict"}, "which is also models.second_judge"),
        ({"temperature": 0}, "reinforce.temperature: Input should be greater than 0"),
    ],
)
def test_params_that_teach_nothing_or_cheat_the_gate_are_refused(tmp_path: Path, own: dict[str, Any], says: str) -> None:
    (tmp_path / "params.yaml").write_text(changed(**own), encoding="utf-8")
    with pytest.raises(BadParams, match=re.escape(says)):
        load(tmp_path / "params.yaml")


def test_a_judge_of_its_own_may_train(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(changed(prompts=4, rewards="{ranking: 1.0}", reward_judge="rehearsal-other"), encoding="utf-8")
    assert load(tmp_path / "params.yaml").models.reward_judge
