"""Correlation matrices over a sliding window, fast and with the same bits on any number of threads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError

FLAT = 2.3e-16
"""A variance below this times the rows, relative to the mean square it is taken from, is rounding: nothing moved."""


@dataclass(frozen=True)
class RollingCorrelation:
    """Correlation matrices of trailing windows.

    Parameters
    ----------
    rows
        Last row of each window, shape (m,).
    values
        Shape (m, n, n), ones on the diagonal where known.
    """

    rows: IntArray
    values: FloatArray


def rolling_correlation(values: FloatArray, window: int, every: int = 1) -> RollingCorrelation:
    """Sample correlation of every pair of columns over trailing windows, the first window and each `every` rows on.

    Sums of products are taken once over blocks of gcd(window, every) rows; a window joins the tail of one run of blocks
    and the head of the next, so that each block is added a few times however long the window is and nothing is ever
    subtracted. All sums have a fixed order. Columns are centred by their first known value; the relative error is about
    1e-16 times the mean square so centred over the variance.

    Parameters
    ----------
    values
        Returns, shape (T, n).
    window
        Rows, at least 2.
    every
        Rows from one window to the next.

    Returns
    -------
    RollingCorrelation
        NaN for a column that holds a NaN in the window or does not move in it.

    Raises
    ------
    InputError
        Another shape, an infinite value, or a window or step that is too small.

    Examples
    --------
    >>> found = rolling_correlation(np.array([[1.0, 1.0], [2.0, 0.0], [3.0, 5.0], [4.0, 8.0]]), 3)
    >>> found.rows.tolist(), found.values[:, 0, 1].round(6).tolist()
    ([2, 3], [0.755929, 0.989743])
    """
    if values.ndim != 2:
        raise InputError(f"has shape {values.shape}, expected rows and columns", column="values")
    for name, number, least in (("window", window, 2), ("every", every, 1)):
        if number < least:
            raise InputError(f"must be at least {least}", column=name, value=number)
    if np.isinf(values).any():
        row, column = (int(k) for k in np.argwhere(np.isinf(values))[0])
        raise InputError("must be finite or NaN", row=row, column=f"values[{column}]", value=float(values[row, column]))
    rows = np.arange(window - 1, len(values), every, dtype=np.int64)
    out = np.empty((len(rows), values.shape[1], values.shape[1]))
    block = math.gcd(window, every)
    _roll(np.ascontiguousarray(values, np.float64), block, window // block, every // block, out)
    return RollingCorrelation(rows, out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _roll(values: FloatArray, block: int, span: int, every: int, out: FloatArray) -> None:
    """Windows of `span` blocks, told each `every` blocks. A sum is packed: triangle of products, sums, gaps."""
    n, written = values.shape[1], 0
    triangle = n * (n + 1) // 2
    size = triangle + 2 * n
    tails, head, whole = np.zeros((span, size)), np.zeros(size), np.zeros(size)
    centre, part = _first_known(values), np.zeros((block, n))
    for number in range(len(values) // block):
        place = number % span
        mine = tails[place]
        mine[:] = 0.0
        for row in range(block):
            for i in range(n):
                value = values[number * block + row, i] - centre[i]
                gap = np.isnan(value)
                part[row, i] = 0.0 if gap else value
                mine[triangle + i] += part[row, i]
                mine[triangle + n + i] += 1.0 if gap else 0.0
        _add_products(part, mine)
        for k in range(size):
            head[k] = mine[k] if place == 0 else head[k] + mine[k]
        if number + 1 >= span and (number + 1 - span) % every == 0:
            rest = tails[place + 1] if place + 1 < span else None
            for k in range(size):
                whole[k] = head[k] if rest is None else rest[k] + head[k]
            _correlate(whole, block * span, out[written])
            written += 1
        if place == span - 1:
            for earlier in range(span - 2, -1, -1):
                for k in range(size):
                    tails[earlier, k] += tails[earlier + 1, k]


@numba.njit(cache=True, nogil=True)
def _first_known(values: FloatArray) -> FloatArray:
    centre = np.zeros(values.shape[1])
    for i in range(values.shape[1]):
        for row in range(len(values)):
            if not np.isnan(values[row, i]):
                centre[i] = values[row, i]
                break
    return centre


@numba.njit(cache=True, nogil=True)
def _add_products(part: FloatArray, packed: FloatArray) -> None:
    """Add part' part to the packed lower triangle, four rows at a time."""
    rows, n = part.shape
    whole = rows - rows % 4
    for row in range(0, whole, 4):
        a, b, c, d = part[row], part[row + 1], part[row + 2], part[row + 3]
        for i in range(n):
            line = packed[i * (i + 1) // 2 :]
            ai, bi, ci, di = a[i], b[i], c[i], d[i]
            for j in range(i + 1):
                line[j] += (ai * a[j] + bi * b[j]) + (ci * c[j] + di * d[j])
    for row in range(whole, rows):
        a = part[row]
        for i in range(n):
            line = packed[i * (i + 1) // 2 :]
            for j in range(i + 1):
                line[j] += a[i] * a[j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _correlate(packed: FloatArray, rows: int, out: FloatArray) -> None:
    n = len(out)
    triangle = n * (n + 1) // 2
    scale = np.empty(n)
    for i in range(n):
        total, square = packed[triangle + i], packed[i * (i + 1) // 2 + i]
        spread = square - total * total / rows
        known = packed[triangle + n + i] == 0.0 and spread > FLAT * rows * square
        scale[i] = 1.0 / np.sqrt(spread) if known else np.nan
    for i in range(n):
        for j in range(i):
            cross = packed[i * (i + 1) // 2 + j] - packed[triangle + i] * packed[triangle + j] / rows
            value = cross * scale[i] * scale[j]
            out[i, j] = value if np.isnan(value) else min(max(value, -1.0), 1.0)
            out[j, i] = out[i, j]
        out[i, i] = np.nan if np.isnan(scale[i]) else 1.0
