"""Trailing windows, exponential averages and what all symbols say, over rows of (T, n) arrays or of an `Expression`.

A value at row k uses rows up to k only. On arrays these are plain NumPy; on an expression they become part of its
formula, which `Program` compiles for batch and stream. A window that holds a NaN is NaN either way.
"""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from .expression import Expression

WINDOWS = {np.add: "sum", np.maximum: "max", np.minimum: "min"}


def rolling(values: FloatArray, window: int, operation: np.ufunc = np.add) -> FloatArray:
    """Sum (or maximum, minimum) over the trailing `window` rows of each column.

    Rows are cut into blocks of `window`; each result joins the tail of one block and the head of the next, so that
    rounding does not build up along the series and a NaN reaches no window but those it stands in.

    Parameters
    ----------
    values
        Shape (T, n).
    window
        Rows, at least 1.
    operation
        np.add, np.maximum or np.minimum.

    Returns
    -------
    FloatArray
        Shape (T, n); NaN where fewer than `window` rows are there or one of them is NaN.

    Examples
    --------
    >>> rolling(np.array([[1.0], [2.0], [4.0], [8.0]]), 2)[:, 0].tolist()
    [nan, 3.0, 6.0, 12.0]
    """
    require_bars(window, "window")
    if window == 1:
        return +values
    if isinstance(values, Expression):
        return Expression(WINDOWS[operation], (values,), window)
    rows, columns = values.shape
    blocks = -(-rows // window)
    padded = np.full((blocks * window, columns), np.nan)
    padded[:rows] = values
    cut = padded.reshape(blocks, window, columns)
    heads = operation.accumulate(cut, axis=1).reshape(-1, columns)
    tails = operation.accumulate(cut[:, ::-1], axis=1)[:, ::-1].reshape(-1, columns)
    out = np.full(values.shape, np.nan)
    if rows >= window:
        operation(tails[: rows - window + 1], heads[window - 1 : rows], out=out[window - 1 :])
        out[window - 1 :: window] = heads[window - 1 : rows : window]
    return out


def rolling_mean(values: FloatArray, window: int) -> FloatArray:
    """Mean over the trailing `window` rows; NaN as in `rolling`.

    Examples
    --------
    >>> rolling_mean(np.array([[1.0], [2.0], [6.0]]), 3)[:, 0].tolist()
    [nan, nan, 3.0]
    """
    return rolling(values, window) / window


def ewma(values: FloatArray, half_life: float) -> FloatArray:
    """Exponentially weighted mean of the rows since the last NaN of the column.

    The weight of a row halves every `half_life` rows and weights add up to one over the rows there are. After a gap
    the mean starts anew; it is NaN until a half-life of rows (rounded up) has been seen since.

    Parameters
    ----------
    values
        Shape (T, n).
    half_life
        In rows, positive.

    Examples
    --------
    With a half-life of one row the weights of the last two are 1 and 1/2: (4 + 1) / 1.5.

    >>> ewma(np.array([[2.0], [4.0]]), 1.0)[:, 0].round(4).tolist()
    [2.0, 3.3333]
    """
    if not 0.0 < half_life < np.inf:
        raise InputError("must be positive", column="half_life", value=half_life)
    if isinstance(values, Expression):
        return Expression("ewma", (values,), half_life)
    decay = 0.5 ** (1.0 / half_life)
    return _ewma(np.ascontiguousarray(values), decay, int(np.ceil(half_life)))


def last_known(values: FloatArray, max_age: int) -> FloatArray:
    """The latest value that is not NaN among the trailing `max_age` rows; NaN where there is none.

    Examples
    --------
    >>> last_known(np.array([[1.0], [np.nan], [np.nan]]), 2)[:, 0].tolist()
    [1.0, 1.0, nan]
    """
    require_bars(max_age, "max_age")
    if isinstance(values, Expression):
        return Expression("last_known", (values,), max_age)
    rows: IntArray = np.arange(len(values), dtype=np.int64)[:, None]
    seen = np.maximum.accumulate(np.where(np.isnan(values), -1, rows), axis=0)
    found = np.take_along_axis(values, np.maximum(seen, 0), axis=0)
    return np.where((seen >= 0) & (rows - seen < max_age), found, np.nan)


def lagged(values: FloatArray, rows: int) -> FloatArray:
    """The values `rows` rows earlier (at least one); NaN where there are none.

    Examples
    --------
    >>> lagged(np.array([[1.0], [2.0]]), 1)[:, 0].tolist()
    [nan, 1.0]
    """
    require_bars(rows, "lag")
    if isinstance(values, Expression):
        return Expression("lag", (values,), rows)
    out = np.full(values.shape, np.nan)
    if rows < len(values):
        out[rows:] = values[: len(values) - rows]
    return out


def market_median(values: FloatArray) -> FloatArray:
    """Median of each row over the symbols that are known, in every column; NaN where none is.

    Examples
    --------
    >>> market_median(np.array([[1.0, np.nan, 4.0], [3.0, 1.0, 2.0]])).tolist()
    [[2.5, 2.5, 2.5], [2.0, 2.0, 2.0]]
    """
    if isinstance(values, Expression):
        return Expression("market_median", (values,))
    ordered = np.sort(values, axis=1)
    known = (~np.isnan(values)).sum(axis=1)
    rows = np.arange(len(values))
    low, high = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, values.shape[1] - 1)
    middle = 0.5 * (ordered[rows, low] + ordered[rows, high])
    return np.repeat(middle[:, None], values.shape[1], axis=1)


def market_sum(values: FloatArray) -> FloatArray:
    """Sum of each row over the symbols that are known, in every column; NaN where none is.

    Examples
    --------
    >>> market_sum(np.array([[1.0, np.nan, 4.0]])).tolist()
    [[5.0, 5.0, 5.0]]
    """
    if isinstance(values, Expression):
        return Expression("market_sum", (values,))
    known = (~np.isnan(values)).any(axis=1, keepdims=True)
    total = np.where(known, np.nansum(values, axis=1, keepdims=True), np.nan)
    return np.repeat(total, values.shape[1], axis=1)


def require_bars(bars: int, column: str) -> None:
    """Raise InputError unless this is a whole number of bars, at least one: a lag below that would look ahead."""
    if not (bars >= 1 and bars == int(bars)):
        raise InputError("must be a whole number of bars, at least one", column=column, value=bars)


@numba.njit(cache=True, nogil=True)
def _ewma(values: FloatArray, decay: float, least: int) -> FloatArray:
    rows, columns = values.shape
    out = np.full((rows, columns), np.nan)
    total, weight, seen = np.zeros(columns), np.zeros(columns), np.zeros(columns, np.int64)
    for row in range(rows):
        for column in range(columns):
            value = values[row, column]
            if np.isnan(value):
                total[column], weight[column], seen[column] = 0.0, 0.0, 0
                continue
            total[column] = value + decay * total[column]
            weight[column] = 1.0 + decay * weight[column]
            seen[column] += 1
            if seen[column] >= least:
                out[row, column] = total[column] / weight[column]
    return out
