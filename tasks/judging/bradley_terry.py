"""Strengths of models from comparisons in pairs: the Bradley–Terry model, with intervals that respect topics.

P(i beats j) = 1 / (1 + exp(θ_j − θ_i)) (Bradley and Terry 1952). A duel is two comparisons, one in each order, and each is half of the
duel: a tie is half a win of each model. So a judge that prefers a place adds ties, not wins. The strengths θ sum to 0.

The fit has a weak normal prior on each θ (standard deviation PRIOR). Without it a model that won every duel would have an infinite strength
and no interval. The covariance is the larger of two: the inverse of the information, and the sandwich over topics (Huber 1967; Liang and
Zeger 1986), because duels of one topic are not independent. `choix` has neither intervals nor clusters; `evalica` needs pandas and
resamples single comparisons; so the fit is scipy's.
"""

from collections.abc import Hashable, Iterable, Sequence
from math import log
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.statistics import LEVEL, Interval

PRIOR = 3.0  # standard deviation of a strength before any duel: 3 means that 95% of strengths lie within ±6
ELO = 400 / log(10)  # Elo points per unit of strength

Numbers = NDArray[np.float64]


class Duelled(NamedTuple):
    """One duel between two models, by their index."""

    a: int
    b: int
    share: float  # of A: 1 both orders name A, 0.75 one order names A and one is a tie, 0.5 a draw
    topic: Hashable


class Strengths(NamedTuple):
    """The fit: strengths (models,), and their covariance (models, models)."""

    theta: Numbers
    covariance: Numbers

    def interval(self, model: int) -> Interval:
        """Interval of a strength. The intervals of all models together contain all true strengths in 95% of rankings (Bonferroni)."""
        half = critical(len(self.theta)) * float(np.sqrt(self.covariance[model, model]))
        return Interval(low=float(self.theta[model]) - half, high=float(self.theta[model]) + half)

    def z(self, i: int, j: int) -> float:
        """The difference θ_i − θ_j in standard errors."""
        variance = self.covariance[i, i] + self.covariance[j, j] - 2 * self.covariance[i, j]
        return float((self.theta[i] - self.theta[j]) / np.sqrt(variance))

    def order(self) -> list[int]:
        """The models by strength, strongest first."""
        return [int(model) for model in np.argsort(-self.theta, kind="stable")]


def fit(duels: Sequence[Duelled], models: int) -> Strengths:
    """Returns the strengths of `models` models. A model without a duel has strength near 0 and a wide interval."""
    from scipy.optimize import minimize
    from scipy.special import expit

    a, b = (np.asarray([getattr(duel, side) for duel in duels], np.int64) for side in ("a", "b"))
    share = np.asarray([duel.share for duel in duels], float)

    def loss(theta: Numbers) -> tuple[float, Numbers]:
        apart = theta[a] - theta[b]
        wrong = expit(apart) - share
        gradient = theta / PRIOR**2
        np.add.at(gradient, a, wrong)
        np.add.at(gradient, b, -wrong)
        return float((np.logaddexp(0, apart) - share * apart).sum() + (theta**2).sum() / (2 * PRIOR**2)), gradient

    theta = minimize(loss, np.zeros(models), jac=True, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-8}).x
    won = expit(theta[a] - theta[b])
    information = np.eye(models) / PRIOR**2
    weight = won * (1 - won)
    for rows, columns, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
        np.add.at(information, (rows, columns), sign * weight)
    inverse = np.linalg.inv(information)
    centre = np.eye(models) - 1 / models  # strengths that sum to 0
    model_based = centre @ inverse @ centre
    scores = _scores(a, b, share - won, [duel.topic for duel in duels], models)
    clusters = len(scores)
    robust = centre @ inverse @ (scores.T @ scores) @ inverse @ centre * (clusters / max(1, clusters - 1))
    return Strengths(centre @ theta, _larger(model_based, robust))


def critical(comparisons: int) -> float:
    """Standard errors that a difference must have to be clear at LEVEL, if so many are looked at (Bonferroni)."""
    return _z(max(1, comparisons))


def rank_range(strengths: Strengths, model: int, models: int) -> tuple[int, int]:
    """The best and the worst rank that the comparison with each other model leaves open, from 1."""
    needed = critical(models - 1)
    gaps = [strengths.z(model, other) for other in range(models) if other != model]
    return 1 + sum(gap < -needed for gap in gaps), models - sum(gap > needed for gap in gaps)


def _scores(a: NDArray[np.int64], b: NDArray[np.int64], surprise: Numbers, topics: Iterable[Hashable], models: int) -> Numbers:
    """(topics, models): the gradient of the log-likelihood by topic."""
    known: dict[Hashable, int] = {}
    places = np.asarray([known.setdefault(topic, len(known)) for topic in topics], np.int64)
    found = np.zeros((len(known), models))
    np.add.at(found, (places, a), surprise)
    np.add.at(found, (places, b), -surprise)
    return found


def _larger(one: Numbers, other: Numbers) -> Numbers:
    """A covariance with, in every direction, at least the variance of both: the positive part of their difference is added."""
    values, vectors = np.linalg.eigh(other - one)
    found: Numbers = one + (vectors * np.maximum(values, 0.0)) @ vectors.T
    return found


def _z(comparisons: int) -> float:
    return NormalDist().inv_cdf(1 - (1 - LEVEL) / (2 * comparisons))
