"""WritingBench (arXiv 2503.05244): five criteria written for each query, each graded 1 to 10 by its own request to the judge.

A query's score is the mean of its criteria; the figure is the mean over queries. The leaderboard multiplies it by 10. For the length
subset there are two more figures, as in calculate_scores.py: `length_r`, the mean over the queries that ask for a length, and `length_c`,
the mean over those of their criteria that are about the length.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from tasks.benchmarks import published
from tasks.benchmarks.files import filled, text_constant
from tasks.benchmarks.interface import Benchmark, GivenAnswer, Item, Measure, Question, Suite, Values, carded
from tasks.benchmarks.replies import field, last_value, number
from tasks.benchmarks.sources import Pin, PinnedSource
from tasks.longbench.benchmark import BenchmarkRow, entries
from tasks.text.length_requests import parse_length_request

REPOSITORY, REVISION = "X-PLUG/WritingBench", "ae2d5176449b7b769815482641d35926f26793eb"
_PROMPT = Pin("prompt.py", 2673, "c5bf21f28d4b4e54b682236cbe815831f3e362ff9b4f3e8c7c10467c491ecad1")
_ALL = Pin("benchmark_query/benchmark_all.jsonl", None, blob="2d04c2d4c82f8c2d615e963393c7808f64b97129")
_SUBSET = Pin(
    "benchmark_query/requirement/length/length_subset.jsonl", 2958345, "5f12e5c85f8298f53045bfe2a37a3a37d5c04e3d6ef33b68b023478444ac85ab"
)
_ABOUT_LENGTH = Pin(
    "benchmark_query/requirement/length/length_subset_C.jsonl", 1793656, "c993517a96ec013e1551319fa95ed250fa9fa8fa4870662c75dd16a8fee66521"
)
JUDGE_TOKENS = 2048  # max_tokens of the authors' requests to the judge
LOWEST, HIGHEST = 1.0, 10.0
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 10}, "reason": {"type": "string"}},
    "required": ["score", "reason"],
    "additionalProperties": False,
}
Criterion = Mapping[str, object]


def load(folder: Path, *, queries: Pin) -> Suite:
    """Reads the queries with their criteria, the length subset and the judge's prompt. Raises BadInput with file and line."""
    system, prompt = (text_constant(folder / "prompt.py", name) for name in ("evaluate_system", "evaluate_prompt"))
    items, criteria = list[Item](), dict[str, Sequence[Criterion]]()
    for row in entries(folder / queries.name):
        identity = _index(row)
        if identity in criteria:
            raise row.bad("index", f"{identity} is there twice", fix="fetch the benchmark's files again")
        criteria[identity] = _criteria(row)
        query = row.text("query")
        group = row.text("domain1") if row.has("domain1") else ""
        items.append(Item(id=identity, prompt=query, group=group, words=parse_length_request(query).target))
    of_length = {_index(row): frozenset(_name(one) for one in _criteria(row)) for row in entries(folder / _ABOUT_LENGTH.name)}

    def questions(item: Item, answer: GivenAnswer) -> tuple[Question, ...]:
        return tuple(_question(system, prompt, item, answer, one) for one in criteria[item.id])

    def values(item: Item, ruled: Values, grades: Values) -> Values:
        own = {_name(one): grades.get(_name(one)) for one in criteria[item.id]}
        score = _mean(list(own.values()))
        about = of_length.get(item.id)
        if about is None:
            return {"score": score}
        among = [grade for name, grade in own.items() if name in about]
        return {"score": score, "length_r": score, "length_c": _mean(among), "length_n": float(len(among))}

    measures = (
        Measure("score", LOWEST, HIGHEST),
        Measure("length_r", LOWEST, HIGHEST, of=_of_subset, uses=(("length_r", LOWEST, HIGHEST),), grouped=False),
        Measure("length_c", LOWEST, HIGHEST, of=_of_criteria, uses=(("length_c", LOWEST, HIGHEST),), grouped=False),
    )
    return Suite(tuple(items), measures, questions=questions, values=values)


def _mean(grades: Sequence[float | None]) -> float | None:
    known = [grade for grade in grades if grade is not None]
    return fmean(known) if known and len(known) == len(grades) else None


def _of_subset(rows: Sequence[Values]) -> float | None:
    found = [value for row in rows if (value := row.get("length_r")) is not None]
    return fmean(found) if found else None


def _of_criteria(rows: Sequence[Values]) -> float | None:
    """The mean over the criteria about length of all queries, as published: a query with two of them counts twice."""
    pairs = [(mean, row.get("length_n") or 0.0) for row in rows if (mean := row.get("length_c")) is not None]
    count = sum(number for _, number in pairs)
    return sum(mean * number for mean, number in pairs) / count if count else None


def _index(row: BenchmarkRow) -> str:
    value = row.data.get("index")
    if isinstance(value, bool) or not isinstance(value, int):
        raise row.bad("index", "not a whole number")
    return str(value)


def _criteria(row: BenchmarkRow) -> Sequence[Criterion]:
    found = row.data.get("checklist")
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in found):
        raise row.bad("checklist", "not a list of criteria with a name")
    if len({_name(one) for one in found}) != len(found):
        raise row.bad("checklist", "two criteria of one name")
    return found


def _name(criterion: Criterion) -> str:
    return str(criterion["name"])


def _question(system: str, prompt: str, item: Item, answer: GivenAnswer, criterion: Criterion) -> Question:
    name = _name(criterion)
    text = filled(prompt, {"criteria": str(dict(criterion)), "query": item.prompt, "response": answer.response})
    return Question(name, text, (name,), partial(read_score, answer=answer.response, name=name), system=system, schema=SCHEMA)


def read_score(reply: str, *, answer: str, name: str) -> dict[str, float]:
    """The score of a reply, a whole number from 1 to 10. Raises ReplyError for another form."""
    return last_value(reply, answer, lambda value: {name: number(field(value, "score"), "score", low=LOWEST, high=HIGHEST, whole=True)})


_FAULTS = (
    "scores depend on the judge: the leaderboard changed from Claude 3.7 Sonnet (2025-04) to Claude Sonnet 4 (2025-09) and 4.5 (2025-11)",
    "the published script ends at the first reply that cannot be read, and evaluates replies as Python code if they are not JSON",
)
_SHARED: dict[str, object] = {
    "judge": "Claude Sonnet 4.5 since 2025-11-27, temperature 1.0, top_p 0.95; or the authors' critic model",
    "licence": "Apache-2.0",
    "paper": "arXiv 2503.05244",
    "faults": _FAULTS,
    "differences": (
        "a query with a criterion that could not be read is unscored and counted",
        "decoding of the judge is that of params.yaml",
    ),
}
_MAIN, _LENGTH = (PinnedSource(REPOSITORY, REVISION, (_PROMPT, own, _ABOUT_LENGTH)) for own in (_ALL, _SUBSET))
WRITINGBENCH = Benchmark(
    carded(
        _MAIN,
        name="writingbench",
        title="WritingBench",
        measures="1,000 queries in six domains; five criteria for each, mean of the scores, 1 to 10 (the leaderboard shows ten times that)",
        published=published.WRITINGBENCH,
        **_SHARED,
    ),
    partial(load, queries=_ALL),
    _MAIN,
    judge_tokens=JUDGE_TOKENS,
)
LENGTH_SUBSET = Benchmark(
    carded(
        _LENGTH,
        name="writingbench-length",
        title="WritingBench, length subset",
        measures="the 222 queries with a requirement of length; five criteria for each, mean of the scores, 1 to 10",
        **_SHARED,
    ),
    partial(load, queries=_SUBSET),
    _LENGTH,
    judge_tokens=JUDGE_TOKENS,
)
