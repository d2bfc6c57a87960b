"""predict: the candidate models answer the benchmark over HTTP (paper, section 4.1).

Each checkpoint gives `predict.samples` answers per item; the written tokens drive the cost. Student, aligned and reinforced student (if
any), base model (if predict.base) and control are served one after the other, by the pipeline's own server unless
LONGWRITER_CANDIDATE_URL names another.
"""

from functools import partial
from pathlib import Path

from tasks import stage
from tasks.endpoints.chat import Chat, user, why_empty
from tasks.endpoints.whole_answers import whole_reply
from tasks.longbench.adapters import read_items
from tasks.longbench.answers import Answers, WholeAnswer, answers_of
from tasks.schema.errors import BadInput
from tasks.schema.params import Base, Model, Predict
from tasks.schema.records import BenchmarkItem
from tasks.text.live_checks import Watch
from tasks.training.base_candidate import base_folder

BASE = "base"  # the candidate's name of the base model
ORDER = ("student", "aligned", "reinforced", BASE)  # other checkpoints come after these


def run(
    benchmark: Path,
    trained: Path,
    aligned: Path,
    reinforced: Path,
    out: Path,
    *,
    seed: int,
    base: Base,
    predict: Predict,
    candidate_model: Model,
) -> stage.Metrics:
    """The first three folders contain checkpoints; `aligned` and `reinforced` are empty if their stages are off."""
    items, folders = read_items(benchmark).items, {folder.name: folder for folder in candidates(trained, aligned, reinforced)}
    if not folders:
        raise BadInput(trained, "the folder has no checkpoint", fix="run the train stage again")
    if predict.base:
        folders[BASE] = base_folder(base)
    answers = Answers(out)
    for name in sorted(folders, key=_place):
        method = stopped_early if predict.stop_early else None
        work = answers_of(
            folders[name], items, answers, name=name, samples=predict.samples, seed=seed, model=candidate_model, method=method
        )
        stage.run_async(work)
    return answers.write(out / "predictions.jsonl")


async def stopped_early(chat: Chat, item: BenchmarkItem, sample: int) -> WholeAnswer:
    """The method of predict.stop_early: an answer that is stopped while it comes is asked for again, and the last one read to its end."""
    request = user(item.prompt, sample=sample)._replace(urgency=float(item.length))
    reply, tokens, seconds, _ = await whole_reply(chat, request, Watch(item.language, item.length))
    problem = "" if reply.text.strip() else why_empty(reply)
    return WholeAnswer(reply.text, reply.finish_reason, tokens, seconds, (), reply.reasoning, reply.inline, problem)


def candidates(*places: Path) -> list[Path]:
    """The checkpoint folders in these folders, in the order of ORDER, others by name."""
    found = [folder for place in places for folder in place.iterdir() if folder.is_dir()]
    return sorted(found, key=lambda folder: _place(folder.name))


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


if __name__ == "__main__":
    stage.main(
        "BENCHMARK TRAINED ALIGNED REINFORCED OUT",
        lambda params: partial(run, seed=params.seed, base=params.base, predict=params.predict, candidate_model=params.models.candidate),
    )
