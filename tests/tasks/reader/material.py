"""A small run's folder to read, and a reader that serves it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from tasks import store
from tasks.corpus.dataset import write_dataset
from tasks.reader.collections import collections_of
from tasks.reader.index import Index
from tasks.reader.server import application, listening
from tasks.schema.records import (
    Answer,
    BenchmarkItem,
    Draft,
    Instruction,
    Message,
    Pair,
    Plan,
    Prediction,
    Reason,
    Reject,
    Rubric,
    Sample,
    ScoredItem,
    Step,
    Verdict,
)
from tasks.text.counts import count_words, s_l

HOSTILE = (
    "</p></script><script>document.title='PLANTED'</script>"
    "<img src=x onerror=\"document.title='PLANTED'\"><style>body{display:none}</style>"
)
LOOP = "The river ran on and on. " + "He knew that it was the only thing. " * 12 + "It ended."
STEPS = (
    Step(point="How the bridge was planned", words=5),
    Step(point="How it was built", words=10),
    Step(point="Who paid for it", words=6),
)
PARAGRAPHS = ("A plan was drawn early.", "Masons came with carts of stone and built an arch.", f"The town paid {HOSTILE}")
TOKEN = "a-token"


def run_folder(data: Path, *, models: tuple[str, ...] = ("student", "control")) -> Path:
    """What the stages leave: instructions, plans, drafts, a dataset, predictions with scores and verdicts, pairs, rejects."""
    asked = Instruction(id="i1", text=f"Write about the old bridge in 20 words. {HOSTILE}", language="en", words=20, source="pool:1")
    other = Instruction(id="i2", text="写一篇关于春天的文章，一百字。", language="zh", words=100, source="pool:2")
    store.write(data / "collect/instructions.jsonl", [asked, other])
    store.write(data / "plan/plans.jsonl", [Plan(instruction=asked, steps=STEPS)])
    store.write(data / "write/drafts.jsonl", [Draft(instruction=asked, steps=STEPS, paragraphs=PARAGRAPHS)])
    text = "\n\n".join(PARAGRAPHS)
    messages = (Message(role="user", content=asked.text), Message(role="assistant", content=text))
    (data / "assemble").mkdir(parents=True, exist_ok=True)
    sample = Sample(id="i1", messages=messages, language="en", asked_words=20, written_words=21, paragraphs=3, source="pool:1")
    write_dataset(data / "assemble/dataset", [sample, sample.model_copy(update={"id": "i9"})])
    write_predictions(data, models)
    sides = [Answer(text=side, ended=True, words=3, s_l=90.0, s_q=None) for side in ("the better answer", "the worse answer")]
    store.write(data / "build_pairs/pairs.jsonl", [Pair(id="p", prompt=messages[:1], asked=20, chosen=sides[0], rejected=sides[1])])
    rejects = [Reject(id=None, stage="collect", reason=Reason.TOXIC, detail=f"flagged {HOSTILE}", source="pool:3")]
    store.write(data / "collect/rejects.jsonl", rejects)
    store.write_json(data / "score/scorecard.json", {"student": {}})
    (data / "score/metrics.json").write_text("{}")
    return data


def write_predictions(data: Path, models: tuple[str, ...]) -> None:
    texts = {"student": LOOP, "control": f"A short answer. {HOSTILE}"}
    predictions, items, verdicts = [], [], []
    for model in models:
        for number, language in enumerate(("en", "zh", "en")):
            text = texts.get(model, "Another answer.") if language == "en" else "春天来了，花开满园。\n\n夏天也很好。"
            prompt = f"Prompt {number}, 100 words" if language == "en" else "写春天，一百字"
            item = BenchmarkItem(id=f"b{number}", prompt=prompt, type="News", length=100 + 2000 * (number // 2), language=language)
            thoughts = "First I think about bridges." if model == "student" else ""
            predictions.append(
                Prediction(item=item, model=model, response=text, finish_reason="stop", tokens=9, seconds=0.1, reasoning=thoughts)
            )
            written = count_words(text)
            score = s_l(item.length, written)
            items.append(
                ScoredItem(id=item.id, model=model, type="News", language=language, asked=item.length, written=written, s_l=score, s_q=50.0)
            )
            grades = Rubric(**dict.fromkeys(Rubric.model_fields, 4 if model == "student" else 2))
            verdicts.append(
                Verdict(id=item.id, model=model, rubric=grades, replies=(f"Good enough. {HOSTILE}",), problem=None, judge="judge-1")
            )
    store.write(data / "predict/predictions.jsonl", predictions)
    store.write(data / "score/items.jsonl", items)
    store.write(data / "judge/verdicts.jsonl", verdicts)


def built(path: Path, cache: Path) -> Index:
    """A complete index."""
    index = Index(collections_of(path), cache)
    index.open()
    index.wait()
    assert index.progress.complete, index.progress
    return index


@contextmanager
def served(index: Index, *, title: str = "data") -> Iterator[str]:
    """The address of a real server of the reader, as long as the block lasts."""
    at = listening(0)
    config = uvicorn.Config(application(index, token=TOKEN, title=title), log_level="warning", lifespan="off", server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{at.getsockname()[1]}/{TOKEN}/"
    finally:
        server.should_exit = True
        thread.join()
        at.close()
