"""A checkpoint becomes a GGUF file with the same weights and tokens, or is refused with a reason."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from tasks import store
from tasks.models.gguf import convert
from tasks.models.to_gguf import WeightType, check_weights, why_not, write_gguf
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


@pytest.mark.parametrize("weights", ["f16", "q8_0"])
def test_the_weights_of_an_export_are_those_of_the_checkpoint(checkpoint: Path, tmp_path: Path, weights: WeightType) -> None:
    write_gguf(checkpoint, tmp_path / "out.gguf", weights=weights)
    check_weights(checkpoint, tmp_path / "out.gguf", weights=weights)
    if weights == "q8_0":
        with pytest.raises(BadInput, match=r"its weights are not those of .*: they differ by .*%; fix: export the version again"):
            check_weights(checkpoint, tmp_path / "out.gguf", weights="f16")


def test_another_models_weights_or_a_missing_tensor_are_found(checkpoint: Path, tmp_path: Path) -> None:
    gguf_files.write_gguf(tmp_path / "other.gguf", seed=1)
    with pytest.raises(BadInput, match=r"other.gguf: token_embd.weight: its weights are not those of model.embed_tokens.weight"):
        check_weights(checkpoint, tmp_path / "other.gguf", weights="f16")
    writer = gguf.GGUFWriter(tmp_path / "empty.gguf", "llama")
    writer.add_tensor("token_embd.weight", np.zeros((2, 2), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(BadInput, match="missing, or of another shape"):
        check_weights(checkpoint, tmp_path / "empty.gguf", weights="f16")
