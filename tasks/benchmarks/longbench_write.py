"""LongBench-Write and LongWrite-Ruler (arXiv 2408.07055) behind the interface of plug-ins: the scores of tasks/longbench, unchanged.

`longwriter eval run` gives both a whole scorecard, which compare, duel and the gate read. Here are their items, their scores of one answer
and the means, for `longwriter eval score --benchmark longbench-write`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from tasks.benchmarks import published
from tasks.benchmarks.interface import Benchmark, GivenAnswer, Item, Measure, Question, Suite, Values, carded, nothing_asked
from tasks.benchmarks.published import PAPERS_JUDGE
from tasks.benchmarks.sources import Pin, PinnedSource
from tasks.judging.grades import DIMENSIONS
from tasks.judging.rubric import parse_rubric
from tasks.judging.templates import Template, read_template
from tasks.longbench.adapters import read_items
from tasks.longbench.scorecard import bin_of
from tasks.longbench.summary import fixed_length
from tasks.schema.records import BenchmarkItem
from tasks.text.counts import count_words, s_l
from tasks.text.topics import topic_of

SOURCE = PinnedSource(
    "THUDM/LongWriter",
    "3fcfdff43deceb49f7936c6bf25ad88d61df0bfa",
    (
        Pin("evaluation/longbench_write.jsonl", 54155, "1f6e99497cc24d65894d65e014062f398ba946ebdd254b7f8b339e48d3ab5779"),
        Pin("evaluation/longbench_write_en.jsonl", 24235, "87800927761f340e48899e4df5d47fb7211ad4936a63420dbfa979660414259f"),
        Pin("evaluation/longwrite_ruler.jsonl", 5718, "a1d4ebf0df0fa1600567691d11c9a52de3037c4a372970ed2e8f52f2889e0a62"),
        Pin("evaluation/judge.txt", 1884, "2c423ce88a0eb6a61482f427997a3c03c4bc11fe861102895dcac45926ae1d57"),
        Pin("agentwrite/prompts/plan.txt", 949, "cf65adef21e8f2565bf4f633b169a90681fbdee0efd026e577278f83784f6d52"),
        Pin("agentwrite/prompts/write.txt", 759, "468c47ca954a4dcd4295642ee036383f3fb741560b2fa707a6039f10be0c3c9a"),
    ),
)
PLACE = "."  # beside each other in data/raw/official, where params.yaml looks for them


def load(folder: Path, *, file: str, judged: bool) -> Suite:
    """Reads the items, and the judge's prompt if the benchmark is judged. Raises BadInput with file and line."""
    found = {item.id: item for item in read_items(folder / file).items}
    items = tuple(_item(item, by_bin=judged) for item in found.values())
    ask = partial(_questions, template=read_template(folder / "judge.txt")) if judged else nothing_asked
    shown = (Measure("s_bar", of=_s_bar, uses=(("s_q", 0.0, 100.0),)), Measure("s_l"), Measure("s_q"), Measure("s_l_fixed"))
    measures = shown if judged else (Measure("s_l"), Measure("s_l_fixed"))
    return Suite(
        items, measures, rule=lambda item, answer: _rule(found[item.id], answer), questions=ask, values=_quality if judged else _ruled
    )


def _item(item: BenchmarkItem, *, by_bin: bool) -> Item:
    group = bin_of(item.length) if by_bin else str(item.length)
    return Item(id=item.id, prompt=item.prompt, group=group, cluster=topic_of(item.prompt, item.length), words=item.length)


def _rule(item: BenchmarkItem, answer: GivenAnswer) -> Values:
    text = answer.response
    return {"s_l": s_l(item.length, count_words(text)), "s_l_fixed": fixed_length(item.prompt, item.length, text).s_l}


def _questions(item: Item, answer: GivenAnswer, *, template: Template) -> Sequence[Question]:
    def read(reply: str) -> dict[str, float]:
        return {name: float(grade) for name, grade in parse_rubric(reply, answer.response).model_dump().items()}

    return (Question("rubric", template.fill(item.prompt, answer.response), DIMENSIONS, read, schema=template.schema),)


def _ruled(item: Item, ruled: Values, grades: Values) -> Values:
    return ruled


def _quality(item: Item, ruled: Values, grades: Values) -> Values:
    """S_q of an answer is the mean over its dimensions of (d − 1) · 25, over repeats too: the same number as the mean of their S_q."""
    known = [grade for name in DIMENSIONS if (grade := grades.get(name)) is not None]
    quality = fmean((grade - 1) * 25 for grade in known) if len(known) == len(DIMENSIONS) else None
    return {**ruled, "s_q": quality}


def _s_bar(rows: Sequence[Values]) -> float | None:
    """(S_l + S_q) / 2: S_l over all items, S_q over the scored ones, as in the scorecard."""
    lengths, qualities = ([value for row in rows if (value := row.get(name)) is not None] for name in ("s_l", "s_q"))
    return (fmean(lengths) + fmean(qualities)) / 2 if lengths and qualities else None


_SHARED: dict[str, object] = {"licence": "Apache-2.0", "paper": "arXiv 2408.07055"}
LONGBENCH_WRITE = Benchmark(
    carded(
        SOURCE,
        name="longbench-write",
        title="LongBench-Write",
        measures="120 prompts of 0 to 20,000 words in English and Chinese; S̄ = (S_l + S_q) / 2, each 0 to 100",
        judge=f"{PAPERS_JUDGE}, temperature 0.5",
        published=published.LONGBENCH_WRITE,
        faults=(
            "the published script divides by zero on an empty answer, and leaves unjudged items out of the mean",
            'its word count knows English and Chinese only: "don\'t" is two words, "GPT4" and kana are none',
            '28 prompts say "at least", 1 "at most" and 2 give a range; all are scored as "exactly"',
        ),
        differences=(
            "an answer without a readable verdict is unscored and counted",
            "s_l_fixed counts words and reads lengths as they are meant",
        ),
        **_SHARED,
    ),
    partial(load, file="longbench_write.jsonl", judged=True),
    SOURCE,
    PLACE,
    scorecard="longbench_write.jsonl",
)
RULER = Benchmark(
    carded(
        SOURCE,
        name="longwrite-ruler",
        title="LongWrite-Ruler",
        measures="8 prompts in English and Chinese, each for 1,000 to 30,000 words (48 items): how far a model reaches; S_l, 0 to 100",
        judge="none",
        faults=("the same word count as LongBench-Write",),
        **_SHARED,
    ),
    partial(load, file="longwrite_ruler.jsonl", judged=False),
    SOURCE,
    PLACE,
    scorecard="longwrite_ruler.jsonl",
)
