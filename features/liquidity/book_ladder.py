"""One side of an order book as a ladder: sizes by tick around the best price, and a sorted list of what is far off."""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray

BASE, BEST, LOWEST, FAR, LEVELS = range(5)
"""Places of a side's numbers: key of the window's first place, places of its best and lowest level (-1 and the width
where it is empty), rows of the far list, levels in all.

A side is kept by keys in which the best level is the greatest: the tick of a bid, minus the tick of an ask. Where there
is a level, the best one is in the window; all far levels lie below the window, by rising key.
"""
NUMBERS = 5


@numba.njit(cache=True, nogil=True)
def empty(window: FloatArray, numbers: IntArray) -> None:
    """Take all levels out of a side."""
    window[:] = 0.0
    numbers[BASE], numbers[BEST], numbers[LOWEST], numbers[FAR], numbers[LEVELS] = 0, -1, len(window), 0, 0


@numba.njit(cache=True, nogil=True)
def set_level(
    window: FloatArray, far_keys: IntArray, far_sizes: FloatArray, numbers: IntArray, key: int, size: float
) -> None:
    """Set, insert or (size 0) remove a level; the far list must have room for one more."""
    width = len(window)
    if numbers[BEST] < 0:
        numbers[BASE] = key - _head(width)
    place = key - numbers[BASE]
    if place < 0:
        _set_far(far_keys, far_sizes, numbers, key, size)
        return
    if place >= width:
        if size == 0.0:
            return
        _move_to(window, far_keys, far_sizes, numbers, key - _head(width))
        place = key - numbers[BASE]
    numbers[LEVELS] += (1 if size > 0.0 else 0) - (1 if window[place] > 0.0 else 0)
    window[place] = size
    if size > 0.0:
        numbers[BEST] = max(numbers[BEST], place)
        numbers[LOWEST] = min(numbers[LOWEST], place)
    elif place == numbers[BEST] or place == numbers[LOWEST]:
        _look_for_ends(window, far_keys, far_sizes, numbers)


@numba.njit(cache=True, nogil=True)
def set_levels(
    window: FloatArray, far_keys: IntArray, far_sizes: FloatArray, numbers: IntArray, keys: IntArray, sizes: FloatArray
) -> None:
    """Set levels in the order given: those between lowest and best in the window at once, the others by `set_level`."""
    base, best, lowest, change = numbers[BASE], numbers[BEST], numbers[LOWEST], 0
    for row in range(len(keys)):
        place, size = keys[row] - base, sizes[row]
        if lowest < place < best:
            change += (1 if size > 0.0 else 0) - (1 if window[place] > 0.0 else 0)
            window[place] = size
        else:
            set_level(window, far_keys, far_sizes, numbers, keys[row], size)
            base, best, lowest = numbers[BASE], numbers[BEST], numbers[LOWEST]
    numbers[LEVELS] += change


@numba.njit(cache=True, nogil=True)
def _head(width: int) -> int:
    """Place of the best level after a move: most room is for what is worse than it."""
    return 3 * width // 4


@numba.njit(cache=True, nogil=True)
def _look_for_ends(window: FloatArray, far_keys: IntArray, far_sizes: FloatArray, numbers: IntArray) -> None:
    """Best and lowest level after one of them went; the window moves down where the best has come near its foot."""
    best, lowest = numbers[BEST], numbers[LOWEST]
    while best >= 0 and window[best] == 0.0:
        best -= 1
    while lowest < len(window) and window[lowest] == 0.0:
        lowest += 1
    numbers[BEST], numbers[LOWEST] = best, lowest
    if best < 0 and numbers[FAR] > 0:
        _move_to(window, far_keys, far_sizes, numbers, far_keys[numbers[FAR] - 1] - _head(len(window)))
    elif 0 <= best < len(window) // 4:
        _move_to(window, far_keys, far_sizes, numbers, numbers[BASE] + best - _head(len(window)))


@numba.njit(cache=True, nogil=True)
def _move_to(window: FloatArray, far_keys: IntArray, far_sizes: FloatArray, numbers: IntArray, base: int) -> None:
    """Let the window begin at another key, so that no level is above it."""
    width, rows, before = len(window), numbers[FAR], numbers[BASE]
    up = base - before
    for place in range(min(max(up, 0), width)):
        if window[place] > 0.0:
            far_keys[rows], far_sizes[rows] = before + place, window[place]
            rows += 1
    if up > 0:
        for place in range(width):
            window[place] = window[place + up] if place + up < width else 0.0
    else:
        for place in range(width - 1, -1, -1):
            window[place] = window[place + up] if place + up >= 0 else 0.0
    while rows > 0 and far_keys[rows - 1] >= base:
        rows -= 1
        window[far_keys[rows] - base] = far_sizes[rows]
    numbers[BASE], numbers[FAR] = base, rows
    best, lowest = width - 1, 0
    while best >= 0 and window[best] == 0.0:
        best -= 1
    while lowest < width and window[lowest] == 0.0:
        lowest += 1
    numbers[BEST], numbers[LOWEST] = best, lowest


@numba.njit(cache=True, nogil=True)
def _set_far(far_keys: IntArray, far_sizes: FloatArray, numbers: IntArray, key: int, size: float) -> None:
    rows = numbers[FAR]
    row = np.searchsorted(far_keys[:rows], key)
    found = row < rows and far_keys[row] == key
    if size > 0.0 and not found:
        for place in range(rows, row, -1):
            far_keys[place], far_sizes[place] = far_keys[place - 1], far_sizes[place - 1]
        far_keys[row] = key
        numbers[FAR] += 1
        numbers[LEVELS] += 1
    elif size == 0.0 and found:
        for place in range(row, rows - 1):
            far_keys[place], far_sizes[place] = far_keys[place + 1], far_sizes[place + 1]
        numbers[FAR] -= 1
        numbers[LEVELS] -= 1
    if size > 0.0:
        far_sizes[row] = size


@numba.njit(cache=True, nogil=True)
def least_key(far_keys: IntArray, numbers: IntArray) -> int:
    """Key of the worst level of a side that has one."""
    return int(far_keys[0] if numbers[FAR] > 0 else numbers[BASE] + numbers[LOWEST])


@numba.njit(cache=True, nogil=True)
def notional_above(
    window: FloatArray,
    far_keys: IntArray,
    far_sizes: FloatArray,
    numbers: IntArray,
    least: int,
    units: int,
    scale: int,
) -> float:
    """Price times size of the levels whose key is at least `least`, added from the best one on."""
    total = 0.0
    for place in range(numbers[BEST], max(least - numbers[BASE], 0) - 1, -1):
        if window[place] > 0.0:
            total += abs(numbers[BASE] + place) * units / scale * window[place]
    for row in range(numbers[FAR] - 1, -1, -1):
        if far_keys[row] < least:
            break
        total += abs(far_keys[row]) * units / scale * far_sizes[row]
    return total


def best_first(
    window: FloatArray, far_keys: IntArray, far_sizes: FloatArray, numbers: IntArray
) -> tuple[IntArray, FloatArray]:
    """Keys and sizes of a side's levels, best first."""
    places, rows = np.flatnonzero(window)[::-1], int(numbers[FAR])
    keys = np.concatenate((numbers[BASE] + places, far_keys[:rows][::-1]))
    return keys, np.concatenate((window[places], far_sizes[:rows][::-1]))
