"""Prepare the base model as a candidate model: a folder that can be served, with the chat template of its student."""

import os
from pathlib import Path

from tasks import store
from tasks.checkpoints import templates
from tasks.models.local import located
from tasks.models.packages import FOLDER
from tasks.schema.errors import BadInput
from tasks.schema.params import Base
from tasks.schema.settings import settings
from tasks.schema.standins import TINY
from tasks.training.tokenizer import load_tokenizer

SERVED = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.tiktoken", "*.txt"]  # files to fetch: no pickles, no code
TEMPLATE = "chat_template.jinja"


def base_folder(base: Base) -> Path:
    """The base model's folder for serving. A model of the hub is fetched at its revision.

    If the base has no chat template, or base.chat_template names a file, the folder contains links to the model's files and the chat
    template that the trained student keeps. Raises BadInput for `tiny`, and if the model cannot be fetched.
    """
    found = located(base)
    if found.model == TINY:
        raise BadInput("params.yaml", "`tiny` has no weights before it is trained", field="predict.base", fix="set it to false")
    folder = Path(found.model) if Path(found.model).is_dir() else _fetched(found)
    return folder if templates(folder) and base.chat_template is None else _with_template(base, folder)


def _fetched(base: Base) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(base.model, revision=base.revision or None, allow_patterns=SERVED))
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        problem = f"cannot be fetched: {str(error).splitlines()[0][:120]}"
        raise BadInput(base.model, problem, fix="check base.model, base.revision and the connection to the hub") from None


def _with_template(base: Base, folder: Path) -> Path:
    template = load_tokenizer(base).kept
    place = settings().home.absolute() / FOLDER / f"{folder.name}-with-template"
    store.private_folder(settings().home)
    with store.replacing(place) as scratch:
        scratch.mkdir()
        for path in folder.iterdir():
            if path.is_file() and path.name != TEMPLATE:
                os.symlink(path.resolve(), scratch / path.name)
        store.write_text(scratch / TEMPLATE, template)
    return place
