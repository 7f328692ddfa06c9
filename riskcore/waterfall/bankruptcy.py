"""Bankruptcy prices: where each leg of a pool has to be closed for the pool to end with nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import BoolArray, FloatArray, IntArray, group_sums
from ..errors import InputError


def share_equity(equity: ArrayLike, pool: IntArray, maintenance: ArrayLike) -> FloatArray:
    """Share of each leg in the equity of its pool, pro rata to maintenance margin.

    Source: the bankruptcy value of dYdX v4 (VENUES.md section 1), which shares positive and negative equity alike.

    Parameters
    ----------
    equity
        Equity of each pool, shape (n_pools,).
    pool, maintenance
        Pool and maintenance margin of each leg, shape (n_legs,).

    Returns
    -------
    FloatArray
        Shape (n_legs,), the unit of `equity`; equal shares in a pool whose legs need no maintenance margin.

    Examples
    --------
    >>> share_equity([90.0], np.array([0, 0]), [10.0, 20.0]).tolist()
    [30.0, 60.0]
    """
    worth, needed = np.asarray(equity, np.float64), np.asarray(maintenance, np.float64)
    total = group_sums(pool, needed, len(worth))[pool]
    legs = np.bincount(pool, minlength=len(worth))[pool]
    with np.errstate(invalid="ignore", divide="ignore"):
        return worth[pool] * np.where(total > 0, needed / total, 1.0 / legs)


def bankruptcy_price(mark: ArrayLike, size: ArrayLike, equity: ArrayLike, inverse: BoolArray | bool) -> FloatArray:
    """Price at which closing a leg costs exactly its share of the equity.

    Linear: mark - equity / size. Inverse: 1 / (1 / mark + equity / size).
    Source: formulas of Bybit (help-center articles 900000031623 and on ADL) and BitMEX (app/liquidationExamples).

    Parameters
    ----------
    mark
        Mark price, quote units.
    size
        Signed size: units of the underlying (linear) or of the quote currency (inverse).
    equity
        The leg's share of equity, settlement asset; negative where the pool is already bankrupt.
    inverse
        Whether the contract is inverse.

    Returns
    -------
    FloatArray
        NaN where no positive price does it.

    Raises
    ------
    InputError
        A size of zero.

    Examples
    --------
    Bybit: 5,000 BTCUSD contracts bought at 7,890.08 with 50 times leverage.

    >>> float(bankruptcy_price(7890.08, 5000.0, 5000 / 7890.08 / 50, True).round(6))
    7735.372549
    """
    units = np.asarray(size, np.float64)
    if (units == 0).any():
        raise InputError("must not be zero", column="size", value=0.0)
    lost = np.asarray(equity, np.float64) / units
    at = np.asarray(mark, np.float64)
    with np.errstate(divide="ignore"):
        price = np.where(inverse, 1.0 / (1.0 / at + lost), at - lost)
    return np.where((price > 0) & np.isfinite(price), price, np.nan)
