"""Translate a job into transformers' TrainingArguments. SFTConfig, DPOConfig and other TRL configs take the same arguments."""

import math

from tasks.training.job import TrainingJob
from tasks.training.weights import attention


def arguments(job: TrainingJob) -> dict[str, object]:
    """Keyword arguments of a TRL config. The trainer reads the rows once, in the order of tasks.training.row_order, without a shuffle."""
    import torch

    optimization, gpu = job.optimization, torch.cuda.is_available()
    return {
        "output_dir": str(job.scratch),
        "max_steps": job.steps,
        "per_device_train_batch_size": job.where.micro_batch,
        "gradient_accumulation_steps": job.accumulation,
        "train_sampling_strategy": "sequential",
        "learning_rate": optimization.learning_rate,
        "lr_scheduler_type": optimization.schedule,
        "warmup_steps": round(optimization.warmup * job.steps),
        "weight_decay": optimization.weight_decay,
        "adam_beta1": optimization.betas[0],
        "adam_beta2": optimization.betas[1],
        "max_grad_norm": optimization.max_grad_norm,
        "bf16": optimization.precision == "bf16",
        "use_cpu": not gpu,
        "activation_checkpointing": gpu,
        "seed": job.seed,
        "data_seed": job.seed,
        "max_length": None,  # TRL's default of 1,024 would cut the rows
        "remove_unused_columns": False,
        "logging_steps": 1,  # so that a loss that is not finite stops the training at its step
        "logging_nan_inf_filter": False,  # the default logs a NaN as 0.0
        "save_strategy": "steps" if job.where.checkpoints else "no",
        "save_steps": max(1, math.ceil(job.steps / max(1, job.where.checkpoints))),
        "save_total_limit": None,  # tasks.training.checkpoints removes old checkpoints after a newer one is sealed
        "dataloader_pin_memory": gpu,
        "ddp_find_unused_parameters": False,  # every parameter has a gradient in every step
        "parallelism_config": _shared(job),
        "ignore_data_skip": job.where.sequence_parallel > 1,
        "report_to": "none",
        "disable_tqdm": True,
    }


def _shared(job: TrainingJob) -> object:
    """accelerate's config of Ulysses sequence parallelism (groups of processes share each row); None without sequence parallelism."""
    if job.where.sequence_parallel == 1:
        return None
    from accelerate import ParallelismConfig
    from accelerate.utils import DeepSpeedSequenceParallelConfig

    handler = DeepSpeedSequenceParallelConfig(sp_seq_length_is_variable=True, sp_attn_implementation=attention(job))
    place = job.where
    return ParallelismConfig(sp_backend="deepspeed", sp_size=place.sequence_parallel, dp_shard_size=place.replicas, sp_handler=handler)
