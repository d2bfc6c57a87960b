"""The pipeline's own model server: a real `transformers serve` with a tiny checkpoint, and how servers fail and end."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tasks import progress
from tasks.endpoints import server
from tasks.endpoints.chat import Reply, map_async, user
from tasks.endpoints.launch import HOST, launch_of
from tasks.endpoints.replay import JOURNAL, read_journal
from tasks.endpoints.roles import open_role
from tasks.endpoints.server import model_server
from tasks.schema.errors import BadInput, BadSettings, ServerError
from tasks.schema.params import Model
from tasks.schema.settings import PREFIX, Settings, settings
from tests.conftest import ROOT, descendants
from tests.tasks.model_files import random_llama

STUDENT = Model(name="student", revision="1", temperature=0.5, max_tokens=24)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("checkpoints") / "student")


def enter(checkpoint: Path, own: Settings, *, port: int = 0) -> None:
    async def go() -> None:
        async with model_server(checkpoint, own, port=port):
            pass

    asyncio.run(go())


def empty_model(folder: Path) -> Path:
    """A folder with the files of a checkpoint, and nothing in them."""
    model = folder / "student"
    model.mkdir()
    (model / "config.json").write_text('{"max_position_embeddings": 512}')
    (model / "tokenizer.json").write_text("{}")
    return model


def servers() -> list[psutil.Process]:
    """The model servers among this process's descendants; other tests' servers, Prefect's, are not meant."""
    return descendants("serve")


def gone(pids: list[int], *, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.integration
def test_a_checkpoint_answers_over_http_and_its_server_ends_with_the_block(checkpoint: Path) -> None:
    async def go() -> tuple[list[Reply], list[int], int]:
        async with open_role("candidate", STUDENT, seed=1, checkpoint=checkpoint) as chat:
            asks = [f"Write about bread. {n % 3}" for n in range(6)]
            children = servers()
            replies = await map_async(asks, lambda text: chat(user(text)), unit="answer", label=None)
            return replies, [child.pid for child in children], sum(child.memory_info().rss for child in children)

    replies, pids, memory = asyncio.run(go())
    assert pids
    assert memory < 2 * 2**30
    assert gone(pids, within=1)
    assert [reply.text for reply in replies[:3]] == [reply.text for reply in replies[3:]]
    assert all(0 < reply.usage.completion <= STUDENT.max_tokens for reply in replies)
    assert {reply.finish_reason for reply in replies} <= {"length", "stop"}
    assert list((settings().home / "logs").glob("serve-student-*.log"))


def test_a_cancelled_owner_leaves_no_server(checkpoint: Path) -> None:
    async def go() -> list[int]:
        pids: list[int] = []

        async def own() -> None:
            async with model_server(checkpoint, settings()):
                await asyncio.Event().wait()

        task = asyncio.create_task(own())
        while not pids:
            await asyncio.sleep(0.05)
            pids = [child.pid for child in servers()]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pids

    assert gone(asyncio.run(go()), within=1)


@pytest.mark.integration
def test_a_killed_owner_leaves_no_server(checkpoint: Path, tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom tasks.endpoints.server import model_server\n"
        "from tasks.schema.settings import Settings\n"
        "async def go():\n    async with model_server(Path(sys.argv[1]), Settings()):\n        await asyncio.Event().wait()\n"
        "asyncio.run(go())"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(checkpoint)], cwd=ROOT)
    try:
        pids: list[int] = []
        while not pids:
            assert owner.poll() is None
            time.sleep(0.05)
            pids = [child.pid for child in descendants("serve", of=owner.pid)]
        os.kill(owner.pid, signal.SIGKILL)
        assert gone(pids, within=5)
    finally:
        owner.kill()
        owner.wait()


@pytest.mark.slow  # the next one is the same with a stand-in
def test_a_real_server_that_dies_early_is_an_error_with_its_last_words(checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint, broken, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ServerError, match=r"ended with code 1 before it answered; last lines of .*serve-broken-\d+\.log: ") as error:
        enter(broken, settings())
    assert "\n" not in str(error.value)


def test_a_server_that_dies_early_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    own = stand_in(tmp_path, "print('no weights', flush=True)\nsys.exit(1)")
    with pytest.raises(ServerError, match=r"ended with code 1 before it answered; last lines of .*serve-student-\d+\.log: no weights"):
        enter(empty_model(tmp_path), own)


def test_a_server_that_does_not_answer_in_time_is_stopped(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text(f"#!/bin/sh\necho loading\nexec {sys.executable} -c 'import time; time.sleep(600)'\n")
    silent.chmod(0o755)
    own = settings().model_copy(update={"server": "vllm", "vllm_python": silent, "startup_timeout": 1.0})
    with pytest.raises(ServerError, match=r"no answer within 1 s; raise LONGWRITER_STARTUP_TIMEOUT; its log ends with: .*: loading"):
        enter(empty_model(tmp_path), own)
    assert not servers()


def stand_in(folder: Path, code: str) -> Settings:
    """Settings in which a script of `code` is vLLM; it never answers. What it prints is in the log."""
    script = folder / "vllm"
    script.write_text(f"#!{sys.executable}\nimport os, signal, subprocess, sys, time\n{code}\ntime.sleep(600)\n")
    script.chmod(0o755)
    return settings().model_copy(update={"server": "vllm", "vllm_python": script, "startup_timeout": 2.0})


@pytest.mark.integration
def test_a_server_ends_what_it_started_before_it_is_signalled_itself(tmp_path: Path) -> None:
    """Workers that get a signal of their own beside their owner's leave shared memory behind."""
    code = (
        "child = subprocess.Popen(['sleep', '600'])\n"
        "def end(*_):\n    time.sleep(0.3)\n    print('child', child.poll(), flush=True)\n    child.kill()\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)"
    )
    with pytest.raises(ServerError):
        enter(empty_model(tmp_path), stand_in(tmp_path, code))
    [log] = (settings().home / "logs").iterdir()
    assert log.read_text() == "child None\n"


@pytest.mark.integration
def test_a_server_that_will_not_end_is_killed_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE", 0.3)
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{ignore}\nprint(os.getpid(), subprocess.Popen([sys.executable, '-c', 'import signal, time; {ignore}; time.sleep(600)']).pid)"
    with pytest.raises(ServerError) as error:
        enter(empty_model(tmp_path), stand_in(tmp_path, f"sys.stdout.reconfigure(line_buffering=True)\n{code}"))
    assert gone([int(pid) for pid in str(error.value).split()[-2:]], within=1)


def test_vllm_gets_the_environment_with_a_key_of_its_own_and_none_of_this_checkouts_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder mlflow/ would be an importable package to it; somebody's key would shut out our own client."""
    for name, value in {"VLLM_CPU_KVCACHE_SPACE": "3", "VLLM_API_KEY": "secret", "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)
    names = ["VLLM_CPU_KVCACHE_SPACE", "PYTHONPATH", "PYTHONSAFEPATH"]
    key = "(key := os.environ['VLLM_API_KEY']) != 'secret', len(key) > 30, key in ' '.join(sys.argv)"
    with pytest.raises(ServerError, match=r": \['3', '', '1', True, True, False\]$"):
        enter(empty_model(tmp_path), stand_in(tmp_path, f"print([*(os.environ[name] for name in {names}), {key}], flush=True)"))


@pytest.mark.parametrize("server", ["transformers", "vllm"])
def test_no_server_is_allowed_to_run_code_of_the_model(tmp_path: Path, server: str) -> None:
    folder = empty_model(tmp_path)
    (folder / "config.json").write_text('{"max_position_embeddings": 64, "auto_map": {"AutoConfig": "own.Own"}}')
    words = launch_of(folder, Settings(server=server, vllm_python=Path(sys.executable)), 8000).words
    assert not [word for word in words if "trust" in word or "remote" in word]


def test_a_servers_sockets_go_with_it(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as error:
        enter(
            empty_model(tmp_path), stand_in(tmp_path, "print(os.path.isdir(place := os.environ['VLLM_RPC_BASE_PATH']), place, flush=True)")
        )
    existed, place = str(error.value).split()[-2:]
    assert existed == "True"
    assert not Path(place).exists()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"model server: port {port} on 127\.0\.0\.1 is in use"):
            enter(empty_model(tmp_path), settings(), port=port)


def test_a_vllm_that_is_not_there_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="LONGWRITER_VLLM_PYTHON: no interpreter at nowhere"):
        enter(empty_model(tmp_path), settings().model_copy(update={"server": "vllm", "vllm_python": Path("nowhere")}))


def test_an_interpreter_without_vllm_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=rf"LONGWRITER_VLLM_PYTHON: {sys.executable} has no vllm; fix: python -m infra.serve_env"):
        enter(empty_model(tmp_path), settings().model_copy(update={"server": "vllm", "vllm_python": Path(sys.executable)}))


@pytest.mark.parametrize(
    ("missing", "problem"),
    [(".", "student: no such folder"), ("config.json", "config.json: no such file"), ("tokenizer.json", "student: no tokenizer in it")],
)
def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path, missing: str, problem: str) -> None:
    model = empty_model(tmp_path)
    if missing == ".":
        shutil.rmtree(model)
    else:
        (model / missing).unlink()
    with pytest.raises(BadInput, match=problem):
        enter(model, settings())


def test_a_start_that_takes_a_while_says_so_with_the_newest_line_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "QUIET", 0.5)
    with pytest.raises(ServerError):
        enter(empty_model(tmp_path), stand_in(tmp_path, "print('\\x1b[36mloading weights\\x1b[0m', flush=True)"))
    assert re.search(r"starting student: 00:0\d, loading weights", capsys.readouterr().err)


HEALTHY = """
import http.server, pathlib
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
web = http.server.HTTPServer(('127.0.0.1', int(sys.argv[sys.argv.index('--port') + 1])), Health)
starts = pathlib.Path(sys.argv[0]).with_name('starts')
starts.open('a').write(str(os.getpid()) + '\\n')
first = starts.read_text().count('\\n') == 1
"""


async def stay(folder: Path, own: Settings, until: Callable[[], bool]) -> None:
    async with model_server(empty_model(folder), own):
        while not until():
            await asyncio.sleep(0.05)


def test_a_server_that_dies_at_every_start_is_an_error_inside_the_block_with_its_last_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"{HEALTHY}\nif first:\n    web.handle_request()\n    sys.exit(4)\nprint('no memory left', flush=True)\nsys.exit(3)"
    with pytest.raises(ServerError, match=r"ended with code 3 before it answered; .*no memory left; it had been started again 3 times$"):
        asyncio.run(stay(tmp_path, stand_in(tmp_path, code), until=lambda: False))
    said = capsys.readouterr().err.strip().splitlines()
    assert [line.split(";")[0] for line in said] == ["model server: ended with code 4 while it served"] + [
        "model server: ended with code 3 before it answered"
    ] * 2
    assert (tmp_path / "starts").read_text().count("\n") == 1 + server.RESTARTS


def test_an_error_of_the_block_passes_as_it_is(tmp_path: Path) -> None:
    async def go() -> None:
        async with model_server(empty_model(tmp_path), stand_in(tmp_path, f"{HEALTHY}\nweb.serve_forever()")):
            raise ValueError("mine") from KeyError("cause")

    with pytest.raises(ValueError, match="mine") as error:
        asyncio.run(go())
    assert isinstance(error.value.__cause__, KeyError)


def test_a_server_that_hangs_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(server, "LOOK", 0.3)
    monkeypatch.setattr(server, "HUNG", 2)
    own = stand_in(tmp_path, f"{HEALTHY}\nif first:\n    web.handle_request()\n    time.sleep(600)\nweb.serve_forever()")
    starts = tmp_path / "starts"
    asyncio.run(stay(tmp_path, own, until=lambda: starts.exists() and starts.read_text().count("\n") == 2))
    assert "model server: not responding, 2 health checks had no answer" in capsys.readouterr().err
    assert gone([int(pid) for pid in starts.read_text().split()], within=1)


def test_what_a_dead_server_left_running_ends_before_the_next_one_starts(tmp_path: Path) -> None:
    left = "starts.with_name('left').write_text(str(subprocess.Popen(['sleep', '600']).pid))"
    code = f"{HEALTHY}\nif first:\n    {left}\n    web.handle_request()\n    os.kill(os.getpid(), signal.SIGKILL)\nweb.serve_forever()"

    def ended() -> bool:
        starts = tmp_path / "starts"
        return starts.exists() and starts.read_text().count("\n") == 2 and gone([int((tmp_path / "left").read_text())], within=0.01)

    asyncio.run(asyncio.wait_for(stay(tmp_path, stand_in(tmp_path, code), until=ended), 60))


ANSWERING = HEALTHY.replace(
    "    def log_message",
    """    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        usage = '"usage": {"prompt_tokens": 5, "completion_tokens": 3}'
        message = '{"role": "assistant", "content": "A loaf."}'
        body = ('{"choices": [{"index": 0, "finish_reason": "stop", "message": ' + message + '}], ' + usage + '}').encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message""",
)


def test_a_server_that_is_killed_at_item_60_comes_back_and_every_item_is_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = stand_in(tmp_path, f"{ANSWERING}\nweb.serve_forever()")
    monkeypatch.setenv(f"{PREFIX}SERVER", "vllm")
    monkeypatch.setenv(f"{PREFIX}VLLM_PYTHON", str(own.vllm_python))
    every_item_is_answered_once(empty_model(tmp_path), lambda: [int((tmp_path / "starts").read_text().split()[-1])], monkeypatch, capsys)


@pytest.mark.slow
def test_a_real_server_that_is_killed_at_item_60_comes_back_too(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every_item_is_answered_once(checkpoint, lambda: [child.pid for child in servers()], monkeypatch, capsys)


def every_item_is_answered_once(
    checkpoint: Path, pids: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 120 requests, and the server's processes (`pids`) are killed after 60 answers."""
    monkeypatch.setenv(f"{PREFIX}CONCURRENCY", "8")
    settings.cache_clear()
    model = STUDENT.model_copy(update={"max_tokens": 4})
    asks = [f"Write about bread. {n}" for n in range(120)]
    killed: list[int] = []

    async def go() -> list[Reply]:
        done = 0
        async with open_role("candidate", model, seed=1, checkpoint=checkpoint) as chat:

            async def ask(text: str) -> Reply:
                nonlocal done
                reply = await chat(user(text))
                done += 1
                if done == 60:
                    killed.extend(pids())
                    for pid in killed:
                        os.kill(pid, signal.SIGKILL)
                return reply

            return await map_async(asks, ask, unit="answer", label=None)

    replies = asyncio.run(go())
    assert killed
    assert len(replies) == 120
    assert all(0 < reply.usage.completion <= 4 for reply in replies)
    assert len(list(read_journal(settings().home / JOURNAL))) == 120
    assert capsys.readouterr().err.count("model server: ended with code -9 while it served") == 1
