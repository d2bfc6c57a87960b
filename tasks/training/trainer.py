"""Run one process of a training: `python -m tasks.training.trainer JOB.json`, started by tasks.training.launch.

The job's method builds the trainer (tasks.training.supervised for SFT, tasks.training.preference for DPO, tasks.training.reinforced
for GRPO). All methods share resuming, watching, checkpoints and saving. Only the training process imports modules that import torch.
"""

import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import store
from tasks.processes import die_with_parent
from tasks.schema.errors import PipelineError
from tasks.stage import fail
from tasks.training.job import ERROR, MACHINE, RESOLVED, TrainingJob

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.training.watch import Watched


def train(job: TrainingJob) -> None:
    for name in ("trl", "bitsandbytes"):  # they warn of one row per device, and at import of kernels on a hub
        logging.getLogger(name).setLevel(logging.ERROR)
    import torch
    from transformers import AutoTokenizer, PrinterCallback
    from transformers.utils.logging import disable_progress_bar

    for outdated in (".*is_gradient_checkpointing", r"`torch\.distributed\."):  # warnings about TRL's and DeepSpeed's own code
        warnings.filterwarnings("ignore", outdated, FutureWarning)
    disable_progress_bar()  # it would draw a bar for each saved file
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # otherwise DeepSpeed warns that it found no accelerator
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        load_data_only()
    torch.set_num_threads(job.where.threads)
    tokenizer = AutoTokenizer.from_pretrained(job.tokenizer)
    trainer = _build(job, tokenizer)
    trainer.remove_callback(PrinterCallback)  # the history contains the same numbers
    if trainer.is_world_process_zero():
        store.write_json(job.scratch / RESOLVED, trainer.resolved())
        store.write_json(job.scratch / MACHINE, trainer.machine())
    trainer.train(resume_from_checkpoint=str(job.resume) if job.resume else None)
    _save(job, trainer)
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()  # without it, a gloo thread sometimes aborts the process at exit


def load_data_only() -> None:
    """Forbid torch to run code while it loads a checkpoint, for the rest of the process.

    DeepSpeed loads its shards as full pickles. After this call torch loads only tensors, plain values and four of DeepSpeed's classes.
    """
    import torch
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals([ZeroStageEnum, LossScaler, DynamicLossScaler, fragment_address])


def _build(job: TrainingJob, tokenizer: "PreTrainedTokenizerBase") -> "Watched":
    """The trainer of the job's method."""
    if job.method.kind == "dpo":
        from tasks.training.preference import build as build_preferred

        return build_preferred(job, tokenizer)
    if job.method.kind == "grpo":
        from tasks.training.reinforced import build as build_reinforced

        return build_reinforced(job, tokenizer)
    from tasks.training.supervised import build

    return build(job, tokenizer)


def _save(job: TrainingJob, trainer: "Watched") -> None:
    """Save the trained model for transformers and vLLM: safetensors, tokenizer and chat template, no pickle."""
    trainer.model.generation_config.do_sample = True  # otherwise `transformers serve` ignores the temperature and decodes greedily
    if job.optimization.adapter is None:
        _in_its_precision(job, trainer)
        trainer.save_model(str(job.out))
    elif trainer.is_world_process_zero():
        from tasks.training.weights import merged

        whole = merged(job, trainer.accelerator.unwrap_model(trainer.model))
        whole.generation_config.do_sample = True
        whole.save_pretrained(job.out)
        trainer.processing_class.save_pretrained(job.out)
    if trainer.is_world_process_zero():
        (job.out / "training_args.bin").unlink(missing_ok=True)  # a pickle


def _in_its_precision(job: TrainingJob, trainer: "Watched") -> None:
    """Convert weights to bf16 if they were computed in bf16 and updated in float32."""
    import torch

    if job.optimization.precision == "bf16" and not trainer.is_deepspeed_enabled:
        trainer.model.to(torch.bfloat16)


def main() -> None:
    die_with_parent(signal.SIGKILL)  # SIGKILL is safe: only sealed checkpoints are used
    job = TrainingJob.model_validate_json(Path(sys.argv[1]).read_bytes())
    try:
        train(job)
    except PipelineError as error:
        (job.scratch / ERROR).write_text(str(error), encoding="utf-8")
        fail(str(error), code=error.exit_code)
    if job.where.world > 1:
        # Everything is saved, on all processes. At a usual exit a thread of gloo sometimes aborts a process, and the launcher calls the
        # training failed ("terminate called without an active exception").
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
