"""align: DPO of the SFT student on preference pairs (paper, section 4.3), launched and watched as in train.

The reference model is the SFT student. The cost is pairs × their tokens, for two forward passes and one backward pass. A pair that
exceeds the context is a Reject and is never truncated. Without pairs the folder of checkpoints stays empty, and the SFT student is the
candidate model.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from tasks import progress, stage, store
from tasks.schema.errors import BadSettings
from tasks.schema.params import Align, Base
from tasks.schema.records import Pair, Reason, Reject
from tasks.schema.settings import settings
from tasks.training.job import Dpo, TrainingStep
from tasks.training.launch import plan
from tasks.training.live_training import train_live
from tasks.training.pair_tokens import Encoded, PairEncoder
from tasks.training.preflight import check_base, check_jobs
from tasks.training.row_order import steps_of
from tasks.training.tokenizer import tokenizer_of
from tasks.training.traced import Unrenderable

STUDENT, ALIGNED = "student", "aligned"
CLOSING = 0.1  # share of steps at the end that the metrics average


def run(pairs: Path, checkpoints: Path, out: Path, *, seed: int, align: Align) -> stage.Metrics:
    (out / "checkpoints").mkdir()
    count = store.count(pairs)
    kept, rejects = stage.split(list(_encoded(pairs, count, checkpoints / STUDENT, align.context)) if count else [])
    stage.check_reject_rate(rejects, of=count, at_most=align.max_rejects)
    store.write(out / "history.jsonl", ())  # stays empty without a training
    history = _trained(kept, checkpoints / STUDENT, out, seed=seed, align=align) if kept else []
    store.write(out / "rejects.jsonl", rejects)
    return {"pairs": len(kept), "rejects": len(rejects), "steps": len(history), **_closing(history)}


def _encoded(pairs: Path, count: int, student: Path, context: int) -> Iterator[tuple[str, Encoded] | Reject]:
    """(id, tokens) of every pair; a Reject for a pair over `context` tokens, or one that the chat template refuses."""
    encoder = PairEncoder(tokenizer_of(student))
    for pair in progress.track(store.read(pairs, Pair), unit="pair", label="tokenize", total=count):
        try:
            encoded = encoder.encode(pair)
        except Unrenderable as error:
            yield _reject(pair, Reason.UNRENDERABLE, str(error))
            continue
        if encoded.longest <= context:
            yield pair.id, encoded
        else:
            yield _reject(pair, Reason.TOO_LONG, f"{encoded.longest} tokens with the request, the context has {context}")


def _reject(pair: Pair, reason: Reason, detail: str) -> Reject:
    return Reject(id=pair.id, stage="align", reason=reason, detail=detail, source=pair.source or pair.id)


def _trained(pairs: Sequence[tuple[str, Encoded]], student: Path, out: Path, *, seed: int, align: Align) -> list[TrainingStep]:
    """Train the aligned student into out/checkpoints; returns the steps. Raises BadSettings if sequence parallelism is set."""
    if settings().sequence_parallel > 1:
        raise BadSettings("LONGWRITER_SEQUENCE_PARALLEL: TRL's DPOTrainer does not split sequences; unset it for this stage")
    steps = steps_of(len(pairs), epochs=align.epochs, global_batch=align.global_batch)
    print(f"aligning the student for {steps} steps on {len(pairs)} pairs", flush=True)
    base = Base(model=str(student), revision="", remote_code=False)
    check_base(base)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        rows = Path(scratch) / "pairs"
        write_rows(pairs, rows)
        job = plan(
            ALIGNED,
            Dpo(loss=align.loss, beta=align.beta, sft_weight=align.sft_weight, reference=store.folder_digest(student)),
            rows=rows,
            tokenizer=student,
            out=out / "checkpoints" / ALIGNED,
            base=base,
            optimization=align,
            seed=seed,
            steps=steps,
            settings=settings(),
        )
        check_jobs([job], settings(), context=max(encoded.longest for _, encoded in pairs), vocabulary=0)
        about = {"steps": steps, "pairs": len(pairs), "beta": align.beta, "learning_rate": align.learning_rate}
        (trained,) = train_live("align", [job], about, out / "history.jsonl")
    return trained.history


def write_rows(pairs: Sequence[tuple[str, Encoded]], folder: Path) -> None:
    """Write the pairs as an Arrow dataset with deterministic bytes, because their digest identifies a killed training."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    Dataset.from_list([{"ids": [identity], **encoded._asdict()} for identity, encoded in pairs]).save_to_disk(str(folder))


def _closing(history: Sequence[TrainingStep]) -> dict[str, float]:
    """Mean loss, margin and accuracy over the last steps, because one step covers only a few pairs."""
    last = history[-max(1, round(CLOSING * len(history))) :] if history else []
    return {name: fmean(point.model_dump()[name] for point in last) for name in ("loss", "margin", "accuracy")} if last else {}


if __name__ == "__main__":
    stage.main("PAIRS CHECKPOINTS OUT", lambda params: partial(run, seed=params.seed, align=params.align))
