"""How lively the coming bars usually are at this time of day and week, from the same times before."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray

DAY, WEEK = np.timedelta64(1, "D"), np.timedelta64(7, "D")


def season_ahead(deviation: FloatArray, horizon: int, period: int, count: int) -> FloatArray:
    """Mean of a series over the coming `horizon` bars' time of day (or week), taken from earlier periods.

    Parameters
    ----------
    deviation
        Any quantity by bar, shape (T, n): its row k is known once bar k has closed.
    horizon
        Bars ahead, at most `period`.
    period
        Bars in a day or a week.
    count
        How many earlier periods to average, those with data.

    Returns
    -------
    FloatArray
        Shape (T + 1, n): row i averages bars i - period * j .. i - period * j + horizon - 1 for j = 1 .. count, all of
        them closed by the open of bar i. NaN where no period is there.

    Examples
    --------
    A quantity that is 1 in the second half of a four-bar day, 0 in the first; at bar 8 the coming two bars are quiet:

    >>> day = np.tile([0.0, 0.0, 1.0, 1.0], 3)[:, None]
    >>> season_ahead(day, 2, 4, 2)[[8, 9, 10], 0].tolist()
    [0.0, 0.5, 1.0]
    """
    rows, columns = deviation.shape
    known = np.nan_to_num(deviation)
    sums = np.vstack((np.zeros((1, columns)), np.cumsum(known, axis=0)))
    counts = np.vstack((np.zeros((1, columns)), np.cumsum(np.isfinite(deviation), axis=0)))
    total, weight = np.zeros((rows + 1, columns)), np.zeros((rows + 1, columns))
    for j in range(1, count + 1):
        first = np.arange(period * j, rows + 1) - period * j
        if len(first) == 0:
            break
        total[period * j :] += sums[first + horizon] - sums[first]
        weight[period * j :] += counts[first + horizon] - counts[first]
    return np.where(weight > 0, total / np.maximum(weight, 1), np.nan)
