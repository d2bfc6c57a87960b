"""sample: the SFT student answers training prompts again, several times each (paper, section 4.3), over HTTP like any candidate model.

The cost is prompts × answers × their lengths. Each answer is stored in the journal before it is used, so a killed run resumes.
tasks/training/pair_requests.py draws the prompts and explains why they are training prompts. If `sample.prompts` is 0, nothing is served.
"""

from functools import partial
from pathlib import Path

from tasks import stage
from tasks.corpus.dataset import read_dataset
from tasks.longbench.answers import Answers, answers_of
from tasks.schema.params import Model, SampleSection
from tasks.training.pair_requests import draw

STUDENT = "student"


def run(dataset: Path, checkpoints: Path, out: Path, *, seed: int, sample: SampleSection, candidate_model: Model) -> stage.Metrics:
    requests, answers = draw(read_dataset(dataset), count=sample.prompts, seed=seed), Answers(out)
    if requests:
        student = checkpoints / STUDENT
        work = answers_of(student, requests, answers, samples=sample.answers, seed=seed, model=candidate_model, verb="sample")
        stage.run_async(work)
    return {"prompts": len(requests), **answers.write(out / "answers.jsonl")}


if __name__ == "__main__":
    stage.main(
        "DATASET CHECKPOINTS OUT",
        lambda params: partial(run, seed=params.seed, sample=params.sample, candidate_model=params.models.candidate),
    )
