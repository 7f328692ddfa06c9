"""The compiled core of historical simulation: how often a pool's worst loss along past paths exceeds its headroom."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray, IntArray

Float32Array = NDArray[np.float32]

REACH = math.log(1e7)
"""Losses further than this many bandwidths from the headroom count fully or not at all: what is cut is below 1e-7."""
BLOCK = 512
"""Windows worked on at once, a power of two: their losses and degrees stay in the nearest cache."""
LONE, ONE_SIDED, MIXED = 0, 2, 4
"""Rows of `PathPlanes.spans`; a pool that loses when prices rise reads the row after `LONE` and `ONE_SIDED`."""


@numba.njit(cache=True, nogil=True, inline="always")
def gain(x: np.float32) -> np.float32:
    """Relative move of a log move: exp(x) - 1 to third order, rising in x (error: 0.2% of a 30% move, 6% at x = -1)."""
    return x * (np.float32(1.0) + x * (np.float32(0.5) + x * np.float32(1.0 / 6.0)))


@numba.njit(cache=True, nogil=True)
def _span_of(weight: FloatArray) -> int:
    """Row of the planes a pool's worst loss lies on: extremes of the path, lows or highs of bars, or all states."""
    rising = 0
    for w in weight:
        rising += w > 0.0
    if 0 < rising < len(weight):
        return MIXED
    return (LONE if len(weight) == 1 else ONE_SIDED) + (rising == 0)


@numba.njit(cache=True, nogil=True)
def _find_worst(
    planes: Float32Array,
    begin: int,
    end: int,
    window: int,
    series: IntArray,
    weight: FloatArray,
    scale: FloatArray,
    value: Float32Array,
    out: Float32Array,
) -> None:
    """Write the lowest sum(weight * gain(scale * z)) over planes begin : end, at most 0; NaN where a leg has no prices.

    `out` is of consecutive windows from `window` on; `value` is scratch of its length.
    """
    out[:] = 0.0
    for plane in range(begin, end):
        value[:] = 0.0
        for leg in range(len(series)):
            z = planes[series[leg], plane, window : window + len(value)]
            s, w = np.float32(scale[leg]), np.float32(weight[leg])
            for j in range(len(value)):
                value[j] += w * gain(s * z[j])
        for j in range(len(value)):
            out[j] = out[j] if value[j] >= out[j] else value[j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _raise_to(power: float, x: FloatArray, out: FloatArray) -> None:
    """Write x ** power; by roots and squares, which vectorise, where 2 * power is whole. `x` is used up."""
    whole = math.floor(power)
    if power - whole not in (0.0, 0.5):
        for j in range(len(x)):
            out[j] = x[j] ** power
        return
    for j in range(len(x)):
        out[j] = 1.0 if power == whole else math.sqrt(x[j])
    while whole > 0:
        for j in range(len(x)):
            out[j] *= x[j] if whole & 1 else 1.0
        for j in range(len(x)):
            x[j] *= x[j]
        whole >>= 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_degrees(
    worst: Float32Array, headroom: float, bandwidth: float, x: FloatArray, grown: FloatArray, sums: FloatArray
) -> int:
    """Add to `sums` the degree of breach on each path, nothing where `worst` is NaN; how many are not NaN."""
    far = math.exp(REACH * bandwidth)
    sure, unit = far * headroom, 1.0 / headroom
    count = 0
    for j in range(len(worst)):
        x[j] = -np.float64(worst[j]) * unit
        count += not np.isnan(worst[j])
    _raise_to(1.0 / bandwidth, x, grown)
    for j in range(len(worst)):
        loss = -np.float64(worst[j])
        smooth = grown[j] / (1.0 + grown[j]) if loss * far > headroom else 0.0
        sums[j] += 1.0 if loss > sure else smooth
    return count


@numba.njit(cache=True, nogil=True)
def _total(sums: FloatArray) -> float:
    """Sum by halves, in an order that depends on nothing."""
    half = len(sums) // 2
    while half > 0:
        for j in range(half):
            sums[j] += sums[j + half]
        half //= 2
    return float(sums[0])


@numba.njit(cache=True, nogil=True)
def breach_pass(
    first: int,
    last: int,
    pointer: IntArray,
    series: IntArray,
    weight: FloatArray,
    scale: FloatArray,
    headroom: FloatArray,
    planes: Float32Array,
    spans: IntArray,
    window_first: IntArray,
    window_last: IntArray,
    bandwidth: float,
    probability: FloatArray,
    effective: FloatArray,
) -> None:
    """Write the breach probability of rows first : last.

    For each path the pool's loss is the largest of -sum(weight * (exp(scale * z) - 1)) along it, at least 0. The path
    counts as a breach to the degree 1 / (1 + (headroom / loss)^(1 / bandwidth)): a step at loss = headroom, smoothed on
    the logarithm; fully where the headroom is negative. `effective` gets the number of paths on which every leg had
    prices. Without any, or with a headroom that is NaN, the probability is NaN.

    Losses are in single precision, to the bit those of a loop over paths and points; degrees are in double precision,
    and their mean agrees with a loop's to 1e-12. Each row starts its blocks at its own first window, so that its bits
    depend on no other row.
    """
    value, worst = np.empty(BLOCK, dtype=np.float32), np.empty(BLOCK, dtype=np.float32)
    x, grown, sums = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for row in range(first, last):
        held = slice(pointer[row], pointer[row + 1])
        begin, end = spans[_span_of(weight[held])]
        sums[:] = 0.0
        count = 0
        for window in range(window_first[row], window_last[row], BLOCK):
            size = min(BLOCK, window_last[row] - window)
            legs = series[held], weight[held], scale[held]
            _find_worst(planes, begin, end, window, *legs, value[:size], worst[:size])
            count += _add_degrees(worst[:size], headroom[row], bandwidth, x[:size], grown[:size], sums)
        known = count > 0 and not np.isnan(headroom[row])
        probability[row] = _total(sums) / count if known else np.nan
        effective[row] = count
