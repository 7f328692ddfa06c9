"""Collateral weights beside the haircut schedules of a rule-book: size discounts and premiums, scaling by the pool.

A haircut schedule is a function of value alone and `evaluate` knows it. What depends on the size held, on what others
have deposited or borrowed is computed here, once, and passed on as a schedule or a balance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray


def size_discounted(weight: ArrayLike, size: ArrayLike, factor: ArrayLike, ceiling: float = 1.1) -> FloatArray:
    """Asset weight that falls with the square root of size: min(weight, ceiling / (1 + factor * sqrt(size))).

    Source: Drift v2 (VENUES.md section 1), without its integers; `size` in units of the asset.

    Examples
    --------
    >>> size_discounted(0.9, [0.0, 10_000.0], 0.003).round(6).tolist()
    [0.9, 0.846154]
    """
    fallen = ceiling / (1.0 + np.asarray(factor, np.float64) * np.sqrt(np.abs(np.asarray(size, np.float64))))
    return np.minimum(np.asarray(weight, np.float64), fallen)


def size_premium(weight: ArrayLike, size: ArrayLike, factor: ArrayLike, share: float = 0.8) -> FloatArray:
    """Liability weight or margin rate that rises with the root of size: max(w, share * w + factor * sqrt(size)).

    Source: Drift v2 (VENUES.md section 1), without its integers. With share 0 it is the size premium of FTX, and of
    Paradex where its shift is 0: max(base, factor * sqrt(size)).

    Examples
    --------
    >>> size_premium(1.1, [0.0, 10_000.0], 0.003).round(6).tolist()
    [1.1, 1.18]
    """
    base, held = np.asarray(weight, np.float64), np.abs(np.asarray(size, np.float64))
    return np.maximum(base, share * base + np.asarray(factor, np.float64) * np.sqrt(held))


def pool_scaled_asset(weight: ArrayLike, pool_value: ArrayLike, start: ArrayLike) -> FloatArray:
    """Asset weight scaled down once all deposits of the asset are worth more than `start`: w * min(1, start / value).

    Source: Drift v2 and Mango v4, scaling of initial asset weights. `start` inf turns it off.

    Examples
    --------
    >>> pool_scaled_asset(0.8, [50.0, 200.0], 100.0).tolist()
    [0.8, 0.4]
    """
    held, limit = np.asarray(pool_value, np.float64), np.asarray(start, np.float64)
    share = np.where(held > limit, limit / np.where(held > limit, held, 1.0), 1.0)
    return np.asarray(np.asarray(weight, np.float64) * share)


def pool_scaled_liability(weight: ArrayLike, pool_value: ArrayLike, start: ArrayLike) -> FloatArray:
    """Liability weight scaled up once all loans of the asset are worth more than `start`: w * max(1, value / start).

    Source: Mango v4, scaling of initial liability weights.

    Examples
    --------
    >>> pool_scaled_liability(1.2, [50.0, 200.0], 100.0).tolist()
    [1.2, 2.4]
    """
    held, limit = np.asarray(pool_value, np.float64), np.asarray(start, np.float64)
    return np.asarray(np.asarray(weight, np.float64) * np.maximum(1.0, held / limit))
