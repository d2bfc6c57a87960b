"""Logs in the format of inspect_ai 0.3.285, as its files look; the slow test in tests/e2e/test_other_tools.py makes real ones."""

import json
from pathlib import Path
from typing import Any

from backports.zstd import zipfile

Json = dict[str, Any]
BREAD, RYE = "Write 8 words about bread.", "Write 9 words about rye."
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
