"""Load the weights that a training begins with, and merge an adapter into them at its end.

A base model's weights are read from safetensors only; a tiny Llama's weights are drawn from the seed. With bf16, trained weights are
stored in float32 and computed in bf16, because bf16's eight bits lose an update of one part in 100,000. DeepSpeed keeps its own float32
copies.
"""

import os
from typing import TYPE_CHECKING

from tasks.models.local import located
from tasks.schema.params import Adapter, Tiny
from tasks.schema.standins import MARK
from tasks.training.job import TrainingJob
from tasks.training.packing import lengths_of

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase


def load(job: TrainingJob, tokenizer: "PreTrainedTokenizerBase", *, tiny: Tiny) -> "PreTrainedModel":
    """A causal language model for a TRL trainer, tiny or pretrained; quantized if the adapter has 4 bits."""
    from transformers import set_seed

    set_seed(job.seed)
    if job.base.model == "tiny":
        return _tiny(tiny, tokenizer, attention=attention(job), positions=_positions(job)).to(_dtype(job))
    return pretrained(job)


def pretrained(job: TrainingJob) -> "PreTrainedModel":
    """The base model for a TRL trainer; quantized if the adapter has 4 bits."""
    model = _pretrained(job, dtype=_dtype(job), quantization_config=_quantization(job.optimization.adapter))
    if job.where.liger:
        _use_liger(model)
    return model


def lora(adapter: Adapter | None) -> "LoraConfig | None":
    """PEFT's config of the adapter; None if all weights are trained."""
    from peft import LoraConfig

    if adapter is None:
        return None
    return LoraConfig(
        r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def merged(job: TrainingJob, model: "PeftModel") -> "PreTrainedModel":
    """The base model with the adapter merged into its weights: a checkpoint like any other for transformers, vLLM and the registry.

    An adapter is not merged into quantized weights: the base model is loaded again, in bf16, on the CPU.
    """
    import torch
    from peft import PeftModel

    assert job.optimization.adapter
    if job.optimization.adapter.bits == 16:
        return model.merge_and_unload()
    model.save_pretrained(job.scratch / "adapter")
    base = _pretrained(job, dtype=torch.bfloat16)
    return PeftModel.from_pretrained(base, job.scratch / "adapter").merge_and_unload()


def _pretrained(job: TrainingJob, **kwargs: object) -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM

    base = located(job.base)
    return AutoModelForCausalLM.from_pretrained(
        base.model,
        revision=base.revision or None,
        use_safetensors=True,
        trust_remote_code=base.remote_code,
        attn_implementation=attention(job),
        **kwargs,
    )


def _dtype(job: TrainingJob) -> "torch.dtype":
    import torch

    kept_by_deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    half = job.optimization.precision == "bf16" and (kept_by_deepspeed or job.optimization.adapter is not None)
    return torch.bfloat16 if half else torch.float32


def _quantization(adapter: Adapter | None) -> "BitsAndBytesConfig | None":
    import torch
    from transformers import BitsAndBytesConfig

    if adapter is None or adapter.bits == 16:
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )


def _use_liger(model: "PreTrainedModel") -> None:
    """Use Liger's kernels for norms, rotations and the feed-forward, if a GPU and Liger are there. The loss stays TRL's fused loss."""
    import torch
    from transformers.utils import is_liger_kernel_available

    if torch.cuda.is_available() and is_liger_kernel_available():
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=model, fused_linear_cross_entropy=False, cross_entropy=False)


def _positions(job: TrainingJob) -> int:
    """Positions for answers four times as long as the longest training sample, so that the position table does not limit them."""
    lengths, _ = lengths_of(job.rows)
    return max(2048, 4 * int(lengths.max()))


def _tiny(tiny: Tiny, tokenizer: "PreTrainedTokenizerBase", *, attention: str, positions: int) -> "PreTrainedModel":
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
        attn_implementation=attention,
        **{MARK: True},  # marks config.json of a stand-in, which is no real language model
    )
    return LlamaForCausalLM(config)


def attention(job: TrainingJob) -> str:
    """The attention implementation. Each of them separates packed samples by their restarted positions."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    if job.where.attention != "auto":
        return job.where.attention
    return "flash_attention_2" if torch.cuda.is_available() and is_flash_attn_2_available() else "sdpa"
