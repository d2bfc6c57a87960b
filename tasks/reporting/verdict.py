"""The verdict of a run in one sentence, the axis that decided it, and the level of proof."""

from typing import Literal, NamedTuple

from tasks.models.packages import KNOWN
from tasks.schema.params import Params
from tasks.schema.records import Served
from tasks.schema.standins import TINY, is_stand_in
from tasks.tracking.gate import GAIN, Axis, Decision

Level = Literal["rehearsal", "small real model", "real run"]
MEANINGS: dict[Level, str] = {
    "rehearsal": (
        "This is a rehearsal. Rules replaced some of the models, or the model is a tiny one made for this run. The numbers show that "
        "every part works; they say nothing about a language model."
    ),
    "small real model": (
        "The base is a small pretrained model. The numbers show whether the method works on a language model; they do not show what a "
        "large one reaches."
    ),
    "real run": "No rules replaced a model, and the base is no demonstration model: the numbers are those of your model.",
}


TITLES = {"aligned": "aligned student", "reinforced": "reinforced student"}  # of candidate models; others are called by their names


class PageHeadline(NamedTuple):
    """What happened, for the top of the page."""

    promoted: bool | None  # None: the stage promote has not run
    sentence: str
    axis: Axis | None  # the axis that decided


def level_of(params: Params) -> Level:
    """The level of proof. The selector does not count: it picks prompts and is in no score."""
    roles = (model for role, model in params.models if role != "selector")
    if params.base.model == TINY or any(model is not None and is_stand_in(model) for model in roles):
        return "rehearsal"
    return "small real model" if params.base.model in KNOWN else "real run"


def headline(decision: Decision | None, served: Served | None) -> PageHeadline:
    """The verdict in one sentence. A version that passed is champion once it has been served."""
    if decision is None:
        return PageHeadline(None, "No verdict yet: the stage promote has not run.", None)
    promoted = decision.alias == "champion"
    who = f"version {decision.version}, the {TITLES.get(decision.model, decision.model)},"
    axis = deciding(decision)
    if promoted and (served is None or served.version != decision.version):
        return PageHeadline(
            None, f"Not promoted yet: {who} passes every axis and becomes champion once the stage serve has served it.", axis
        )
    if promoted and decision.passed:
        why = f"all {len(decision.axes)} axes hold; {_decided(axis)}" if axis else "the gate has no axis"
        return PageHeadline(True, f"Promoted: {who} is champion; {why}.", axis)
    if promoted:
        return PageHeadline(True, f"Not replaced: {who} stays champion although it misses {_said(axis)}.", axis)
    if decision.passed:
        return PageHeadline(
            False, f"Not promoted: {who} passes every axis, but it was rolled back or could not be served before, and is blocked.", axis
        )
    return PageHeadline(False, f"Not promoted: {who} is challenger; the axis {_said(axis)}.", axis)


def deciding(decision: Decision) -> Axis | None:
    """The axis that decided: the first one that fails; else the gain over the champion; else the one that was passed most narrowly."""
    failed = [axis for axis in decision.axes if not axis.passed]
    gain = [axis for axis in decision.axes if axis.name == GAIN]
    return next(iter(failed or gain), None) or min(decision.axes, key=_room, default=None)


def _room(axis: Axis) -> float:
    """Distance between value and bound, as a share of the larger one."""
    value = 0.0 if axis.value is None else axis.value
    return abs(value - axis.bound) / max(abs(value), abs(axis.bound), 1e-9)


def _decided(axis: Axis) -> str:
    how = "decided" if axis.name == GAIN else "was passed most narrowly"
    return f"{axis.name} {how}: {axis.seen}, required {axis.limit}"


def _said(axis: Axis | None) -> str:
    if axis is None:
        return "that decided is not recorded"
    return f"{axis.name} fails: it {axis.seen}" if axis.value is None else f"{axis.name} fails: {axis.seen}, required {axis.limit}"
