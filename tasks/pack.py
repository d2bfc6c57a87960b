"""pack: tokenize samples with answer-only targets, and pack them to the context length (paper, section 4: batches of full packs).

It makes two sets. The student's set contains long texts and general chats. The control's set contains only answers up to `control_cap`
times the longest one. The same model trained on it tests the paper's claim, that a model writes no longer than its training data.
`held_out` long texts are in neither set: train measures the loss on them.
A dataset with traces is trained on with its thoughts, in the tags of the base's own chat template if it has any (tasks/training/traced.py).
Tokenizing is the cost. Samples are streamed, so memory does not grow with the texts.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, compress
from pathlib import Path
from typing import NamedTuple

from tasks import progress, stage, store
from tasks.corpus.dataset import has_traces, read_dataset
from tasks.schema.errors import BadInput
from tasks.schema.params import Base, Pack
from tasks.schema.records import Reason, Reject, Sample
from tasks.text.traces import Tags
from tasks.training.conversations import Encoder, Tokens
from tasks.training.packing import HELD_OUT, Samples, write_held_out, write_packs
from tasks.training.preflight import check_base, check_vocabulary
from tasks.training.tokenizer import ChatTokenizer, load_tokenizer, texts_of, train_tokenizer
from tasks.training.traced import Unrenderable, conversation_of, tags_for

AT_ONCE = 256  # samples per batch


class FittingSamples(NamedTuple):
    """The samples that fit the context."""

    samples: Samples
    ids: list[str]  # of each sample, in the order of `samples`
    words: list[int]  # written words of each sample
    general: int  # number of general chats, which come last


def run(dataset: Path, general: Path, passed: Path, out: Path, *, base: Base, pack: Pack) -> stage.Metrics:
    """`passed` is not read: it is a dependency, so that the data contract must pass first."""
    chat = tokenizer_for(chain(read_dataset(dataset), read_dataset(general)), base=base, pack=pack)
    chat.save(out / "tokenizer")
    traced = has_traces(dataset)
    encoder = Encoder(chat.tokenizer, _tags(chat, base)) if traced else Encoder(chat.tokenizer)
    rejects, scratch = list[Reject](), out / ".samples.arrow"
    both = [(False, read_dataset(dataset)), (True, read_dataset(general))]  # long texts first, then general chats
    rows = ((chat, sample) for chat, samples in both for sample in samples)
    kept = tokenize(rows, encoder, Samples(scratch), rejects, context=pack.context)
    total = len(kept.words) + len(rejects)
    stage.check_reject_rate(rejects, of=total, at_most=pack.max_rejects)
    if not kept.words:
        problem, fix = _nothing_left(rejects, context=pack.context)
        raise BadInput(dataset, problem, fix=fix)
    store.write(out / "rejects.jsonl", rejects)
    reader = kept.samples.close()
    held_out = set(_held_out(kept, pack.held_out, dataset))
    trained = [place for place in range(len(kept.words)) if place not in held_out]
    student = write_packs(kept.samples, reader, trained, out / "packs" / "student", context=pack.context)
    if held_out:
        write_held_out(reader, sorted(held_out), out / "packs" / HELD_OUT)
    metrics = {"samples": total, "rejects": len(rejects), "general": kept.general, "held_out": len(held_out), **_named("student", student)}
    if traced:
        metrics["longest_answer"] = max(kept.samples.targets)  # tokens, thoughts included: models.candidate.max_tokens must allow for them
    if pack.control_cap:
        cap = pack.control_cap * max(kept.words)
        short = [place for place in trained if kept.words[place] <= cap]
        control = write_packs(kept.samples, reader, short, out / "packs" / "control", context=pack.context)
        metrics |= {"control_cap_words": cap, **_named("control", control)}
    scratch.unlink()
    return metrics


def _tags(chat: ChatTokenizer, base: Base) -> Tags:
    """The tags of the thoughts. Prints a line if they are not those of the base's own chat template."""
    chosen = tags_for(chat.tokenizer, chat.kept, model=base.model)
    if chosen.note:
        print(chosen.note, flush=True)
    return chosen.tags


def _held_out(kept: FittingSamples, count: int, dataset: Path) -> list[int]:
    """The `count` long texts with the smallest digests of their ids: the same texts in any order of the rows."""
    texts = range(len(kept.ids) - kept.general)
    if count and count >= len(texts):
        problem = f"pack.held_out is {count}, and only {len(texts)} long texts fit the context: none would be left to train on"
        raise BadInput(dataset, problem, fix="lower pack.held_out")
    return sorted(texts, key=lambda place: hashlib.sha256(kept.ids[place].encode()).digest())[:count]


def _nothing_left(rejects: Sequence[Reject], *, context: int) -> tuple[str, str]:
    """(problem, fix) if no sample is left to pack."""
    if not rejects:
        return "no samples in it", "run the stages before it on a source that has rows"
    if all(reject.reason is Reason.TOO_LONG for reject in rejects):
        return f"every sample is longer than {context} tokens, {len(rejects)} in all", "raise pack.context"
    return (
        f"every sample is rejected, {len(rejects)} in all, such as {rejects[0].id}: {rejects[0].detail}",
        "name a template in base.chat_template",
    )


def tokenizer_for(samples: Iterable[Sample], *, base: Base, pack: Pack) -> ChatTokenizer:
    """The base model's tokenizer; for `tiny` a new one trained on these samples. Raises BadInput for an unsafe or unfit base model."""
    if base.model != "tiny":
        check_base(base)
        chat = load_tokenizer(base)
        check_vocabulary(base, len(chat.tokenizer))
        return chat
    tokenizer = train_tokenizer(texts_of(samples), vocabulary=pack.vocabulary)
    return ChatTokenizer(tokenizer, tokenizer.chat_template)


def tokenize(
    rows: Iterable[tuple[bool, Sample]], encoder: Encoder, samples: Samples, rejects: list[Reject], *, context: int
) -> FittingSamples:
    """Tokenize rows of (is a general chat, sample) into `samples`. Samples that do not fit go to `rejects`.

    Those are samples over `context` tokens, not renderable, or with a trace that does not give back its answer.
    """
    ids, words, chats = list[str](), list[int](), 0
    for read in store.batched(progress.track(rows, unit="sample", label="tokenize"), AT_ONCE):
        readable = [sample.trace is None or encoder.strips(sample.trace, sample.messages) for _, sample in read]
        rejects += [_unreadable(sample) for (_, sample), good in zip(read, readable, strict=True) if not good]
        batch = list(compress(read, readable))
        encoded = encoder.try_encode([conversation_of(sample.messages, sample.trace) for _, sample in batch])
        rejects += [_unrenderable(sample, row) for (_, sample), row in zip(batch, encoded, strict=True) if isinstance(row, Unrenderable)]
        rows_of = [(chat, sample, row) for (chat, sample), row in zip(batch, encoded, strict=True) if not isinstance(row, Unrenderable)]
        together = [((chat, sample), row, len(row.input_ids) <= context) for chat, sample, row in rows_of]
        rejects += [_too_long(sample, row, context) for (_, sample), row, fit in together if not fit]
        kept = [(chat, sample, row) for (chat, sample), row, fit in together if fit]
        samples.add([sample.id for _, sample, _ in kept], [row for *_, row in kept])
        ids += [sample.id for _, sample, _ in kept]
        words += [sample.written_words for _, sample, _ in kept]
        chats += sum(chat for chat, *_ in kept)
    return FittingSamples(samples, ids, words, chats)


def _named(name: str, packed: NamedTuple) -> dict[str, float]:
    return {f"{name}_{key}": value for key, value in packed._asdict().items()}


def _too_long(sample: Sample, tokens: Tokens, context: int) -> Reject:
    detail = f"{len(tokens.input_ids)} tokens, the context has {context}"
    return Reject(id=sample.id, stage="pack", reason=Reason.TOO_LONG, detail=detail, source=sample.source)


def _unreadable(sample: Sample) -> Reject:
    detail = "without its thoughts the trace is not the answer in messages"
    return Reject(id=sample.id, stage="pack", reason=Reason.UNREADABLE_TRACE, detail=detail, source=sample.source)


def _unrenderable(sample: Sample, error: Unrenderable) -> Reject:
    return Reject(id=sample.id, stage="pack", reason=Reason.UNRENDERABLE, detail=str(error), source=sample.source)


if __name__ == "__main__":
    stage.main("DATASET GENERAL PASSED OUT", lambda params: partial(run, base=params.base, pack=params.pack))
