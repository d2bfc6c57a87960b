"""Packed samples never attend to each other: a sample has the same logits in a pack as alone."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import is_flash_attn_2_available
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from tasks.training.packing import read_packs
from tests.tasks.training.packs import answers, encoded, write

FLASH = torch.cuda.is_available() and is_flash_attn_2_available()
ON_GPU = pytest.param("flash_attention_2", marks=[pytest.mark.gpu, pytest.mark.skipif(not FLASH, reason="no GPU with flash attention")])
COMPILED = pytest.param("flex_attention", marks=pytest.mark.slow)  # compiles its kernel: minutes on a CPU


@pytest.mark.parametrize("attention", ["eager", "sdpa", COMPILED, ON_GPU])
def test_a_packed_sample_gets_the_logits_it_gets_alone(tmp_path: Path, attention: str) -> None:
    write(encoded(answers(12))[1], tmp_path / "packs", context=128)
    pack = max(read_packs(tmp_path / "packs"), key=lambda row: len(row["seq_lengths"]))
    assert len(pack["seq_lengths"]) > 1
    device, dtype, near = ("cuda", torch.bfloat16, 2e-2) if attention == "flash_attention_2" else ("cpu", torch.float32, 1e-5)
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([pack])
    inputs = {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items() if name != "labels"}
    model = tiny(attention).to(device, dtype).eval()
    with torch.no_grad():
        together, start = model(**inputs, use_cache=False).logits[0], 0
        for length in pack["seq_lengths"]:
            span = slice(start, start + length)
            alone = model(input_ids=inputs["input_ids"][:, span], use_cache=False).logits[0]
            assert (together[span] - alone).abs().max() <= near
            start += length
        blind = model(input_ids=inputs["input_ids"], use_cache=False).logits[0]
    assert (blind - together).abs().max() > 1e-3, "without restarted positions they would attend to each other"


def tiny(attention: str) -> LlamaForCausalLM:
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=512, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    config._attn_implementation = attention
    return LlamaForCausalLM(config)
