"""Bayesian online change-point detection: how long ago the level of a series last changed."""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma

import numba
import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError

MEAN, KAPPA, ALPHA, BETA = 0, 1, 2, 3
"""Places in the statistics of run lengths, shape (4, longest + 1)."""


@dataclass(frozen=True)
class NormalGamma:
    """What is believed of a run before it begins: normal observations of unknown mean and variance.

    Parameters
    ----------
    mean, kappa
        Expected level, and how many observations that belief is worth.
    alpha, beta
        Shape and rate of the gamma law of 1 / variance: the variance is about beta / alpha, worth 2 alpha observations.

    Raises
    ------
    InputError
        A kappa, alpha or beta that is not positive.
    """

    mean: float
    kappa: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        for name in ("kappa", "alpha", "beta"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InputError("must be positive", column=name, value=getattr(self, name))

    def as_array(self) -> FloatArray:
        """The four in the order of the statistics."""
        return np.array([self.mean, self.kappa, self.alpha, self.beta])


def run_lengths(series: FloatArray, hazard: float, prior: NormalGamma, longest: int) -> FloatArray:
    """Probability of each run length after each observation, given the observations so far.

    A run of length 0 begins with the next observation. Runs of `longest` and more share a place, whose statistics are
    the mean by probability of those that meet there. Source: R. Adams and D. MacKay, Bayesian online changepoint
    detection, arXiv:0710.3742 (2007), algorithm 1.

    Parameters
    ----------
    series
        Shape (T,); a NaN is left out: it ends no run and lengthens none.
    hazard
        Probability that a run ends with any observation.
    prior
        Belief at the beginning of a run.
    longest
        Where run lengths are cut, at least 1.

    Returns
    -------
    FloatArray
        Shape (T, longest + 1), rows adding up to one.

    Raises
    ------
    InputError
        A hazard outside (0, 1), or no run length.

    Examples
    --------
    After one observation the run has ended with probability `hazard`, whatever was seen:

    >>> run_lengths(np.array([5.0]), 0.1, NormalGamma(0.0, 1.0, 1.0, 1.0), 2).round(6).tolist()
    [[0.1, 0.9, 0.0]]
    """
    if not 0.0 < hazard < 1.0:
        raise InputError("must be between 0 and 1", column="hazard", value=hazard)
    if longest < 1:
        raise InputError("must be at least 1", column="longest", value=longest)
    probability, statistics = fresh_runs(longest, prior)
    out = np.empty((len(series), longest + 1))
    for row, value in enumerate(np.asarray(series, np.float64).tolist()):
        if not np.isnan(value):
            absorb(probability, statistics, value, hazard, prior.as_array())
        out[row] = probability
    return out


def fresh_runs(longest: int, prior: NormalGamma) -> tuple[FloatArray, FloatArray]:
    """Probabilities and statistics before the first observation: a run of length 0."""
    probability = np.zeros(longest + 1)
    probability[0] = 1.0
    return probability, np.repeat(prior.as_array()[:, None], longest + 1, axis=1)


@numba.njit(cache=True, nogil=True)
def _log_density(value: float, mean: float, kappa: float, alpha: float, beta: float) -> float:
    """Student's law of the next observation of a run."""
    scale = beta * (kappa + 1.0) / (alpha * kappa)
    square = (value - mean) ** 2 / scale
    constant = lgamma(alpha + 0.5) - lgamma(alpha) - 0.5 * np.log(2.0 * np.pi * alpha * scale)
    return float(constant - (alpha + 0.5) * np.log1p(square / (2.0 * alpha)))


@numba.njit(cache=True, nogil=True)
def absorb(probability: FloatArray, statistics: FloatArray, value: float, hazard: float, prior: FloatArray) -> None:
    """One observation: probabilities and statistics of run lengths, in place."""
    last = len(probability) - 1
    best = -np.inf
    logs = np.full(last + 1, -np.inf)
    for r in range(last + 1):
        if probability[r] > 0.0:
            density = _log_density(value, statistics[0, r], statistics[1, r], statistics[2, r], statistics[3, r])
            logs[r] = np.log(probability[r]) + density
            best = max(best, logs[r])
        mean, kappa = statistics[MEAN, r], statistics[KAPPA, r]
        statistics[BETA, r] += 0.5 * kappa * (value - mean) ** 2 / (kappa + 1.0)
        statistics[MEAN, r] = (kappa * mean + value) / (kappa + 1.0)
        statistics[KAPPA, r] = kappa + 1.0
        statistics[ALPHA, r] += 0.5
    total = 0.0
    for r in range(last + 1):
        logs[r] = np.exp(logs[r] - best)
        total += logs[r]
    joined = logs[last - 1] + logs[last]
    if joined > 0.0:
        _join(statistics, last, logs[last - 1] / joined)
    probability[last] = (1.0 - hazard) * joined / total
    for r in range(last - 1, 0, -1):
        probability[r] = (1.0 - hazard) * logs[r - 1] / total
        statistics[:, r] = statistics[:, r - 1]
    probability[0] = hazard
    statistics[:, 0] = prior


@numba.njit(cache=True, nogil=True)
def _join(statistics: FloatArray, last: int, share: float) -> None:
    """Statistics of the last place: those of the run that comes in with weight `share`, of those there else."""
    squares, sums = 0.0, 0.0
    joined = np.zeros(4)
    for r, weight in ((last - 1, share), (last, 1.0 - share)):
        mean, kappa = statistics[MEAN, r], statistics[KAPPA, r]
        joined[KAPPA] += weight * kappa
        joined[ALPHA] += weight * statistics[ALPHA, r]
        sums += weight * kappa * mean
        squares += weight * (statistics[BETA, r] + 0.5 * kappa * mean * mean)
    joined[MEAN] = sums / joined[KAPPA]
    joined[BETA] = max(squares - 0.5 * sums * joined[MEAN], min(statistics[BETA, last - 1], statistics[BETA, last]))
    statistics[:, last] = joined
