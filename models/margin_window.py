"""Statistics of trailing windows, kept as a sorted list: each entry knows only the observations before it."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable

import numpy as np

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError


def trailing(values: FloatArray, window: int | None, minimum: int, pick: Callable[[list[float]], float]) -> FloatArray:
    """`pick` of the sorted last `window` values before each period.

    Parameters
    ----------
    values
        Observations, oldest first, no NaN, shape (m,).
    window
        How many observations back; None for all.
    minimum
        Observations needed; before, the result is NaN.
    pick
        Gets the window sorted upwards. It must not keep or change the list.

    Returns
    -------
    FloatArray
        Shape (m + 1,): entry j knows the first j observations, so the last is for the period not yet seen.

    Examples
    --------
    >>> trailing(np.array([3.0, 1.0, 2.0]), 2, 1, lambda ordered: ordered[-1]).tolist()
    [nan, 3.0, 3.0, 2.0]
    """
    if minimum < 1 or (window is not None and window < minimum):
        raise InputError("needs a minimum of at least 1 and a window of at least that", column="window", value=window)
    seen: list[float] = values.tolist()
    ordered: list[float] = []
    out = np.full(len(seen) + 1, np.nan)
    for j, new in enumerate(seen):
        if j >= minimum:
            out[j] = pick(ordered)
        insort(ordered, new)
        if window is not None and j >= window:
            del ordered[bisect_left(ordered, seen[j - window])]
    if len(seen) >= minimum:
        out[-1] = pick(ordered)
    return out


def quantile_of(ordered: list[float], level: float) -> float:
    """Quantile of a sorted list with linear interpolation (the usual definition 7).

    Examples
    --------
    >>> quantile_of([0.0, 10.0, 20.0], 0.75)
    15.0
    """
    at = level * (len(ordered) - 1)
    below = int(at)
    if below + 1 >= len(ordered):
        return ordered[-1]
    return ordered[below] + (ordered[below + 1] - ordered[below]) * (at - below)


def conformal_rank(n: int, level: float) -> int:
    """Which of n sorted scores bounds a new one with probability `level`: the ceil((n + 1) level)-th, at most the n-th.

    Examples
    --------
    >>> conformal_rank(250, 0.99), conformal_rank(50, 0.99)
    (249, 50)
    """
    # 1e-9: (99 + 1) * 0.99 must not be 100 for want of a bit.
    return max(1, min(n, math.ceil((n + 1) * level - 1e-9)))
