"""The evaluation against the least time that the endpoint allows: 120 predictions, then 120 verdicts; `make bench`.

Asked lengths are spread as LongBench-Write's are. No schedule can end before max(longest answer, all slot time / slots), the lower
bound. Predictions and verdicts are two stages, one after the other, each with a bound of its own. One more request is in flight for
every eight slots, so that a slot that falls free finds one waiting. Journal, checks, bar and files are part of what is timed.
"""

import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from benchmarks.loopback import endpoint, health
from tasks import judge, predict, score, store
from tasks.schema.params import Model, load
from tasks.schema.records import Prediction
from tasks.schema.settings import settings

ITEMS, SLOTS, SEED = 120, 20, 7
LATENCY, TOKENS_PER_SECOND = 1.0, 2000.0
SPREAD = ((26, 100, 499), (36, 500, 1999), (31, 2000, 3999), (27, 4000, 8000))  # items, and asked words from and to
CANDIDATE = Model(name="rehearsal-candidate", revision="1", temperature=0.5, max_tokens=32768)


def main() -> None:
    params = load()
    print(f"{ITEMS} items, {SLOTS} slots, {LATENCY} s + 1/{TOKENS_PER_SECOND:.0f} s a token, endpoint on the same cores")
    print(f"{'':12}{'wall s':>8}{'bound s':>9}{'x bound':>9}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "benchmark.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows()))
        (work / "checkpoints" / "student").mkdir(parents=True)
        (work / "checkpoints" / "student" / "config.json").write_text("{}")
        for name in ("predicted", "judged", "scored"):
            (work / name).mkdir()
        predictions = work / "predicted" / "predictions.jsonl"

        def answer() -> None:
            args = {"seed": 42, "predict": params.predict, "candidate_model": CANDIDATE}
            predict.run(work / "benchmark.jsonl", work / "checkpoints", work / "aligned", work / "predicted", **args)  # type: ignore[arg-type]

        def grade() -> None:
            once = params.judge.model_copy(update={"repeats": 1, "pairwise": False})
            own = {"judge": once, "judge_model": params.models.judge, "second_judge_model": None}
            judge.run(predictions, Path(once.prompt), work / "judged", **own)  # type: ignore[arg-type]

        os.environ.update({"LONGWRITER_HOME": str(work / "home"), "LONGWRITER_CONCURRENCY": str(SLOTS + SLOTS // 8)})
        measure("predict", "CANDIDATE", answer, longest=lambda: longest(predictions))
        measure("judge", "JUDGE", grade, longest=lambda: 0.0)
        start = time.monotonic()
        score.run(predictions, work / "judged", work / "scored", pack=params.pack)
        print(f"{'score':12}{time.monotonic() - start:8.2f}   both modes, intervals, ruler, degeneration: no model is called")


def longest(predictions: Path) -> float:
    """Seconds that the longest answer holds its slot."""
    return LATENCY + max(prediction.tokens for prediction in store.read(predictions, Prediction)) / TOKENS_PER_SECOND


def rows() -> list[dict[str, object]]:
    luck = random.Random(SEED)
    lengths = [luck.randint(low, high) for number, low, high in SPREAD for _ in range(number)]
    luck.shuffle(lengths)
    return [{"prompt": f"Write a {n}-word essay about bread, number {at}.", "type": "News", "length": n} for at, n in enumerate(lengths)]


def measure(name: str, role: str, work: Callable[[], None], *, longest: Callable[[], float]) -> None:
    with endpoint(f"latency={LATENCY}", f"tokens_per_second={TOKENS_PER_SECOND}", f"slots={SLOTS}") as url:
        os.environ[f"LONGWRITER_{role}_URL"] = url
        settings.cache_clear()
        start = time.monotonic()
        work()
        wall, served = time.monotonic() - start, health(url)
    assert served["answered"] == ITEMS, served
    bound = max(longest(), served["busy_s"] / SLOTS)
    print(f"{name:12}{wall:8.2f}{bound:9.2f}{wall / bound:9.3f}", flush=True)


if __name__ == "__main__":
    main()
