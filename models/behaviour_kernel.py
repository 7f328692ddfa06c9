"""The compiled core of the behavioural probability: past paths on which an account may act before it is liquidated."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import BoolArray, FloatArray, IntArray
from .path_kernel import REACH

CHANGE_BARS = 6
"""Bars over which the recent change of the distance is taken."""
CHANGE_MOST, PROFIT_MOST = 5.0, 0.2
"""Bounds of the recent change, in standard deviations, and of profit over the exposures."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def distance_column(headroom: float, risk: float) -> float:
    """log(1 + headroom in standard deviations of an hour), none below zero."""
    return math.log1p(max(headroom, 0.0) / risk)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def change_column(change: float, risk: float) -> float:
    """What the last CHANGE_BARS bars brought the pool, in standard deviations of that time, bounded."""
    return min(max(change / (risk * math.sqrt(CHANGE_BARS)), -CHANGE_MOST), CHANGE_MOST)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def profit_column(profit: float, gross: float) -> float:
    """Profit since entry over the sum of absolute exposures, bounded."""
    return min(max(profit / gross, -PROFIT_MOST), PROFIT_MOST)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _degree(loss: float, headroom: float, bandwidth: float, far: float) -> float:
    """How far a path with this worst loss counts as a breach: a step at loss = headroom, smoothed on the logarithm."""
    if loss > far * headroom:
        return 1.0
    if loss * far <= headroom:
        return 0.0
    degree: float = 1.0 / (1.0 + (headroom / loss) ** (1.0 / bandwidth))
    return degree


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _acts(
    fixed: FloatArray, slope: FloatArray, ends: BoolArray, distance: float, change: float, profit: float
) -> float:
    """Chance that one of the causes that end the risk strikes within the bar."""
    most = 0.0
    for k in range(len(fixed)):
        odds = fixed[k] + slope[k, 0] * distance + slope[k, 1] * change + slope[k, 2] * profit
        most = max(most, odds)
    total, ending = math.exp(-most), 0.0
    for k in range(len(fixed)):
        odds = fixed[k] + slope[k, 0] * distance + slope[k, 1] * change + slope[k, 2] * profit
        raised = math.exp(odds - most)
        total += raised
        if ends[k]:
            ending += raised
    return ending / total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def behaviour_pass(
    first: int,
    last: int,
    pointer: IntArray,
    series: IntArray,
    weight: FloatArray,
    scale: FloatArray,
    headroom: FloatArray,
    paths: NDArray[np.float32],
    lowest: NDArray[np.float32],
    highest: NDArray[np.float32],
    bandwidth: float,
    gross: FloatArray,
    risk: FloatArray,
    past: FloatArray,
    profit: FloatArray,
    fixed: FloatArray,
    slope: FloatArray,
    ends: BoolArray,
    frozen: FloatArray,
    acting: FloatArray,
) -> None:
    """Add up, for rows first : last and bar by bar, breaches with positions frozen and with the chance to act before.

    `frozen` and `acting`, (n, bars), get the sums over the paths of the degree of breach by each bar, and of its
    increments times the chance that nobody has acted by then; see `behavioural_share`. Points of a bar come in threes:
    low, high, close.
    """
    bars = paths.shape[2] // 3
    value = np.empty(3 * bars)
    known = np.empty(CHANGE_BARS + bars)
    far = math.exp(REACH * bandwidth)
    for row in range(first, last):
        frozen[row, :] = 0.0
        acting[row, :] = 0.0
        begin, end = pointer[row], pointer[row + 1]
        for back in range(CHANGE_BARS):
            known[CHANGE_BARS - 1 - back] = past[row, back]
        for window in range(paths.shape[0]):
            bound = 0.0
            for entry in range(begin, end):
                w = weight[entry]
                extreme = lowest[window, series[entry]] if w > 0.0 else highest[window, series[entry]]
                bound += w * math.expm1(scale[entry] * extreme)
            if math.isnan(bound) or -bound * far <= headroom[row]:
                continue
            value[:] = 0.0
            for entry in range(begin, end):
                for point in range(3 * bars):
                    value[point] += weight[entry] * math.expm1(scale[entry] * paths[window, series[entry], point])
            worst, before, idle, now = 0.0, 0.0, 1.0, 0.0
            for bar in range(bars):
                act = _acts(
                    fixed[row, bar],
                    slope,
                    ends,
                    distance_column(headroom[row] + now, risk[row]),
                    change_column(now - known[bar], risk[row]),
                    profit_column(profit[row] + now, gross[row]),
                )
                for point in range(3 * bar, 3 * bar + 3):
                    worst = max(worst, -value[point])
                degree = _degree(worst, headroom[row], bandwidth, far)
                frozen[row, bar] += degree
                acting[row, bar] += (degree - before) * idle * (1.0 - 0.5 * act)
                idle *= 1.0 - act
                before = degree
                now = value[3 * bar + 2]
                known[CHANGE_BARS + bar] = now
        for bar in range(1, bars):
            acting[row, bar] += acting[row, bar - 1]
