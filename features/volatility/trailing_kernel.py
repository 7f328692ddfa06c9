"""Trailing sums of a stream, for several windows at once: the compiled, bar-by-bar twin of `operations.rolling`."""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray


@numba.njit(cache=True, nogil=True)
def roll_in(
    held: FloatArray, head: FloatArray, windows: IntArray, bar: int, values: FloatArray, out: FloatArray
) -> None:
    """Take in one row and say the sums over the trailing windows that end with it.

    Bars are cut into blocks of a window's length. `held` keeps the current block as it came and, from the next place
    on, the sums from there to the end of the block before; `head` keeps the sum of the current block. So a sum is one
    addition, no rounding builds up, and a value leaves no trace once it has left the window.

    Parameters
    ----------
    held, head
        State, of shapes (sum of the windows, columns) and (len(windows), columns); changed.
    windows
        Rows of each window, at least 1.
    bar
        How many rows came before.
    values
        The row, shape (columns,).
    out
        Sums, shape (len(windows), columns); NaN before a window is full, or while it holds a NaN.

    Examples
    --------
    >>> held, head, out = np.zeros((2, 1)), np.zeros((1, 1)), np.zeros((1, 1))
    >>> for bar, value in enumerate([1.0, 2.0, 4.0]):
    ...     roll_in(held, head, np.array([2]), bar, np.array([value]), out)
    ...     print(float(out[0, 0]))
    nan
    3.0
    6.0
    """
    first = 0
    for which in range(len(windows)):
        window = windows[which]
        place = bar % window
        for column in range(len(values)):
            total = values[column] if place == 0 else head[which, column] + values[column]
            head[which, column] = total
            held[first + place, column] = values[column]
            if place == window - 1:
                out[which, column] = total
            else:
                out[which, column] = held[first + place + 1, column] + total if bar >= window else np.nan
        if place == window - 1:
            for row in range(window - 2, -1, -1):
                for column in range(len(values)):
                    held[first + row, column] += held[first + row + 1, column]
        first += window
