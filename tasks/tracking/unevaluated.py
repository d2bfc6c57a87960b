"""Versions of the registry that nobody has evaluated under the benchmark and the judge of params.yaml: found, tried, given up.

All of it stands on the versions, as tags: under what one was evaluated, how often that was tried and why it did not end well.
So any machine may look, and a look costs two questions.
"""

from pathlib import Path

from tasks.judging.templates import read_template
from tasks.longbench.adapters import read_items
from tasks.longbench.compare import Side
from tasks.schema.params import Params
from tasks.schema.records import Record
from tasks.schema.redaction import redact
from tasks.tracking import registry, rollback
from tasks.tracking.eval_fingerprint import UNDER, digest, under

TRIES, FAILED = "evaluation_tries", "evaluation_failed"  # tags of a version
ENOUGH = 2  # tries of one version under one benchmark and judge


class Newcomer(Record):
    """A version without an evaluation."""

    number: str
    under: str  # what it has to be evaluated under
    tries: int  # so far
    failed: str | None  # why the newest try did not end well
    given_up: bool


def wanted(params: Params) -> str:
    """What an evaluation of today is made under."""
    judge = f"{params.models.judge}, prompt {read_template(Path(params.judge.prompt)).digest[:8]}"
    items, _ = read_items(Path(params.benchmark), None)
    return digest(judge, ((item.id, sample) for item in items for sample in range(params.predict.samples)))


def look(params: Params) -> list[Newcomer]:
    """Every version that lacks an evaluation under today's benchmark and judge, oldest first, those that were given up too."""
    today = wanted(params)
    return [_candidate(one, today) for one in registry.versions() if one.tags.get(UNDER) != today]


def _candidate(version: registry.Version, today: str) -> Newcomer:
    """What went wrong under another benchmark or judge says nothing about today's."""
    where, _, count = version.tags.get(TRIES, "").partition(" ")
    tries = int(count) if where == today and count.isdecimal() else 0
    failed = version.tags.get(FAILED) if tries else None
    return Newcomer(number=version.number, under=today, tries=tries, failed=failed, given_up=tries >= ENOUGH)


def begin(number: str, params: Params) -> Newcomer:
    """The version with one try more, written down before it is made: a try that takes its machine down counts."""
    one = _candidate(registry.version(number), wanted(params))
    rollback.tag(number, {TRIES: f"{one.under} {one.tries + 1}"})
    return one.model_copy(update={"tries": one.tries + 1})


def fail(number: str, reason: str) -> None:
    """Write down why a try did not end well."""
    rollback.tag(number, {FAILED: redact(" ".join(reason.split()))[:500] or "no reason given"})


def over(side: Side) -> dict[str, str | None]:
    """The tags of a version that has its evaluation; what was tried before it goes."""
    return {UNDER: under(side.answers, side.judge), TRIES: None, FAILED: None}
