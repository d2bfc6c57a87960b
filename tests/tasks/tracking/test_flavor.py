"""A registered version is an MLflow model: a fresh Python loads and serves it by MLflow's own commands, without pickles."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tasks.processes import own_path
from tasks.schema.errors import BadInput
from tasks.tracking import flavor, registry, runs
from tasks.tracking.checkpoint import digest, files
from tasks.tracking.client import connect, names, uri
from tests.conftest import ROOT
from tests.tasks.model_files import random_llama
from tests.tasks.storage.servers import free_port

PLAIN = """
import mlflow
from transformers import AutoModelForCausalLM

mlflow.set_registry_uri(mlflow.get_tracking_uri())
pipeline = mlflow.transformers.load_model("models:/longwriter@champion")
print(type(pipeline).__name__, pipeline.model.dtype)
loaded = mlflow.pyfunc.load_model("models:/longwriter@champion")
said = loaded.predict({"messages": [{"role": "user", "content": "Write about bread."}], "max_tokens": 4})
print(said[0]["object"], said[0]["usage"]["completion_tokens"])
print(loaded.metadata.signature.inputs.input_names()[0], loaded.input_example["messages"][0]["role"], loaded.metadata.model_id)
print(AutoModelForCausalLM.from_pretrained(mlflow.artifacts.download_artifacts("models:/longwriter@champion")).dtype)
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("checkpoints") / "student")


@pytest.fixture
def version(tiny: Path, mlflow_home: Path) -> registry.Version:
    """The tiny model, registered and champion."""
    found = registry.register(tiny, run_id=runs.record("train", digest(tiny)), tags={})
    connect().set_registered_model_alias(names().model, "champion", found.number)
    return found


def environment() -> dict[str, str]:
    """Of a Python that knows the registry's address and no pickle, and finds the commands installed beside it (uvicorn)."""
    return os.environ | {
        "PATH": own_path(),
        "MLFLOW_TRACKING_URI": uri(),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "CUDA_VISIBLE_DEVICES": "",
    }


@pytest.mark.integration
def test_a_fresh_python_loads_the_champion_as_a_pipeline_as_pyfunc_and_as_a_folder(version: registry.Version, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PLAIN], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = version.tags["model_id"]
    assert connect().get_model_version(names().model, version.number).source == f"models:/{model}"
    assert done.stdout.splitlines() == [
        "TextGenerationPipeline torch.float32",
        "chat.completion 4",
        f"messages user {model}",
        "torch.float32",
    ]


def test_the_pipeline_itself_gets_the_checkpoints_own_files(version: registry.Version, tiny: Path) -> None:
    fetched = registry.fetch("models:/longwriter@champion")
    assert {path.relative_to(fetched) for path in fetched.rglob("*")} == {path.relative_to(tiny) for path in files(tiny)}
    assert digest(fetched) == digest(tiny)
    assert registry.files_missing(version.number) is None


def test_a_checkpoint_with_a_file_of_mlflows_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("")
    with pytest.raises(BadInput, match=r"requirements\.txt: MLflow writes a file of this name; fix: rename or remove it"):
        flavor.artifacts(tmp_path, [tmp_path / "requirements.txt"], tmp_path, model_id="m", run_id="r")


def test_a_checkpoint_without_a_tokenizer_is_registered_without_mlflows_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert flavor.artifacts(tmp_path, [tmp_path / "config.json"], tmp_path, model_id="m", run_id="r") == []


def answering(url: str, server: "subprocess.Popen[bytes]") -> None:
    """Returns when the server answers."""
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(url).status_code == httpx.codes.OK:
                return
        assert server.poll() is None
        time.sleep(0.5)


@pytest.mark.slow
def test_mlflow_serves_the_champion(version: registry.Version, tmp_path: Path) -> None:
    port = free_port()
    options = ["-m", "models:/longwriter@champion", "--env-manager", "local", "--port", str(port)]
    with subprocess.Popen([sys.executable, "-m", "mlflow", "models", "serve", *options], cwd=ROOT, env=environment()) as server:
        try:
            answering(f"http://127.0.0.1:{port}/ping", server)
            asked = {"messages": [{"role": "user", "content": "Write about bread."}], "max_tokens": 4}
            said = httpx.post(f"http://127.0.0.1:{port}/invocations", json=asked, timeout=60)
            assert said.status_code == 200, said.text
            assert said.json()[0]["choices"][0]["message"]["role"] == "assistant"
        finally:
            server.terminate()
