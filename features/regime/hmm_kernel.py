"""The hidden Markov chain with Gaussian observations, compiled: Hamilton's filter and Kim's smoother.

An observation may lack some of its numbers: its density is then that of those it has. Inverse covariances are made for
every pattern of numbers that can be there, zero elsewhere.
"""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray

LOG_2_PI = 1.8378770664093453


@numba.njit(cache=True, nogil=True)
def pattern_of(observation: FloatArray) -> int:
    """Which numbers are there, a bit each."""
    pattern = 0
    for d in range(len(observation)):
        if not np.isnan(observation[d]):
            pattern |= 1 << d
    return pattern


@numba.njit(cache=True, nogil=True)
def _invert(covariance: FloatArray, pattern: int, precision: FloatArray) -> float:
    """Inverse over the numbers of a pattern, zero elsewhere; returns the log density at the mean."""
    size = len(covariance)
    work = np.zeros((size, size))
    precision[:] = 0.0
    for i in range(size):
        for j in range(size):
            there = pattern >> i & 1 and pattern >> j & 1
            work[i, j] = covariance[i, j] if there else (1.0 if i == j else 0.0)
            precision[i, j] = 1.0 if there and i == j else 0.0
    constant = 0.0
    for k in range(size):  # Gauss and Jordan; pivots of a positive definite matrix are positive
        if not pattern >> k & 1:
            continue
        pivot = work[k, k]
        if not pivot > 0.0:
            return np.nan
        constant -= 0.5 * (np.log(pivot) + LOG_2_PI)
        for j in range(size):
            work[k, j] /= pivot
            precision[k, j] /= pivot
        for i in range(size):
            if i != k:
                factor = work[i, k]
                for j in range(size):
                    work[i, j] -= factor * work[k, j]
                    precision[i, j] -= factor * precision[k, j]
    return constant


@numba.njit(cache=True, nogil=True)
def invert_all(covariance: FloatArray, precision: FloatArray, constant: FloatArray) -> None:
    """Inverses and log densities at the mean of every state and pattern."""
    for k in range(len(covariance)):
        for pattern in range(precision.shape[1]):
            constant[k, pattern] = _invert(covariance[k], pattern, precision[k, pattern])


@numba.njit(cache=True, nogil=True)
def filter_one(
    observation: FloatArray,
    mean: FloatArray,
    precision: FloatArray,
    constant: FloatArray,
    predicted: FloatArray,
    filtered: FloatArray,
) -> float:
    """Probabilities after one observation from those before it; returns the log of the observation's density."""
    states, size = mean.shape
    pattern = pattern_of(observation)
    best = -np.inf
    for k in range(states):
        square = 0.0
        for i in range(size):
            if pattern >> i & 1:
                row = 0.0
                for j in range(size):
                    if pattern >> j & 1:
                        row += precision[k, pattern, i, j] * (observation[j] - mean[k, j])
                square += (observation[i] - mean[k, i]) * row
        filtered[k] = np.log(predicted[k]) + constant[k, pattern] - 0.5 * square
        best = max(best, filtered[k])
    total = 0.0
    for k in range(states):
        filtered[k] = np.exp(filtered[k] - best)
        total += filtered[k]
    for k in range(states):
        filtered[k] /= total
    return float(best + np.log(total))


@numba.njit(cache=True, nogil=True)
def predict(transition: FloatArray, filtered: FloatArray, predicted: FloatArray) -> None:
    """Probabilities one period on."""
    for j in range(len(predicted)):
        total = 0.0
        for i in range(len(filtered)):
            total += filtered[i] * transition[i, j]
        predicted[j] = total


@numba.njit(cache=True, nogil=True)
def filter_all(
    observations: FloatArray,
    mean: FloatArray,
    precision: FloatArray,
    constant: FloatArray,
    transition: FloatArray,
    start: FloatArray,
    predicted: FloatArray,
    filtered: FloatArray,
) -> float:
    """Hamilton's filter over all rows; returns the log likelihood."""
    total = 0.0
    for row in range(len(observations)):
        if row == 0:
            predicted[0] = start
        else:
            predict(transition, filtered[row - 1], predicted[row])
        total += filter_one(observations[row], mean, precision, constant, predicted[row], filtered[row])
    return total


@numba.njit(cache=True, nogil=True)
def smooth_all(
    transition: FloatArray, predicted: FloatArray, filtered: FloatArray, smoothed: FloatArray, moves: FloatArray
) -> None:
    """Kim's smoother: probabilities given all rows, and the expected number of moves between states."""
    rows, states = filtered.shape
    smoothed[rows - 1] = filtered[rows - 1]
    moves[:] = 0.0
    for row in range(rows - 2, -1, -1):
        for i in range(states):
            total = 0.0
            for j in range(states):
                ahead = predicted[row + 1, j]
                move = filtered[row, i] * transition[i, j] * (smoothed[row + 1, j] / ahead if ahead > 0.0 else 0.0)
                moves[i, j] += move
                total += move
            smoothed[row, i] = total
