"""Builds the command line and environment that serve a checkpoint folder, with `transformers serve` or vLLM."""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from tasks import store
from tasks.checkpoints import check_model
from tasks.schema.errors import BadInput, BadSettings
from tasks.schema.records import ModelConfig
from tasks.schema.settings import PREFIX, Settings

HOST = "127.0.0.1"
DRAIN = 2  # seconds that vLLM gives requests in flight at shutdown
TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken.json")  # a checkpoint has at least one of these files
NO_VLLM = "No module named 'vllm'"  # error message of an interpreter without vLLM

# Continuous batching with an unbounded cache takes 6.8 GB on a CPU. With this bound it stays under 0.6 GB for a 3-layer, 128-wide
# model and writes 840 to 1,280 tokens/s on 2 busy cores, against 560 to 660 for one request at a time. A request that does not fit
# waits. The bound does not change the replies.
BLOCK = 256  # tokens
CONTEXTS = 4  # sequences of full length that the cache has room for
BATCH_TOKENS = 256


class Launch(NamedTuple):
    """The command and environment of a server, and the key that it requires; an empty key: it requires none."""

    words: list[str]
    environment: Mapping[str, str]
    api_key: SecretStr


def launch_of(checkpoint: Path, settings: Settings, port: int) -> Launch:
    """Returns how to start the configured server. Raises BadInput if the folder is no checkpoint, BadSettings without vLLM at
    VLLM_PYTHON.
    """
    _check(checkpoint)
    return _vllm(checkpoint, settings, port) if settings.server == "vllm" else _transformers(checkpoint, settings, port)


def _check(checkpoint: Path) -> None:
    from tasks.models.chat_templates import check_folder

    fix = "give a folder that holds a model and its tokenizer"
    if not checkpoint.is_dir():
        raise BadInput(checkpoint, "no such folder", fix=fix)
    if not (checkpoint / "config.json").is_file():
        raise BadInput(checkpoint / "config.json", "no such file", fix=fix)
    if not any(path.is_file() for pattern in TOKENIZERS for path in checkpoint.glob(pattern)):
        raise BadInput(checkpoint, "no tokenizer in it", fix="save the tokenizer beside the model")
    check_model(checkpoint)
    check_folder(checkpoint)  # a server renders its template for every request


def _transformers(checkpoint: Path, settings: Settings, port: int) -> Launch:
    cache = settings.home.absolute() / "hub"
    cache.mkdir(parents=True, exist_ok=True)  # /v1/models answers 500 without this folder
    words = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(checkpoint), "--host", HOST, "--port", str(port)]
    blocks = CONTEXTS * -(-_context(checkpoint) // BLOCK)
    batching = ["--continuous-batching", "--cb-num-blocks", str(blocks), "--cb-max-batch-tokens", str(BATCH_TOKENS)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_UPDATE_CHECK": "1", "TQDM_DISABLE": "1"}
    return Launch([*words, *batching], {**os.environ, **offline, **_threads(settings)}, SecretStr(""))


def _context(checkpoint: Path) -> int:
    """The longest sequence of a checkpoint, in tokens. Raises BadInput if config.json does not state a positive number."""
    path = checkpoint / "config.json"
    context = store.read_document(path, ModelConfig, fix="give a causal language model's folder").max_position_embeddings
    if context is None or context <= 0:
        raise BadInput(path, "not a positive number", field="max_position_embeddings", fix="give a causal language model's folder")
    return context


def _vllm(checkpoint: Path, settings: Settings, port: int) -> Launch:
    """vLLM with the request's sampling parameters only (the checkpoint's generation config is ignored); it reports cached tokens.

    vLLM inherits the environment (VLLM_CPU_KVCACHE_SPACE, CUDA_VISIBLE_DEVICES), but not the folders of this checkout: its folder `mlflow`
    would be imported as a package. The key is random, so that no other account on the machine can use the server. The key is passed in the
    environment, because every account can read a command line.
    """
    if not settings.vllm_python.is_file():
        raise BadSettings(
            f"{PREFIX}VLLM_PYTHON: no interpreter at {settings.vllm_python}; make the serve environment (requirements/serve.txt)"
        )
    words = [str(settings.vllm_python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    where = ["--host", HOST, "--port", str(port), "--served-model-name", str(checkpoint)]
    how = ["--generation-config", "vllm", "--enable-prompt-tokens-details", "--shutdown-timeout", str(DRAIN)]
    offline = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONSAFEPATH": "1", "PYTHONPATH": ""}
    key = secrets.token_urlsafe(32)
    return Launch([*words, *where, *how], {**os.environ, **offline, "VLLM_API_KEY": key}, SecretStr(key))


def _threads(settings: Settings) -> dict[str, str]:
    """OpenMP threads that wait without spinning: spinning is very slow when other processes share the cores."""
    return {"OMP_NUM_THREADS": str(settings.threads), "OMP_WAIT_POLICY": "PASSIVE"}
