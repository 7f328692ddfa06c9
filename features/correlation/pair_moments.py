"""Exponentially weighted moments of pairs of returns as a state that bars are added to, and what is read from it.

The recursion is that of `ewma.ewma_covariance`: a pair restarts where one of the two returns is NaN.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ..engine.logarithm import log_one

CROSS, OWN, WEIGHT, SEEN = 0, 1, 2, 3
"""Places in a state of pairs, shape (4, n, n): sums of r_i r_j and of r_i r_i, of weights, and rows seen."""


def decay_of(half_life: float) -> float:
    """Weight of the row before, for a half-life in rows."""
    return float(0.5 ** (1.0 / half_life))


def least_of(half_life: float) -> int:
    """Rows from which a moment is known: a half-life, rounded up."""
    return math.ceil(half_life)


@numba.njit(cache=True, nogil=True)
def take_returns(close: FloatArray, last: FloatArray, returns: FloatArray) -> None:
    """Log returns from the closes before, `last` holding their logarithms, which become those of `close`."""
    for i in range(len(close)):
        now = log_one(close[i])
        returns[i] = now - last[i]
        last[i] = now


@numba.njit(cache=True, nogil=True)
def mean_known(values: FloatArray) -> float:
    """Mean of the values that are not NaN, in their order; NaN where there is none."""
    total, count = 0.0, 0
    for i in range(len(values)):
        if not np.isnan(values[i]):
            total += values[i]
            count += 1
    return total / count if count else np.nan


@numba.njit(cache=True, nogil=True)
def take_pairs(pairs: FloatArray, returns: FloatArray, decay: float) -> None:
    """Add one row of returns to a state of pairs."""
    n = len(returns)
    for i in range(n):
        for j in range(n):
            product = returns[i] * returns[j]
            if np.isnan(product):
                for place in range(4):
                    pairs[place, i, j] = 0.0
            else:
                pairs[CROSS, i, j] = product + decay * pairs[CROSS, i, j]
                pairs[OWN, i, j] = returns[i] * returns[i] + decay * pairs[OWN, i, j]
                pairs[WEIGHT, i, j] = 1.0 + decay * pairs[WEIGHT, i, j]
                pairs[SEEN, i, j] += 1.0


@numba.njit(cache=True, nogil=True)
def take_bars(close: FloatArray, decay: float, last: FloatArray, pairs: FloatArray) -> None:
    """Add bars to a state of pairs, `last` holding the logarithms of the closes before."""
    returns = np.empty(len(last))
    for row in range(len(close)):
        take_returns(close[row], last, returns)
        take_pairs(pairs, returns, decay)


@numba.njit(cache=True, nogil=True)
def known_coins(pairs: FloatArray, least: int) -> IntArray:
    """Coins whose variance is known and not zero."""
    n = pairs.shape[1]
    coins = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        if pairs[SEEN, i, i] >= least and pairs[OWN, i, i] > 0.0:
            coins[count] = i
            count += 1
    return coins[:count]


@numba.njit(cache=True, nogil=True)
def covariance_of(pairs: FloatArray, coins: IntArray) -> FloatArray:
    """Covariance (mean zero) of these coins, each pair over the rows both have."""
    m = len(coins)
    out = np.empty((m, m))
    for a in range(m):
        for b in range(m):
            i, j = coins[a], coins[b]
            out[a, b] = pairs[CROSS, i, j] / pairs[WEIGHT, i, j]
    return out


@numba.njit(cache=True, nogil=True)
def correlation_from(cross: float, one: float, other: float) -> float:
    """The ratio cross / sqrt(one * other), held within -1 and 1; NaN where one of the two does not vary."""
    scale = np.sqrt(one) * np.sqrt(other)
    return min(max(cross / scale, -1.0), 1.0) if scale > 0.0 else np.nan


@numba.njit(cache=True, nogil=True)
def correlation_of(pairs: FloatArray, coins: IntArray) -> FloatArray:
    """Correlation of these coins, each pair scaled over the rows both have; NaN where one stood still over them."""
    m = len(coins)
    out = np.ones((m, m))
    for a in range(m):
        for b in range(a):
            i, j = coins[a], coins[b]
            out[a, b] = correlation_from(pairs[CROSS, i, j], pairs[OWN, i, j], pairs[OWN, j, i])
            out[b, a] = out[a, b]
    return out
