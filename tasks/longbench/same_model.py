"""Is another form of a model, such as a GGUF file, still that model? Its answers to the same prompts decide.

The form is the model if its mean S_l and its share of looping answers are within the 95% intervals of the original's, over prompts. Where
the original scores so low that an interval reaches 0, or with few prompts, nothing can be told apart, and the answer is no.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from tasks.longbench.speculation import measured
from tasks.schema.errors import BadInput
from tasks.schema.records import Record
from tasks.statistics import Interval, bounded

FEWEST = 8  # prompts


class SameModel(Record):
    """Both models' answers to the same prompts. S_l from 0 to 100, words counted as a person does; loops as a share of the answers."""

    prompts: int
    answers: int  # of each
    identical: int  # equal character by character
    s_l: float  # of the original
    s_l_interval: Interval
    s_l_other: float
    loops: float
    loops_interval: Interval
    loops_other: float
    refused: str | None  # why the other is not the model; None: it is

    def __str__(self) -> str:
        """What was compared, in one line."""
        lengths = f"S_l {self.s_l_other:.1f} within {self.s_l_interval} around {self.s_l:.1f}"
        low, high = 100 * self.loops_interval.low, 100 * self.loops_interval.high
        loops = f"looping answers {self.loops_other:.1%} within [{low:.1f}%, {high:.1f}%] around {self.loops:.1%}"
        return f"{self.answers} answers to {self.prompts} prompts: {lengths}, {loops}"


def same_model(original: Path, other: Path) -> SameModel:
    """Compare two files of predictions. Raises BadInput if they have other prompts or samples, or fewer than FEWEST prompts."""
    before, after = measured(original), measured(other)
    if missing := next((key for key in (*before, *after) if key not in after or key not in before), None):
        raise BadInput(other, f"{missing[0]}, sample {missing[1]}, is in one file alone", fix="answer the same prompts and samples")
    prompts = [key[0] for key in before]
    if len(set(prompts)) < FEWEST:
        raise BadInput(original, f"{len(set(prompts))} prompts tell no two models apart", fix=f"give at least {FEWEST} prompts")
    ours, theirs = list(before.values()), [after[key] for key in before]
    lengths = _interval([one.s_l for one in ours], 100.0, prompts)
    loops = _interval([float(one.loops) for one in ours], 1.0, prompts)
    s_l, other_s_l = (fmean([one.s_l for one in side]) for side in (ours, theirs))
    share, other_share = (fmean([float(one.loops) for one in side]) for side in (ours, theirs))
    return SameModel(
        prompts=len(set(prompts)),
        answers=len(ours),
        identical=sum(one.text == two.text for one, two in zip(ours, theirs, strict=True)),
        s_l=s_l,
        s_l_interval=lengths,
        s_l_other=other_s_l,
        loops=share,
        loops_interval=loops,
        loops_other=other_share,
        refused=_refused(lengths, other_s_l, loops, other_share),
    )


def _refused(lengths: Interval, s_l: float, loops: Interval, share: float) -> str | None:
    if lengths.low <= 0:
        return f"the original's S_l is {lengths}, too low to tell another model from it"
    if not lengths.low <= s_l <= lengths.high:
        return f"its S_l is {s_l:.1f}, and the original's is within {lengths}"
    if not loops.low <= share <= loops.high:
        return f"{share:.1%} of its answers loop, and of the original's {loops.low:.1%} to {loops.high:.1%}"
    return None


def _interval(values: Sequence[float], highest: float, prompts: Sequence[str]) -> Interval:
    found = bounded(values, 0.0, highest, prompts)
    assert found, "there are several prompts"
    return found
