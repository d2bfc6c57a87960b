"""Compare the evaluation with the lower bound of the endpoint's time: 120 predictions, then 120 verdicts; `make bench`.

Requested lengths are distributed as in LongBench-Write. No schedule can end before max(longest answer, total slot time / slots), the
lower bound. Predictions and verdicts are two stages with separate bounds. An eighth more requests than slots are in flight, so that a
free slot always has a waiting request. The times include journal, checks, bar and files.

Then it measures `score` on 5,000 predictions of about 1,000 words with three verdicts each: seconds, the multiple of counting the words
once in both modes in one process, and peak memory. `--score 50000 --only-score` only measures scoring, of that many predictions.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import orjson
import typer

from benchmarks.loopback import endpoint, health
from tasks import judge, predict, score, store
from tasks.rehearsal.prose import paragraph
from tasks.schema.params import Model, load
from tasks.schema.records import BenchmarkItem, Language, Prediction, Rubric, Verdict
from tasks.schema.settings import settings
from tasks.text.counts import count_words
from tasks.text.words import count_fixed

ITEMS, SLOTS, SEED = 120, 20, 7
LATENCY, TOKENS_PER_SECOND = 1.0, 2000.0
SPREAD = ((26, 100, 499), (36, 500, 1999), (31, 2000, 3999), (27, 4000, 8000))  # (items, least and most requested words)
CANDIDATE = Model(name="rehearsal-candidate", revision="1", temperature=0.5, max_tokens=32768)


SAMPLES, REPEATS = 4, 3  # answers per prompt, verdicts per answer
_SCORE = """
import sys
from pathlib import Path
from tasks import score
from tasks.schema.params import load
if __name__ == "__main__":
    work = Path(sys.argv[1])
    score.run(work / "predictions.jsonl", work, work / "exams", work / "scored", pack=load().pack)
    print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def main(
    score: Annotated[int, typer.Option(help="predictions that are scored")] = 5_000,
    only_score: Annotated[bool, typer.Option("--only-score", help="measure scoring alone")] = False,
) -> None:
    """The evaluation against the least time that the endpoint allows."""
    if not only_score:
        evaluate()
    measure_score(score)


def evaluate() -> None:
    params = load()
    print(f"{ITEMS} items, {SLOTS} slots, {LATENCY} s + 1/{TOKENS_PER_SECOND:.0f} s a token, endpoint on the same cores")
    print(f"{'':12}{'wall s':>8}{'bound s':>9}{'x bound':>9}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "benchmark.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows()))
        (work / "checkpoints" / "student").mkdir(parents=True)
        (work / "checkpoints" / "student" / "config.json").write_text("{}")
        for name in ("aligned", "reinforced", "predicted", "judged", "exams", "scored"):
            (work / name).mkdir()
        predictions = work / "predicted" / "predictions.jsonl"

        def answer() -> None:
            folders = work / "checkpoints", work / "aligned", work / "reinforced", work / "predicted"
            asked = params.predict.model_copy(update={"base": False})
            predict.run(work / "benchmark.jsonl", *folders, seed=42, base=params.base, predict=asked, candidate_model=CANDIDATE)

        def grade() -> None:
            once = params.judge.model_copy(update={"repeats": 1, "pairwise": False})
            own = {"judge": once, "judge_model": params.models.judge, "second_judge_model": None}
            judge.run(predictions, Path(once.prompt), work / "judged", **own)  # type: ignore[arg-type]

        os.environ.update({"LONGWRITER_HOME": str(work / "home"), "LONGWRITER_CONCURRENCY": str(SLOTS + SLOTS // 8)})
        measure("predict", "CANDIDATE", answer, longest=lambda: longest(predictions))
        measure("judge", "JUDGE", grade, longest=lambda: 0.0)
        start = time.monotonic()
        score.run(predictions, work / "judged", work / "exams", work / "scored", pack=params.pack)
        print(f"{'score':12}{time.monotonic() - start:8.2f}   both modes, intervals, ruler, degeneration: no model is called")


def measure_score(number: int) -> None:
    """Measure seconds and peak memory of `score` in a child process with its workers, and compare with counting the words only."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "scored").mkdir()
        store.write(work / "predictions.jsonl", (_prediction(place) for place in range(number)))
        store.write(work / "verdicts.jsonl", _verdicts(number))
        (work / "duels.jsonl").touch()
        (work / "run.py").write_text(_SCORE)
        counting = 0.0
        for answer in store.read(work / "predictions.jsonl", Prediction):
            start = time.process_time()
            count_words(answer.response)
            count_fixed(answer.response)
            counting += time.process_time() - start
        start, before = time.monotonic(), os.times()
        command = [sys.executable, str(work / "run.py"), str(work)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.getcwd()})
        wall, after = time.monotonic() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    print(
        f"score {number} predictions, {number * REPEATS} verdicts: {wall:.1f} s, {cpu:.1f} CPU s, {cpu / counting:.1f} times the", end=" "
    )
    print(f"{counting:.1f} CPU s of counting words alone; {int(done.stdout) / 1024:.0f} MiB at the peak, workers apart")


def _prediction(place: int) -> Prediction:
    """One of four answers of 500 to 1,500 words; every eighth prompt is Chinese."""
    prompt, sample = divmod(place, SAMPLES)
    language: Language = "en" if prompt % 8 else "zh"
    asked = (500, 1000, 2000, 4000)[prompt % 4]
    parts = random.Random(place).randint(5, 15)
    topic = "bread and its uses" if language == "en" else "面包的用处"
    text = [paragraph(topic=topic, language=language, words=100, part=n, parts=parts, seed=place) for n in range(1, parts + 1)]
    request = f"Write a {asked}-word essay on bread, number {prompt}." if language == "en" else f"写一篇{asked}字的文章，编号{prompt}。"
    item = BenchmarkItem(id=str(prompt), prompt=request, type="News", length=asked, language=language)
    response = "\n\n".join(text)
    return Prediction(item=item, model="student", sample=sample, response=response, finish_reason="stop", tokens=1, seconds=1.0)


def _verdicts(number: int) -> Iterator[Verdict]:
    luck = random.Random(SEED)
    for place in range(number):
        for repeat in range(REPEATS):
            rubric = Rubric(**{name: luck.randint(1, 5) for name in Rubric.model_fields})
            prompt, sample = divmod(place, SAMPLES)
            row = {"id": str(prompt), "model": "student", "sample": sample, "repeat": repeat, "rubric": rubric}
            yield Verdict(**row, replies=("",), problem=None, judge="judge")  # type: ignore[arg-type]


def longest(predictions: Path) -> float:
    """Seconds for which the longest answer occupies its slot."""
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
    typer.run(main)
