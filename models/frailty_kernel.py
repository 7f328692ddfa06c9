"""The compiled core of the frailty's likelihood: two factors integrated out, group by group."""

from __future__ import annotations

import math

import numba
import numpy as np

from ..riskcore.arrays import FloatArray, IntArray


@numba.njit(cache=True, nogil=True)
def log_likelihood(
    probit: FloatArray,
    tilt: FloatArray,
    hits: FloatArray,
    misses: FloatArray,
    first: IntArray,
    shared: float,
    side: float,
    points: FloatArray,
    log_weight: FloatArray,
    table: FloatArray,
    reach: float,
) -> float:
    """Log likelihood of cells of accounts: `hits` events and `misses` survivors at the same probit and tilt.

    Cells first[g] : first[g + 1] share both factors, each integrated over `points` with weights exp(log_weight).
    `table` holds log(ndtr(x)) at even steps over [-reach, reach] and is interpolated; beyond it the ends are taken.
    """
    k = len(points)
    steps = (len(table) - 1) / (2.0 * reach)
    values = np.empty(k * k)
    total = 0.0
    for g in range(len(first) - 1):
        values[:] = 0.0
        for cell in range(first[g], first[g + 1]):
            loading = side * tilt[cell]
            own = math.sqrt(1.0 - shared * shared - loading * loading)
            for i in range(k):
                base = (probit[cell] + shared * points[i]) / own
                for j in range(k):
                    x = base + loading * points[j] / own
                    x = min(max(x, -reach + 1e-9), reach - 1e-9)
                    place = (x + reach) * steps
                    low = int(place)
                    part = place - low
                    value = 0.0
                    if hits[cell] > 0.0:
                        value += hits[cell] * (table[low] + part * (table[low + 1] - table[low]))
                    if misses[cell] > 0.0:
                        high = len(table) - 1 - low
                        value += misses[cell] * (table[high] + part * (table[high - 1] - table[high]))
                    values[i * k + j] += value
        top = -np.inf
        for i in range(k):
            for j in range(k):
                values[i * k + j] += log_weight[i] + log_weight[j]
                top = max(top, values[i * k + j])
        likelihood = 0.0
        for value in values:
            likelihood += math.exp(value - top)
        total += top + math.log(likelihood)
    return total
