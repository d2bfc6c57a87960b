"""predict: the candidates answer the benchmark over HTTP, like every other role (paper, section 4.1).

`predict.samples` answers per item and checkpoint; the tokens written drive the cost. Every checkpoint is served in turn, by the
pipeline's own server unless LONGWRITER_CANDIDATE_URL names another.
"""

from pathlib import Path

from tasks import stage, store
from tasks.endpoints.roles import open_role
from tasks.longbench.adapters import read_items
from tasks.longbench.answers import answer_all, decoding_of, figures
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, Predict
from tasks.schema.records import BenchmarkItem, Prediction
from tasks.schema.settings import settings


def run(benchmark: Path, checkpoints: Path, out: Path, *, seed: int, predict: Predict, candidate_model: Model) -> stage.Metrics:
    items, folders = read_items(benchmark).items, sorted((p for p in checkpoints.iterdir() if p.is_dir()), reverse=True)
    if not folders:
        raise BadInput(checkpoints, "no checkpoint folder in it", mend="run train again")
    predictions = [
        prediction
        for folder in folders
        for prediction in stage.run_async(_answers(items, folder, seed=seed, samples=predict.samples, model=candidate_model))
    ]
    store.write(out / "predictions.jsonl", predictions)
    return figures(predictions)


async def _answers(items: list[BenchmarkItem], folder: Path, *, seed: int, samples: int, model: Model) -> list[Prediction]:
    elsewhere = settings().url("candidate") or model.name.startswith("rehearsal-")
    decoding = decoding_of(model, seed=seed, checkpoint=None if elsewhere else store.folder_digest(folder))
    async with open_role("candidate", model, seed=seed, checkpoint=folder) as chat:
        return await answer_all(chat, items, model=folder.name, samples=samples, decoding=decoding)


if __name__ == "__main__":
    stage.main(run)
