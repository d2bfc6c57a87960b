"""measure: answers of a study model to the ruler, over HTTP like any candidate model (paper, section 2; LongWrite-Ruler).

Cost: prompts × requested lengths × words per answer. The journal has every answer.
"""

from pathlib import Path

from tasks import stage
from tasks.longbench.adapters import read_items
from tasks.longbench.answers import Answers, answers_of
from tasks.predict import candidates
from tasks.schema.errors import BadInput
from tasks.schema.params import Model, Predict
from tasks.text.counts import count_words


def run(ruler: Path, checkpoints: Path, passes: int, out: Path, *, seed: int, predict: Predict, candidate_model: Model) -> stage.Metrics:
    """Write `passes` times `predict.samples` answers to every item of the ruler. Raises BadInput unless there is one checkpoint."""
    folders = candidates(checkpoints)
    if len(folders) != 1:
        raise BadInput(checkpoints, f"{len(folders)} checkpoints, where an arm of the study has one", fix="run its training again")
    samples = passes * predict.samples
    answers = Answers(out)
    stage.run_async(
        answers_of(folders[0], read_items(ruler).items, answers, samples=samples, seed=seed, model=candidate_model, verb="measure")
    )
    words = [count_words(answer.response) for answer in answers.predictions()]
    return {**answers.write(out / "answers.jsonl"), "longest": max(words), "mean": sum(words) / len(words)}


if __name__ == "__main__":
    stage.main(
        "RULER CHECKPOINTS PASSES OUT",
        lambda params: (
            lambda ruler, checkpoints, passes, out: run(
                ruler,
                checkpoints,
                stage.whole_number(passes),
                out,
                seed=params.seed,
                predict=params.predict,
                candidate_model=params.models.candidate,
            )
        ),
    )
