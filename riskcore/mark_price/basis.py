"""From an index price to the mark of a perpetual: averages of the basis, clamped, and medians of candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray
from ..errors import InputError


def ema_update(previous: ArrayLike, value: ArrayLike, elapsed: ArrayLike, time_constant: float) -> FloatArray:
    """Exponential average after `elapsed` seconds at a new value: value + (previous - value) exp(-elapsed / tau).

    Two steps at the same value are one step of the summed time, so the average does not depend on how often it is
    updated. NaN where the previous average or the value is NaN.

    Raises
    ------
    InputError
        A time constant that is not positive, a negative elapsed time.

    Examples
    --------
    >>> round(float(ema_update(0.0, 1.0, 150.0, 150.0)), 6)
    0.632121
    """
    seconds = np.asarray(elapsed, np.float64)
    if not time_constant > 0:
        raise InputError("must be positive", column="time_constant", value=time_constant)
    if not (seconds >= 0).all():
        raise InputError("must not be negative", column="elapsed", value=float(seconds.min()))
    new = np.asarray(value, np.float64)
    return np.asarray(new + (np.asarray(previous, np.float64) - new) * np.exp(-seconds / time_constant))


def clamped_basis_mark(index: ArrayLike, basis: ArrayLike, cap: ArrayLike) -> FloatArray:
    """Mark as index + basis, with the basis no further from 0 than `cap` as a fraction of the index; quote units.

    With an average of (mid - index) as the basis this is one of the candidates of Hyperliquid's, Polymarket's and
    Binance's marks; the clamp bounds what a manipulated order book can add to it.

    Examples
    --------
    >>> clamped_basis_mark([100.0, 100.0], [0.4, 3.0], 0.01).tolist()
    [100.4, 101.0]
    """
    price, bound = np.asarray(index, np.float64), np.asarray(cap, np.float64)
    if not (bound >= 0).all():
        raise InputError("must not be negative", column="cap", value=float(bound.min()))
    return np.asarray(price + np.clip(np.asarray(basis, np.float64), -bound * price, bound * price))


def funding_basis_price(index: ArrayLike, funding_rate: ArrayLike, remaining: ArrayLike) -> FloatArray:
    """Price of index * (1 + last funding rate * share of the funding interval that remains); Binance's "Price 1".

    Source: Binance help pages fff6ec1b... (COIN-M) and 360033525071 (USD-M).

    Examples
    --------
    >>> round(float(funding_basis_price(100.0, 0.0008, 0.25)), 6)
    100.02
    """
    share = np.asarray(remaining, np.float64)
    if not ((share >= 0) & (share <= 1)).all():
        raise InputError("must be in [0, 1]", column="remaining", value=float(share.max()))
    return np.asarray(np.asarray(index, np.float64) * (1 + np.asarray(funding_rate, np.float64) * share))


def median_of_candidates(*prices: ArrayLike) -> FloatArray:
    """Median of an odd number of candidate prices; a candidate that is NaN is an error, not left out.

    Binance: (price 1, price 2 = index + average basis, contract price). Hyperliquid and Polymarket: (index + average
    basis, median of best bid, best ask and last trade, price from other venues).

    Examples
    --------
    >>> float(median_of_candidates(100.02, 100.4, 99.0))
    100.02
    """
    stacked = np.stack([np.asarray(price, np.float64) for price in prices])
    if len(stacked) % 2 == 0:
        raise InputError("needs an odd number of candidates", column="prices", value=len(stacked))
    if np.isnan(stacked).any():
        row = int(np.argwhere(np.isnan(stacked))[0][0])
        raise InputError("candidate is not a number", row=row, column="prices")
    return np.asarray(np.sort(stacked, axis=0)[len(stacked) // 2])
