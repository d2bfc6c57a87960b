"""Speculation from the prompt changes no greedy answer: token for token, by transformers' prompt lookup on a tiny model."""

from pathlib import Path

import pytest

from tests.tasks.model_files import random_llama


@pytest.mark.slow
def test_greedy_output_with_prompt_lookup_is_equal_token_for_token(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(random_llama(tmp_path / "tiny"), dtype=torch.float32).eval()
    size = min(64, model.config.vocab_size)
    for seed in range(4):
        prompt = torch.randint(3, size, (1, 24), generator=torch.Generator().manual_seed(seed))
        how = {"max_new_tokens": 96, "do_sample": False, "pad_token_id": 0}
        plain = model.generate(prompt, **how)
        looked_up = model.generate(prompt, prompt_lookup_num_tokens=5, **how)
        assert torch.equal(plain, looked_up)
