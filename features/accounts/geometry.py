"""Account geometry: how far each margin pool stands from liquidation, and how its book is built."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ...riskcore.exposure import Exposure

WORST_MOVE = 0.16
"""The widest of the parallel moves of 4, 8, 12 and 16%: the loss of an exposure grows with the move, so the worst."""

BOOK_FEATURES = (
    "leverage",
    "concentration",
    "net_share",
    "maintenance_usage",
    "worst_leg_share",
    "coin_share",
    "leg_correlation",
    "scenario_usage",
)


def geometry_names(volatilities: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of `account_geometry` for volatilities of these names.

    Examples
    --------
    >>> geometry_names(["6h", "24h"])[:3]
    ('distance_6h', 'distance_24h', 'leverage')
    """
    return (*(f"distance_{name}" for name in volatilities), *BOOK_FEATURES)


def account_geometry(
    exposure: Exposure, coin_value: FloatArray, row: IntArray, sigma: FloatArray, correlation: FloatArray
) -> FloatArray:
    """Geometry of every pool, each seen with the volatilities and correlations of its own row.

    Parameters
    ----------
    exposure
        Weights w = d(equity - maintenance) / d log(price) of each pool, its headroom, equity and maintenance.
    coin_value
        Value of the collateral each pool holds in coins, base asset, shape (p,).
    row
        Row of `sigma` and `correlation` for each pool, shape (p,).
    sigma
        Volatilities of each series, several estimates, shape (m, n_series, v), e.g. per hour.
    correlation
        Of the series, shape (m, n_series, n_series); the diagonal is taken as one.

    Returns
    -------
    FloatArray
        Shape (p, v + 8), columns as in `geometry_names`:

        * distance: headroom / sqrt(sum_ij w_i w_j sigma_i sigma_j rho_ij), for each volatility;
        * leverage: sum |w| / equity;
        * concentration: sum w^2 / (sum |w|)^2, 1 for one leg;
        * net share: sum w / sum |w|, -1 (all lose when prices rise) to 1;
        * maintenance usage: maintenance / equity;
        * worst leg share: largest |w| sigma over their sum, with the first volatility;
        * coin share: coin_value / equity;
        * leg correlation: mean over pairs of legs of rho signed by their sides, weighted by |w_i w_j|: 1 where all
          legs lose together, negative in a hedge; NaN for fewer than two legs;
        * scenario usage: loss in the worst parallel move up to 16% either way / headroom.

        What is over an equity or headroom that is not positive is infinite; the distance of a book without risk too.
        NaN where a volatility or correlation of a leg is not known, and for shares of a pool without exposure.

    Raises
    ------
    InputError
        Shapes that disagree, a row that is not there, a series without volatility.

    Examples
    --------
    Long 300 and short 100 of two independent coins at 1% and 3% an hour, headroom 30 of an equity of 40:

    >>> one = np.array([30.0]), np.array([40.0]), np.array([10.0])
    >>> exposure = Exposure(np.array([0, 2]), np.array([0, 1]), np.array([300.0, -100.0]), *one)
    >>> sigma, correlation = np.array([[[0.01], [0.03]]]), np.eye(2)[None]
    >>> values = account_geometry(exposure, np.array([8.0]), np.array([0]), sigma, correlation)[0]
    >>> for name, value in zip(geometry_names(["24h"]), values):
    ...     print(name, round(float(value), 4))
    distance_24h 7.0711
    leverage 10.0
    concentration 0.625
    net_share 0.5
    maintenance_usage 0.25
    worst_leg_share 0.5
    coin_share 0.2
    leg_correlation 0.0
    scenario_usage 1.0667
    """
    _require_shapes(exposure, coin_value, row, sigma, correlation)
    out = np.empty((len(exposure), sigma.shape[2] + len(BOOK_FEATURES)))
    _geometry(
        exposure.pointer,
        exposure.series,
        exposure.weight,
        exposure.headroom,
        exposure.equity,
        exposure.maintenance,
        np.ascontiguousarray(coin_value, np.float64),
        np.ascontiguousarray(row, np.int64),
        np.ascontiguousarray(sigma, np.float64),
        np.ascontiguousarray(correlation, np.float64),
        out,
    )
    return out


def _require_shapes(
    exposure: Exposure, coin_value: FloatArray, row: IntArray, sigma: FloatArray, correlation: FloatArray
) -> None:
    pools, (rows, series, _) = len(exposure), sigma.shape
    found = {"coin_value": coin_value.shape, "row": row.shape, "correlation": correlation.shape}
    expected = {"coin_value": (pools,), "row": (pools,), "correlation": (rows, series, series)}
    for name, shape in expected.items():
        if found[name] != shape:
            raise InputError(f"has shape {found[name]}, expected {shape}", column=name)
    for name, places, count in (("row", row, rows), ("series", exposure.series, series)):
        strange = np.flatnonzero((places < 0) | (places >= count))
        if len(strange):
            value = int(places[strange[0]])
            raise InputError(f"is not one of {count}", row=int(strange[0]), column=name, value=value)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _over(value: float, base: float) -> float:
    if base > 0.0 or value == 0.0 or np.isnan(base):
        return value / base
    return np.inf


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _variance(series: IntArray, weight: FloatArray, sigma: FloatArray, correlation: FloatArray, measure: int) -> float:
    total = 0.0
    for a in range(len(weight)):
        risk = weight[a] * sigma[series[a], measure]
        total += risk * risk
        for b in range(a):
            other = weight[b] * sigma[series[b], measure]
            total += 2.0 * risk * other * correlation[series[a], series[b]]
    return total if not total < 0.0 else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _leg_correlation(series: IntArray, weight: FloatArray, correlation: FloatArray) -> float:
    together = pairs = 0.0
    for a in range(len(weight)):
        for b in range(a):
            product = weight[a] * weight[b]
            pairs += abs(product)
            together += product * correlation[series[a], series[b]]
    return together / pairs


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _geometry(
    pointer: IntArray,
    series: IntArray,
    weight: FloatArray,
    headroom: FloatArray,
    equity: FloatArray,
    maintenance: FloatArray,
    coin_value: FloatArray,
    row: IntArray,
    sigma: FloatArray,
    correlation: FloatArray,
    out: FloatArray,
) -> None:
    measures = sigma.shape[2]
    for pool in range(len(headroom)):
        legs = slice(pointer[pool], pointer[pool + 1])
        own, sizes, time = series[legs], weight[legs], row[pool]
        gross = net = squares = risk = worst = 0.0
        for leg in range(len(own)):
            size = abs(sizes[leg])
            gross, net, squares = gross + size, net + sizes[leg], squares + size * size
            risk, worst = risk + size * sigma[time, own[leg], 0], max(worst, size * sigma[time, own[leg], 0])
        for v in range(measures):
            out[pool, v] = headroom[pool] / np.sqrt(_variance(own, sizes, sigma[time], correlation[time], v))
        out[pool, measures] = _over(gross, equity[pool])
        out[pool, measures + 1] = squares / (gross * gross)
        out[pool, measures + 2] = net / gross
        out[pool, measures + 3] = _over(maintenance[pool], equity[pool])
        out[pool, measures + 4] = worst / risk
        out[pool, measures + 5] = _over(coin_value[pool], equity[pool])
        out[pool, measures + 6] = _leg_correlation(own, sizes, correlation[time])
        out[pool, measures + 7] = _over(WORST_MOVE * abs(net), headroom[pool])
