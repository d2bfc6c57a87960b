"""pack: samples become tokens with answer-only targets, packed to the context (paper, section 4: batches of full packs).

Two sets: the student's, and the control's, whose outputs are at most `control_cap` of the longest: the same student trained on
it shows what the paper claims, that the ceiling of what a model writes is that of its training data. Tokenizing is the cost.
"""

from pathlib import Path

from tasks import progress, stage, store
from tasks.corpus.dataset import read_dataset
from tasks.schema.params import Base, Pack
from tasks.schema.records import Reason, Reject, Sample
from tasks.sft.packing import write_packs
from tasks.sft.tokenizer import Tokens, load_tokenizer, tokenize, train_tokenizer


def run(dataset: Path, passed: Path, out: Path, *, base: Base, pack: Pack) -> stage.Metrics:
    """`passed` is not read: it stands for the data contract that has to have passed."""
    samples = list(read_dataset(dataset))
    texts = [message.content for sample in samples for message in sample.messages]
    tokenizer = train_tokenizer(texts, vocabulary=pack.vocabulary) if base.model == "tiny" else load_tokenizer(base)
    tokenized = [tokenize(sample.messages, tokenizer) for sample in progress.track(samples, unit="sample", label="tokenize")]
    kept = [pair for pair in zip(samples, tokenized, strict=True) if len(pair[1].input_ids) <= pack.context]
    rejects = [_too_long(s, t, pack.context) for s, t in zip(samples, tokenized, strict=True) if len(t.input_ids) > pack.context]
    stage.check_reject_rate(rejects, of=len(samples), at_most=pack.max_rejects)
    tokenizer.save_pretrained(out / "tokenizer")
    store.write(out / "rejects.jsonl", rejects)
    student = write_packs([tokens for _, tokens in kept], out / "packs" / "student", context=pack.context)
    metrics = {"samples": len(samples), "rejects": len(rejects), **{f"student_{name}": value for name, value in student._asdict().items()}}
    if pack.control_cap:
        cap = pack.control_cap * max(sample.written_words for sample, _ in kept)
        short = [tokens for sample, tokens in kept if sample.written_words <= cap]
        control = write_packs(short, out / "packs" / "control", context=pack.context)
        metrics |= {"control_cap_words": cap, **{f"control_{name}": value for name, value in control._asdict().items()}}
    return metrics


def _too_long(sample: Sample, tokens: Tokens, context: int) -> Reject:
    detail = f"{len(tokens.input_ids)} tokens, the context has {context}"
    return Reject(id=sample.id, stage="pack", reason=Reason.TOO_LONG, detail=detail, source=sample.source)


if __name__ == "__main__":
    stage.main(run)
