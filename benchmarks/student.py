"""The rehearsal's tiny student on this machine: megabytes tokenized, tokens trained and tokens written a second; `make bench`.

The stages are the pipeline's own, the texts the rehearsal's. It has three layers, 128 wide: what a real model does on a GPU
is another matter. Starting the training's process and the server is not counted; what is counted is the stage's own rate.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import orjson

from tasks import pack, predict, store, train
from tasks.corpus.dataset import GENERAL, write_dataset
from tasks.endpoints.prose import paragraph
from tasks.schema.params import load
from tasks.schema.records import Message, Prediction, Sample
from tasks.schema.settings import settings

SAMPLES, EPOCHS, ITEMS = 600, 1, 24


def main() -> None:
    params = load()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ.update({"LONGWRITER_HOME": str(work / "home"), "LONGWRITER_TRAININGS": "1", "LONGWRITER_CONCURRENCY": "4"})
        settings.cache_clear()
        for name in ("packed", "trained", "predicted"):
            (work / name).mkdir()
        write_dataset(work / "dataset", samples())
        write_dataset(work / "general", [], card=GENERAL)
        store.write_json(work / "verdict.json", {})
        start = time.monotonic()
        alone = params.pack.model_copy(update={"control_cap": 0.0})
        pack.run(*(work / name for name in ("dataset", "general", "verdict.json", "packed")), base=params.base, pack=alone)
        wall, size = time.monotonic() - start, sum(len(part.content.encode()) for one in samples() for part in one.messages)
        print(f"pack: {size / 1e6 / wall:.2f} MB/s of {size / 1e6:.1f} MB, its own tokenizer's training included")
        once = params.train.model_copy(update={"epochs": EPOCHS})
        packs, tokenizer = work / "packed/packs", work / "packed/tokenizer"
        done = train.run(packs, tokenizer, work / "trained", seed=42, base=params.base, train=once)
        print(f"train: {done['student_tokens_per_second']:,.0f} tokens/s over {done['student_step']} steps of {params.pack.context} tokens")
        rows = [orjson.dumps({"prompt": f"Write 100 words about bread, version {n}.", "type": "News", "length": 100}) for n in range(ITEMS)]
        (work / "benchmark.jsonl").write_bytes(b"\n".join(rows) + b"\n")
        model = params.models.candidate
        predict.run(
            work / "benchmark.jsonl",
            work / "trained/checkpoints",
            work / "none",
            work / "predicted",
            seed=42,
            predict=params.predict,
            candidate_model=model,
        )
        answers = store.read_list(work / "predicted/predictions.jsonl", Prediction)
        tokens, slowest = sum(answer.tokens for answer in answers), max(answer.seconds for answer in answers)
        waited = sum(answer.seconds for answer in answers)
        print(f"predict: {tokens / (waited / 4):,.0f} tokens/s in 4 slots, {tokens} tokens, slowest answer {slowest:.1f} s")


def samples() -> Iterator[Sample]:
    for number in range(SAMPLES):
        words = 100 if number % 2 else 400
        parts = range(1, words // 50 + 1)
        text = "\n\n".join(paragraph(topic="bread", language="en", words=50, part=part, parts=len(parts), seed=number) for part in parts)
        messages = (
            Message(role="user", content=f"Write {words} words about bread, version {number}."),
            Message(role="assistant", content=text),
        )
        yield Sample(
            id=f"{number}",
            messages=messages,
            language="en",
            asked_words=words,
            written_words=words,
            paragraphs=len(parts),
            source=f"bench:{number}",
        )


if __name__ == "__main__":
    main()
