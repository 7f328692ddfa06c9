"""Operations of a program that remember earlier bars, and those that look across symbols."""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray
from .elementwise import larger, smaller
from .instructions import MAX, MEDIAN, ONE, SUM, TWO, ZERO, Offset


@numba.njit(nogil=True, error_model="numpy")
def run_remember(
    memory: FloatArray,
    a: Offset,
    floats: FloatArray,
    ring: Offset,
    length: Offset,
    first: Offset,
    rows: Offset,
    symbols: Offset,
) -> None:
    """Write bars to the ring of their register."""
    for row in range(rows):
        place = ring + (first + row) % length * symbols
        for i in range(symbols):
            floats[place + i] = memory[a + row * symbols + i]


@numba.njit(nogil=True, error_model="numpy")
def run_lag(
    memory: FloatArray,
    out: Offset,
    floats: FloatArray,
    ring: Offset,
    length: Offset,
    first: Offset,
    rows: Offset,
    symbols: Offset,
) -> None:
    """Bars `window` earlier, from a ring; `first` is already that much less."""
    for row in range(rows):
        place = ring + (first + row) % length * symbols
        for i in range(symbols):
            memory[out + row * symbols + i] = floats[place + i]


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _joined(operation: Offset, a: float, b: float) -> float:
    return a + b if operation == SUM else (larger(a, b) if operation == MAX else smaller(a, b))


@numba.njit(nogil=True, error_model="numpy")
def run_trailing(
    operation: Offset,
    memory: FloatArray,
    a: Offset,
    out: Offset,
    floats: FloatArray,
    ring: Offset,
    length: Offset,
    window: Offset,
    state: Offset,
    first: Offset,
    rows: Offset,
    symbols: Offset,
) -> None:
    """Sum, maximum or minimum over the last `window` bars.

    Bars are cut into blocks of `window` by their numbers, which count from one fixed instant: a window is the tail of
    one block joined to the head of the next. Nothing is ever subtracted, so rounding does not build up, a NaN reaches
    no window but those it stands in, and a value depends on its window alone, wherever a history begins. State: the
    head so far, then the tails of the block before from each of its bars on; these are made where a block ends.
    """
    tails = state + symbols
    for row in range(rows):
        place = (first + row) % window
        x, y, tail = a + row * symbols, out + row * symbols, tails + (place + ONE) % window * symbols
        if place == ZERO:
            for i in range(symbols):
                floats[state + i] = memory[x + i]
        else:
            for i in range(symbols):
                floats[state + i] = _joined(operation, floats[state + i], memory[x + i])
        if place == window - ONE:
            for i in range(symbols):
                memory[y + i] = floats[state + i]
            _make_tails(operation, floats, ring, length, window, tails, first + row, symbols)
        else:
            for i in range(symbols):
                memory[y + i] = _joined(operation, floats[tail + i], floats[state + i])


@numba.njit(nogil=True, error_model="numpy")
def _make_tails(
    operation: Offset,
    floats: FloatArray,
    ring: Offset,
    length: Offset,
    window: Offset,
    tails: Offset,
    last: Offset,
    symbols: Offset,
) -> None:
    for back in range(window):
        source = ring + (last - back) % length * symbols
        place = tails + (window - ONE - back) * symbols
        for i in range(symbols):
            value = floats[source + i]
            floats[place + i] = value if back == ZERO else _joined(operation, floats[place + symbols + i], value)


@numba.njit(nogil=True, error_model="numpy")
def run_ewma(
    memory: FloatArray,
    a: Offset,
    out: Offset,
    floats: FloatArray,
    state: Offset,
    decay: float,
    least: float,
    rows: Offset,
    symbols: Offset,
) -> None:
    """Exponentially weighted mean since the last NaN; state: sum, weight and count of bars."""
    total, weight, seen = state, state + symbols, state + symbols + symbols
    for row in range(rows):
        x, y = a + row * symbols, out + row * symbols
        for i in range(symbols):
            value, before = memory[x + i], floats[total + i]
            floats[total + i] = value + decay * before if value == value else 0.0
        for i in range(symbols):
            value, before = memory[x + i], floats[weight + i]
            floats[weight + i] = 1.0 + decay * before if value == value else 0.0
        for i in range(symbols):
            value, before = memory[x + i], floats[seen + i]
            floats[seen + i] = before + 1.0 if value == value else 0.0
        for i in range(symbols):
            mean = floats[total + i] / floats[weight + i]
            memory[y + i] = mean if floats[seen + i] >= least else np.nan


@numba.njit(nogil=True, error_model="numpy")
def run_last_known(
    memory: FloatArray,
    a: Offset,
    out: Offset,
    floats: FloatArray,
    state: Offset,
    oldest: float,
    rows: Offset,
    symbols: Offset,
) -> None:
    """The last value that is not NaN, up to an age; state: value and age."""
    kept, age = state, state + symbols
    for row in range(rows):
        x, y = a + row * symbols, out + row * symbols
        for i in range(symbols):
            value, before = memory[x + i], floats[kept + i]
            floats[kept + i] = value if value == value else before
        for i in range(symbols):
            value, before = memory[x + i], floats[age + i]
            floats[age + i] = 0.0 if value == value else before + 1.0
        for i in range(symbols):
            value = floats[kept + i]
            memory[y + i] = value if floats[age + i] < oldest else np.nan


@numba.njit(nogil=True, error_model="numpy")
def run_across(
    operation: Offset,
    memory: FloatArray,
    a: Offset,
    out: Offset,
    floats: FloatArray,
    state: Offset,
    rows: Offset,
    symbols: Offset,
) -> None:
    """Median or sum over the symbols that are known; the state is only room to sort in."""
    for row in range(rows):
        known, total = ZERO, 0.0
        for i in range(symbols):
            value = memory[a + row * symbols + i]
            if value != value:
                continue
            total += value
            place = known
            while operation == MEDIAN and place > ZERO and floats[state + place - ONE] > value:
                floats[state + place] = floats[state + place - ONE]
                place -= ONE
            floats[state + place] = value
            known += ONE
        result = total if known > ZERO else np.nan
        if operation == MEDIAN and known > ZERO:
            result = 0.5 * (floats[state + (known - ONE) // TWO] + floats[state + known // TWO])
        for i in range(symbols):
            memory[out + row * symbols + i] = result
