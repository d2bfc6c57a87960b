"""The promotion gate: axis by axis, what a checkpoint scored and what it had to."""

from typing import Literal, NamedTuple, Protocol

from tasks.schema.params import Promote
from tasks.schema.records import Record


class Scores(Protocol):
    """What the gate looks at, 0 to 100; None where the judge scored nothing."""

    @property
    def items(self) -> int: ...
    @property
    def unscored(self) -> int: ...
    @property
    def s_l(self) -> float: ...
    @property
    def s_bar(self) -> float | None: ...


class Axis(Record):
    """One condition. `value` is None where there is nothing to hold to the bound: the axis then fails."""

    name: str
    value: float | None
    bound: float
    passed: bool

    def __str__(self) -> str:
        """For people: `s_l 71.20, at least 60.00: holds`."""
        unit, direction = (".2%", "at most") if self.name == "unscored" else (".2f", "at least")
        seen = "is missing" if self.value is None else f"{self.value:{unit}}"
        return f"{self.name} {seen}, {direction} {self.bound:{unit}}: {'holds' if self.passed else 'fails'}"


class Decision(Record):
    """What became of a checkpoint, and why. Run ids and versions are text: stores differ in their types."""

    version: str
    alias: Literal["champion", "challenger"]
    passed: bool
    axes: tuple[Axis, ...]
    reason: str
    champion_before: str | None  # the version that held the alias before this decision
    training_run: str
    evaluation_run: str


def weigh(scores: Scores, *, champion_s_bar: float | None, promote: Promote) -> tuple[Axis, ...]:
    """Every axis of the gate. The gain is an axis only against another champion that was scored; `unscored` is a share."""
    axes = [
        _at_least("s_bar", scores.s_bar, promote.min_s_bar),
        _at_least("s_l", scores.s_l, promote.min_s_l),
    ]
    if champion_s_bar is not None:
        gain = None if scores.s_bar is None else scores.s_bar - champion_s_bar
        axes.append(_at_least("gain_over_champion", gain, promote.min_gain_over_champion))
    share = scores.unscored / scores.items if scores.items else 1.0
    axes.append(Axis(name="unscored", value=share, bound=promote.max_unscored, passed=share <= promote.max_unscored))
    return tuple(axes)


def _at_least(name: str, value: float | None, bound: float) -> Axis:
    return Axis(name=name, value=value, bound=bound, passed=value is not None and value >= bound)


class Reign(NamedTuple):
    """Who is champion now, and what it scored when it was evaluated."""

    version: str
    s_bar: float | None


def decide(scores: Scores, version: str, champion: Reign | None, *, promote: Promote, training_run: str, evaluation_run: str) -> Decision:
    """Weigh a version against the gate. A champion is not dethroned by its own scores: only another version takes its place."""
    reigns = champion is not None and champion.version == version
    rival = None if champion is None or reigns else champion
    axes = weigh(scores, champion_s_bar=rival.s_bar if rival else None, promote=promote)
    passed = all(axis.passed for axis in axes)
    return Decision(
        version=version,
        alias="champion" if passed or reigns else "challenger",
        passed=passed,
        axes=axes,
        reason=_explain(axes, passed=passed, reigns=reigns),
        champion_before=champion.version if champion else None,
        training_run=training_run,
        evaluation_run=evaluation_run,
    )


def _explain(axes: tuple[Axis, ...], *, passed: bool, reigns: bool) -> str:
    verdict = "all axes hold" if passed else "not all axes hold"
    kept = ", and it stays champion until another version takes its place" if reigns else ""
    return f"{verdict}{kept}: " + "; ".join(map(str, axes))
