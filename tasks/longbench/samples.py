"""Averages the answers to one prompt: several answers to one prompt are one observation, and intervals are over prompts.

Counted one by one, the answers to a prompt would count as several prompts and every interval would be too narrow. The same is true of
prompts of one topic: `cluster` groups them.
"""

from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from tasks.schema.records import ScoredItem

Mode = Literal["paper", "fixed", "without_loops"]  # the last is fixed mode, of the words outside loops and repeated passages


class PromptScores(NamedTuple):
    """The mean scores of all answers to one prompt, with bounds for the unscored answers."""

    id: str
    prompt: str  # digest; empty: unknown
    topic: str  # empty: unknown
    type: str
    language: str  # ISO 639
    asked: int
    answers: int
    unscored: int  # number of answers without S_q
    s_l: float | None  # None: fixed mode without scored text
    s_q: float | None  # over the scored answers; None: no scored answer
    s_q_least: float  # with all unscored answers at 0
    s_q_most: float  # with all unscored answers at 100
    judge_error: float | None = None  # standard error of s_q by the judge's repeats; None: an answer has fewer than two verdicts
    verdicts: int = 0  # readable verdicts on an answer, the fewest; 0: unknown
    s_l_error: float | None = None  # standard error of s_l by sampling; None: one answer
    s_bar_error: float | None = None  # the same of S̄; None: fewer than two scored answers

    def sampling_error(self, judged: bool) -> float | None:
        """The standard error by sampling of S̄ (`judged`) or S_l."""
        return self.s_bar_error if judged else self.s_l_error

    @property
    def cluster(self) -> str:
        """The topic; the prompt's id if the topic is unknown."""
        return self.topic or f"prompt {self.id}"


def by_prompt(items: Iterable[ScoredItem], *, mode: Mode) -> list[PromptScores]:
    """The scores of each prompt, in order of first occurrence. `mode` selects the length score."""
    answers: dict[str, list[ScoredItem]] = {}
    for item in items:
        answers.setdefault(item.id, []).append(item)
    return [_averaged(own, mode) for own in answers.values()]


def _averaged(answers: list[ScoredItem], mode: Mode) -> PromptScores:
    first, number = answers[0], len(answers)
    lengths = [length_score(item, mode) for item in answers]
    scored = [item.s_q for item in answers if item.s_q is not None]
    missing = number - len(scored)
    return PromptScores(
        id=first.id,
        prompt=first.prompt,
        topic=first.topic,
        type=first.type,
        language=first.language,
        asked=first.asked,
        answers=number,
        unscored=missing,
        s_l=None if None in lengths else fmean([length for length in lengths if length is not None]),
        s_q=fmean(scored) if scored else None,
        s_q_least=sum(scored) / number,
        s_q_most=(sum(scored) + 100 * missing) / number,
        judge_error=_judge_error(answers),
        verdicts=min((item.s_q_verdicts or 0 for item in answers if item.s_q is not None), default=0),
        s_l_error=_error([length for length in lengths if length is not None]),
        s_bar_error=_error(
            [(length + item.s_q) / 2 for length, item in zip(lengths, answers, strict=True) if length is not None and item.s_q is not None]
        ),
    )


def _judge_error(answers: list[ScoredItem]) -> float | None:
    """The standard error of the mean S_q of these answers by the judge's noise alone."""
    errors = [item.s_q_error for item in answers if item.s_q is not None]
    known = [error for error in errors if error is not None]
    return sqrt(sum(error**2 for error in known)) / len(known) if known and len(known) == len(errors) else None


def _error(values: Sequence[float]) -> float | None:
    """The standard error of a mean; None for fewer than two values."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else None


def other_prompts(items: Iterable[ScoredItem]) -> str | None:
    """A note for reports if the models did not all answer the same prompts; None if they did."""
    prompts: dict[str, set[tuple[str, str]]] = {}
    for item in items:
        prompts.setdefault(item.model, set()).add((item.id, item.prompt))
    common = set.intersection(*prompts.values()) if prompts else set[tuple[str, str]]()
    if all(len(own) == len(common) for own in prompts.values()):
        return None
    counts = ", ".join(f"{model} {len(own)}" for model, own in prompts.items())
    return (
        f"The models did not answer the same prompts: {len(common)} are common to all, and each row is over its model's own ({counts}). "
        "`compare` pairs two models by prompt."
    )


def length_score(item: ScoredItem, mode: Mode) -> float | None:
    """S_l in the given mode; None if the item was scored without its text."""
    if mode == "paper":
        return item.s_l
    if item.fixed is None:
        return None
    return item.fixed.s_l if mode == "fixed" else item.fixed.s_l_without_loops
