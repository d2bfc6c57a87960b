"""LongBench-Write and LongWrite-Ruler as tasks of inspect_ai, scored as `longwriter eval` scores them.

    pip install 'longwriter-pipeline[inspect]'
    longwriter eval official
    inspect eval longwriter/longbench_write --model openai/gpt-4o
    inspect eval longwriter/longbench_write --model openai/gpt-4o -T judge=true --model-role grader=openai/gpt-4o-2024-05-13
    longwriter eval score logs

inspect_ai finds this module by the entry point `longwriter` of the group `inspect_ai`. An answer without a readable verdict is unscored.
"""

from pathlib import Path
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState, generate

from tasks.evaluation.evaluate import PAPERS_DECODING
from tasks.judging.rubric import parse_rubric
from tasks.judging.templates import read_template
from tasks.longbench.adapters import read_items
from tasks.longbench.summary import fixed_length, s_q
from tasks.schema.errors import BadInput, ReplyError
from tasks.text.counts import count_words, s_l
from tasks.text.thoughts import split_thoughts

OFFICIAL = "data/raw/official"  # where `longwriter eval official` puts the files
TRIES = 3  # replies of the grader before an answer is unscored


@task
def longbench_write(file: str = f"{OFFICIAL}/longbench_write.jsonl", judge: bool = False, prompt: str = f"{OFFICIAL}/judge.txt") -> Task:
    """LongBench-Write: S_l by rule, and S_q by the model role `grader` if `judge`. Decoding as in the paper."""
    return _task(file, [length_score(), *([quality_score(prompt)] if judge else [])])


@task
def longwrite_ruler(file: str = f"{OFFICIAL}/longwrite_ruler.jsonl") -> Task:
    """LongWrite-Ruler: how long a model writes when it is asked for 1,000 to 30,000 words."""
    return _task(file, [length_score()])


@scorer(metrics={"s_l": [mean(), stderr()], "s_l_fixed": [mean(), stderr()]})
def length_score() -> Scorer:
    """S_l as the paper counts words, and in fixed mode: words and lengths as they are meant."""

    async def score(state: TaskState, target: Target) -> Score:
        text, length = _text(state), int(state.metadata["length"])
        written = count_words(text)
        values: dict[str, Any] = {"s_l": s_l(length, written), "s_l_fixed": fixed_length(state.input_text, length, text).s_l}
        return Score(value=values, explanation=f"{written:,} of {length:,} words", metadata={"written": written, "asked": length})

    return score


@scorer(metrics=[mean(), stderr()])
def quality_score(prompt: str) -> Scorer:
    """S_q: six grades by the model role `grader`, with the paper's prompt. Unscored if no reply of three can be read."""
    template = read_template(Path(prompt))

    async def score(state: TaskState, target: Target) -> Score:
        grader, text, problem = get_model(role="grader", required=True), _text(state), ""
        for _ in range(TRIES):
            reply = (await grader.generate(template.fill(state.input_text, text))).completion
            try:
                rubric = parse_rubric(reply, text)
            except ReplyError as error:
                problem = str(error)
                continue
            return Score(value=s_q(rubric), explanation=reply, metadata=dict(rubric.model_dump()))
        return Score.unscored(explanation=f"no verdict of the grader could be read: {problem}")

    return score


def _task(file: str, scorers: list[Scorer]) -> Task:
    if not Path(file).is_file():
        raise BadInput(file, "no such file", fix="fetch it: longwriter eval official; or name another: -T file=FILE")
    samples = [
        Sample(
            id=item.id,
            input=item.prompt,
            target=str(item.length),
            metadata={"length": item.length, "type": item.type, "language": item.language},
        )
        for item in read_items(Path(file)).items
    ]
    decoding = GenerateConfig(temperature=PAPERS_DECODING["temperature"], max_tokens=int(PAPERS_DECODING["max_tokens"]))
    return Task(dataset=MemoryDataset(samples, name=Path(file).stem), solver=generate(), scorer=scorers, config=decoding)


def _text(state: TaskState) -> str:
    """The answer without thoughts: inspect_ai separates those of its providers, and a server may leave tags in the text."""
    return split_thoughts(state.output.completion)[1]
