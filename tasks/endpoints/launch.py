"""Builds the command line and environment that serve a checkpoint folder, with `transformers serve`, vLLM or llama.cpp."""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import orjson
from pydantic import SecretStr

from tasks import store
from tasks.checkpoints import check_model
from tasks.endpoints.llamacpp import KEY, is_installed
from tasks.models.gguf import context_of
from tasks.models.to_gguf import why_not, write_gguf
from tasks.schema.errors import BadInput, BadSettings
from tasks.schema.records import ByName, ModelConfig
from tasks.schema.settings import PREFIX, Settings
from tasks.store import folder_digest

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

# Compiling takes minutes at each start, because its cache is not read again. vLLM 0.30 ends with "CPU Generator does not use offset" if the
# prompt of a request with a seed is read in chunks.
ON_A_CPU = ["--enforce-eager", "--no-enable-chunked-prefill"]
WORTH_VLLM = 100_000_000  # bytes of weights from which vLLM's minutes of starting on a CPU pay
SERVED, KEPT = "served", 4  # below settings.home: the folders that llama.cpp served last, as GGUF files
SPECULATION = "speculation.json"  # below settings.home: settings that were compared, with the reason why they are refused
LOOKUP = 4  # tokens at the end of the text that ngram speculation searches, at most
SLOTS = 8  # requests that llama.cpp answers at once, each with a context of its own


class Launch(NamedTuple):
    """The command and environment of a server, and the key that it requires; an empty key: it requires none."""

    words: list[str]
    environment: Mapping[str, str]
    api_key: SecretStr
    slots: int | None = None  # requests that it answers at once; None: it says itself when it is full


def launch_of(checkpoint: Path, settings: Settings, port: int) -> Launch:
    """Returns how to start the configured server. Raises BadInput if the folder is no checkpoint, BadSettings without vLLM at
    VLLM_PYTHON. A GGUF file is served as it is by llama.cpp.
    """
    if checkpoint.is_file():
        return _gguf(checkpoint, context_of(checkpoint), settings, port)
    _check(checkpoint)
    ways = {"vllm": _vllm, "llamacpp": _llamacpp, "transformers": _transformers}
    return ways[server_of(checkpoint, settings)](checkpoint, settings, port)


def server_of(checkpoint: Path, settings: Settings) -> str:
    """Returns the name of the server for this folder. A setting other than `auto` is returned as it is.

    `auto` chooses vLLM if its environment is installed and there is a GPU or the weights have at least WORTH_VLLM bytes. On two cores vLLM
    wrote SmolLM2's answers at 288 tokens/s with 32 requests at once, llama.cpp at 43, and `transformers serve` at 22 on a GPU; but without
    a GPU vLLM takes minutes to start, too long for a model of the rehearsal. Otherwise `auto` chooses llama.cpp if there is no GPU, it is
    installed and it can serve the model, and else `transformers serve`.
    """
    if settings.server != "auto":
        return settings.server
    gpu = _has_gpu()
    if settings.vllm_python.is_file() and (gpu or _weight_bytes(checkpoint) >= WORTH_VLLM):
        return "vllm"
    return "llamacpp" if not gpu and is_installed() and why_not(checkpoint) is None else "transformers"


def _weight_bytes(checkpoint: Path) -> int:
    return sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))


def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()


def _check(checkpoint: Path) -> None:
    from tasks.models.chat_templates import check_folder

    fix = "give a folder with a model and its tokenizer"
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
    fix = "use the folder of a causal language model; its config.json must have max_position_embeddings"
    context = store.read_document(path, ModelConfig, fix=fix).max_position_embeddings
    if context is None or context <= 0:
        raise BadInput(path, "not a positive number", field="max_position_embeddings", fix=fix)
    return context


def _llamacpp(checkpoint: Path, settings: Settings, port: int) -> Launch:
    """The folder is written as a GGUF file first, once: weights in 16 bits."""
    _check_llamacpp()
    gguf = settings.home.absolute() / SERVED / f"{folder_digest(checkpoint)[:16]}.gguf"
    if not gguf.is_file():
        write_gguf(checkpoint, gguf)
        for old in sorted(gguf.parent.glob("*.gguf"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    return _gguf(gguf, _context(checkpoint), settings, port)


def _check_llamacpp() -> None:
    if not is_installed():
        raise BadSettings(f"{PREFIX}SERVER: llamacpp needs the package xllamacpp; `pip install xllamacpp`, or set it to transformers")


def _gguf(gguf: Path, context: int, settings: Settings, port: int) -> Launch:
    """llama.cpp with a GGUF file. The key is as vLLM's."""
    _check_llamacpp()
    sizes = {"port": port, "context": context, "slots": SLOTS, "threads": settings.server_threads}
    options = [part for name, number in sizes.items() for part in (f"--{name}", str(number))]
    words = [sys.executable, "-m", "tasks.endpoints.llamacpp", str(gguf), *options]
    key = secrets.token_urlsafe(32)
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    return Launch(words, {**os.environ, KEY: key, "PYTHONPATH": paths}, SecretStr(key), SLOTS)


def _vllm(checkpoint: Path, settings: Settings, port: int) -> Launch:
    """vLLM with the request's sampling parameters only (the checkpoint's generation config is ignored); it reports cached tokens.

    vLLM inherits the environment (VLLM_CPU_KVCACHE_SPACE, CUDA_VISIBLE_DEVICES), but not the folders of this checkout: its folder `mlflow`
    would be imported as a package. The key is random, so that no other account on the machine can use the server. The key is passed in the
    environment, because every account can read a command line.
    """
    if not settings.vllm_python.is_file():
        raise BadSettings(f"{PREFIX}VLLM_PYTHON: no interpreter at {settings.vllm_python}; fix: python -m infra.serve_env")
    words = [str(settings.vllm_python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    where = ["--host", HOST, "--port", str(port), "--served-model-name", str(checkpoint)]
    how = ["--generation-config", "vllm", "--enable-prompt-tokens-details", "--shutdown-timeout", str(DRAIN)]
    how += [] if _has_gpu() else ON_A_CPU
    how += speculative(settings)
    offline = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONSAFEPATH": "1", "PYTHONPATH": ""}
    key = secrets.token_urlsafe(32)
    return Launch([*words, *where, *how], {**os.environ, **offline, "VLLM_API_KEY": key}, SecretStr(key))


def speculative(settings: Settings) -> list[str]:
    """The arguments of vLLM for speculative decoding (vLLM's documentation, features/speculative_decoding).

    Raises BadSettings without a draft model where one is needed, and for a setting that `longwriter models speculation` refused.
    """
    if settings.speculation == "off":
        return []
    config: dict[str, object] = {"method": settings.speculation, "num_speculative_tokens": settings.speculative_tokens}
    if settings.speculation == "ngram":
        config["prompt_lookup_max"] = LOOKUP
    if settings.speculation == "draft_model":
        if settings.draft_model is None or not (settings.draft_model / "config.json").is_file():
            raise BadSettings(
                f"{PREFIX}DRAFT_MODEL: no model folder, and {PREFIX}SPECULATION is draft_model; set it, or another speculation"
            )
        config["model"] = str(settings.draft_model)
    if refused := _noted(settings).get(_speculation_name(settings)):
        fix = f"set {PREFIX}SPECULATION=off, or compare again by `longwriter models speculation`"
        problem = f"`longwriter models speculation` compared {settings.speculation} and refused it ({refused})"
        raise BadSettings(f"{PREFIX}SPECULATION: {problem}; fix: {fix}")
    return ["--speculative-config", orjson.dumps(config).decode()]


def note_speculation(settings: Settings, refused: str | None) -> None:
    """Records why the settings' speculation was refused; None: it was not."""
    if settings.speculation != "off":
        store.private_folder(settings.home)
        store.write_json(settings.home / SPECULATION, {**_noted(settings), _speculation_name(settings): refused})


def _noted(settings: Settings) -> dict[str, str | None]:
    path = settings.home / SPECULATION
    return dict(store.read_document(path, ByName[str | None], fix="remove the file").root) if path.is_file() else {}


def _speculation_name(settings: Settings) -> str:
    draft = f", {settings.draft_model}" if settings.speculation == "draft_model" else ""
    return f"{settings.speculation}, {settings.speculative_tokens} tokens{draft}"


def _threads(settings: Settings) -> dict[str, str]:
    """OpenMP threads that wait without spinning: spinning is very slow when other processes share the cores."""
    return {"OMP_NUM_THREADS": str(settings.server_threads), "OMP_WAIT_POLICY": "PASSIVE"}
