"""The market as a whole: what the middle coin does."""

from __future__ import annotations

import numpy as np

from ..riskcore.arrays import FloatArray


def median_coin(values: FloatArray) -> FloatArray:
    """Median of each row over the columns that are known, shape (T,); NaN where none is.

    Examples
    --------
    >>> median_coin(np.array([[1.0, np.nan, 4.0], [3.0, 1.0, 2.0], [np.nan] * 3])).tolist()
    [2.5, 2.0, nan]
    """
    ordered = np.sort(values, axis=1)
    known = (~np.isnan(values)).sum(axis=1)
    rows = np.arange(len(values))
    low, high = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, values.shape[1] - 1)
    middle: FloatArray = 0.5 * (ordered[rows, low] + ordered[rows, high])
    return middle


def repeated(values: FloatArray, columns: int) -> FloatArray:
    """A market-wide series of shape (T,) as (T, columns)."""
    return np.repeat(values[:, None], columns, axis=1)
