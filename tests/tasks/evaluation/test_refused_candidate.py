"""A candidate model behind a URL with a password, which refuses one of the prompts."""

import base64
import json
import re
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner

from tasks import store
from tasks.evaluation.__main__ import app
from tasks.evaluation.ci import app as ci
from tasks.schema.records import Prediction, Reject
from tasks.schema.settings import settings
from tests.canaries import canary, hits
from tests.conftest import ROOT
from tests.tasks.judging.endpoint import serving

PASSWORD, TOKEN = canary("password"), canary("token")
BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
SECRET = re.compile(f"{PASSWORD}|{TOKEN}|{BASIC}".encode())


@pytest.fixture
def benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LONGWRITER_PATIENCE", "1")
    monkeypatch.setenv("LONGWRITER_RETRIES", "1")
    path = tmp_path / "benchmark.jsonl"
    rows = [{"prompt": f"Write 100 words about loaf {number}.", "type": "News", "length": 100} for number in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def complete(request: web.Request) -> web.Response:
    assert request.headers["Authorization"] == f"Basic {BASIC}"
    assert request.query_string == f"api_key={TOKEN}"
    if "loaf 3" in await request.text():
        return web.json_response({"error": {"message": f"moderated, {PASSWORD}, {TOKEN}"}}, status=403)
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rye needs a long rise. " * 20}}
    return web.json_response({"choices": [choice]})


def with_credentials() -> str:
    return f"{str(settings().candidate_url).replace('://', f'://me:{PASSWORD}@')}?api_key={TOKEN}"


def test_the_refused_prompt_has_no_score_on_any_run_and_the_password_is_nowhere(benchmark: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with serving(complete, "candidate"):
        for _ in range(2):
            words = [
                "evaluate",
                with_credentials(),
                "--model",
                "m",
                "--benchmark",
                str(benchmark),
                "--out",
                str(out),
                "--no-judge",
                "--samples",
                "1",
            ]
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, done.output
            assert not SECRET.search(done.output.encode())
            assert "without a score: 1, such as" in done.output
    assert len(store.read_list(out / "predictions.jsonl", Prediction)) == 5
    (reject,) = store.read_list(out / "rejects.jsonl", Reject)
    assert "moderated, ***, ***" in reject.detail
    assert hits(tmp_path, SECRET) == []
    assert [str(path) for path in tmp_path.rglob("*") if SECRET.search(str(path).encode())] == []


def test_a_folder_that_is_named_by_the_candidate_has_no_password_in_its_name(
    benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(complete, "candidate"):
        monkeypatch.setenv("CANDIDATE", with_credentials())
        done = CliRunner().invoke(ci, ["--model", "m", "--benchmark", str(benchmark), "--out", str(tmp_path / "ci-eval")])
        assert not SECRET.search(done.output.encode())
    found = [str(path.relative_to(tmp_path)) for path in (tmp_path / "ci-eval").rglob("*")]
    assert any("127.0.0.1" in name for name in found), done.output
    assert [name for name in found if SECRET.search(name.encode())] == []
    assert hits(tmp_path, SECRET) == []
