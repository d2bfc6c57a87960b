"""Read a model's config.json and generation_config.json, from a folder or from the hub at the pinned revision."""

from pathlib import Path

import orjson

from tasks.models.local import located
from tasks.schema.errors import BadInput
from tasks.schema.params import Base


def config_of(base: Base) -> "Config":
    """The model's config.json. Raises BadInput if it cannot be found or read."""
    base = located(base)
    path = Path(base.model) / "config.json"
    if not Path(base.model).is_dir():
        path = _fetched(base)
    try:
        fields = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(path, "no such file", fix="check base.model") from None
    except orjson.JSONDecodeError as error:
        raise BadInput(path, f"not JSON: {error.msg}", fix="fetch the model again") from None
    if not isinstance(fields, dict):
        raise BadInput(path, "not an object", fix="fetch the model again")
    return Config(fields)


def stop_ids(base: Base) -> frozenset[int]:
    """The token ids at which generation stops (`eos_token_id` of both files). Empty if neither file is found.

    Raises BadInput if a file is not JSON.
    """
    return frozenset(number for name in ("config.json", "generation_config.json") for number in _ends(_fields(base, name)))


def _ends(fields: dict[str, object]) -> list[int]:
    ends = Config(fields).fields.get("eos_token_id")
    return [number for number in (ends if isinstance(ends, list) else [ends]) if isinstance(number, int)]


def _fields(base: Base, name: str) -> dict[str, object]:
    """The fields of a model's JSON file; empty if the file cannot be found. Raises BadInput if it is not JSON."""
    base = located(base)
    path = Path(base.model) / name
    try:
        if not Path(base.model).is_dir():
            path = _downloaded(base, name)
        found = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadInput(path, f"not JSON: {error.msg}", fix="fetch the model again") from None
    except _no_file():
        return {}
    return found if isinstance(found, dict) else {}


def _no_file() -> tuple[type[Exception], ...]:
    """The errors that a missing file or an unreachable hub raises."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    return OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError


def _downloaded(base: Base, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(base.model, name, revision=base.revision or None))


def _fetched(base: Base) -> Path:
    try:
        return _downloaded(base, "config.json")
    except _no_file() as error:
        problem = f"no config.json: {str(error).splitlines()[0][:120]}"
        raise BadInput(base.model, problem, fix="check base.model, base.revision and the connection to the hub") from None


class Config:
    """The fields of a config.json as attributes. Fields of a nested `text_config` (multimodal models) replace outer ones."""

    def __init__(self, fields: dict[str, object]) -> None:
        nested = fields.get("text_config")
        self.fields = {**fields, **nested} if isinstance(nested, dict) else fields

    def __getattr__(self, name: str) -> object:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None
