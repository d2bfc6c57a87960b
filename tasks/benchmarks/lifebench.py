"""LIFEBench (arXiv 2505.16234): does an answer have the asked length? By rule alone.

With the deviation d = (written − asked) / asked, the length score is 100 · exp(5 d) if the answer is too short and 100 · exp(−2 d) if it is
too long; "at most" gives 100 for anything shorter, "at least" for anything longer. The figure is the mean over the asked lengths of the
mean over the items of that length. English words and Chinese characters are counted as the authors' script counts them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import exp
from pathlib import Path
from statistics import fmean

from tasks.benchmarks.interface import Benchmark, GivenAnswer, Item, Measure, Suite, Values, carded, only_prompt
from tasks.benchmarks.sources import Pin, PinnedSource
from tasks.longbench.adapters import LIFEBENCH_LENGTHS
from tasks.longbench.benchmark import entries

REPOSITORY, REVISION = "LIFEBench/LIFEBench", "e38620ef00e394311decfef9539e30dd36dc12a4"
_ALL = Pin("data/data.jsonl", None, blob="123e68b73c2ad855103c41536a4326d13940d58c")
_LITE = Pin("data/data_lite.jsonl", 663845, "162256557581df09ddef2f2253d7d29e70d71b708e8bd9e38a00fef16cbf4c5b")
SHORT, LONG = 5.0, 2.0  # how fast the score falls for answers that are too short, too long
METHODS = {"equal to": "等于", "at most": "至多有", "at least": "至少有"}
_CHINESE, _WORD, _SPACES = re.compile(r"[\u4e00-\u9fff]"), re.compile(r"\b[a-zA-Z0-9'-]+\b"), re.compile(r"\s+")


def count_words(text: str) -> int:
    """Chinese characters plus runs of ASCII letters, digits, apostrophes and hyphens, as in the authors' exp/cache.py."""
    text = _SPACES.sub(" ", text).strip()
    return len(_CHINESE.findall(text)) + len(_WORD.findall(text))


def length_score(asked: int, written: int, method: str = "equal to") -> float:
    """The score of a written length, 0 to 100."""
    deviation = (written - asked) / asked
    if (method == "at most" and deviation < 0) or (method == "at least" and deviation > 0):
        return 100.0
    return 100 * exp(SHORT * deviation) if deviation < 0 else 100 * exp(-LONG * deviation)


def load(folder: Path, *, pin: Pin) -> Suite:
    """Fills each template with the ten lengths and the three control methods. Raises BadInput with file and line."""
    items, asked = list[Item](), dict[str, tuple[int, str]]()
    for place, row in enumerate(entries(folder / pin.name)):
        template, chinese = row.text("task"), row.data.get("lang") == "cn"
        if "{word_count}" not in template:
            raise row.bad("task", "no {word_count} in it")
        for method, words in METHODS.items():
            for length in LIFEBENCH_LENGTHS:
                prompt = template.replace("{word_count_type}", words if chinese else method).replace("{word_count}", str(length))
                identity = _name(place, method, length)
                items.append(Item(id=identity, prompt=prompt, group=method, cluster=str(place), words=length))
                asked[identity] = (length, method)
    measures = (
        Measure("length_score", of=_over_lengths("length_score"), uses=(("length_score", 0.0, 100.0),)),
        Measure("length_deviation", of=_over_lengths("length_deviation"), uses=()),
    )
    return Suite(tuple(items), measures, rule=lambda item, answer: _rule(*asked[item.id], answer), identify=_identify)


def _rule(length: int, method: str, answer: GivenAnswer) -> Values:
    """An answer of at most one word has no score: the authors leave it out."""
    written, cell = count_words(answer.response), {"asked": float(length), "method": float(list(METHODS).index(method))}
    if written <= 1:
        return {**cell, "length_score": None, "length_deviation": None}
    return {**cell, "length_score": length_score(length, written, method), "length_deviation": abs(written - length) / length * 100}


def _over_lengths(name: str) -> Callable[[Sequence[Values]], float | None]:
    """The mean over methods and lengths of the mean over their items."""

    def mean(rows: Sequence[Values]) -> float | None:
        cells: dict[tuple[float | None, float | None], list[float]] = {}
        for row in rows:
            if (value := row.get(name)) is not None:
                cells.setdefault((row.get("method"), row.get("asked")), []).append(value)
        return fmean(map(fmean, cells.values())) if cells else None

    return mean


def _name(place: int, method: str, length: int) -> str:
    return f"{place}:{method}:{length}"


def _identify(row: Mapping[str, object]) -> str:
    """The item of a row of the authors' results: index, control method and length constraint."""
    place, length, method = row.get("index"), row.get("length_constraint"), row.get("control_method", "equal to")
    if isinstance(place, int) and isinstance(length, int) and isinstance(method, str):
        return _name(place, method, length)
    return only_prompt(row)


_MAIN, _SMALL = (PinnedSource(REPOSITORY, REVISION, (own,)) for own in (_ALL, _LITE))
_SHARED: dict[str, object] = {
    "judge": "none",
    "licence": "MIT",
    "paper": "arXiv 2505.16234",
    "faults": (
        "the published script multiplies the deviation by 100 before the exponential: an answer that is 3% too short scores 0.00003",
        "answers of at most one word, refusals among them, leave the mean without a trace",
        "answers that fail three times are skipped and leave the mean without a trace",
    ),
    "differences": (
        "the deviation is a share, as in the paper, not a percentage",
        "answers of at most one word are unscored and counted",
        "means are not rounded to one decimal before they are averaged",
    ),
}
LIFEBENCH = Benchmark(
    carded(
        _MAIN,
        name="lifebench",
        title="LIFEBench",
        measures="360 tasks × 10 lengths (16 to 8,192) × 3 control methods; length score, 0 to 100, and mean deviation in %",
        **_SHARED,
    ),
    partial(load, pin=_ALL),
    _MAIN,
)
LITE = Benchmark(
    carded(
        _SMALL,
        name="lifebench-lite",
        title="LIFEBench, lite",
        measures="60 of the tasks × 10 lengths × 3 control methods; length score, 0 to 100, and mean deviation in %",
        **_SHARED,
    ),
    partial(load, pin=_LITE),
    _SMALL,
)
