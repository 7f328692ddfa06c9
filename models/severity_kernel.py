"""The compiled core of linear severity: how fully each past path breaches a pool, and what it then owes."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray, IntArray
from .path_kernel import REACH, gain

STATES = 3


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _degree(loss: float, headroom: float, bandwidth: float) -> float:
    """Degree to which a loss breaches, as in `path_kernel.breach_pass`: a step at the headroom, smoothed on logs."""
    far = math.exp(REACH * bandwidth)
    if loss > far * headroom:
        return 1.0
    if loss * far > headroom:
        return 1.0 / (1.0 + math.exp((1.0 / bandwidth) * math.log(headroom / loss)))
    return 0.0


@numba.njit(cache=True, nogil=True)
def _breach(value: NDArray[np.float32], headroom: float) -> tuple[int, int, float]:
    """Points of the first bar in which `value` falls below -headroom, else its lowest point alone; and its lowest."""
    worst, place, first = np.float32(0.0), 0, -1
    for k in range(len(value)):
        if value[k] < worst:
            worst, place = value[k], k
        if first < 0 and -float(value[k]) > headroom:
            first = k - k % STATES
    if first < 0:
        return place, place + 1, -float(worst)
    return first, first + STATES, -float(worst)


@numba.njit(cache=True, nogil=True)
def _add_leg(value: NDArray[np.float32], path: NDArray[np.float32], scale: np.float32, weight: np.float32) -> None:
    for k in range(len(value)):
        value[k] += weight * gain(scale * path[k])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def severity_pass(
    first: int,
    last: int,
    pointer: IntArray,
    series: IntArray,
    weight: FloatArray,
    equity_weight: FloatArray,
    scale: FloatArray,
    headroom: FloatArray,
    equity: FloatArray,
    paths: NDArray[np.float32],
    lowest: NDArray[np.float32],
    highest: NDArray[np.float32],
    bandwidth: float,
    degree: FloatArray,
    loss: FloatArray,
) -> None:
    """Write, for rows first : last and every path, the degree of breach and the loss beyond equity.

    The degree is that of `path_kernel.breach_pass`, whose mean is the probability; NaN where a leg has no prices on the
    path. The loss is -equity, if positive, in the first bar whose loss exceeds the headroom, at the lowest equity of
    its states in breach; on a path that stays short of the headroom, at its worst state.
    """
    value = np.empty(paths.shape[2], dtype=np.float32)
    far = math.exp(REACH * bandwidth)
    for row in range(first, last):
        begin, end = pointer[row], pointer[row + 1]
        for path in range(paths.shape[0]):
            bound = np.float32(0.0)
            for entry in range(begin, end):
                w = np.float32(weight[entry])
                extreme = lowest[path, series[entry]] if w > 0.0 else highest[path, series[entry]]
                bound += w * gain(np.float32(scale[entry]) * extreme)
            degree[row, path], loss[row, path] = (np.nan if np.isnan(bound) else 0.0), 0.0
            if np.isnan(bound) or -float(bound) * far < headroom[row]:
                continue
            value[:] = 0.0
            for entry in range(begin, end):
                _add_leg(value, paths[path, series[entry]], np.float32(scale[entry]), np.float32(weight[entry]))
            start, stop, worst = _breach(value, headroom[row])
            degree[row, path] = _degree(worst, headroom[row], bandwidth)
            least = np.inf
            for k in range(start, stop):
                if stop - start == 1 or -float(value[k]) > headroom[row]:
                    left = equity[row]
                    for entry in range(begin, end):
                        left += equity_weight[entry] * gain(np.float32(scale[entry]) * paths[path, series[entry], k])
                    least = min(least, left)
            loss[row, path] = max(-least, 0.0)


@numba.njit(cache=True, nogil=True)
def _tail_mean(degree: FloatArray, loss: FloatArray, most: float) -> float:
    """Mean of the largest losses of degrees that add to `most`; the last one counts in part, what is left over as 0."""
    losing = np.flatnonzero((degree > 0.0) & (loss > 0.0))
    left, total = most, 0.0
    for place in losing[np.argsort(-loss[losing])]:
        taken = min(degree[place], left)
        total += taken * loss[place]
        left -= taken
        if left <= 0.0:
            break
    return total / most


@numba.njit(cache=True, nogil=True)
def statistics_pass(
    degree: FloatArray,
    loss: FloatArray,
    level: float,
    probability: FloatArray,
    premium: FloatArray,
    error: FloatArray,
    shortfall: FloatArray,
) -> None:
    """Write what `Severity` tells of each row from the degree, NaN where not known, and the loss on each path."""
    for row in range(len(degree)):
        count, weight, owed = 0, 0.0, 0.0
        for path in range(degree.shape[1]):
            if not math.isnan(degree[row, path]):
                count += 1
                weight += degree[row, path]
                owed += degree[row, path] * loss[row, path]
        mean = owed / count if count > 0 else np.nan
        squares = 0.0
        for path in range(degree.shape[1]):
            if not math.isnan(degree[row, path]):
                squares += (degree[row, path] * loss[row, path] - mean) ** 2
        probability[row], premium[row] = (weight / count if count > 0 else np.nan), mean
        error[row] = math.sqrt(squares / max(count - 1, 1) / count) if count > 0 else np.nan
        known = weight > 0.0 and not math.isnan(owed)
        shortfall[row] = _tail_mean(degree[row], loss[row], (1.0 - level) * weight) if known else np.nan
