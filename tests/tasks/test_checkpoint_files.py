"""An untrusted model folder is refused in one line, before anything of it is loaded."""

import bz2
import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.checkpoints import check_model, holds_pickle, named, refuse_pickles
from tasks.endpoints.launch import launch_of
from tasks.evaluation.nll import load
from tasks.schema.errors import BadInput
from tasks.schema.params import Base
from tasks.schema.settings import settings
from tasks.training.preflight import check_base
from tests.tasks.model_files import safetensors

PICKLE = pickle.dumps({"weights": [1.0]})
CONFIG = '{"model_type": "llama", "max_position_embeddings": 64, "vocab_size": 10}'


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    save(made := io.BytesIO())
    return made.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, content)
    return made.getvalue()


def tarred(name: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return made.getvalue()


OBJECTS = saved(lambda file: np.save(file, np.array([{}], dtype=object), allow_pickle=True))
NUMBERS = saved(lambda file: np.save(file, np.zeros(3)))


@pytest.mark.parametrize(
    ("content", "holds"),
    [
        (PICKLE, True),
        (pickle.dumps(1, protocol=2), True),
        (OBJECTS, True),
        (saved(lambda file: np.savez(file, a=np.array([{}], dtype=object))), True),
        (zipped("archive/data.pkl", PICKLE), True),
        (gzip.compress(PICKLE), True),
        (bz2.compress(PICKLE), True),
        (tarred("data.pkl"), True),
        (NUMBERS, False),
        (saved(lambda file: np.savez(file, a=np.zeros(3))), False),
        (zipped("rows.jsonl", b"{}"), False),
        (gzip.compress(b"{}"), False),
        (b"\x1f\x8b damaged", False),
        (safetensors(), False),
        (b"{}", False),
        (b"", False),
    ],
)
def test_a_pickle_is_known_by_its_content(content: bytes, holds: bool, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(content)
    assert holds_pickle(tmp_path / "weights.safetensors") is holds


@pytest.mark.parametrize(
    "name", ["a.dill", "model.pth.tar", "a.npy", "a.NPZ", "x/weights.pkl.gz", "a.cloudpickle", "a.ckpt", "model.h5", "a.pt2", "a.joblib.xz"]
)
def test_a_name_of_a_pickle_is_refused_where_nothing_can_be_looked_at(name: str) -> None:
    assert named(name)
    with pytest.raises(BadInput, match="a pickle, which runs code"):
        refuse_pickles("s3://b/data", ["rows.jsonl", name])


def test_an_array_of_numbers_passes_where_it_can_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(NUMBERS)
    refuse_pickles(tmp_path, ["a.npy"])
    (tmp_path / "a.npy").write_bytes(OBJECTS)
    with pytest.raises(BadInput, match=r"a\.npy: a pickle"):
        refuse_pickles(tmp_path, ["a.npy"])


def model(folder: Path, **files: str | bytes) -> Path:
    """A model's folder, with these files; `__` in a name is a dot."""
    folder.mkdir()
    plain: dict[str, str | bytes] = {"config__json": CONFIG, "tokenizer__json": "{}", "model__safetensors": safetensors()}
    for name, content in (plain | files).items():
        (folder / name.replace("__", ".")).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def index(name: object) -> str:
    return json.dumps({"weight_map": {"w": name}})


LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
FAULTS: list[tuple[dict[str, str | bytes], str]] = [
    ({"model__safetensors": PICKLE}, r"model\.safetensors: a pickle"),
    ({"model__safetensors": zipped("archive/data.pkl", PICKLE)}, r"model\.safetensors: a pickle"),
    ({"model__safetensors": b"version https://git-lfs.github.com/spec/v1\n"}, "a Git LFS pointer"),
    ({"model__safetensors": safetensors()[:-1]}, "the size in its header differs"),
    ({"model__safetensors": b"(lp0\n."}, "no safetensors file"),
    ({"model__safetensors__index__json": index("../../other/model.safetensors")}, "is a path outside of the model's folder"),
    ({"model__safetensors__index__json": index("/etc/passwd")}, "is a path outside of the model's folder"),
    ({"model__safetensors__index__json": index("pytorch_model.bin")}, "is no safetensors file"),
    ({"model__safetensors__index__json": index("gone.safetensors")}, "'gone.safetensors' is not there"),
    ({"model__safetensors__index__json": "[1]"}, "not an object"),
    ({"adapter_config__json": '{"base_model_name_or_path": "org/of-the-hub"}'}, "an adapter on 'org/of-the-hub'"),
]


@pytest.mark.parametrize(("files", "problem"), FAULTS)
@pytest.mark.parametrize("entry", [check_model, lambda folder: launch_of(folder, settings(), 1), lambda folder: load(str(folder))])
def test_a_model_that_must_not_be_loaded_is_refused_for_serving_and_reading(
    entry: Callable[[Path], object], files: dict[str, str | bytes], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=problem) as raised:
        entry(model(tmp_path / "model", **files))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("files", "problem"), FAULTS)
def test_and_for_training(files: dict[str, str | bytes], problem: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=problem):
        check_base(Base(model=str(model(tmp_path / "model", **files)), revision="", remote_code=False))


def test_an_adapter_on_a_pickled_base_is_refused(tmp_path: Path) -> None:
    base = model(tmp_path / "base", pytorch_model__bin=PICKLE)
    (base / "model.safetensors").unlink()
    adapter = model(tmp_path / "adapter", adapter_config__json=json.dumps({"base_model_name_or_path": str(base)}))
    with pytest.raises(BadInput, match=r"the base of this adapter is refused: .*pytorch_model\.bin: a pickle"):
        check_model(adapter)
    good = model(tmp_path / "good")
    check_model(model(tmp_path / "other", adapter_config__json=json.dumps({"base_model_name_or_path": str(good)})))


@pytest.mark.integration
def test_a_hostile_chat_template_is_refused_before_a_server_is_started(tmp_path: Path) -> None:
    written = model(tmp_path / "one", chat_template__jinja=LOOP)
    with pytest.raises(BadInput, match=r"chat_template\.jinja: its chat template is refused: a short conversation takes more than"):
        launch_of(written, settings(), 1)
    with pytest.raises(BadInput, match=r"chat_template\.jinja: its chat template is refused"):
        load(str(written))
    inside = model(tmp_path / "two", tokenizer_config__json=json.dumps({"chat_template": "{{ ''.__class__ }}"}))
    with pytest.raises(BadInput, match=r"tokenizer_config\.json: its chat template is refused: it reaches for the attribute __class__"):
        launch_of(inside, settings(), 1)


def test_a_pickle_beside_safetensors_is_no_matter_where_safetensors_alone_are_read(tmp_path: Path) -> None:
    both = model(tmp_path / "model", pytorch_model__bin=PICKLE)
    check_base(Base(model=str(both), revision="", remote_code=False))
    with pytest.raises(BadInput, match=r"pytorch_model\.bin: a pickle"):
        check_model(both)
