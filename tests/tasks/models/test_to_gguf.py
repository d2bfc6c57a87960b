"""A checkpoint becomes a GGUF file with the same weights and tokens, or is refused with a reason."""

from pathlib import Path

import numpy as np
import pytest

from tasks import store
from tasks.models.gguf import convert
from tasks.models.to_gguf import why_not, write_gguf
from tasks.schema.errors import BadInput
from tests.tasks.models import gguf_files


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("there")
    gguf_files.write_gguf(folder / "tiny.gguf")
    convert(folder / "tiny.gguf", folder / "out")
    return folder / "out"


def test_there_and_back_the_weights_tokens_and_template_are_the_same(checkpoint: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write_gguf(checkpoint, tmp_path / "again.gguf")
    convert(tmp_path / "again.gguf", tmp_path / "again")
    before, after = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (checkpoint, tmp_path / "again"))
    assert set(before) == set(after)
    for name, values in before.items():
        np.testing.assert_allclose(after[name].numpy(), values.numpy(), rtol=1e-3, atol=1e-3)
    ours, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (checkpoint, tmp_path / "again"))
    assert ours("the 12 cafés")["input_ids"] == theirs("the 12 cafés")["input_ids"]
    assert (ours.chat_template, ours.eos_token) == (theirs.chat_template, theirs.eos_token)


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("config.json", {"architectures": ["Qwen2ForCausalLM"]}, "its architecture is"),
        ("config.json", {"attention_bias": True}, "its layers have biases"),
        ("config.json", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1.0}}, "its positions are scaled"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, "how its tokenizer splits a text"),
        ("tokenizer.json", {"normalizer": {"type": "NFC"}}, "how its tokenizer splits a text"),
    ],
)
def test_what_would_not_be_the_same_model_is_refused(
    checkpoint: Path, tmp_path: Path, file: str, change: dict[str, object], problem: str
) -> None:
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    store.write_json(tmp_path / file, {**gguf_files.read(tmp_path / file), **change})
    assert problem in (why_not(tmp_path) or "")
    with pytest.raises(BadInput, match=r"cannot be written as GGUF.*fix: serve it with"):
        write_gguf(tmp_path, tmp_path / "out.gguf")
