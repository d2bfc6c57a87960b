"""Problems that can be known before a run are reported before money is spent, one line each, with a fix."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from flows.cli import app
from tasks import doctor
from tasks.schema.checks import Check, problems, require
from tasks.schema.errors import NotReady
from tasks.schema.params import Params, load
from tasks.schema.settings import PREFIX, settings
from tasks.training.base_checks import base
from tests.conftest import ROOT
from tests.tasks.endpoints.batch_server import BatchServer, Faults
from tests.tasks.judging.endpoint import endpoint
from tests.tasks.model_files import model
from tests.tasks.models.marked_templates import GOOD, marked
from tests.web import served_app

ROLES: dict[str, Any] = {"name": "some-model", "revision": "1", "temperature": 0.5, "max_tokens": 1024}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def params(change: Callable[[dict[str, Any]], object] = lambda tree: None) -> Params:
    tree = load(ROOT / "profiles/rehearsal.yaml").model_dump(mode="json", by_alias=True)
    change(tree)
    return Params.model_validate(tree)


def real(role: str) -> Params:
    """The rehearsal, with a model of the user's in one role."""
    return params(lambda tree: tree["models"].update({role: ROLES}))


def with_base(folder: Path) -> Params:
    return params(lambda tree: tree["base"].update({"model": str(folder)}))


def by_name(checks: Any) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_the_rehearsal_passes_without_a_request() -> None:
    found = list(doctor.examine(params(), settings(), ask=True))
    assert problems(found) == []
    assert {check.status for check in found} == {"ok"}
    assert "built-in rehearsal endpoint" in by_name(found)["judge"].detail
    assert not (settings().home / "replay.jsonl").exists()


@pytest.mark.integration
def test_each_fault_of_a_base_is_one_line(tmp_path: Path) -> None:
    (good,) = [check for check in base(with_base(model(tmp_path / "good", marked(GOOD)))) if check.name == "chat template"]
    assert (good.status, good.detail) == ("ok", "trained with its own, an answer ends with <|end|>, a system turn is rendered")
    silent = with_base(model(tmp_path / "silent", marked("{% generation %}{{ m.content }}{% endgeneration %}")))
    (problem,) = problems(base(silent))
    assert "cannot be trained with: nothing ends an answer" in problem
    (tmp_path / "good/model.safetensors").write_bytes(b"\x80\x04K\x01.")
    (problem,) = problems(base(with_base(tmp_path / "good")))
    assert "model.safetensors: a pickle" in problem
    with pytest.raises(NotReady, match="a pickle"):
        require(base(with_base(tmp_path / "good")))


@pytest.mark.slow  # tests/tasks/models/test_thinking.py has the choice of the tags
def test_the_tags_of_a_thinking_writer_are_named(tmp_path: Path) -> None:
    folder = str(model(tmp_path / "model", marked(GOOD)))
    recipe = {"recipe": "longwriter-interleaved"}
    given = params(
        lambda tree: (tree["base"].update({"model": folder}), tree["assemble"].update(recipe), tree["sample"].update({"prompts": 0}))
    )
    thoughts = by_name(base(given))["thoughts"]
    assert thoughts.status == "ok"
    assert thoughts.detail.endswith("its chat template has no thinking form; its thoughts are trained in <think> and </think>")


def test_a_template_that_drops_system_turns_is_a_warning(tmp_path: Path) -> None:
    found = by_name(base(with_base(model(tmp_path / "model", marked(GOOD, system="")))))
    assert found["chat template"].status == "warning"
    assert "a system turn is dropped" in found["chat template"].detail


def test_a_role_without_an_endpoint_and_a_cap_without_a_price_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    (teacher,) = doctor.endpoints(real("teacher"), settings(), ["teacher"])
    assert str(teacher) == (
        "teacher: no endpoint is configured for models.teacher (some-model); fix: set LONGWRITER_TEACHER_URL to an OpenAI-compatible URL"
    )
    monkeypatch.setenv(f"{PREFIX}TEACHER_URL", "https://models.example/v1")
    monkeypatch.setenv(f"{PREFIX}SPEND_CAP", "5")
    settings.cache_clear()
    (teacher,) = doctor.endpoints(real("teacher"), settings(), ["teacher"])
    assert teacher.detail == "LONGWRITER_SPEND_CAP is set, and LONGWRITER_PRICES has no price for some-model"
    monkeypatch.setenv(f"{PREFIX}PRICES", '{"some-model": {"prompt": 1, "completion": 2}}')
    settings.cache_clear()
    (teacher,) = doctor.endpoints(real("teacher"), settings(), ["teacher"])
    assert (teacher.status, teacher.detail) == ("warning", "some-model at models.example: no API key is set")


def test_each_role_with_an_endpoint_is_asked_once_in_the_form_that_it_needs() -> None:
    with endpoint(lambda _: '{"ready": true}') as bodies:
        (judge,) = doctor.answers(real("judge"), settings(), ["judge", "teacher"])
        assert (judge.name, judge.status) == ("judge answers", "ok")
        doctor.answers(real("judge"), settings(), ["judge"])
    assert len(bodies) == 2, "the journal does not answer"
    assert all(body["response_format"]["type"] == "json_schema" and body["max_tokens"] <= 64 for body in bodies)


def test_an_endpoint_that_answers_in_another_form_or_not_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(lambda _: "Certainly! I am ready."):
        (judge,) = doctor.answers(real("judge"), settings(), ["judge"])
    assert judge.status == "warning"
    assert "not with JSON" in judge.detail
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv(f"{PREFIX}JUDGE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv(f"{PREFIX}PATIENCE", "1")
    monkeypatch.setenv(f"{PREFIX}RETRIES", "1")
    settings.cache_clear()
    (judge,) = doctor.answers(real("judge"), settings(), ["judge"])
    assert judge.status == "error"
    assert "JUDGE_URL" in judge.detail


def by_batches(monkeypatch: pytest.MonkeyPatch, url: str, transport: str, **more: str) -> None:
    given = {"TEACHER_URL": url, "TEACHER_TRANSPORT": transport, "TEACHER_API_KEY": "mine", "PATIENCE": "0.2", **more}
    for name, value in given.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    settings.cache_clear()


def batches_at(server: BatchServer, monkeypatch: pytest.MonkeyPatch, transport: str, path: str = "") -> Check:
    """What the check of the teacher's batches finds."""

    async def all_of_it() -> list[Check]:
        async with server.running() as url:
            by_batches(monkeypatch, f"{url}{path}", transport)
            return await asyncio.to_thread(doctor.batches, real("teacher"), settings(), ["teacher", "judge"])

    (found,) = asyncio.run(all_of_it())
    return found


@pytest.mark.parametrize("transport", ["batch", "openai_batch", "anthropic_batch"])
def test_batches_are_listed_and_none_is_sent(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BatchServer(key="mine")
    found = batches_at(server, monkeypatch, transport)
    assert (found.name, found.status, found.detail) == ("teacher batches", "ok", "127.0.0.1 lists batches; none was sent")
    assert len(server.headers) == 1
    assert (server.batches, server.files, server.direct) == ({}, {}, [])


@pytest.mark.parametrize("transport", ["batch", "anthropic_batch"])
@pytest.mark.parametrize(
    ("server", "path", "said"),
    [
        (BatchServer(batches=False), "", "it has no batch API; fix: LONGWRITER_TEACHER_TRANSPORT=direct sends requests one by one, or"),
        (BatchServer(), "/x", "or correct LONGWRITER_TEACHER_URL"),
        (BatchServer(key="another"), "", "401, the key was refused; set LONGWRITER_TEACHER_API_KEY"),
        (BatchServer(Faults(silent=10**6)), "", "503 (overloaded) for LONGWRITER_PATIENCE, 0.2 s"),
    ],
)
def test_an_endpoint_that_takes_no_batches_is_told_in_a_line_before_a_run(
    server: BatchServer, path: str, said: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = batches_at(server, monkeypatch, transport, path)
    assert found.status == "error"
    assert said in found.detail
    assert "\n" not in found.detail


def test_a_gateway_that_replies_something_else_has_no_batch_api(monkeypatch: pytest.MonkeyPatch) -> None:
    async def all_of_it() -> list[Check]:
        async def healthy(_: web.Request) -> web.Response:
            return web.json_response({"status": "healthy"})

        application = web.Application()
        application.router.add_get("/v1/batches", healthy)
        async with served_app(application) as url:
            by_batches(monkeypatch, url, "batch")
            return await asyncio.to_thread(doctor.batches, real("teacher"), settings(), ["teacher"])

    (found,) = asyncio.run(all_of_it())
    assert "its reply to GET batches is no list of batches, so it has no batch API in OpenAI's form; fix: LONGWRITER_TEACHER_TRAN" in str(
        found
    )


def test_batches_without_a_url_and_a_temperature_that_the_api_refuses_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    by_batches(monkeypatch, "", "batch")
    (teacher,) = doctor.endpoints(real("teacher"), settings(), ["teacher"])
    assert (teacher.status, teacher.detail) == ("error", "LONGWRITER_TEACHER_TRANSPORT is batch, and LONGWRITER_TEACHER_URL is not set")
    assert doctor.batches(real("teacher"), settings(), ["teacher"]) == []
    by_batches(monkeypatch, "http://127.0.0.1:9/v1", "anthropic_batch")
    hot = params(lambda tree: tree["models"].update({"teacher": ROLES | {"temperature": 1.5}}))
    (teacher,) = doctor.batches(hot, settings(), ["teacher"])
    assert "models.teacher.temperature is 1.5, and Anthropic's API takes 0 to 1" in teacher.detail


def test_a_server_that_is_named_and_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv(f"{PREFIX}TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
    settings.cache_clear()
    assert by_name(doctor.services(settings()))["MLflow"].status == "error"


def test_the_command_prints_a_line_a_check_or_json_and_ends_with_1_for_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(doctor.app, ["--profile", "rehearsal", "--no-ask"])
    assert done.exit_code == 0
    assert done.output.splitlines()[-1] == "0 errors, 0 warnings"
    monkeypatch.setenv(f"{PREFIX}PROCESSES", "512")
    settings.cache_clear()
    mine = tmp_path / "params.yaml"
    mine.write_text((ROOT / "profiles/rehearsal.yaml").read_text().replace("name: rehearsal-judge,", "name: some-model,"))
    done = CliRunner().invoke(doctor.app, ["--params", str(mine), "--no-ask", "--json"])
    assert done.exit_code == 1
    found = json.loads(done.output.splitlines()[-1])
    wrong = {check["name"]: check["detail"] for check in found["checks"] if check["status"] == "error"}
    assert found["counts"]["error"] == len(wrong) == 1
    assert "no endpoint is configured for models.judge (some-model)" in wrong["judge"]


PLANNED = ["train", "plan", "--tokens", "1000"]
ESTIMATED = ["estimate", str(ROOT / "data/raw/pool.jsonl"), "--sample", "2"]


@pytest.mark.parametrize("command", [PLANNED, ESTIMATED], ids=lambda command: command[0])
def test_a_plan_and_an_estimate_end_with_what_a_run_would_refuse(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = model(tmp_path / "model", marked(GOOD))
    (made / "model.safetensors").write_bytes(b"\x80\x04K\x01.")
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/rehearsal.yaml").read_text().replace("model: tiny,", f"model: {made},"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "model.safetensors: a pickle, which runs code when it is loaded" in done.stderr.splitlines()[-1]
