"""predict: the candidates answer the benchmark over HTTP, like every other role (paper, section 4.1).

One answer per item and checkpoint; the tokens written drive the cost. Every checkpoint is served in turn, by the pipeline's
own server unless LONGWRITER_CANDIDATE_URL names another.
"""

from collections import Counter
from pathlib import Path

from tasks import stage, store
from tasks.endpoints.chat import Chat, each, user
from tasks.endpoints.roles import open_role
from tasks.longbench.benchmark import read_benchmark
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, Predict
from tasks.schema.records import BenchmarkItem, Prediction


def run(benchmark: Path, checkpoints: Path, out: Path, *, seed: int, predict: Predict, candidate_model: Model) -> stage.Metrics:
    items, folders = read_benchmark(benchmark), sorted((p for p in checkpoints.iterdir() if p.is_dir()), reverse=True)
    if not folders:
        raise BadInput(checkpoints, "no checkpoint folder in it", mend="run train again")
    predictions = [p for folder in folders for p in stage.run_async(_answers(items, folder, seed, candidate_model))]
    store.write(out / "predictions.jsonl", predictions)
    return _metrics(predictions)


async def _answers(items: list[BenchmarkItem], folder: Path, seed: int, model: Model) -> list[Prediction]:
    async with open_role("candidate", model, seed=seed, checkpoint=folder) as chat:
        return await each(items, lambda item: _answer(chat, item, folder.name), unit="answer", label=f"predict {folder.name}")


async def _answer(chat: Chat, item: BenchmarkItem, model: str) -> Prediction:
    reply = await chat(user(item.prompt))
    return Prediction(
        item=item,
        model=model,
        response=reply.text,
        finish_reason=reply.finish_reason,
        tokens=reply.usage.completion,
        seconds=reply.seconds,
    )


def _metrics(predictions: list[Prediction]) -> stage.Metrics:
    """`tokens_per_second` is that of one answer as its caller saw it, waiting included: tokens over the sum of the calls' seconds."""
    tokens, seconds = sum(p.tokens for p in predictions), sum(p.seconds for p in predictions)
    by_model = Counter(f"{p.model}_predictions" for p in predictions)
    cut = sum(p.finish_reason == "length" for p in predictions)
    rate = {"tokens_per_second": tokens / seconds} if seconds else {}
    return {"predictions": len(predictions), "tokens": tokens, "cut_at_max_tokens": cut, **rate, **by_model}


if __name__ == "__main__":
    stage.main(run)
