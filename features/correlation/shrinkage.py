"""Covariance matrices shrunk towards a simpler one, for windows that are short beside the number of coins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError


@dataclass(frozen=True)
class Shrunk:
    """A shrunk covariance matrix.

    Parameters
    ----------
    covariance
        (1 - intensity) * sample covariance + intensity * target, shape (n, n).
    intensity
        Between 0 and 1.
    """

    covariance: FloatArray
    intensity: float


Estimator = Callable[[FloatArray], Shrunk]


def ledoit_wolf(returns: FloatArray) -> Shrunk:
    """Shrinkage to a multiple of the identity: the mean variance for every coin, no correlation.

    Source: O. Ledoit and M. Wolf, A well-conditioned estimator for large-dimensional covariance matrices, J.
    Multivariate Analysis 88 (2004). The sample covariance divides by the number of rows.

    Parameters
    ----------
    returns
        Shape (rows, n), rows >= 2, no NaN.

    Raises
    ------
    InputError
        Another shape, or a value that is not finite.

    Examples
    --------
    Every row has the same products: the sample covariance has no noise and is kept.

    >>> found = ledoit_wolf(np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]]))
    >>> found.intensity, found.covariance.tolist()
    (0.0, [[1.0, 1.0], [1.0, 1.0]])
    """
    moved, sample = _centred(returns)
    rows, n = moved.shape
    squares = moved * moved
    mean = _total(np.diagonal(sample)) / n
    size = _total(sample * sample)
    noise = (_total(gram(squares, squares)) / rows - size) / (n * rows)
    distance = (size - n * mean * mean) / n
    noise = min(noise, distance)
    return _mixed(sample, mean * np.eye(n), noise / distance if noise > 0.0 else 0.0)


def oracle_approximating(returns: FloatArray) -> Shrunk:
    """Shrinkage to a multiple of the identity, best for normal returns.

    Source: Y. Chen, A. Wiesel, Y. Eldar and A. Hero, Shrinkage algorithms for MMSE covariance estimation, IEEE Trans.
    Signal Processing 58 (2010), equation 23 without its terms in 2 / n, as scikit-learn has it.

    Parameters
    ----------
    returns
        Shape (rows, n), rows >= 2, no NaN.

    Raises
    ------
    InputError
        Another shape, or a value that is not finite.

    Examples
    --------
    Sample covariance [[1, 1], [1, 1]]: (1 + 1) / (5 * (1 - 1/2)) = 0.8.

    >>> found = oracle_approximating(np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]]))
    >>> round(found.intensity, 12), found.covariance.round(12).tolist()
    (0.8, [[1.0, 0.2], [0.2, 1.0]])
    """
    moved, sample = _centred(returns)
    rows, n = moved.shape
    mean = _total(np.diagonal(sample)) / n
    size = _total(sample * sample) / (n * n)
    distance = (rows + 1) * (size - mean * mean / n)
    intensity = min((size + mean * mean) / distance, 1.0) if distance > 0.0 else 1.0
    return _mixed(sample, mean * np.eye(n), intensity if n > 1 else 0.0)


def ledoit_wolf_constant_correlation(returns: FloatArray) -> Shrunk:
    """Shrinkage to the same variances with every correlation at the mean: right where one factor moves all.

    Source: O. Ledoit and M. Wolf, Honey, I shrunk the sample covariance matrix, J. Portfolio Management 30 (2004),
    appendix B. The sample covariance divides by the number of rows.

    Parameters
    ----------
    returns
        Shape (rows, n), rows >= 2, n >= 2, no NaN.

    Raises
    ------
    InputError
        Another shape, a value that is not finite, or a coin that did not move.

    Examples
    --------
    Of two coins every correlation is the mean: the target is the sample, and intensity does not matter.

    >>> ledoit_wolf_constant_correlation(np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, 0.0]])).covariance.round(6).tolist()
    [[1.555556, 0.666667], [0.666667, 0.666667]]
    """
    moved, sample = _centred(returns)
    rows, n = moved.shape
    if n < 2:
        raise InputError("needs two coins", column="returns")
    spread = np.sqrt(np.diagonal(sample))
    if not (spread > 0.0).all():
        raise InputError("a coin did not move", column=f"returns[{int(np.flatnonzero(spread == 0.0)[0])}]")
    off = ~np.eye(n, dtype=bool)
    mean = _total((sample / np.outer(spread, spread))[off]) / (n * (n - 1))
    target = np.where(off, mean * np.outer(spread, spread), sample)
    squares = moved * moved
    noise = gram(squares, squares) / rows - sample * sample
    theta = gram(squares * moved, moved) / rows - np.diagonal(sample)[:, None] * sample
    shared = _total(np.diagonal(noise)) + mean * _total((spread / spread[:, None] * theta)[off])
    distance = _total((target - sample) ** 2)
    pull = (_total(noise) - shared) / (rows * distance) if distance > 0.0 else 0.0
    return _mixed(sample, target, min(max(pull, 0.0), 1.0))


def shrunk_covariances(
    returns: FloatArray, window: int, at: IntArray, estimator: Estimator
) -> tuple[FloatArray, FloatArray]:
    """Shrunk covariance matrices of trailing windows.

    Parameters
    ----------
    returns
        Shape (T, n).
    window
        Rows, at least 2.
    at
        Last rows of the windows, shape (m,).
    estimator
        `ledoit_wolf`, `oracle_approximating` or `ledoit_wolf_constant_correlation`.

    Returns
    -------
    covariance, intensity
        Shapes (m, n, n) and (m,). Columns with a NaN in the window, or that did not move in it, are left out and NaN;
        everything is NaN for fewer than two others or a window that begins before the first row.

    Raises
    ------
    InputError
        A row that is not there, a window under two rows.

    Examples
    --------
    >>> returns = np.array([[np.nan, 1.0, 2.0], [1.0, 2.0, 0.0], [1.0, 1.0, 1.0], [3.0, 1.0, 2.0]])
    >>> covariance, intensity = shrunk_covariances(returns, 3, np.array([1, 2, 3]), ledoit_wolf)
    >>> np.isnan(covariance[:, :, 0]).all(axis=1).tolist(), np.isnan(covariance[:, 1, 1]).tolist()
    ([True, True, False], [True, False, False])
    """
    if window < 2:
        raise InputError("must be at least two rows", column="window", value=window)
    strange = np.flatnonzero((at < 0) | (at >= len(returns)))
    if len(strange):
        raise InputError(f"is not one of {len(returns)}", row=int(strange[0]), column="at", value=int(at[strange[0]]))
    n = returns.shape[1]
    covariance, intensity = np.full((len(at), n, n), np.nan), np.full(len(at), np.nan)
    for place, last in enumerate(at.tolist()):
        part = returns[max(last - window + 1, 0) : last + 1]
        moves = ~np.isnan(part).any(axis=0) & (part != part[0]).any(axis=0)
        coins = np.flatnonzero(moves)
        if len(part) == window and len(coins) >= 2:
            found = estimator(part[:, coins])
            covariance[place][np.ix_(coins, coins)] = found.covariance
            intensity[place] = found.intensity
    return covariance, intensity


@numba.njit(cache=True, nogil=True)
def gram(left: FloatArray, right: FloatArray) -> FloatArray:
    """The products left' right, rows added in their order."""
    out = np.zeros((left.shape[1], right.shape[1]))
    for row in range(len(left)):
        for i in range(left.shape[1]):
            for j in range(right.shape[1]):
                out[i, j] += left[row, i] * right[row, j]
    return out


def _centred(returns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns about their means, and their covariance."""
    if returns.ndim != 2 or len(returns) < 2 or returns.shape[1] < 1:
        raise InputError(f"has shape {returns.shape}, expected two rows or more", column="returns")
    if not np.isfinite(returns).all():
        row, column = (int(k) for k in np.argwhere(~np.isfinite(returns))[0])
        raise InputError("must be finite", row=row, column=f"returns[{column}]", value=float(returns[row, column]))
    moved = np.ascontiguousarray(returns - returns.mean(axis=0))
    return moved, gram(moved, moved) / len(moved)


def _total(values: FloatArray) -> float:
    return float(values.sum())


def _mixed(sample: FloatArray, target: FloatArray, intensity: float) -> Shrunk:
    return Shrunk((1.0 - intensity) * sample + intensity * target, float(intensity))
