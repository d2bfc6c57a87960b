"""A pickle that would write a file when loaded is refused by name wherever a model can be given, and nothing is written."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.endpoints.launch import launch_of
from tasks.evaluation.nll import load
from tasks.schema.errors import BadInput
from tasks.schema.params import Base
from tasks.schema.settings import settings
from tasks.storage import release
from tasks.tracking import checkpoint, registry
from tasks.training.preflight import check_base


class Writes:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._target,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "written"


@pytest.fixture
def planted(tmp_path: Path, marker: Path) -> Path:
    """A model's folder whose weights are that pickle."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Writes(marker)))
    (folder / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 64, "vocab_size": 10}')
    (folder / "tokenizer.json").write_text("{}")
    return folder


def register(folder: Path) -> object:
    return registry.register(folder, run_id="", tags={})


def publish(folder: Path) -> object:
    return release.given("checkpoint", folder)


def serve(folder: Path) -> object:
    return launch_of(folder, settings(), 1)


def train(folder: Path) -> object:
    check_base(Base(model=str(folder), revision="", remote_code=False))
    return None


def read(folder: Path) -> object:
    return load(str(folder))


ENTRIES = [train, serve, register, publish, checkpoint.digest]


def test_the_pickle_would_have_written(planted: Path, marker: Path) -> None:
    pickle.loads((planted / "pytorch_model.bin").read_bytes())  # noqa: S301  our own
    assert marker.exists()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_weights_that_are_a_pickle_are_refused_by_name(entry: Callable[[Path], object], planted: Path, marker: Path) -> None:
    with pytest.raises(BadInput, match=r"pytorch_model\.bin.*pickle"):
        entry(planted)
    assert not marker.exists()


@pytest.mark.parametrize("entry", [serve, register, publish], ids=lambda entry: entry.__name__)
def test_a_pickle_beside_good_weights_is_refused_too(entry: Callable[[Path], object], planted: Path, marker: Path) -> None:
    (planted / "model.safetensors").write_bytes(b"weights")
    shutil.move(planted / "pytorch_model.bin", planted / "training_args.bin")
    with pytest.raises(BadInput, match=r"training_args\.bin.*pickle"):
        entry(planted)
    assert not marker.exists()


def test_a_reader_loads_no_pickle(planted: Path, marker: Path) -> None:
    with pytest.raises(BadInput, match="cannot be loaded"):
        read(planted)
    assert not marker.exists()
