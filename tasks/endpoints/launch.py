"""How a checkpoint folder is served: the command line and the environment of `transformers serve` and of vLLM."""

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
DRAIN = 2  # seconds that vLLM gives the requests under way when it is told to end
TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken.json")  # files of which a checkpoint has at least one
NO_VLLM = "No module named 'vllm'"  # how an interpreter without it ends

# Continuous batching takes 6.8 GB on a CPU if its cache is not bounded. Bounded like this it stays under 0.6 GB with a 3-layer,
# 128-wide model and writes 840 to 1,280 tokens/s on 2 busy cores, against 560 to 660 one request at a time. A request that finds
# no room waits. Answers are the same whatever the bound.
BLOCK = 256  # tokens
CONTEXTS = 4  # room for that many sequences of full length
BATCH_TOKENS = 256


class Launch(NamedTuple):
    """How a server is started, and the key that it then asks for; an empty one: it asks for none."""

    words: list[str]
    environment: Mapping[str, str]
    api_key: SecretStr


def launch_of(checkpoint: Path, settings: Settings, port: int) -> Launch:
    """Raises BadInput when the folder is no checkpoint, BadSettings when there is no vLLM where settings say."""
    _check(checkpoint)
    return _vllm(checkpoint, settings, port) if settings.server == "vllm" else _transformers(checkpoint, settings, port)


def _check(checkpoint: Path) -> None:
    from tasks.training.chat_templates import check_folder

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
    cache.mkdir(parents=True, exist_ok=True)  # /v1/models answers 500 if it is not there
    words = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(checkpoint), "--host", HOST, "--port", str(port)]
    blocks = CONTEXTS * -(-_context(checkpoint) // BLOCK)
    batching = ["--continuous-batching", "--cb-num-blocks", str(blocks), "--cb-max-batch-tokens", str(BATCH_TOKENS)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_UPDATE_CHECK": "1", "TQDM_DISABLE": "1"}
    return Launch([*words, *batching], {**os.environ, **offline, **_threads(settings)}, SecretStr(""))


def _context(checkpoint: Path) -> int:
    """The longest sequence of a checkpoint, in tokens. Raises BadInput if its config.json does not say."""
    path = checkpoint / "config.json"
    context = store.read_document(path, ModelConfig, fix="give a causal language model's folder").max_position_embeddings
    if context is None or context <= 0:
        raise BadInput(path, "not a positive number", field="max_position_embeddings", fix="give a causal language model's folder")
    return context


def _vllm(checkpoint: Path, settings: Settings, port: int) -> Launch:
    """The checkpoint's own generation settings are left aside: sampling is what the request says. Reports cached tokens.

    What is in the environment reaches it: VLLM_CPU_KVCACHE_SPACE, CUDA_VISIBLE_DEVICES. Not the folders of this checkout, whose
    `mlflow` would pass for an installed package. The key is drawn for this server, so that nobody else on the machine is served,
    and handed over in the environment: a command line can be read by all.
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
    """Waiting threads that spin are ruinous where other processes share the cores."""
    return {"OMP_NUM_THREADS": str(settings.threads), "OMP_WAIT_POLICY": "PASSIVE"}
