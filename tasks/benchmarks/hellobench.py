"""HelloBench (arXiv 2409.16191): checklists of yes-or-no questions, weighted by a regression on human grades.

The judge grades each question of an item's checklist 0, 0.25, 0.5, 0.75 or 1. With the weights w of the item's category, which sum to 100,
the score is 4 · (Σ w_i g_i − 75): 100 if all grades are 1, 0 if all are 0.75, −300 if all are 0. That is the authors' score as OpenCompass
computes it; their own repository has the weights and no script that applies them.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tasks.benchmarks.files import filled, numbers_by_name, text_constant
from tasks.benchmarks.interface import Benchmark, GivenAnswer, Item, Measure, Question, Suite, Values, carded
from tasks.benchmarks.replies import field, last_value, number
from tasks.benchmarks.sources import Pin, PinnedSource
from tasks.judging.replies import Pairs
from tasks.longbench.benchmark import BenchmarkRow, entries
from tasks.schema.errors import ReplyError

REPOSITORY, REVISION = "Quehry/HelloBench", "d403282968b0a61a4963a73c631d3fc1318f17d7"
_COMMON = (
    Pin("weighted_scores.txt", 6295, "51c1a338434c96253476441f39d48fe28d9673d121eae98751329f760e889ff5"),
    Pin("llm_judge.py", 28574, "1434ba32c15ab33f21ea65cb08e0111ac47e2bdb2e6816dacd61f0365e6ff5dd"),
)
_TASKS = (
    Pin("data/main_data/chat.jsonl", 1037312, "04f7a75417ab50f245c226143fa4f7ad48849459ae65ab5b3d0fceda9d36eff6"),
    Pin("data/main_data/heuristic_text_generation.jsonl", 449449, "2b4a61adb627d2b54fb0ac77c5de427e0a7aa523c6f37b812087382a378b165c"),
    Pin("data/main_data/open_ended_qa.jsonl", 1429936, "57e76a480395a65d000b6081c24b76b8d6940758e953e3ae5c20d4bec8b9c102"),
    Pin("data/main_data/summarization.jsonl", None, blob="ec734594d874257f0111f44ad952cb461728f0b2"),
    Pin("data/main_data/text_completion.jsonl", 1973129, "01852f09ebdeb4f8fc352ea23fffb504923cd3ec64824e23d39b4caa8afc2c84"),
)
_LENGTHS = tuple(
    Pin(f"data/length_constrained_data/heuristic_text_generation_{name}.jsonl", size, sha256)
    for name, size, sha256 in (
        ("2k", 453139, "0dfcf78d32e6d3762720883b53a4c8078036a7634853d2c21e50d25b73c5d6ed"),
        ("4k", 453139, "60432969da1695ecbb72879ffe7a686e1ec7b93039311c09e2a2d5aa4e0f1d24"),
        ("8k", 453139, "b5c94227ef6858e3a9acee2bbdc99bfe0266850263d4e39cb4ec41980f83b4d8"),
        ("16k", 453385, "9d4bfc908927d52004d6d789796a8361670dae013d5a1adf6c399376cad4d0a5"),
    )
)
JUDGE_TOKENS = 4096  # max_tokens of the authors' requests to the judge
SUM, PASSING, STRETCH = 100.0, 75.0, 4.0  # of the weights; the score that becomes 0; points per point
LOWEST, HIGHEST = STRETCH * (0 - PASSING), STRETCH * (SUM - PASSING)


def rescaled(weights: Sequence[float], grades: Sequence[float]) -> float:
    """4 · (Σ w g − 75), for weights that sum to 100 and grades from 0 to 1."""
    return STRETCH * (sum(weight * grade for weight, grade in zip(weights, grades, strict=True)) - PASSING)


class _Checklist(NamedTuple):
    questions: tuple[str, ...]
    weights: Sequence[float]


def load(folder: Path, *, pins: Sequence[Pin], by_length: bool) -> Suite:
    """Reads the tasks, the weights and the judge's prompt. Raises BadInput with file and line."""
    weights = numbers_by_name(folder / "weighted_scores.txt", "REGRESSION_DICT")
    system, prompt = (text_constant(folder / "llm_judge.py", name) for name in ("SYS_PROMPT", "USER_PROMPT"))
    items, checklists = list[Item](), dict[str, _Checklist]()
    for pin in pins:
        stem = Path(pin.path).stem
        length = stem.rpartition("_")[2] if by_length else ""
        for row in entries(folder / pin.name):
            item = _item(row, task=length or stem, length=length)
            if item.id in checklists:
                raise row.bad("id", f"{item.id} is there twice", fix="fetch the benchmark's files again")
            checklists[item.id] = _checklist(row, weights)
            items.append(item)

    def questions(item: Item, answer: GivenAnswer) -> tuple[Question, ...]:
        return (_question(system, prompt, item, answer, checklists[item.id].questions),)

    def values(item: Item, ruled: Values, grades: Values) -> Values:
        own = checklists[item.id]
        known = [grade for place in range(len(own.questions)) if (grade := grades.get(_name(place))) is not None]
        return {"score": rescaled(own.weights, known) if len(known) == len(own.questions) else None}

    return Suite(tuple(items), (Measure("score", LOWEST, HIGHEST),), questions=questions, values=values)


def _item(row: BenchmarkRow, *, task: str, length: str) -> Item:
    own = row.identity()
    identity = f"{own}@{length}" if length else own
    words = int(length.removesuffix("k")) * 1000 if length else None
    return Item(id=identity, prompt=row.text("instruction"), group=task, cluster=own, words=words)


def _checklist(row: BenchmarkRow, weights: Mapping[str, Sequence[float]]) -> _Checklist:
    found, category = row.data.get("checklists"), row.text("category")
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise row.bad("checklists", "not a list of texts")
    if len(weights.get(category, ())) != len(found):
        raise row.bad(
            "category", f"{category} has weights for {len(weights.get(category, ()))} questions, and the checklist has {len(found)}"
        )
    return _Checklist(tuple(found), weights[category])


def _question(system: str, prompt: str, item: Item, answer: GivenAnswer, checklist: Sequence[str]) -> Question:
    listed = [{"checklist_id": place, "checklist_content": text} for place, text in enumerate(checklist)]
    values = {
        "instruction": item.prompt,
        "response": answer.response,
        "checklists": json.dumps(listed, ensure_ascii=False),
        "num_checklist": str(len(checklist)),
    }
    read = partial(read_checklist, answer=answer.response, count=len(checklist))
    return Question("checklist", filled(prompt, values), tuple(map(_name, range(len(checklist)))), read, system=system)


def read_checklist(reply: str, *, answer: str, count: int) -> dict[str, float]:
    """The grades of a reply, by question. Raises ReplyError unless each question has exactly one grade from 0 to 1."""

    def read(value: object) -> dict[str, float]:
        entries = (
            [entry for entry in value if isinstance(entry, Pairs)] if isinstance(value, tuple) and not isinstance(value, Pairs) else []
        )
        if len(entries) != count:
            raise ReplyError(f"{len(entries)} grades, and the checklist has {count} questions")
        grades = {}
        for entry in entries:
            place = int(number(field(entry, "checklist_id"), "checklist_id", low=0, high=count - 1, whole=True))
            grades[_name(place)] = number(field(entry, "evaluation_score"), "evaluation_score", low=0, high=1)
        if len(grades) != count:
            raise ReplyError("a question is graded twice")
        return grades

    return last_value(reply, answer, read)


def _name(place: int) -> str:
    return f"question {place}"


_FAULTS = (
    "the published script writes an answer without readable grades with no score, and nothing counts it",
    "the published script splits answers into tokens, joins them with spaces and cuts them at 16,000 before they are judged",
    "the last question of most checklists asks whether the text is flawless; it has 9 to 31% of the weight",
)
_DIFFERENCES = (
    "the judge sees the whole answer, unchanged",
    "an answer without a readable grade for every question is unscored and counted",
    "decoding of the judge is that of params.yaml; the authors used temperature 0.8 and seed 42",
)
_MAIN, _LENGTH = (PinnedSource(REPOSITORY, REVISION, (*_COMMON, *own)) for own in (_TASKS, _LENGTHS))
_SHARED: dict[str, object] = {
    "judge": "gpt-4o, temperature 0.8",
    "licence": "MIT",
    "paper": "arXiv 2409.16191",
    "faults": _FAULTS,
    "differences": _DIFFERENCES,
}
HELLOBENCH = Benchmark(
    carded(
        _MAIN,
        name="hellobench",
        title="HelloBench",
        measures="647 prompts in five tasks; weighted checklists, −300 to 100, 0 if every question is graded 0.75",
        **_SHARED,
    ),
    partial(load, pins=_TASKS, by_length=False),
    _MAIN,
    judge_tokens=JUDGE_TOKENS,
)
LENGTH_CONSTRAINED = Benchmark(
    carded(
        _LENGTH,
        name="hellobench-length",
        title="HelloBench, length-constrained",
        measures="123 writing prompts, each asking for at least 2,000, 4,000, 8,000 and 16,000 words; weighted checklists, −300 to 100",
        **_SHARED,
    ),
    partial(load, pins=_LENGTHS, by_length=True),
    _LENGTH,
    judge_tokens=JUDGE_TOKENS,
)
