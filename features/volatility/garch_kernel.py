"""The recursion of GARCH(1,1) and GJR between two fits, and what it says of the bars ahead."""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray

OMEGA, ALPHA, GAMMA, BETA = 0, 1, 2, 3


@numba.njit(cache=True, nogil=True)
def garch_bar(parameters: FloatArray, variance: FloatArray, returns: FloatArray) -> None:
    """Bring the variances of the bar that ended to those of the next: omega + (alpha + gamma [r < 0]) r^2 + beta v.

    Parameters
    ----------
    parameters
        omega, alpha, gamma, beta, degrees of freedom, shape (n, 5).
    variance
        Shape (n,); changed.
    returns
        Log returns of the bar; where NaN its square is taken to be what was expected.

    Examples
    --------
    >>> variance = np.array([1e-4])
    >>> garch_bar(np.array([[1e-6, 0.1, 0.0, 0.8, 5.0]]), variance, np.array([0.02]))
    >>> variance.round(9).tolist()
    [0.000121]
    """
    for column in range(len(returns)):
        omega, alpha, gamma, beta = parameters[column, :4]
        move = returns[column]
        if np.isnan(move):
            variance[column] = omega + (alpha + 0.5 * gamma + beta) * variance[column]
        else:
            news = alpha + gamma if move < 0.0 else alpha
            variance[column] = omega + news * (move * move) + beta * variance[column]


@numba.njit(cache=True, nogil=True)
def garch_ahead(parameters: FloatArray, variance: FloatArray, horizons: IntArray, out: FloatArray) -> None:
    """Mean variance expected over the coming bars, for each horizon; rising horizons, out (n, len(horizons)).

    The expected variance follows v -> omega + (alpha + gamma / 2 + beta) v from bar to bar.

    Examples
    --------
    1e-4 and then 1e-6 + 0.9 * 1e-4:

    >>> out = np.empty((1, 1))
    >>> garch_ahead(np.array([[1e-6, 0.1, 0.0, 0.8, 5.0]]), np.array([1e-4]), np.array([2]), out)
    >>> out.round(9).tolist()
    [[9.55e-05]]
    """
    for column in range(len(variance)):
        omega, alpha, gamma, beta = parameters[column, :4]
        value, total, step = variance[column], 0.0, 0
        for which in range(len(horizons)):
            while step < horizons[which]:
                total += value
                value = omega + (alpha + 0.5 * gamma + beta) * value
                step += 1
            out[column, which] = total / step
