"""MLflow's files of a registered checkpoint, so that MLflow's `load_model`, pyfunc and `mlflow models serve` work.

MLflow's own `mlflow.transformers.log_model` loads the weights into memory, and fails for a folder with transformers 5.23. Its format is
small: the file MLmodel says how the folder is loaded. The checkpoint's files stay at the root, where transformers and vLLM expect them.
The tokenizer's files are there a second time, because MLflow reads them from components/tokenizer. No file is a pickle, and no code of
the checkpoint runs: transformers' auto classes load both parts with `trust_remote_code=False`.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from tasks import store
from tasks.schema.errors import BadInput
from tasks.schema.records import ModelConfig

if TYPE_CHECKING:
    from mlflow.models import Model

TASK = "llm/v1/chat"
TOKENIZER = "components/tokenizer"  # where MLflow reads the tokenizer
MLMODEL, REQUIREMENTS, PYTHON = "MLmodel", "requirements.txt", "python_env.yaml"
EXAMPLE, SERVING = "input_example.json", "serving_input_example.json"
META = "registered_model_meta"  # MLflow adds it to a downloaded version
WRITTEN = (MLMODEL, REQUIREMENTS, PYTHON, EXAMPLE, SERVING)
OWN = {*WRITTEN, META}
PACKAGES = ("mlflow", "transformers", "torch", "accelerate", "tokenizers", "safetensors")
ASKED = {"messages": [{"role": "user", "content": "Write a 1000-word story about a lighthouse."}]}


class Artifact(NamedTuple):
    """A file to log with a model. `folder` is where it is below the model's root; None is the root."""

    path: Path
    folder: str | None


def is_own(path: str) -> bool:
    """Whether a registered model's file, by its relative path, is one of MLflow's and not the checkpoint's."""
    return path in OWN or path.startswith(f"{TOKENIZER}/")


def artifacts(folder: Path, kept: list[Path], scratch: Path, *, model_id: str, run_id: str) -> list[Artifact]:
    """Returns MLflow's files for a checkpoint with the files `kept`; those that are new are written into `scratch`.

    A checkpoint without a tokenizer gets none, because nothing could load it. Raises BadInput if a file of the checkpoint has the name of
    one of them, or if config.json is not valid.
    """
    for path in kept:
        if is_own(name := path.relative_to(folder).as_posix()):
            raise BadInput(folder / name, "MLflow writes a file of this name", fix="rename or remove it")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")):
        return []
    config = store.read_document(folder / "config.json", ModelConfig)
    _mlmodel(config, model_id=model_id, run_id=run_id).save(str(scratch / MLMODEL))
    (scratch / REQUIREMENTS).write_text("".join(f"{line}\n" for line in _requirements()))
    python = f"python: {platform.python_version()}\nbuild_dependencies: []\ndependencies:\n- -r {REQUIREMENTS}\n"
    (scratch / PYTHON).write_text(python)
    for name in (EXAMPLE, SERVING):
        (scratch / name).write_bytes(orjson.dumps(ASKED))
    tokenizer = [path for path in kept if path.parent == folder and ".safetensors" not in path.name]
    return [*(Artifact(scratch / name, None) for name in WRITTEN), *(Artifact(path, TOKENIZER) for path in tokenizer)]


def _mlmodel(config: ModelConfig, *, model_id: str, run_id: str) -> "Model":
    from mlflow.models import Model, ModelSignature
    from mlflow.types.llm import CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA

    from mlflow import pyfunc

    model = Model(
        run_id=run_id,
        model_id=model_id,
        signature=ModelSignature(inputs=CHAT_MODEL_INPUT_SCHEMA, outputs=CHAT_MODEL_OUTPUT_SCHEMA),
        saved_input_example_info={"artifact_path": EXAMPLE, "type": "json_object", "serving_input_path": SERVING},
        metadata={"task": TASK},
    )
    dtype = config.dtype or config.torch_dtype
    model.add_flavor(
        "transformers",
        transformers_version=version("transformers"),
        code=None,
        task="text-generation",
        instance_type="TextGenerationPipeline",
        pipeline_model_type="AutoModelForCausalLM",
        model_binary=".",
        **({"torch_dtype": f"torch.{dtype}"} if dtype else {}),
        components=["tokenizer"],
        tokenizer_type="AutoTokenizer",
        inference_task=TASK,
    )
    longest = {"max_new_tokens": config.max_position_embeddings // 2} if config.max_position_embeddings else None
    pyfunc.add_to_model(model, loader_module="mlflow.transformers", python_env=PYTHON, model_config=longest)
    return model


def _requirements() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package}=={version(package).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return found
