"""Realized GARCH: conditional variance that follows a realised measure, in logs, and what it expects of a horizon."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any

import numba
import numpy as np
from scipy.optimize import minimize

from ..riskcore.arrays import FloatArray, IntArray, require_shape
from ..riskcore.errors import InputError

LEAST_BARS = 500
"""Bars with return and measure that a fit needs."""
BOUNDS = ((-5.0, 5.0), (0.0, 0.9999), (0.0, 2.0))
START = (0.0, 0.6, 0.35)
WILD = 50.0
"""Distance from the usual log variance beyond which the search does not follow a path: squares would overflow."""


@dataclass(frozen=True)
class RealizedGarchFit:
    """log h' = omega + beta log h + gamma log x;  log x = xi + phi log h + tau1 z + tau2 (z^2 - 1) + u.

    h is the conditional variance of the bar's return, h' that of the next bar, x the bar's realised measure,
    z = return / sqrt(h).

    Parameters
    ----------
    omega, beta, gamma, xi, phi, tau1, tau2
        As above.
    noise
        Standard deviation of u.
    start
        log h of the first bar: log mean square of the returns fitted on.
    log_likelihood
        Joint Gaussian log likelihood of returns and log measures.
    """

    omega: float
    beta: float
    gamma: float
    xi: float
    phi: float
    tau1: float
    tau2: float
    noise: float
    start: float
    log_likelihood: float


PARAMETERS = tuple(one.name for one in fields(RealizedGarchFit))


def fit_realized_garch(returns: FloatArray, log_measure: FloatArray) -> RealizedGarchFit | None:
    """Maximum likelihood on one series, both shape (m,); None with fewer than 500 bars on which both are finite.

    log h depends on omega, beta and gamma alone, so that the measurement equation is a least squares fit given them and
    only three parameters have to be searched.

    Source: P. Hansen, Z. Huang and H. Shek, Realized GARCH: a joint model for returns and realized measures of
    volatility, J. Applied Econometrics 27 (2012), the log-linear specification RealGARCH(1,1).
    """
    known = np.isfinite(returns) & np.isfinite(log_measure)
    mean_square = float(np.mean(returns[known] ** 2)) if known.sum() >= LEAST_BARS else 0.0
    if not mean_square > 0.0:
        return None
    level, count = math.log(mean_square), int(known.sum())
    scaled, measure = returns[known] / math.sqrt(mean_square), log_measure - level
    usual = float(np.mean(measure[known]))

    def variance(theta: FloatArray) -> FloatArray:
        # log h - m = beta (log h - m) + gamma (log x - mean log x): stays near m for any parameters that are tried
        omega = theta[0] * (1.0 - theta[1]) - theta[2] * usual
        path = log_variance_path(omega, theta[1], theta[2], 0.0, measure)[:-1]
        return np.clip(path[known], -WILD, WILD)

    def loss(theta: FloatArray) -> float:
        log_variance = variance(theta)
        errors, _ = _measurement(scaled, measure[known], log_variance)
        z2 = scaled**2 * np.exp(-log_variance)
        both = log_variance.sum() + z2.sum() + count * math.log(float(np.mean(errors * errors)))
        return 0.5 * float(both) / count

    best = minimize(loss, np.array(START), method="L-BFGS-B", bounds=BOUNDS)
    middle, beta, gamma = best.x
    omega = middle * (1.0 - beta) - gamma * usual
    errors, (xi, phi, tau1, tau2) = _measurement(scaled, measure[known], variance(best.x))
    likelihood = -count * (float(best.fun) + math.log(2.0 * math.pi) + 0.5 + 0.5 * level)
    values = (
        omega + level * (1.0 - beta - gamma),
        beta,
        gamma,
        xi + level * (1.0 - phi),
        phi,
        tau1,
        tau2,
        math.sqrt(float(np.mean(errors * errors))),
        level,
        likelihood,
    )
    return RealizedGarchFit(*(float(v) for v in values))


def _measurement(
    returns: FloatArray, log_measure: FloatArray, log_variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Errors and coefficients (xi, phi, tau1, tau2) of the measurement equation, by least squares in a fixed order."""
    z = returns * np.exp(-0.5 * log_variance)
    columns = np.stack((np.ones(len(z)), log_variance, z, z * z - 1.0))
    gram = np.einsum("in,jn->ij", columns, columns)
    slopes = np.linalg.lstsq(gram, np.einsum("in,n->i", columns, log_measure), rcond=1e-14)[0]
    return log_measure - np.einsum("i,in->n", slopes, columns), slopes


@numba.njit(cache=True, nogil=True)
def log_variance_path(omega: float, beta: float, gamma: float, start: float, log_measure: FloatArray) -> FloatArray:
    """Log h of every bar and of the one after the last, shape (m + 1,): entry i uses measures of bars before i.

    A measure that is not finite (a gap, or a bar that did not move) leaves log h where it was.

    Examples
    --------
    >>> log_variance_path(0.1, 0.5, 0.4, 1.0, np.array([2.0, np.nan])).round(6).tolist()
    [1.0, 1.4, 1.4]
    """
    out = np.empty(len(log_measure) + 1)
    out[0] = start
    for i in range(len(log_measure)):
        measure = log_measure[i]
        out[i + 1] = omega + beta * out[i] + gamma * measure if abs(measure) < np.inf else out[i]
    return out


class RealizedGarchScale:
    """Log scale of each series over each horizon by Realized GARCH, one for each series.

    Attributes
    ----------
    parameters_
        One row a series, in the order of `PARAMETERS`.
    fitted_
        Whether a series' parameters are its own, or (with too few bars) medians of the others'.
    """

    parameters_: FloatArray
    fitted_: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def fit(self, returns: FloatArray, log_measure: FloatArray, first_bar: int, last_bar: int) -> RealizedGarchScale:
        """Fit on bars [first_bar, last_bar); log returns and log realised variances, shape (n_bars, n_series).

        Raises
        ------
        InputError
            No series with 500 bars of both.
        """
        require_shape(log_measure, returns.shape, "log_measure")
        past = slice(first_bar, last_bar)
        fits = [fit_realized_garch(returns[past, s], log_measure[past, s]) for s in range(returns.shape[1])]
        self.fitted_ = np.array([one is not None for one in fits])
        if not self.fitted_.any():
            problem = "leaves no series with 500 known bars to fit Realized GARCH on"
            raise InputError(problem, column="last_bar", value=last_bar)
        rows = [[np.nan] * len(PARAMETERS) if one is None else astuple(one) for one in fits]
        self.parameters_ = _with_medians(np.array(rows), np.array(rows))
        return self

    def predict(self, log_measure: FloatArray, horizons: tuple[int, ...]) -> FloatArray:
        """Log volatility per bar over each horizon, (n_bars + 1, n_series, n_horizons), row i as known at bar i's open.

        Half the log of the mean of exp(expected log h) over the coming bars, where the expectation follows
        log h -> omega + gamma xi + (beta + gamma phi) log h. NaN at the first bar and after a bar whose measure is NaN.
        """
        require_shape(log_measure, (len(log_measure), len(self.parameters_)), "log_measure")
        omega, beta, gamma, xi, phi = self.parameters_[:, :5].T
        start = self.parameters_[:, PARAMETERS.index("start")]
        paths = [
            log_variance_path(omega[s], beta[s], gamma[s], start[s], np.ascontiguousarray(log_measure[:, s]))
            for s in range(len(omega))
        ]
        expected, total, out = np.stack(paths, axis=1), np.zeros((len(log_measure) + 1, len(omega))), []
        expected[0] = np.nan
        expected[1:][np.isnan(log_measure)] = np.nan
        for step in range(1, horizons[-1] + 1):
            total = total + np.exp(expected)
            expected = omega + gamma * xi + (beta + gamma * phi) * expected
            if step in horizons:
                out.append(0.5 * np.log(total / step))
        return np.stack(out, axis=2)

    def reordered(self, places: IntArray) -> RealizedGarchScale:
        """The same for series in another order: series j was places[j] in fitting, or -1: not there, medians taken."""
        out = RealizedGarchScale()
        there = places >= 0
        rows = np.where(there[:, None], self.parameters_[places], np.nan)
        out.parameters_ = _with_medians(rows, self.parameters_)
        out.fitted_ = there & self.fitted_[places]
        return out

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"parameters": self.parameters_, "fitted": self.fitted_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RealizedGarchScale:
        """The model as it was when `state` was taken."""
        model = cls()
        model.parameters_ = np.asarray(state["parameters"], dtype=np.float64)
        model.fitted_ = np.asarray(state["fitted"], dtype=np.bool_)
        return model


def _with_medians(rows: FloatArray, fitted: FloatArray) -> FloatArray:
    return np.where(np.isnan(rows), np.nanmedian(fitted, axis=0), rows)
