"""Finds registered versions without an evaluation under the benchmark and judge of params.yaml, and records tries and failures.

The state is stored as tags of the versions: fingerprint of the evaluation, number of tries, last failure. So any machine can check it,
with two requests.
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
    """A version without an evaluation under the current benchmark and judge."""

    number: str
    under: str  # fingerprint of the required evaluation
    tries: int  # so far
    failed: str | None  # why the last try failed; None: it did not fail
    given_up: bool


def wanted(params: Params) -> str:
    """Returns the fingerprint of an evaluation under the current params."""
    named = params.models.judge
    judge = f"{named}, prompt {read_template(Path(params.judge.prompt)).digest[:8]}" if named else None
    items, _ = read_items(Path(params.benchmark), None)
    return digest(judge, ((item.id, sample) for item in items for sample in range(params.predict.samples)))


def look(params: Params) -> list[Newcomer]:
    """Returns every version without an evaluation under the current benchmark and judge, oldest first, including those given up."""
    today = wanted(params)
    return [_candidate(one, today) for one in registry.versions() if one.tags.get(UNDER) != today]


def _candidate(version: registry.Version, today: str) -> Newcomer:
    """The version's state. Tries under another benchmark or judge do not count."""
    where, _, count = version.tags.get(TRIES, "").partition(" ")
    tries = int(count) if where == today and count.isdecimal() else 0
    failed = version.tags.get(FAILED) if tries else None
    return Newcomer(number=version.number, under=today, tries=tries, failed=failed, given_up=tries >= ENOUGH)


def begin(number: str, params: Params) -> Newcomer:
    """Adds one try to the version, before the evaluation starts, so that a try that crashes the machine counts too."""
    one = _candidate(registry.version(number), wanted(params))
    rollback.tag(number, {TRIES: f"{one.under} {one.tries + 1}"})
    return one.model_copy(update={"tries": one.tries + 1})


def fail(number: str, reason: str) -> None:
    """Records why a try failed."""
    rollback.tag(number, {FAILED: redact(" ".join(reason.split()))[:500] or "no reason given"})


def over(side: Side) -> dict[str, str | None]:
    """Returns the tags of a version after its evaluation; tries and failures are removed."""
    return {UNDER: under(side.answers, side.judge), TRIES: None, FAILED: None}
