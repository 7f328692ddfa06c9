"""Whether as many liquidations came as were forecast, when they come in clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray, group_sums
from .coverage_tests import SignificanceTest, kupiec


@dataclass(frozen=True)
class CountTest:
    """Number of liquidations forecast and found, and Kupiec's test on as many rows as the clusters are worth.

    Parameters
    ----------
    rows, days
        What was counted.
    expected, found
        Liquidations.
    design_effect
        How many times wider the count varies than if rows were independent: rows / design_effect count.
    test
        Kupiec's test on the row count and the liquidations, both divided by the design effect.
    """

    rows: int
    days: int
    expected: float
    found: int
    design_effect: float
    test: SignificanceTest


def count_test(probability: FloatArray, outcome: FloatArray, day: IntArray, *, lags: int = 1) -> CountTest:
    """Kupiec's test of the number of liquidations, with rows of one day and of neighbouring days taken as dependent.

    Accounts of one day share their prices: they are liquidated together, and the binomial variance that Kupiec's test
    rests on is several times too small. The variance of the total is estimated from the differences of days (found
    less forecast, centred) with Newey and West's weights, as horizons reach into the next days. Its ratio to the
    binomial variance is the design effect (Kish, Survey Sampling, 1965) that rows and liquidations are divided by. It
    is never below that of rows which are independent given their forecasts.

    Parameters
    ----------
    probability, outcome
        Forecast and outcome (0 or 1) of each row, shape (n,), at least one; none NaN.
    day
        Day number of each row.
    lags
        Days into which a horizon reaches.

    Examples
    --------
    As many as were forecast, day by day:

    >>> test = count_test(np.full(40, 0.5), np.tile([0.0, 1.0], 20), np.repeat(np.arange(10), 4))
    >>> test.found, test.expected, round(test.test.p_value, 6)
    (20, 20.0, 1.0)
    """
    days, block = np.unique(day, return_inverse=True)
    gap = group_sums(block, outcome - probability, len(days))
    mean = float(probability.mean())
    binomial = len(outcome) * mean * (1 - mean)
    independent = float((probability * (1 - probability)).sum())
    found = int(outcome.sum())
    if binomial <= 0:
        agrees = found == round(float(probability.sum()))
        return CountTest(len(outcome), len(days), mean * len(outcome), found, 1.0, _certain(agrees))
    effect = max(_long_run_variance(gap, lags), independent) / binomial
    rows = max(1, round(len(outcome) / effect))
    hits = min(rows, round(found / effect))
    return CountTest(len(outcome), len(days), float(probability.sum()), found, effect, kupiec(hits, rows, mean))


def _long_run_variance(gap: FloatArray, lags: int) -> float:
    """Variance of the sum of daily gaps, unbiased for one cluster after another, Bartlett weights over lags."""
    n = len(gap)
    if n < 2:
        return 0.0
    centred = gap - gap.mean()
    total = float((centred * centred).sum())
    for lag in range(1, min(lags, n - 1) + 1):
        total += 2 * (1 - lag / (lags + 1)) * float((centred[lag:] * centred[:-lag]).sum())
    return max(total, 0.0) * n / (n - 1)


def _certain(agrees: bool) -> SignificanceTest:
    return SignificanceTest(0.0, 1.0) if agrees else SignificanceTest(float("inf"), 0.0)
