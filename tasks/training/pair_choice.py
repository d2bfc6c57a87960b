"""Choose a preference pair among the answers to one prompt (paper, section 4.3): the best by S_l and S_q, and a random worse answer.

The rejected answer scores more than `margin` below the best. A prompt without such an answer is a Reject. A truncated answer is never
chosen. It may be the rejected answer, so that the model learns to end its answers.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from tasks.longbench.summary import s_q
from tasks.schema.records import Answer, Message, Pair, Prediction, Reason, Reject, Rubric
from tasks.text.counts import count_words, s_l
from tasks.text.endings import ended
from tasks.text.unrepeated import count_without_loops
from tasks.text.words import constraint, s_l_fixed


class Rated(NamedTuple):
    """One answer and its scores, 0 to 100."""

    sample: int
    answer: Answer
    score: float | None  # S̄ = (S_l + S_q) / 2, without a judge S_l (`by_length`); None: no readable verdict


def rate(answer: Prediction, rubric: Rubric | None) -> Rated:
    """Score an answer: S_l in paper mode, S_q by the judge. Without a verdict (`rubric` is None) the score is None."""
    words = count_words(answer.response)
    length, quality = s_l(answer.item.length, words), None if rubric is None else s_q(rubric)
    marked = Answer(
        text=answer.response, ended=ended(answer.response, finish_reason=answer.finish_reason), words=words, s_l=length, s_q=quality
    )
    return Rated(answer.sample, marked, None if quality is None else (length + quality) / 2)


def by_length(answers: Sequence[Prediction]) -> list[Rated]:
    """Score answers without a judge: S_l in fixed mode, over the words outside loops and repeated passages."""
    return [rate(one, None)._replace(score=_length_without_loops(one)) for one in answers]


def _length_without_loops(answer: Prediction) -> float:
    asked = constraint(answer.item.prompt, answer.item.length)
    return s_l_fixed(asked, count_without_loops(answer.response))


def choose(request: Prediction, rated: Sequence[Rated], *, seed: int, margin: float) -> Pair | Reject:
    """A pair in which the chosen answer scores more than `margin` points above the rejected answer; a Reject if there is none.

    `request` is the prediction of any of the answers. The result depends on the seed, the prompt's id and the answers, not their order.
    """
    known = sorted((one for one in rated if one.score is not None), key=lambda one: one.sample)
    whole = [one for one in known if one.answer.ended]
    if len(known) < 2 or not whole:
        return _unpaired(request, rated, known, whole)
    luck = random.Random(f"{seed}\0{request.item.id}")
    best = max(_score(one) for one in whole)
    chosen = luck.choice([one for one in whole if _score(one) == best])
    others = [one for one in known if _score(one) < best - margin]
    if not others:
        return _reject(request, Reason.TIED, f"{len(known)} answers within {margin:g} points of the best, {best:.1f}")
    prompt = (Message(role="user", content=request.item.prompt),)
    return Pair(
        id=request.item.id, prompt=prompt, asked=request.item.length, chosen=chosen.answer, rejected=luck.choice(others).answer, source=""
    )


def _score(one: Rated) -> float:
    assert one.score is not None
    return one.score


def _unpaired(request: Prediction, rated: Sequence[Rated], known: Sequence[Rated], whole: Sequence[Rated]) -> Reject:
    unscored, cut = len(rated) - len(known), len(known) - len(whole)
    reason = Reason.UNSCORED if len(known) < 2 else Reason.TRUNCATED
    return _reject(request, reason, f"{len(rated)} answers, {unscored} without a readable verdict, {cut} cut off; a pair needs two")


def _reject(request: Prediction, reason: Reason, detail: str) -> Reject:
    return Reject(id=request.item.id, stage="build_pairs", reason=reason, detail=detail, source=request.item.id)
