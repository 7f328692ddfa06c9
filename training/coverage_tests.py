"""Tests of a margin or VaR forecast: is the number of misses right, do they come in clusters, is one method better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, chdtrc, ndtr, xlogy

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError

Zone = Literal["green", "yellow", "red"]


@dataclass(frozen=True)
class SignificanceTest:
    """A statistic and the probability of one at least as extreme if the forecast is right."""

    statistic: float
    p_value: float


def kupiec(violations: int, n: int, tail: float) -> SignificanceTest:
    """Likelihood-ratio test that violations come with probability `tail` (unconditional coverage, chi-squared 1).

    LR = 2 [log L(x / n) - log L(tail)], L(p) = p^x (1 - p)^(n - x).

    Parameters
    ----------
    violations, n
        Periods in which the loss exceeded the forecast, of how many; periods must not overlap.
    tail
        Probability that was forecast for a violation, such as 0.01.

    Raises
    ------
    InputError
        No period, more violations than periods, a tail outside (0, 1).

    Notes
    -----
    Source: Kupiec, Techniques for verifying the accuracy of risk measurement models, Journal of Derivatives 3 (1995).
    His table for 255 days at 1% rejects from 7 violations on at the 5% level:

    Examples
    --------
    >>> [kupiec(x, 255, 0.01).p_value < 0.05 for x in (6, 7)]
    [False, True]
    """
    _require_counts(violations, n, tail)
    likelihood_ratio = 2 * (_log_likelihood(violations, n, violations / n) - _log_likelihood(violations, n, tail))
    return _chi_squared(likelihood_ratio, 1)


@dataclass(frozen=True)
class ClusterTest:
    """Christoffersen's tests: `independence` of successive violations, and `conditional` coverage, both at once."""

    independence: SignificanceTest
    conditional: SignificanceTest


def christoffersen(hits: ArrayLike, tail: float) -> ClusterTest:
    """Whether a violation makes the next more likely (chi-squared 1), and jointly with Kupiec (chi-squared 2).

    Parameters
    ----------
    hits
        Whether each period was a violation, in order of time, shape (n,).
    tail
        Probability that was forecast for a violation.

    Notes
    -----
    Source: Christoffersen, Evaluating interval forecasts, International Economic Review 39 (1998).

    Examples
    --------
    Ten violations in a row are the right number in a thousand days, and no accident:

    >>> test = christoffersen(np.arange(1000) >= 990, 0.01)
    >>> test.independence.p_value < 1e-9, kupiec(10, 1000, 0.01).p_value
    (True, 1.0)
    """
    hit = np.asarray(hits, dtype=np.bool_)
    uncovered = kupiec(int(hit.sum()), len(hit), tail)
    before, after = hit[:-1], hit[1:]
    after_calm, after_hit = int((after & ~before).sum()), int((after & before).sum())
    calm, hits_before = int((~before).sum()), int(before.sum())
    pooled = (after_calm + after_hit) / max(calm + hits_before, 1)
    free = _log_likelihood(after_calm, calm, after_calm / max(calm, 1))
    free += _log_likelihood(after_hit, hits_before, after_hit / max(hits_before, 1))
    tied = _log_likelihood(after_calm + after_hit, calm + hits_before, pooled)
    independence = _chi_squared(2 * (free - tied), 1)
    return ClusterTest(independence, _chi_squared(independence.statistic + uncovered.statistic, 2))


def basel_zone(violations: int, n: int, tail: float) -> Zone:
    """Traffic light of the Basel Committee: yellow from 95%, red from 99.99% cumulative probability.

    Notes
    -----
    Source: Basel Committee, Supervisory framework for the use of backtesting (1996): at 1% over 250 days green to 4
    violations, yellow to 9, red from 10. Other tails and lengths use the same cumulative probabilities.

    Examples
    --------
    >>> [basel_zone(x, 250, 0.01) for x in (4, 5, 9, 10)]
    ['green', 'yellow', 'yellow', 'red']
    """
    _require_counts(violations, n, tail)
    reached = float(bdtr(violations, n, tail))
    return "green" if reached < 0.95 else "yellow" if reached < 0.9999 else "red"


def pinball(losses: FloatArray, margin: FloatArray, level: float) -> FloatArray:
    """Quantile score of each forecast, lower is better: level * miss or (level - 1) * miss, whichever is larger.

    The miss is loss - margin.

    Examples
    --------
    >>> pinball(np.array([3.0, 0.0]), np.array([1.0, 1.0]), 0.99).round(6).tolist()
    [1.98, 0.01]
    """
    miss = np.asarray(losses, np.float64) - margin
    return np.maximum(level * miss, (level - 1) * miss)


def diebold_mariano(first: FloatArray, second: FloatArray, lags: int | None = None) -> SignificanceTest:
    """Two-sided test that two series of scores have the same mean; a positive statistic means `first` is larger.

    Parameters
    ----------
    first, second
        Scores of two methods in the same periods, in order of time, shape (n,).
    lags
        Lags of the Newey-West variance; None takes 4 (n / 100)^(2 / 9), rounded down.

    Notes
    -----
    Sources: Diebold and Mariano, Comparing predictive accuracy, Journal of Business & Economic Statistics 13 (1995);
    Newey and West, Econometrica 55 (1987).
    """
    gap = np.asarray(first, np.float64) - second
    n = len(gap)
    if n < 2 or not np.isfinite(gap).all():
        raise InputError("needs at least two finite pairs of scores", column="scores", value=n)
    lags = int(4 * (n / 100) ** (2 / 9)) if lags is None else lags
    centred = gap - gap.mean()
    variance = float((centred * centred).sum()) / n
    for lag in range(1, min(lags, n - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float((centred[lag:] * centred[:-lag]).sum()) / n
    if variance <= 0:
        return SignificanceTest(0.0, 1.0)
    statistic = float(gap.mean() / np.sqrt(variance / n))
    return SignificanceTest(statistic, float(2 * ndtr(-abs(statistic))))


def _log_likelihood(hits: int, n: int, probability: float) -> float:
    return float(xlogy(hits, probability) + xlogy(n - hits, 1 - probability))


def _chi_squared(statistic: float, freedom: int) -> SignificanceTest:
    # A ratio of one can come out as -1e-16.
    statistic = max(statistic, 0.0)
    return SignificanceTest(statistic, float(chdtrc(freedom, statistic)))


def _require_counts(violations: int, n: int, tail: float) -> None:
    if not 0 < tail < 1:
        raise InputError("must be in (0, 1)", column="tail", value=tail)
    if n < 1:
        raise InputError("needs at least one period", column="n", value=n)
    if not 0 <= violations <= n:
        raise InputError(f"must be from 0 to {n}", column="violations", value=violations)
