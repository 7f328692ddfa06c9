"""Many accounts on the same scenario paths: which of them are liquidated together."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray, IntArray, require, require_shape
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure
from .paths import PathLibrary

SOLVER_STEPS = 34
REACH = 20.0
"""Severities further than this many bandwidths from 0 are breached, or not, to nine digits."""


def path_severity(exposure: Exposure, library: PathLibrary, scale: FloatArray) -> FloatArray:
    """Log of each pool's worst loss on each path over its headroom, shape (n_windows, n_pools).

    Above 0 the pool is liquidated on that path. -inf where the path never costs it anything, NaN where a leg has no
    prices there or the headroom is NaN or not positive.

    Parameters
    ----------
    exposure
        The pools.
    library
        Standardised paths, as `FilteredHistorical` keeps them for each horizon.
    scale
        Scale at each exposure entry, shape (n_entries,).

    Raises
    ------
    InputError
        An exposure to a series the library does not have, or not one scale an entry.
    """
    series = library.moves.shape[1]
    require(exposure.series < series, exposure.series, f"is not one of the library's {series}", "series")
    require_shape(scale, exposure.weight.shape, "scale")
    out = np.empty((len(library.start), len(exposure)))
    _severities(exposure.pointer, exposure.series, exposure.weight, scale, exposure.headroom, library.moves, out)
    return out


@numba.njit(cache=True, nogil=True)
def _severities(
    pointer: IntArray,
    series: IntArray,
    weight: FloatArray,
    scale: FloatArray,
    headroom: FloatArray,
    paths: NDArray[np.float32],
    out: FloatArray,
) -> None:
    """Relative moves to third order in the log move, in single precision, as `path_kernel.breach_pass` has them."""
    points = paths.shape[2]
    value = np.empty(points, dtype=np.float32)
    for window in range(out.shape[0]):
        for row in range(out.shape[1]):
            value[:] = 0.0
            for entry in range(pointer[row], pointer[row + 1]):
                z = paths[window, series[entry]]
                w, s = np.float32(weight[entry]), np.float32(scale[entry])
                for k in range(points):
                    x = s * z[k]
                    value[k] += w * x * (np.float32(1.0) + x * (np.float32(0.5) + x * np.float32(1.0 / 6.0)))
            worst = np.float32(0.0)
            for k in range(points):
                # a NaN anywhere in a path is one throughout
                worst = min(worst, value[k]) if not np.isnan(value[k]) else value[k]
            if headroom[row] > 0.0:
                out[window, row] = np.log(-np.float64(worst) / headroom[row]) if worst != 0.0 else -np.inf
            else:
                out[window, row] = np.nan


def path_probabilities(severity: FloatArray, bandwidth: float = 0.08) -> FloatArray:
    """Probability of liquidation on each path, smoothed as `breach_probability` smooths it, (n_windows, n_pools).

    Examples
    --------
    >>> path_probabilities(np.array([[0.0, -np.inf, 0.08 * np.log(3.0)]])).round(4).tolist()
    [[0.5, 0.0, 0.75]]
    """
    if not bandwidth > 0:
        raise InputError("must be positive", column="bandwidth", value=bandwidth)
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-severity / bandwidth)))


def with_marginals(severity: FloatArray, probability: FloatArray, bandwidth: float = 0.08) -> FloatArray:
    """Path probabilities of pools moved so that each pool's mean over the paths is a given probability.

    Each pool's log severity is shifted by one number, which keeps the order of its paths and so with whom it falls. A
    probability above the share of paths that cost a pool anything cannot be reached: the rest is spread over the other
    paths evenly. Paths that are NaN stay NaN, and the mean is that over the others.

    Parameters
    ----------
    severity
        From `path_severity`, (n_windows, n_pools).
    probability
        The mean wanted, shape (n_pools,), such as that of the hybrid; NaN makes a column of NaN.

    Returns
    -------
    Shape (n_windows, n_pools).
    """
    require_shape(probability, severity.shape[1:], "probability")
    out = path_probabilities(severity + _shifts(np.ascontiguousarray(severity.T), probability, bandwidth), bandwidth)
    known = ~np.isnan(out)
    reached = np.where(known, out, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    lacking = np.where(reached < 1.0, np.maximum(probability - reached, 0.0) / np.maximum(1.0 - reached, 1e-300), 0.0)
    spread = np.where(lacking > 1e-9, lacking, 0.0)
    return np.where(np.isnan(probability), np.nan, out + spread * (1.0 - out))


@numba.njit(cache=True, nogil=True)
def _shifts(severity: FloatArray, probability: FloatArray, bandwidth: float) -> FloatArray:
    """What to add to each row so that its smoothed breaches average to its probability, by bisection."""
    pools, windows = severity.shape
    out = np.empty(pools)
    far = REACH * bandwidth
    for pool in range(pools):
        low, high, known = np.inf, -np.inf, 0
        for window in range(windows):
            if np.isfinite(severity[pool, window]):
                low, high = min(low, severity[pool, window]), max(high, severity[pool, window])
            known += not np.isnan(severity[pool, window])
        # shifts that put every path far below zero, and far above
        bottom, top = (-high - far, -low + far) if high >= low else (0.0, 0.0)
        for _ in range(SOLVER_STEPS):
            middle = 0.5 * (bottom + top)
            total = 0.0
            for window in range(windows):
                x = severity[pool, window] + middle
                if x > far:
                    total += 1.0
                elif x > -far:
                    total += 1.0 / (1.0 + np.exp(-x / bandwidth))
            if total / max(known, 1) > probability[pool]:
                top = middle
            else:
                bottom = middle
        out[pool] = 0.5 * (bottom + top)
    return out
