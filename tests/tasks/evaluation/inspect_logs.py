"""Logs in the format of inspect_ai 0.3.285, as its files look, and an evaluation to export. tests/e2e/test_other_tools.py has real logs."""

import json
from pathlib import Path
from typing import Any

from backports.zstd import zipfile

from tasks import store
from tasks.longbench.summary import s_q, score_item
from tasks.schema.records import BenchmarkItem, Prediction, Rubric, Verdict

Json = dict[str, Any]
BREAD, RYE = "Write 8 words about bread.", "Write 9 words about rye."
RUBRIC = Rubric(relevance=4, accuracy=4, coherence=4, clarity=4, breadth_and_depth=4, reading_experience=4)
TEXT = "The oven was lit at dawn, she said."


def sample(id: str | int, prompt: Any, content: Any, *, epoch: int = 1, length: int = 8, **more: Any) -> Json:
    message = {"id": "a", "content": content, "source": "generate", "role": "assistant", "model": "m"}
    output = {"model": "m", "choices": [{"message": message, "stop_reason": "max_tokens"}], "completion": "", "time": 0.1}
    scores = {"words": {"value": float("nan"), "answer": "", "history": []}}
    kept = {"length": length, "type": "News"}
    own = {"id": id, "epoch": epoch, "input": prompt, "target": "8", "messages": [message], "output": output, "scores": scores}
    return {**own, "metadata": kept, "store": {}, "events": [], "attachments": {}, "uuid": f"{id}{epoch}", **more}


def failed(id: str | int, prompt: str, message: str) -> Json:
    """A sample of which the model's endpoint failed."""
    error = {"message": message, "traceback": "…", "traceback_ansi": "…"}
    return sample(id, prompt, "", output={"model": "", "choices": [], "completion": ""}, error=error)


def header(model: str = "openai/gpt-4o") -> Json:
    return {"version": 2, "status": "success", "eval": {"created": "2026-11-30T01:14:47+00:00", "task": "t", "model": model}, "plan": {}}


def archive(
    path: Path, *samples: Json, model: str = "openai/gpt-4o", start_only: bool = False, compression: int = zipfile.ZIP_ZSTANDARD
) -> Path:
    """An .eval file. `start_only`: as it is while the evaluation runs."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("_journal/start.json", json.dumps({"version": 2, "eval": header(model)["eval"], "plan": {}}))
        for one in samples:
            file.writestr(f"samples/{one['id']}_epoch_{one['epoch']}.json", json.dumps(one))
        if not start_only:
            file.writestr("summaries.json", "[]")
            file.writestr("header.json", json.dumps(header(model)))
    return path


def document(path: Path, *samples: Json) -> Path:
    path.write_text(json.dumps({**header(), "samples": samples}, indent=2))
    return path


def evaluation(folder: Path, *, models: tuple[str, ...] = ("m",)) -> Path:
    """Two prompts with two answers each, of which one was judged unreadably."""
    answers, verdicts, scored = [], [], []
    for model in models:
        for n in (8, 16):
            item = BenchmarkItem(id=f"i{n}", prompt=f"Write {n} words.", type="News", length=n, language="en")
            for sample in (0, 1):
                own: dict[str, Any] = {"item": item, "model": model, "sample": sample, "response": "word " * 8, "tokens": 9, "seconds": 0.5}
                answers.append(Prediction(**own, finish_reason="length", reasoning="hm" if sample else ""))
                read = (n, sample) != (16, 1)
                told: dict[str, Any] = {"rubric": RUBRIC if read else None, "replies": ("{…}",), "problem": None if read else "no verdict"}
                verdicts.append(Verdict(id=item.id, model=model, sample=sample, judge="j", **told))
                scored.append(score_item(item, model, "word " * 8, s_q(RUBRIC) if read else None, finish_reason="length", sample=sample))
    store.write(folder / "predictions.jsonl", answers)
    store.write(folder / "verdicts.jsonl", verdicts)
    store.write(folder / "items.jsonl", scored)
    return folder
