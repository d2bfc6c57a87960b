"""What a run refuses before it touches anything: every problem at once, each with its fix."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from flows import graph, preflight
from tasks.schema.errors import NotReady
from tasks.schema.params import Params, load
from tests.conftest import ROOT


def refused(params: Params, folder: Path = ROOT) -> tuple[str, ...]:
    with Repo(str(folder)) as repo, pytest.raises(NotReady) as caught:
        preflight.check(repo, graph.needed(repo), params)
    assert caught.value.exit_code == 2
    return caught.value.problems


@pytest.mark.usefixtures("done")
def test_an_input_that_is_missing_is_named_and_outputs_stay(done: Path) -> None:
    (done / "in.txt").unlink()
    (problem,) = refused(load(), done)
    assert problem == "in.txt: no such file, and the stage first reads it; put it there, or correct params.yaml"
    assert (done / "third.txt").is_file()


def test_a_profile_for_real_models_names_all_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    params = load(ROOT / "profiles/llama-3.1-8b.yaml")
    problems = refused(params)
    assert any("wildchat" in problem for problem in problems)
    assert any("official" in problem for problem in problems)


def test_stand_ins_never_answer_for_real_data_or_judge_a_real_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tree = load(ROOT / "params.yaml").model_dump(mode="json", by_alias=True)
    tree["collect"]["sources"][0]["name"] = "my-prompts"
    tree["base"]["model"] = "some/model"
    problems = refused(Params.model_validate(tree))
    roles = [problem.partition(" ")[0] for problem in problems]
    assert roles == ["models.selector", "models.teacher", "models.judge", "models.second_judge"]
    assert problems[0] == (
        "models.selector (rehearsal-selector) is a stand-in that answers by rules, and the source my-prompts is not the rehearsal's; "
        "set models.selector.name in params.yaml and LONGWRITER_SELECTOR_URL"
    )


def test_the_rehearsal_itself_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with Repo(str(ROOT)) as repo:
        preflight.check(repo, graph.needed(repo), load(ROOT / "params.yaml"))
