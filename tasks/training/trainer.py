"""One training, as each of its processes: `python -m tasks.training.trainer JOB.json`, started by launch.

The job's method builds the trainer (tasks.training.supervised for SFT, tasks.training.preference for DPO); resuming, watching, checkpoints
and what is saved at the end are the same for all. Modules that need torch at import are imported here only, in the process that trains.
"""

import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import store
from tasks.processes import die_with_parent
from tasks.schema.errors import PipelineError
from tasks.stage import fail
from tasks.training.job import ERROR, MACHINE, RESOLVED, Job

if TYPE_CHECKING:
    from tasks.training.watch import Watched


def train(job: Job) -> None:
    for name in ("trl", "bitsandbytes"):  # of one row per device, where rows are whole packs; of kernels on a hub, at import
        logging.getLogger(name).setLevel(logging.ERROR)
    import torch
    from transformers import AutoTokenizer, PrinterCallback
    from transformers.utils.logging import disable_progress_bar

    for outdated in (".*is_gradient_checkpointing", r"`torch\.distributed\."):  # in TRL's and DeepSpeed's code, for nobody here to correct
        warnings.filterwarnings("ignore", outdated, FutureWarning)
    disable_progress_bar()  # one for every checkpoint's one file
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it found no other
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        load_data_only()
    torch.set_num_threads(job.where.threads)
    tokenizer = AutoTokenizer.from_pretrained(job.tokenizer)
    trainer = _build(job, tokenizer)
    trainer.remove_callback(PrinterCallback)  # the history has what it would print
    if trainer.is_world_process_zero():
        store.write_json(job.scratch / RESOLVED, trainer.resolved())
        store.write_json(job.scratch / MACHINE, trainer.machine())
    trainer.train(resume_from_checkpoint=str(job.resume) if job.resume else None)
    _save(job, trainer)
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()  # a process that exits with its group open is now and then aborted in one of gloo's threads


def load_data_only() -> None:
    """From here on no checkpoint runs code when it is read. DeepSpeed asks torch for whole pickles of its shards; torch is told to take
    tensors, plain values and the four classes that DeepSpeed keeps in them, whatever it is asked for."""
    import torch
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals([ZeroStageEnum, LossScaler, DynamicLossScaler, fragment_address])


def _build(job: Job, tokenizer: Any) -> "Watched":
    """The trainer of the job's method."""
    if job.method.kind == "dpo":
        from tasks.training.preference import build as build_preferred

        return build_preferred(job, tokenizer)
    from tasks.training.supervised import build

    return build(job, tokenizer)


def _save(job: Job, trainer: "Watched") -> None:
    """The trained model as transformers and vLLM load it: safetensors, tokenizer, chat template; no pickle."""
    trainer.model.generation_config.do_sample = True  # without it `transformers serve` decodes greedily, whatever temperature is asked for
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


def _in_its_precision(job: Job, trainer: "Watched") -> None:
    """Weights that were trained in float32 for bf16's sake are saved as what they are computed with."""
    import torch

    if job.optimization.precision == "bf16" and not trainer.is_deepspeed_enabled:
        trainer.model.to(torch.bfloat16)


def main() -> None:
    die_with_parent(signal.SIGKILL)  # it has nothing to put away: what is sealed is whole, what is not is none
    job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
    try:
        train(job)
    except PipelineError as error:
        (job.scratch / ERROR).write_text(str(error), encoding="utf-8")
        fail(str(error), code=error.exit_code)


if __name__ == "__main__":
    main()
