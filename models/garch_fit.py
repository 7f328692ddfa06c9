"""GARCH(1,1) with Student's t by maximum likelihood, and the variance it has known at every bar."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ..riskcore.arrays import FloatArray

LEAST_RETURNS = 500
"""Known returns a fit needs."""
BACKCAST = 75
"""First returns whose mean square stands for the variance before them in a fit."""
BOUNDS = ((-3.0, 10.0), (-8.0, 4.0), (-6.0, 4.0), (-3.0, 5.0))
START = (4.0, -2.0, 0.0, 1.0)


@dataclass(frozen=True)
class GarchFit:
    """variance of bar i + 1 = omega + alpha * return^2 + beta * variance of bar i; innovations are unit-variance t.

    Parameters
    ----------
    omega, alpha, beta
        Positive, alpha + beta below 1; omega in squared log return per bar.
    freedom
        Degrees of freedom of the innovations, above 2.
    start
        Variance before the first return: the mean square of the returns fitted on.
    log_likelihood
        At the fit, of the returns as they are.
    """

    omega: float
    alpha: float
    beta: float
    freedom: float
    start: float
    log_likelihood: float


def fit_garch_t(returns: FloatArray) -> GarchFit | None:
    """Fit to log returns, shape (m,); mean zero, NaN left out.

    None where fewer than 500 returns are known or nothing moved. Parameters are sought as persistence, share of news,
    long-run variance and degrees of freedom, on returns divided by their root mean square.

    Source: T. Bollerslev, A conditionally heteroskedastic time series model, Rev. Econ. and Statistics 69 (1987).
    """
    known = np.isfinite(returns)
    squares = np.where(known, returns, np.nan) ** 2
    count = int(known.sum())
    level = float(np.mean(squares[known])) if count >= LEAST_RETURNS else 0.0
    if not level > 0.0:
        return None
    scaled = squares / level
    before = float(np.mean(scaled[known][:BACKCAST]))

    def loss(theta: FloatArray) -> float:
        return -float(student_likelihood(*_parameters(theta), before, scaled)) / count

    best = minimize(loss, np.array(START), method="L-BFGS-B", bounds=BOUNDS)
    omega, alpha, beta, freedom = _parameters(best.x)
    in_own_units = -count * (float(best.fun) + 0.5 * math.log(level))
    return GarchFit(omega * level, alpha, beta, freedom, level, in_own_units)


def _parameters(theta: FloatArray) -> tuple[float, float, float, float]:
    persistence, share = float(expit(theta[0])), float(expit(theta[1]))
    omega = (1.0 - persistence) * math.exp(theta[2])
    return omega, persistence * share, persistence * (1.0 - share), 2.0 + math.exp(theta[3])


@numba.njit(cache=True, nogil=True)
def student_likelihood(
    omega: float, alpha: float, beta: float, freedom: float, start: float, squares: FloatArray
) -> float:
    """Log likelihood of squared returns; an unknown one counts for nothing and is taken to be what was expected.

    Examples
    --------
    One return of zero at unit variance and many degrees of freedom is the normal density at zero:

    >>> round(float(student_likelihood(0.0, 0.0, 1.0, 1e6, 1.0, np.array([0.0])) + 0.5 * np.log(2 * np.pi)), 5)
    0.0
    """
    constant = math.lgamma(0.5 * (freedom + 1.0)) - math.lgamma(0.5 * freedom)
    constant -= 0.5 * math.log(math.pi * (freedom - 2.0))
    variance, total = start, 0.0
    for square in squares:
        if np.isnan(square):
            variance = omega + (alpha + beta) * variance
            continue
        tail = math.log1p(square / (variance * (freedom - 2.0)))
        total += constant - 0.5 * math.log(variance) - 0.5 * (freedom + 1.0) * tail
        variance = omega + alpha * square + beta * variance
    return total


@numba.njit(cache=True, nogil=True)
def garch_variance(
    omega: FloatArray, alpha: FloatArray, beta: FloatArray, start: FloatArray, returns: FloatArray
) -> FloatArray:
    """Variance of each bar as known at its open, shape (n_bars + 1, n_series); row i uses returns of bars before i.

    Parameters
    ----------
    omega, alpha, beta, start
        Of each series, shape (n_series,).
    returns
        Log returns, shape (n_bars, n_series). The square of an unknown one is taken to be what was expected.

    Returns
    -------
    FloatArray
        NaN at the first bar and where the return of the bar before is not known.

    Examples
    --------
    >>> one = np.ones(1)
    >>> garch_variance(1e-6 * one, 0.1 * one, 0.8 * one, 1e-4 * one, np.array([[0.02]]))[1].round(9).tolist()
    [0.000121]
    """
    bars, series = returns.shape
    out = np.full((bars + 1, series), np.nan)
    variance = start.copy()
    for bar in range(bars):
        for s in range(series):
            move = returns[bar, s]
            if np.isnan(move):
                variance[s] = omega[s] + (alpha[s] + beta[s]) * variance[s]
            else:
                variance[s] = omega[s] + alpha[s] * (move * move) + beta[s] * variance[s]
                out[bar + 1, s] = variance[s]
    return out
