"""A checkpoint served by llama.cpp, and which server `auto` is."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import pytest

from tasks.endpoints import launch
from tasks.endpoints.chat import user
from tasks.endpoints.launch import server_of
from tasks.endpoints.llamacpp import is_installed
from tasks.endpoints.roles import open_role
from tasks.endpoints.server import model_server
from tasks.models.gguf import convert
from tasks.schema.errors import BadSettings
from tasks.schema.params import Model
from tasks.schema.settings import PREFIX, settings
from tests.tasks.models.gguf_files import write_gguf

needs_llamacpp = pytest.mark.skipif(not is_installed(), reason="xllamacpp is not installed (the extra `llamacpp`)")
SCHEMA = {"type": "object", "properties": {"ready": {"type": "boolean"}}, "required": ["ready"], "additionalProperties": False}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "tiny.gguf")
    convert(tmp_path / "tiny.gguf", tmp_path / "student")
    return tmp_path / "student"


@needs_llamacpp
def test_a_checkpoint_is_served_with_its_template_and_its_key(checkpoint: Path) -> None:
    async def ask() -> tuple[int, int]:
        async with (
            model_server(checkpoint, settings().model_copy(update={"server": "llamacpp"})) as served,
            aiohttp.ClientSession() as http,
        ):
            body = {"messages": [{"role": "user", "content": "the"}], "max_tokens": 8, "temperature": 1.0}
            found = []
            for key in ("wrong", served.api_key.get_secret_value()):
                async with http.post(f"{served.url}/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}) as response:
                    found.append(response.status)
            return found[0], found[1]

    assert asyncio.run(ask()) == (401, 200)


@needs_llamacpp
def test_a_reply_follows_a_schema_whatever_the_model_would_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setenv(f"{PREFIX}SERVER", "llamacpp")
    settings.cache_clear()

    async def ask() -> str:
        teacher = Model(name=str(tmp_path / "tiny.gguf"), revision="1", temperature=1.0, max_tokens=64)
        async with open_role("teacher", teacher) as chat:
            return (await chat(user("Ready?", schema=SCHEMA))).text

    assert list(json.loads(asyncio.run(ask()))) == ["ready"]


@pytest.fixture
def auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}SERVER", "auto")
    monkeypatch.setenv(f"{PREFIX}VLLM_PYTHON", "no/python")
    settings.cache_clear()


@pytest.mark.usefixtures("auto")
def test_auto_is_llamacpp_where_it_can_serve_the_model(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_has_gpu", lambda: False)
    monkeypatch.setattr(launch, "is_installed", lambda: True)
    assert server_of(checkpoint, settings()) == "llamacpp"
    assert server_of(checkpoint, settings().model_copy(update={"server": "vllm"})) == "vllm"
    (checkpoint / "tokenizer.json").write_text("{}")
    assert server_of(checkpoint, settings()) == "transformers"


@pytest.mark.usefixtures("auto")
def test_auto_is_vllm_on_a_gpu_that_has_its_environment_and_transformers_without_any_package(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "is_installed", lambda: False)
    assert server_of(checkpoint, settings()) == "transformers"
    monkeypatch.setattr(launch, "is_installed", lambda: True)
    monkeypatch.setattr(launch, "_has_gpu", lambda: True)
    assert server_of(checkpoint, settings()) == "transformers"
    with_vllm = settings().model_copy(update={"vllm_python": Path(sys.executable)})
    assert server_of(checkpoint, with_vllm) == "vllm"
    monkeypatch.setattr(launch, "_has_gpu", lambda: False)
    assert server_of(checkpoint, with_vllm) == "llamacpp"
    with (checkpoint / "model-00002-of-00002.safetensors").open("wb") as file:
        file.truncate(launch.WORTH_VLLM)
    assert server_of(checkpoint, with_vllm) == "vllm"


def test_a_package_that_is_not_there_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "is_installed", lambda: False)
    with pytest.raises(BadSettings, match="LONGWRITER_SERVER: llamacpp needs the package xllamacpp"):
        launch.launch_of(checkpoint, settings().model_copy(update={"server": "llamacpp"}), 8000)
