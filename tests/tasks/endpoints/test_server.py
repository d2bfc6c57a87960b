"""The pipeline's own model server: a real `transformers serve` on a tiny checkpoint, and how servers fail and end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.endpoints import server
from tasks.endpoints.chat import Reply, each, user
from tasks.endpoints.roles import open_role
from tasks.endpoints.server import HOST, model_server
from tasks.schema.errors import BadInput, BadSettings, ServerError
from tasks.schema.params import Model
from tasks.schema.settings import Settings, settings
from tests.conftest import ROOT

STUDENT = Model(name="student", revision="1", temperature=0.5, max_tokens=24)
TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights and a tokenizer trained on three sentences."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("checkpoints") / "student"
    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|user|>", "<|assistant|>"]
    own.train_from_iterator(
        ["Bread is old.", "Write about bread.", "面包"],
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def enter(checkpoint: Path, own: Settings, *, port: int = 0) -> None:
    async def go() -> None:
        async with model_server(checkpoint, own, port=port):
            pass

    asyncio.run(go())


def servers() -> list[psutil.Process]:
    """The model servers among this process's descendants; other tests' servers, Prefect's, are not meant."""
    return [child for child in psutil.Process().children(recursive=True) if "serve" in child.cmdline()]


def gone(pids: list[int], *, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.e2e
def test_a_checkpoint_answers_over_http_and_its_server_ends_with_the_block(checkpoint: Path) -> None:
    async def go() -> tuple[list[Reply], list[int], int]:
        async with open_role("candidate", STUDENT, seed=1, checkpoint=checkpoint) as chat:
            asks = [f"Write about bread. {n % 3}" for n in range(6)]
            children = servers()
            replies = await each(asks, lambda text: chat(user(text)), unit="answer", label=None)
            return replies, [child.pid for child in children], sum(child.memory_info().rss for child in children)

    replies, pids, memory = asyncio.run(go())
    assert pids
    assert memory < 2 * 2**30
    assert gone(pids, within=1)
    assert [reply.text for reply in replies[:3]] == [reply.text for reply in replies[3:]]
    assert all(0 < reply.usage.completion <= STUDENT.max_tokens for reply in replies)
    assert {reply.finish_reason for reply in replies} <= {"length", "stop"}
    assert list((settings().home / "logs").glob("serve-student-*.log"))


@pytest.mark.e2e
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


@pytest.mark.e2e
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
            pids = [child.pid for child in psutil.Process(owner.pid).children(recursive=True) if "serve" in child.cmdline()]
        os.kill(owner.pid, signal.SIGKILL)
        assert gone(pids, within=5)
    finally:
        owner.kill()
        owner.wait()


@pytest.mark.e2e
def test_a_server_that_dies_early_is_an_error_with_its_last_words(checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    with pytest.raises(ServerError, match=r"ended with code 1 before it answered; last lines of .*serve-broken-\d+\.log: ") as error:
        enter(broken, settings())
    assert "\n" not in str(error.value)


def test_a_server_that_does_not_answer_in_time_is_stopped(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text(f"#!/bin/sh\necho loading\nexec {sys.executable} -c 'import time; time.sleep(600)'\n")
    silent.chmod(0o755)
    own = settings().model_copy(update={"server": "vllm", "vllm_python": silent, "startup_timeout": 1.0})
    with pytest.raises(ServerError, match=r"no answer within 1 s; raise LONGWRITER_STARTUP_TIMEOUT, or see why: .*: loading"):
        enter(tmp_path, own)
    assert not servers()


def stand_in(folder: Path, code: str) -> Settings:
    """Settings in which a script of `code` is vLLM; it never answers. What it prints is in the log."""
    script = folder / "vllm"
    script.write_text(f"#!{sys.executable}\nimport os, signal, subprocess, sys, time\n{code}\ntime.sleep(600)\n")
    script.chmod(0o755)
    return settings().model_copy(update={"server": "vllm", "vllm_python": script, "startup_timeout": 2.0})


def test_a_server_ends_what_it_started_before_it_is_signalled_itself(tmp_path: Path) -> None:
    """Workers that get a signal of their own beside their owner's leave shared memory behind."""
    code = (
        "child = subprocess.Popen(['sleep', '600'])\n"
        "def end(*_):\n    time.sleep(0.3)\n    print('child', child.poll(), flush=True)\n    child.kill()\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)"
    )
    with pytest.raises(ServerError):
        enter(tmp_path, stand_in(tmp_path, code))
    [log] = (settings().home / "logs").iterdir()
    assert log.read_text() == "child None\n"


def test_a_server_that_will_not_end_is_killed_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE", 0.3)
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{ignore}\nprint(os.getpid(), subprocess.Popen([sys.executable, '-c', 'import signal, time; {ignore}; time.sleep(600)']).pid)"
    with pytest.raises(ServerError) as error:
        enter(tmp_path, stand_in(tmp_path, f"sys.stdout.reconfigure(line_buffering=True)\n{code}"))
    assert gone([int(pid) for pid in str(error.value).split()[-2:]], within=1)


def test_vllm_gets_the_environment_but_no_key_and_none_of_this_checkouts_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder mlflow/ would be an importable package to it; a key would shut out our own client."""
    for name, value in {"VLLM_CPU_KVCACHE_SPACE": "3", "VLLM_API_KEY": "secret", "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)
    names = ["VLLM_CPU_KVCACHE_SPACE", "VLLM_API_KEY", "PYTHONPATH", "PYTHONSAFEPATH"]
    with pytest.raises(ServerError, match=r": \['3', '', '', '1'\]$"):
        enter(tmp_path, stand_in(tmp_path, f"print([os.environ[name] for name in {names}], flush=True)"))


def test_a_servers_sockets_go_with_it(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as error:
        enter(tmp_path, stand_in(tmp_path, "print(os.path.isdir(place := os.environ['VLLM_RPC_BASE_PATH']), place, flush=True)"))
    existed, place = str(error.value).split()[-2:]
    assert existed == "True"
    assert not Path(place).exists()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"model server: port {port} on 127\.0\.0\.1 is in use"):
            enter(tmp_path, settings(), port=port)


def test_a_vllm_that_is_not_there_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="LONGWRITER_VLLM_PYTHON: no interpreter at nowhere"):
        enter(tmp_path, settings().model_copy(update={"server": "vllm", "vllm_python": Path("nowhere")}))


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"config\.json: no such file"):
        enter(tmp_path, settings())
