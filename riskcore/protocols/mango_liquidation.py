"""Mango v4 liquidation: when it begins and ends, what comes first, and how much of a debt is taken over.

Source: blockworks-foundation/mango-v4, programs/mango-v4/src/health/cache.rs and instructions/token_liq_with_token.rs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import BoolArray, FloatArray, IntArray
from ..errors import InputError

HEALTHY, CANCEL_ORDERS, REDUCE, BANKRUPT = 0, 1, 2, 3


def being_liquidated(maint: ArrayLike, liquidation_end: ArrayLike, before: ArrayLike) -> BoolArray:
    """Whether accounts are in liquidation: from maintenance health below zero until liquidation-end health is zero.

    Examples
    --------
    >>> being_liquidated([-1.0, 1.0, 1.0], [-5.0, -5.0, 0.0], [False, True, True]).tolist()
    [True, True, False]
    """
    return np.where(np.asarray(before, bool), np.less(liquidation_end, 0), np.less(maint, 0))


def liquidation_phase(
    liquidated: ArrayLike, has_orders: ArrayLike, can_reduce: ArrayLike, has_debt: ArrayLike
) -> IntArray:
    """What may be done to accounts: cancel their orders, then reduce tokens and perpetuals, then settle a bankruptcy.

    Parameters
    ----------
    liquidated
        As `being_liquidated` says.
    has_orders
        Spot funds in the book or open perpetual orders.
    can_reduce
        A deposit and a loan, a perpetual base position, or perpetual profit left to take.
    has_debt
        A loan or a negative perpetual quote.

    Examples
    --------
    >>> liquidation_phase([0, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]).tolist()
    [0, 1, 2, 3]
    """
    inside = np.asarray(liquidated, bool)
    steps = [~inside, np.asarray(has_orders, bool), np.asarray(can_reduce, bool), np.asarray(has_debt, bool)]
    return np.select(steps, [HEALTHY, CANCEL_ORDERS, REDUCE, BANKRUPT], HEALTHY).astype(np.int64)


def liability_to_end(
    liquidation_end: ArrayLike,
    liability_price: ArrayLike,
    liability_weight: ArrayLike,
    asset_weight: ArrayLike,
    fee: ArrayLike,
) -> FloatArray:
    """Borrowed tokens whose repayment against collateral brings liquidation-end health up to zero; 0 where it is there.

    -health / (price * (liability weight - asset weight * (1 + fee))); infinite where the weights free nothing.

    Examples
    --------
    >>> liability_to_end([-14.0, 3.0], 10.0, 1.2, 0.8, 0.15).round(6).tolist()
    [5.0, 0.0]
    """
    if np.less_equal(liability_price, 0).any():
        raise InputError("must be positive", column="liability_price")
    freed = np.subtract(liability_weight, np.multiply(asset_weight, np.add(1.0, fee))) * liability_price
    missing, freed = np.broadcast_arrays(np.maximum(-np.asarray(liquidation_end, np.float64), 0.0), freed)
    found = np.divide(missing, freed, out=np.full(missing.shape, np.inf), where=freed > 0)
    return np.where(missing == 0, 0.0, found)


def takeable_for_zero_health(
    health: ArrayLike, balance: ArrayLike, asset_price: ArrayLike, liability_price: ArrayLike
) -> FloatArray:
    """Tokens that can leave accounts before health is zero: first out of the balance, then borrowed.

    Prices are weighted ones, `TokenTable.asset_price` and `liability_price`; nothing can leave at or below zero health.

    Examples
    --------
    >>> takeable_for_zero_health(20.0, 10.0, 0.8, 1.2).item()
    20.0
    """
    if np.less_equal(liability_price, 0).any():
        raise InputError("must be positive", column="liability_price")
    left, held = np.maximum(np.asarray(health, np.float64), 0.0), np.maximum(np.asarray(balance, np.float64), 0.0)
    price = np.asarray(asset_price, np.float64)
    covered = np.minimum(held * price, left)
    from_balance = np.divide(left, price, out=np.full(np.broadcast(left, price).shape, np.inf), where=price > 0)
    return np.where(left > 0, np.minimum(held, from_balance) + (left - covered) / liability_price, 0.0)
