"""LongGenBench (arXiv 2409.02076): long diaries, menus, buildings and towns, in numbered entries that must hold certain events.

Completion: the share of the asked entries that an answer has. STIC (specific task instruction completion): the share of the asked events
that are in their entries, as the mean of three kinds: once, over a range, periodic. STIC-1 looks at the entries that exist, STIC-2 counts
events of missing entries as missing. The published script has completion and STIC-1; STIC-2 is the paper's.

Whether an entry holds an event is decided by rule (`by_rule`) and, if a judge is asked, by its yes or no (`judged`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import orjson

from tasks.benchmarks.interface import Benchmark, GivenAnswer, Item, Measure, Question, Suite, Values, carded
from tasks.benchmarks.sources import Pin, PinnedSource
from tasks.schema.errors import BadInput, ReplyError
from tasks.text.thoughts import split_thoughts

REPOSITORY, REVISION = "mozhu621/LongGenBench", "62c0e869219c225671a0b8f50217b0cd836b882b"
_SHORT = Pin("Dataset/Dataset_short.json", 1474710, "3cf98c4badc330a93d1010f57f6658b09f2ebc2e6428a3df083b652d902d96e8")
_LONG = Pin("Dataset/Dataset_long.json", 1244214, "f61048da5ecfb1b717584af8b2dc5999198459e9b95aceedde2dcc6f5cdd35e7")
KINDS = ("once", "range", "periodic")
BREAK, END = "#*#", "*** finished"  # between entries; the end of the document
WORDS_EACH = 150  # that the prompts ask for at least, in each entry
STEM = 5  # letters of a word that are compared: "attending" and "attended" are equal
_WORD, _ASIDE = re.compile(r"[^\W\d_]+"), re.compile(r"\([^)]{0,80}\)")
_SMALL_WORDS = frozenset(
    {"a", "an", "and", "at", "by", "for", "from", "in", "into", "my", "of", "on", "or", "the", "their", "to", "with"}
    | {"featuring", "various", "your", "yourself"}
)
_ANSWER = re.compile(r"\W{0,20}(yes|no)\b", re.IGNORECASE)


class _Check(NamedTuple):
    kind: str
    entry: int
    event: str

    @property
    def name(self) -> str:
        return f"{self.kind} {self.entry}"


class _Task(NamedTuple):
    type: str  # what an entry is called: Week, Floor
    prefix: str  # the heading of the first entry, with which the prompt ends
    number: int  # asked entries
    checks: tuple[_Check, ...]


def load(folder: Path, *, pin: Pin) -> Suite:
    """Reads the tasks. Raises BadInput that names the task."""
    path = folder / pin.name
    try:
        rows = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadInput(path, f"not JSON: {error}", fix="fetch the benchmark's files again") from None
    items, tasks = list[Item](), dict[str, _Task]()
    for place, row in enumerate(rows if isinstance(rows, list) else [rows]):
        task = _task(path, place, row)
        items.append(Item(id=str(place), prompt=row["prompt"], group=task.type, words=task.number * WORDS_EACH))
        tasks[str(place)] = task

    def questions(item: Item, answer: GivenAnswer) -> tuple[Question, ...]:
        task, blocks = tasks[item.id], entries_of(answer.response, tasks[item.id].type, tasks[item.id].prefix)
        return tuple(_question(check, task.type, blocks[check.entry]) for check in task.checks if check.entry in blocks)

    return Suite(
        tuple(items),
        _measures(),
        rule=lambda item, answer: _rule(tasks[item.id], answer),
        questions=questions,
        values=lambda item, ruled, grades: {**ruled, **_judged(tasks[item.id], grades)},
        answers_of=partial(_published_answers, by_prompt={item.prompt: item.id for item in items}),
    )


def _published_answers(row: Mapping[str, object], *, by_prompt: Mapping[str, str]) -> Sequence[GivenAnswer]:
    """An answer as the authors' inference.py writes it: the prompt as `input`, the text split into `output_blocks`."""
    blocks, prompt = row.get("output_blocks"), row.get("input")
    if not isinstance(blocks, list) or not isinstance(prompt, str) or not all(isinstance(block, str) for block in blocks):
        return ()
    return (GivenAnswer(id=by_prompt.get(prompt, ""), prompt=prompt, model="", response=BREAK.join(blocks)),)


def entries_of(answer: str, type: str, prefix: str) -> dict[int, str]:
    """The entries of an answer by number, the first of each number, as published. The prompt ends with the heading of the first entry, so
    it is put before an answer that does not repeat it.
    """
    text = answer.partition(END)[0]
    whole = text if text.lstrip().startswith((BREAK, prefix.strip())) else prefix + text
    named, found = re.compile(rf"{re.escape(type)} (\d{{1,6}})"), dict[int, str]()
    for block in whole.split(BREAK):
        if match := named.search(block):
            found.setdefault(int(match[1]), block)
    return found


def holds(block: str, event: str) -> bool:
    """The rule: half of the event's words are in the entry, by their first letters, and both if it has two. Small words do not count."""
    wanted, given = _stems(_ASIDE.sub(" ", event)), _stems(block)
    return len(wanted & given) >= max(min(2, len(wanted)), ceil(len(wanted) / 2))


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in _WORD.findall(text.lower()) if word not in _SMALL_WORDS}


def _rule(task: _Task, answer: GivenAnswer) -> Values:
    blocks = entries_of(answer.response, task.type, task.prefix)
    found: dict[str, float | None] = {"completion": 100 * len(set(blocks) & set(range(1, task.number + 1))) / task.number}
    for kind in KINDS:
        checks = [check for check in task.checks if check.kind == kind]
        seen = [check for check in checks if check.entry in blocks]
        held = [check for check in seen if holds(blocks[check.entry], check.event)]
        found |= {f"{kind}_all": float(len(checks)), f"{kind}_seen": float(len(seen)), f"{kind}_held": float(len(held))}
    return found


def _judged(task: _Task, grades: Values) -> dict[str, float | None]:
    """By kind, the share of yes among the judge's answers and their number; nothing if the judge was not asked."""
    found = dict[str, float | None]()
    for kind in KINDS if grades else ():
        own = [grades[check.name] for check in task.checks if check.kind == kind and check.name in grades]
        read = [grade for grade in own if grade is not None]
        whole = len(read) == len(own)
        found |= {f"{kind}_yes": fmean(read) if read and whole else None if own else 0.0, f"{kind}_asked": float(len(own))}
    return found


def _measures() -> tuple[Measure, ...]:
    of_judge = tuple((f"{kind}_yes", 0.0, 1.0) for kind in KINDS)
    stics = [
        Measure("stic_1_by_rule", of=_stic(_held, "seen")),
        Measure("stic_2_by_rule", of=_stic(_held, "all")),
        Measure("stic_1_judged", of=_stic(_yes, "asked"), uses=of_judge),
        Measure("stic_2_judged", of=_stic(_yes, "all"), uses=of_judge),
    ]
    return (Measure("completion"), *stics)


def _held(row: Values, kind: str) -> float | None:
    return row.get(f"{kind}_held")


def _yes(row: Values, kind: str) -> float | None:
    share, number = row.get(f"{kind}_yes"), row.get(f"{kind}_asked")
    return None if share is None or number is None else share * number


def _stic(hits: Callable[[Values, str], float | None], of: str) -> Callable[[Sequence[Values]], float | None]:
    """100 · the mean over the kinds of Σ hits / Σ of, over the items where the hits are known."""

    def mean(rows: Sequence[Values]) -> float | None:
        shares = []
        for kind in KINDS:
            known = [(hit, row.get(f"{kind}_{of}") or 0.0) for row in rows if (hit := hits(row, kind)) is not None]
            if not known:
                return None
            total = sum(number for _, number in known)
            shares.append(sum(hit for hit, _ in known) / total if total else 0.0)
        return 100 * fmean(shares)

    return mean


def _question(check: _Check, type: str, block: str) -> Question:
    text = (
        f"Below is one entry ({type} {check.entry}) of a long document.\n\n<entry>\n{block.strip()}\n</entry>\n\n"
        f"Does this entry include the following? {check.event}\nAnswer with one word: yes or no."
    )
    return Question(check.name, text, (check.name,), partial(read_answer, name=check.name))


def read_answer(reply: str, *, name: str) -> dict[str, float]:
    """1 for a reply that begins with yes, 0 for no. Raises ReplyError for any other."""
    _, text = split_thoughts(reply)
    match = _ANSWER.match(text.strip())
    if not match:
        raise ReplyError(f"neither yes nor no: {text.strip()[:40]!r}")
    return {name: float(match[1].lower() == "yes")}


def _task(path: Path, place: int, row: object) -> _Task:
    def bad(field: str, problem: str) -> BadInput:
        return BadInput(path, f"task {place}: {problem}", field=field, fix="fetch the benchmark's files again")

    if not isinstance(row, dict):
        raise bad("", "not an object")
    for field in ("prompt", "type", "prefix"):
        if not isinstance(row.get(field), str):
            raise bad(field, "not a text")
    number = row.get("number")
    if isinstance(number, bool) or not isinstance(number, int) or number <= 0:
        raise bad("number", "not a positive whole number")
    checks = list[_Check]()
    for kind in KINDS:
        own = row.get(f"checks_{kind}")
        if not isinstance(own, dict) or not all(key.isdecimal() and isinstance(event, str) for key, event in own.items()):
            raise bad(f"checks_{kind}", "not an object of events by the number of their entry")
        checks += [_Check(kind, int(key), event) for key, event in own.items()]
    return _Task(row["type"], row["prefix"], number, tuple(checks))


_FAULTS = (
    "the published check asks Llama-3.1-8B-Instruct and takes any reply with the letters y-e-s for a yes",
    "an answer that repeats the heading of the first entry has an empty first entry",
    "an event counts in its own entry only: a birthday in the week before is missed",
)
_SHARED: dict[str, object] = {
    "judge": "Llama-3.1-8B-Instruct, temperature 0.95",
    "licence": "none stated in the repository",
    "paper": "arXiv 2409.02076",
    "faults": _FAULTS,
    "differences": (
        "by_rule needs no judge: half of the event's words are in the entry",
        "judged asks the judge of params.yaml in this project's words; a reply that is neither yes nor no is unscored",
        "an answer that repeats the heading of the first entry is read as it is",
    ),
}
_FIRST, _SECOND = (PinnedSource(REPOSITORY, REVISION, (own,)) for own in (_SHORT, _LONG))
SHORT = Benchmark(
    carded(
        _FIRST,
        name="longgenbench-short",
        title="LongGenBench, 16K",
        measures="400 documents of 52 or 100 entries; completion and STIC-1/2, 0 to 100",
        **_SHARED,
    ),
    partial(load, pin=_SHORT),
    _FIRST,
)
LONG = Benchmark(
    carded(
        _SECOND,
        name="longgenbench-long",
        title="LongGenBench, 32K",
        measures="400 documents of 300 to 365 entries; completion and STIC-1/2, 0 to 100",
        **_SHARED,
    ),
    partial(load, pin=_LONG),
    _SECOND,
)
