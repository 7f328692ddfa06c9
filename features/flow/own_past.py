"""A value against its own past: how unusual it is for its instrument."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import lagged, rolling_mean


def past_score(values: FloatArray, window: int, least_spread: float = 0.0) -> FloatArray:
    """Deviation of each value from the mean of the `window` rows before it, in their standard deviations.

    Parameters
    ----------
    values
        Shape (T, n).
    window
        Rows before the present one, at least two.
    least_spread
        Standard deviations below this count as this: for rates that a venue's rule holds constant for weeks, of which
        the first change would be infinitely unusual.

    Returns
    -------
    FloatArray
        Shape (T, n); NaN where one of the rows is NaN, or where they are all alike and `least_spread` is 0. Values
        should not be very much larger than their spread (a price is; its logarithm is not): squares cancel.

    Examples
    --------
    The two rows before have mean 2 and standard deviation 1.

    >>> past_score(np.array([[1.0], [3.0], [5.0]]), 2)[:, 0].tolist()
    [nan, nan, 3.0]
    """
    before = lagged(values, 1)
    mean = rolling_mean(before, window)
    variance = rolling_mean(before * before, window) - mean * mean
    spread = np.sqrt(np.where(variance > 0.0, variance, 0.0))
    floored = np.where(spread > least_spread, spread, least_spread)
    return (values - mean) / np.where(floored > 0.0, floored, np.nan)
