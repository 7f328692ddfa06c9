"""The compiled netting of correlated losses, pool by pool. Its plain twin is `netting.netted_losses`."""

from __future__ import annotations

import numba
import numpy as np

from ..arrays import FloatArray, IntArray


@numba.njit(cache=True, nogil=True)
def netting_pass(
    first: int,
    last: int,
    pointer: IntArray,
    unit: IntArray,
    down: FloatArray,
    up: FloatArray,
    correlation: FloatArray,
    most_sides: int,
    part: FloatArray,
    side: IntArray,
) -> None:
    """Write what each row of pools first : last adds to the netted loss of its pool, and the side it is made on.

    Rows of pool p are pointer[p] : pointer[p + 1]. Sums run in the order of rows, so nothing depends on the threads.
    """
    for pool in range(first, last):
        start, n = pointer[pool], pointer[pool + 1] - pointer[pool]
        lost, gained, units = down[start : start + n], up[start : start + n], unit[start : start + n]
        chosen = np.where(gained > lost, gained, -lost)
        both = _by_size(lost, gained)
        tried = both[:most_sides]
        chosen[both] = 0.0
        fixed = 0.0
        for i in range(n):
            for j in range(n):
                fixed += correlation[units[i], units[j]] * (chosen[i] * chosen[j])
        best = _best_sides(fixed, tried, units, lost, gained, correlation, chosen)
        loss = np.sqrt(max(best, 0.0))
        for i in range(n):
            pull = 0.0
            for j in range(n):
                pull += correlation[units[i], units[j]] * chosen[j]
            part[start + i] = chosen[i] * pull / loss if loss > 0.0 else 0.0
        for i in both[most_sides:]:
            part[start + i] = max(lost[i], gained[i])
        for i in range(n):
            on = chosen[i] if chosen[i] != 0.0 else (gained[i] if gained[i] > lost[i] else -lost[i])
            side[start + i] = 1 if on > 0.0 else (-1 if on < 0.0 else 0)


@numba.njit(cache=True, nogil=True)
def _by_size(down: FloatArray, up: FloatArray) -> IntArray:
    """Units that lose on both sides, the largest loss first and earlier ones first among equals."""
    both = np.flatnonzero((down > 0.0) & (up > 0.0))
    for last in range(1, len(both)):
        mine, place = both[last], last
        worse = max(down[mine], up[mine])
        while place > 0 and max(down[both[place - 1]], up[both[place - 1]]) < worse:
            both[place] = both[place - 1]
            place -= 1
        both[place] = mine
    return both


@numba.njit(cache=True, nogil=True)
def _best_sides(
    fixed: float,
    tried: IntArray,
    units: IntArray,
    down: FloatArray,
    up: FloatArray,
    correlation: FloatArray,
    chosen: FloatArray,
) -> float:
    """Largest square of the loss over the sides of the units tried; writes their losses into `chosen`."""
    count = len(tried)
    with_fixed, loss = np.zeros(count), np.empty(count)
    for k in range(count):
        for j in range(len(units)):
            with_fixed[k] += correlation[units[tried[k]], units[j]] * chosen[j]
    best, best_choice = -np.inf, 0
    for choice in range(1 << count):
        square = fixed
        for k in range(count):
            loss[k] = up[tried[k]] if choice >> (count - 1 - k) & 1 else -down[tried[k]]
        for k in range(count):
            pull = 2.0 * with_fixed[k]
            for other in range(count):
                pull += correlation[units[tried[k]], units[tried[other]]] * loss[other]
            square += loss[k] * pull
        if square > best:
            best, best_choice = square, choice
    for k in range(count):
        chosen[tried[k]] = up[tried[k]] if best_choice >> (count - 1 - k) & 1 else -down[tried[k]]
    return best
