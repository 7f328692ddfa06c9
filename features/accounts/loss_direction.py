"""Distance to liquidation along a book's own direction of loss, with tiers, haircuts and inverse contracts counted."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray, require_shape
from ...riskcore.exposure import Exposure
from ..engine.step import Declaration
from .headroom_search import SeenPools, breach_multiple


def loss_direction(exposure: Exposure, row: IntArray, sigma: FloatArray, correlation: FloatArray) -> FloatArray:
    """The likeliest move, one sigma long, in which each pool loses: -S w / sqrt(w' S w), S the covariance.

    Of all moves that cost a pool the same, to first order, it is the one nearest to the middle of a normal law; s times
    it costs s sqrt(w' S w) and lies s standard deviations away.

    Parameters
    ----------
    exposure
        Weights w of each pool.
    row
        Row of `sigma` and `correlation` for each pool, shape (p,).
    sigma
        Volatilities of each series, shape (m, n_series).
    correlation
        Of the series, shape (m, n_series, n_series); the diagonal is taken as one.

    Returns
    -------
    FloatArray
        Relative move of each entry of the exposure, shape of `exposure.weight`. NaN where a volatility or correlation
        is not known or the book has no risk.

    Examples
    --------
    Long 300 and short 100 of independent coins at 1% and 3%: both risks are 3, so the first falls by 1% / sqrt 2.

    >>> one = np.array([30.0]), np.array([40.0]), np.array([10.0])
    >>> exposure = Exposure(np.array([0, 2]), np.array([0, 1]), np.array([300.0, -100.0]), *one)
    >>> loss_direction(exposure, np.array([0]), np.array([[0.01, 0.03]]), np.eye(2)[None]).round(6).tolist()
    [-0.007071, 0.021213]
    """
    rows, series = sigma.shape
    require_shape(correlation, (rows, series, series), "correlation")
    require_shape(row, (len(exposure),), "row")
    out = np.empty(len(exposure.weight))
    scale, together = np.ascontiguousarray(sigma, np.float64), np.ascontiguousarray(correlation, np.float64)
    _direct(exposure.pointer, exposure.series, exposure.weight, row.astype(np.int64), scale, together, out)
    return out


def direction_distance(
    pools: SeenPools, exposure: Exposure, row: IntArray, sigma: FloatArray, correlation: FloatArray
) -> FloatArray:
    """Standard deviations to liquidation along each pool's own direction of loss, by the exact margin of the core.

    For books that stay within their tiers and haircut slices it is headroom / sqrt(w' S w), the distance of
    `account_geometry`; where they do not, or contracts are inverse, it is right and that is not.

    Parameters
    ----------
    pools, exposure
        Of the same book, from `seen_pools` and `linearise_at`.
    row, correlation
        As in `loss_direction`.
    sigma
        Several volatilities, shape (m, n_series, v).

    Returns
    -------
    FloatArray
        Shape (p, v). Negative for a pool without headroom: how far it is from being out of that. Infinite for one that
        the move does not liquidate, see `breach_multiple`, and for one without risk. NaN where a volatility or
        correlation of a leg is not known.
    """
    out = np.empty((len(exposure), sigma.shape[2]))
    no_risk = np.diff(exposure.pointer) == 0
    for v in range(sigma.shape[2]):
        direction = loss_direction(exposure, row, sigma[:, :, v], correlation)
        out[:, v] = breach_multiple(pools, exposure, direction)
    out[no_risk] = np.where(exposure.headroom == 0.0, np.nan, np.copysign(np.inf, exposure.headroom))[no_risk, None]
    return out


def direction_declarations(volatilities: Sequence[str]) -> tuple[Declaration, ...]:
    """What the columns of `direction_distance` say of themselves, for volatilities of these names.

    Examples
    --------
    >>> [one.name for one in direction_declarations(["6h", "24h"])]
    ['direct_distance_6h', 'direct_distance_24h']
    """
    return tuple(
        Declaration(
            f"direct_distance_{name}",
            f"Distance to liquidation along the book's own direction of loss, volatilities {name}, tiers counted",
            "standard deviations of an hour",
            ("close",),
            0.0,
            "NaN where a volatility, correlation or price of a leg is not known; infinite where the move does not "
            "liquidate",
        )
        for name in volatilities
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _direct(
    pointer: IntArray,
    series: IntArray,
    weight: FloatArray,
    row: IntArray,
    sigma: FloatArray,
    correlation: FloatArray,
    out: FloatArray,
) -> None:
    for pool in range(len(pointer) - 1):
        time, variance = row[pool], 0.0
        for a in range(pointer[pool], pointer[pool + 1]):
            together = 0.0
            for b in range(pointer[pool], pointer[pool + 1]):
                rho = 1.0 if a == b else correlation[time, series[a], series[b]]
                together += rho * weight[b] * sigma[time, series[b]]
            out[a] = -sigma[time, series[a]] * together
            variance -= weight[a] * out[a]
        for a in range(pointer[pool], pointer[pool + 1]):
            out[a] /= np.sqrt(variance)
