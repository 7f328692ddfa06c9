"""How prices move together: EWMA covariance and correlation, and what they say about a market or a book."""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray


def ewma_covariance(returns: FloatArray, half_life: float, at: IntArray) -> FloatArray:
    """Exponentially weighted second moments of pairs of returns (mean zero) at some rows.

    A pair counts the rows since one of the two was last NaN, and is NaN until a half-life of them has been seen.

    Parameters
    ----------
    returns
        Log returns, shape (T, n).
    half_life
        In rows.
    at
        Rows wanted, rising, shape (m,); row k uses rows up to k.

    Returns
    -------
    FloatArray
        Shape (m, n, n).

    Examples
    --------
    >>> ewma_covariance(np.array([[0.01, 0.02], [0.01, -0.01]]), 1.0, np.array([0]))[0].round(6).tolist()
    [[0.0001, 0.0002], [0.0002, 0.0004]]
    """
    cross, _ = _moments(returns, half_life, at)
    return cross


def ewma_correlation(returns: FloatArray, half_life: float, at: IntArray) -> FloatArray:
    """Exponentially weighted correlation (mean zero) of pairs of returns at some rows.

    Each pair is scaled by the variances over the rows both have, so it lies between -1 and 1 for coins listed at
    different times too; the matrix of such coins need not be positive definite. NaN as in `ewma_covariance`, or where
    a price did not move at all.

    Returns
    -------
    FloatArray
        Shape (m, n, n), ones on the diagonal where known.

    Examples
    --------
    >>> returns = np.array([[0.01, 0.02], [0.01, -0.02]])
    >>> ewma_correlation(returns, 1.0, np.array([0, 1]))[:, 0, 1].round(4).tolist()
    [1.0, -0.3333]
    """
    cross, own = _moments(returns, half_life, at)
    scale = np.sqrt(own) * np.sqrt(np.swapaxes(own, 1, 2))
    correlation = cross / np.where(scale > 0.0, scale, np.nan)
    return np.clip(correlation, -1.0, 1.0)


def largest_eigenvalue_share(correlation: FloatArray) -> FloatArray:
    """Share of the largest eigenvalue in the trace: 1 / n for independent coins, 1 where all move as one.

    Source: M. Kritzman, Y. Li, S. Page and R. Rigobon, Principal components as a measure of systemic risk, J. Portfolio
    Management 37 (2011), with one component.

    Parameters
    ----------
    correlation
        Shape (m, n, n). Coins whose diagonal is NaN are left out at that row.

    Returns
    -------
    FloatArray
        Shape (m,); NaN where fewer than two coins are known.

    Examples
    --------
    The eigenvalues of [[1, .5], [.5, 1]] are 1.5 and .5.

    >>> largest_eigenvalue_share(np.array([[[1.0, 0.5], [0.5, 1.0]]])).round(6).tolist()
    [0.75]
    """
    known = ~np.isnan(np.diagonal(correlation, axis1=1, axis2=2))
    out = np.full(len(correlation), np.nan)
    patterns, which = np.unique(known, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        coins, rows = np.flatnonzero(pattern), np.flatnonzero(which == number)
        if len(coins) >= 2:
            out[rows] = np.linalg.eigvalsh(correlation[np.ix_(rows, coins, coins)])[:, -1] / len(coins)
    return out


def average_correlation(correlation: FloatArray) -> FloatArray:
    """Mean of the known correlations off the diagonal, shape (m,); NaN where there is no pair.

    Examples
    --------
    >>> average_correlation(np.array([[[1.0, 0.5], [0.5, 1.0]]])).tolist()
    [0.5]
    """
    pairs = np.triu_indices(correlation.shape[1], 1)
    values = correlation[:, pairs[0], pairs[1]]
    known = ~np.isnan(values)
    counts, sums = known.sum(axis=1), np.where(known, values, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _moments(returns: FloatArray, half_life: float, at: IntArray) -> tuple[FloatArray, FloatArray]:
    decay = 0.5 ** (1.0 / half_life)
    rows = np.asarray(at, np.int64)
    cross, own = _pair_moments(np.ascontiguousarray(returns), decay, int(np.ceil(half_life)), rows)
    return cross, own


@numba.njit(cache=True, nogil=True)
def _pair_moments(returns: FloatArray, decay: float, least: int, at: IntArray) -> tuple[FloatArray, FloatArray]:
    n = returns.shape[1]
    cross, own = np.full((len(at), n, n), np.nan), np.full((len(at), n, n), np.nan)
    sum_cross, sum_own = np.zeros((n, n)), np.zeros((n, n))
    weight, seen = np.zeros((n, n)), np.zeros((n, n), np.int64)
    wanted = 0
    for row in range(at[-1] + 1 if len(at) else 0):
        for i in range(n):
            for j in range(n):
                product = returns[row, i] * returns[row, j]
                if np.isnan(product):
                    sum_cross[i, j], sum_own[i, j], weight[i, j], seen[i, j] = 0.0, 0.0, 0.0, 0
                else:
                    sum_cross[i, j] = product + decay * sum_cross[i, j]
                    sum_own[i, j] = returns[row, i] * returns[row, i] + decay * sum_own[i, j]
                    weight[i, j] = 1.0 + decay * weight[i, j]
                    seen[i, j] += 1
        if row == at[wanted]:
            for i in range(n):
                for j in range(n):
                    if seen[i, j] >= least:
                        cross[wanted, i, j] = sum_cross[i, j] / weight[i, j]
                        own[wanted, i, j] = sum_own[i, j] / weight[i, j]
            wanted += 1
    return cross, own
