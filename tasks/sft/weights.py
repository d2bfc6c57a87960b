"""The weights that a training begins with: the base model's, from safetensors only, or those of a tiny Llama drawn from the seed."""

from typing import Any

from tasks.schema.params import Tiny
from tasks.sft.job import Job
from tasks.sft.packing import lengths_of


def load(job: Job, tokenizer: Any, *, tiny: Tiny) -> Any:
    """A causal language model in the optimization's precision, ready for a TRL trainer."""
    from transformers import set_seed

    set_seed(job.seed)
    return _tiny(tiny, tokenizer, positions=_positions(job)).to(_precision(job)) if job.base.model == "tiny" else pretrained(job)


def pretrained(job: Job) -> Any:
    """The base model's weights in the optimization's precision."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        job.base.model,
        revision=job.base.revision or None,
        dtype=_precision(job),
        use_safetensors=True,
        trust_remote_code=job.base.remote_code,
        attn_implementation=_attention(job),
    )


def _precision(job: Job) -> Any:
    import torch

    return torch.bfloat16 if job.optimization.precision == "bf16" else torch.float32


def _positions(job: Job) -> int:
    """Room for answers four times as long as the longest training sample: how long it writes is not to end at the position table."""
    lengths, _ = lengths_of(job.rows)
    return max(2048, 4 * int(lengths.max()))


def _tiny(tiny: Tiny, tokenizer: Any, *, positions: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=tiny.width,
        intermediate_size=2 * tiny.width,
        num_hidden_layers=tiny.layers,
        num_attention_heads=tiny.heads,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def _attention(job: Job) -> str:
    """Packs need an attention that knows where a sample ends: all of these read it from the restarted positions."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    if job.where.attention != "auto":
        return job.where.attention
    return "flash_attention_2" if torch.cuda.is_available() and is_flash_attn_2_available() else "sdpa"
