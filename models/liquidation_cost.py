"""What it costs to liquidate a size into the depth there is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError


def execution_cost(level_bps: ArrayLike, notional_within: ArrayLike, size: float) -> FloatArray:
    """Cost of a market order of `size` against the mid, walking out through the levels of the book.

    What rests between two levels is taken at the outer one, so the cost is an upper bound at the book's resolution.

    Parameters
    ----------
    level_bps
        Distances from the mid, basis points, rising, shape (k,).
    notional_within
        Quote units that rest within each distance, shape (snapshots, k); rising along a row.
    size
        Quote units to be liquidated.

    Returns
    -------
    FloatArray
        Fraction of the size, shape (snapshots,). NaN where the book is not that deep, or has a NaN.

    Raises
    ------
    InputError
        A size that is not positive, levels that do not rise, depth that falls with the distance.

    Examples
    --------
    100 at 10 bps and 200 more at 50 bps; 150 take 100 * 10 + 50 * 50 = 3,500 bps, or 23.3 bps each:

    >>> execution_cost([10, 50], [[100, 300]], 150.0).round(6).tolist()
    [0.002333]
    """
    levels, within = np.asarray(level_bps, np.float64), np.asarray(notional_within, np.float64)
    if not size > 0:
        raise InputError("must be positive", column="size", value=size)
    if (np.diff(levels) <= 0).any():
        raise InputError("levels must rise", column="level_bps", value=levels.tolist())
    resting = np.diff(within, axis=1, prepend=0.0)
    if (resting < 0).any():
        row, level = np.argwhere(resting < 0)[0]
        raise InputError(
            "depth falls with the distance", row=int(row), column="notional", value=float(within[row, level])
        )
    taken = np.diff(np.minimum(within, size), axis=1, prepend=0.0)
    cost = (taken * levels).sum(axis=1) / size / 1e4
    return np.where(within[:, -1] >= size, cost, np.nan)
