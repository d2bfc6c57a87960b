"""One training, as the process that accelerate launches: `python -m tasks.sft.trainer JOB.json`.

TRL's SFTTrainer over packed rows. Its loss is the mean over all target tokens of the global batch (the paper, section 4: sequence
means would under-weight long answers); packs are padding-free with restarted positions. It resumes from its newest checkpoint.
"""

import logging
import math
import sys
from pathlib import Path
from typing import Any

from tasks import progress, store
from tasks.schema.errors import PipelineError, TrainingFailed
from tasks.sft.job import ERROR, HISTORY, Job, Point
from tasks.stage import die_with_parent, fail

CHECKPOINTS = 4  # per training


def train(job: Job) -> None:
    import torch
    from datasets import load_from_disk
    from transformers import AutoTokenizer, PrinterCallback, set_seed
    from transformers.trainer_utils import get_last_checkpoint
    from transformers.utils.logging import disable_progress_bar
    from trl import SFTTrainer

    logging.getLogger("trl").setLevel(logging.ERROR)  # it warns of one row per device; rows are whole packs here
    disable_progress_bar()  # one for every checkpoint's one file
    torch.set_num_threads(job.threads)
    set_seed(job.seed)
    tokenizer = AutoTokenizer.from_pretrained(job.tokenizer)
    rows = load_from_disk(str(job.packs))
    callbacks = [_stop_on_nan(), *([_bar(job)] if job.bar else [])]
    trainer = SFTTrainer(
        model=_model(job, tokenizer), args=_arguments(job), train_dataset=rows, processing_class=tokenizer, callbacks=callbacks
    )
    trainer.remove_callback(PrinterCallback)  # the history has what it would print
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(job.scratch)))
    trainer.model.generation_config.do_sample = True  # without it `transformers serve` decodes greedily, whatever temperature is asked for
    trainer.save_model(str(job.out))
    if trainer.is_world_process_zero():
        (job.out / "training_args.bin").unlink(missing_ok=True)  # a pickle
        history = [entry for entry in trainer.state.log_history if "loss" in entry]
        store.write(job.scratch / HISTORY, [_point(job, entry) for entry in history])


def _model(job: Job, tokenizer: Any) -> Any:
    """The base model, its weights from safetensors only; or the tiny Llama, its weights drawn from the seed."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    dtype = torch.bfloat16 if job.train.precision == "bf16" else torch.float32
    if job.base.model != "tiny":
        return AutoModelForCausalLM.from_pretrained(
            job.base.model, revision=job.base.revision or None, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    tiny = job.train.tiny
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=tiny.width,
        intermediate_size=2 * tiny.width,
        num_hidden_layers=tiny.layers,
        num_attention_heads=tiny.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).to(dtype)


def _arguments(job: Job) -> Any:
    import torch
    from trl import SFTConfig

    train = job.train
    return SFTConfig(
        output_dir=str(job.scratch),
        max_steps=job.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=train.global_batch // job.processes,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.schedule,
        warmup_steps=round(train.warmup * job.steps),
        weight_decay=train.weight_decay,
        adam_beta1=train.betas[0],
        adam_beta2=train.betas[1],
        max_grad_norm=train.max_grad_norm,
        bf16=train.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=torch.cuda.is_available(),
        seed=job.seed,
        data_seed=job.seed,
        padding_free=True,
        max_length=None,  # packed rows are whole already; TRL's default of 1,024 would cut them
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_steps=max(1, job.steps // 100),
        logging_nan_inf_filter=False,  # the default logs a NaN as 0.0 and calls it a success
        include_num_input_tokens_seen="all",
        save_steps=max(1, math.ceil(job.steps / CHECKPOINTS)),
        save_total_limit=2,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
    )


def _stop_on_nan() -> Any:
    from transformers import TrainerCallback

    class StopOnNaN(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if not all(math.isfinite(float((logs or {}).get(name, 0.0))) for name in ("loss", "grad_norm")):
                raise TrainingFailed(
                    f"train: loss {(logs or {}).get('loss')} at step {state.global_step} is not finite; lower train.learning_rate"
                )

    return StopOnNaN()


def _bar(job: Job) -> Any:
    from transformers import TrainerCallback

    class Bar(TrainerCallback):
        """Steps done, their rate and the time left; the loss beside it."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar = progress.bar(total=state.max_steps, unit="step", label=f"train {job.name}" if state.is_world_process_zero else None)
            self.bar.update(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.update(state.global_step - self.bar.n)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                self.bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.close()

    return Bar()


def _point(job: Job, entry: dict[str, Any]) -> Point:
    named = {name: float(entry[name]) for name in ("epoch", "loss", "learning_rate", "grad_norm")}
    return Point(model=job.name, step=entry["step"], tokens_per_second=float(entry["train_tokens_per_second"]), **named)


def main() -> None:
    die_with_parent()
    job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
    try:
        train(job)
    except PipelineError as error:
        (job.scratch / ERROR).write_text(str(error))
        fail(str(error), code=error.exit_code)


if __name__ == "__main__":
    main()
