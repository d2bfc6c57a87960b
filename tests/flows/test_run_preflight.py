"""A run is refused before it changes anything, with all problems at once, each with its fix."""

from pathlib import Path

import pytest
from aiohttp import web
from dvc.repo import Repo

from flows import graph, preflight
from tasks.schema.errors import NotReady
from tasks.schema.params import Params, load
from tasks.schema.settings import settings
from tests.conftest import ROOT
from tests.tasks.judging.endpoint import endpoint, serving
from tests.tasks.model_files import model
from tests.tasks.models.marked_templates import marked


def refused(params: Params, folder: Path = ROOT) -> tuple[str, ...]:
    with Repo(str(folder)) as repo, pytest.raises(NotReady) as caught:
        preflight.check(repo, graph.needed(repo), params)
    assert caught.value.exit_code == 2
    return caught.value.problems


@pytest.fixture
def never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage will run, as in a fresh clone: a checkout in which the pipeline has run asks nothing of models."""
    monkeypatch.setattr(graph, "changes", lambda _: {})


@pytest.mark.usefixtures("done")
def test_an_input_that_is_missing_is_named_and_outputs_stay(done: Path) -> None:
    (done / "in.txt").unlink()
    (problem,) = refused(load(), done)
    assert problem == "in.txt: no such file, and the stage first reads it; fix: put it there, or correct params.yaml"
    assert (done / "third.txt").is_file()


def test_a_profile_for_real_models_names_all_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    params = load(ROOT / "profiles/llama-3.1-8b.yaml")
    problems = refused(params)
    assert any("wildchat" in problem for problem in problems)
    assert any("official" in problem for problem in problems)


@pytest.mark.integration
def test_stand_ins_never_answer_for_real_data_or_judge_a_real_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tree = load(ROOT / "params.yaml").model_dump(mode="json", by_alias=True)
    tree["collect"]["sources"][0]["name"] = "my-prompts"
    tree["base"]["model"] = "some/model"
    problems = refused(Params.model_validate(tree))
    roles = [problem.partition(" ")[0] for problem in problems]
    assert roles == ["models.selector", "models.teacher", "models.judge", "models.second_judge"]
    assert problems[0] == (
        "models.selector (rehearsal-selector) is a stand-in that answers by rules, and the source my-prompts is not the rehearsal's; fix: "
        "set models.selector.name in params.yaml and LONGWRITER_SELECTOR_URL"
    )


def test_a_prompt_with_a_wrong_placeholder_is_named_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "write.txt").write_text("{{instruction}}\n{{text}}\n{{stepp}}\n")
    tree = load(ROOT / "params.yaml").model_dump(mode="json", by_alias=True)
    tree["write"]["prompt"] = str(tmp_path / "write.txt")
    outside, wrong = refused(Params.model_validate(tree))
    assert outside.startswith("write.prompt: ")
    assert wrong == (f"write.prompt: {tmp_path}/write.txt:3: {{{{stepp}}}}: unknown placeholder; known are instruction, step, text")


def test_the_rehearsal_itself_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with Repo(str(ROOT)) as repo:
        preflight.check(repo, graph.needed(repo), load(ROOT / "params.yaml"))


@pytest.mark.usefixtures("never_run")
def test_a_base_that_cannot_be_trained_and_a_cap_without_prices_are_known_before_the_first_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with endpoint(lambda _: "ready", role="teacher") as asked:
        monkeypatch.setenv("LONGWRITER_SPEND_CAP", "1")
        for role in ("SELECTOR", "JUDGE", "SECOND_JUDGE"):
            monkeypatch.setenv(f"LONGWRITER_{role}_URL", "http://127.0.0.1:9/v1")
        settings.cache_clear()
        tree = load(ROOT / "params.yaml").model_dump(mode="json", by_alias=True)
        tree["base"]["model"] = str(model(tmp_path / "model", marked("{{ m.content }}<|end|>")))
        (tmp_path / "model/model.safetensors").write_bytes(b"\x80\x04.")
        problems = refused(Params.model_validate(tree))
        assert "model.safetensors: a pickle" in problems[0]
        assert [problem.partition(":")[0] for problem in problems[1:]] == ["teacher", "selector", "judge", "second_judge"]
        assert "LONGWRITER_PRICES has no price for rehearsal-teacher" in problems[1]
        assert asked == []


@pytest.mark.usefixtures("never_run")
def test_an_endpoint_that_does_not_answer_is_known_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    async def refuses(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no such key"}}, status=401)

    with serving(refuses, "teacher"):
        (problem,) = refused(load(ROOT / "params.yaml"))
    assert problem.startswith("teacher answers: ")
    assert "LONGWRITER_TEACHER_API_KEY" in problem


def test_data_outside_of_the_checkout_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tree = load(ROOT / "params.yaml").model_dump(mode="json", by_alias=True)
    tree["benchmark"], tree["collect"]["folder"] = "/etc/passwd", "../../elsewhere"
    problems = refused(Params.model_validate(tree))
    assert "benchmark: /etc/passwd is outside of the checkout; copy it into data/raw and name it there" in problems
    assert any(problem.startswith("collect.folder: ../../elsewhere is outside") for problem in problems)
