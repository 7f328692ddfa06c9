"""The one loop that computes formulas, for a single bar of a stream and for blocks of a batch alike.

A program is a list of instructions over registers of shape (rows, n_symbols). Instructions run one after the other over
all rows of a block; within an instruction rows run in time order and each element's arithmetic does not depend on how
many rows the block has: so a batch and a stream give the same bits.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from .logarithm import log_one

# Columns of an instruction.
OPERATION, A, B, C, OUT, WINDOW, RING, LENGTH, FLOATS, INTS = range(10)

# Operations: elementwise ones first, then what remembers, then what looks across symbols.
NAMES = (
    *("add", "subtract", "multiply", "divide", "maximum", "minimum"),
    *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "and", "or", "not"),
    *("negative", "absolute", "sign", "sqrt", "log", "exp", "tanh", "isnan", "isfinite", "where"),
    *("history", "lag", "sum", "max", "min", "ewma", "last_known", "market_median", "market_sum"),
)
NUMBERS = {name: number for number, name in enumerate(NAMES)}
ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM = range(6)
LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, EQUAL, NOT_EQUAL, AND, OR, NOT = range(6, 15)
NEGATIVE, ABSOLUTE, SIGN, SQRT, LOG, EXP, TANH, ISNAN, ISFINITE, WHERE = range(15, 25)
HISTORY, LAG, SUM, MAX, MIN, EWMA, LAST_KNOWN, MEDIAN, MARKET_SUM = range(25, 34)

# State of a trailing sum, in rows of n_symbols: the sum, what rounding left of it, the sum since the last whole
# window, and how many values in the window are missing and how many are not zero.
SUM_STATE = 5


@numba.njit(cache=True, nogil=True, error_model="numpy")
def run_block(
    code: IntArray,
    numbers: FloatArray,
    registers: FloatArray,
    floats: FloatArray,
    ints: IntArray,
    first: int,
    rows: int,
) -> None:
    """Run every instruction over `rows` bars, the first of which has number `first` since 1970."""
    symbols = registers.shape[2]
    flat = registers.reshape(registers.shape[0], registers.shape[1] * symbols)
    used = rows * symbols
    for k in range(len(code)):
        step = code[k]
        operation, a, b, c, out = step[OPERATION], step[A], step[B], step[C], step[OUT]
        if operation <= WHERE:
            _elementwise(operation, flat[a, :used], flat[b, :used], flat[c, :used], flat[out, :used])
        elif operation >= MEDIAN:
            _across(operation, registers[a, :rows], registers[out, :rows])
        elif operation == HISTORY:
            _remember(registers[a, :rows], floats, step, first)
        elif operation == LAG:
            _lag(registers[out, :rows], floats, step, first)
        elif operation == SUM:
            _trailing_sum(registers[a, :rows], registers[out, :rows], floats, step, first)
        elif operation == EWMA:
            _ewma(registers[a, :rows], registers[out, :rows], floats, step, numbers[k])
        elif operation == LAST_KNOWN:
            _last_known(registers[a, :rows], registers[out, :rows], floats, step)
        else:
            sign = 1.0 if operation == MAX else -1.0
            _trailing_extreme(registers[a, :rows], registers[out, :rows], floats, ints, step, first, sign)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _elementwise(operation: int, a: FloatArray, b: FloatArray, c: FloatArray, out: FloatArray) -> None:
    size = len(out)
    if operation == ADD:
        for i in range(size):
            out[i] = a[i] + b[i]
    elif operation == SUBTRACT:
        for i in range(size):
            out[i] = a[i] - b[i]
    elif operation == MULTIPLY:
        for i in range(size):
            out[i] = a[i] * b[i]
    elif operation == DIVIDE:
        for i in range(size):
            out[i] = a[i] / b[i]
    elif operation == MAXIMUM:
        for i in range(size):
            out[i] = a[i] if a[i] >= b[i] or a[i] != a[i] else b[i]
    elif operation == MINIMUM:
        for i in range(size):
            out[i] = a[i] if a[i] <= b[i] or a[i] != a[i] else b[i]
    elif operation <= NOT_EQUAL:
        _compare(operation, a, b, out)
    elif operation <= NOT:
        _logic(operation, a, b, out)
    elif operation == WHERE:
        for i in range(size):
            out[i] = b[i] if a[i] != 0.0 else c[i]
    else:
        _unary(operation, a, out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _compare(operation: int, a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    size = len(out)
    if operation == LESS:
        for i in range(size):
            out[i] = 1.0 if a[i] < b[i] else 0.0
    elif operation == LESS_EQUAL:
        for i in range(size):
            out[i] = 1.0 if a[i] <= b[i] else 0.0
    elif operation == GREATER:
        for i in range(size):
            out[i] = 1.0 if a[i] > b[i] else 0.0
    elif operation == GREATER_EQUAL:
        for i in range(size):
            out[i] = 1.0 if a[i] >= b[i] else 0.0
    elif operation == EQUAL:
        for i in range(size):
            out[i] = 1.0 if a[i] == b[i] else 0.0
    else:
        for i in range(size):
            out[i] = 1.0 if a[i] != b[i] else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _logic(operation: int, a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    size = len(out)
    if operation == AND:
        for i in range(size):
            out[i] = 1.0 if a[i] != 0.0 and b[i] != 0.0 else 0.0
    elif operation == OR:
        for i in range(size):
            out[i] = 1.0 if a[i] != 0.0 or b[i] != 0.0 else 0.0
    else:
        for i in range(size):
            out[i] = 1.0 if a[i] == 0.0 else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _unary(operation: int, a: FloatArray, out: FloatArray) -> None:
    size = len(out)
    if operation == NEGATIVE:
        for i in range(size):
            out[i] = -a[i]
    elif operation == ABSOLUTE:
        for i in range(size):
            out[i] = abs(a[i])
    elif operation == SIGN:
        for i in range(size):
            out[i] = 1.0 if a[i] > 0.0 else (-1.0 if a[i] < 0.0 else a[i])
    elif operation == SQRT:
        for i in range(size):
            out[i] = math.sqrt(a[i])
    elif operation == LOG:
        for i in range(size):
            out[i] = log_one(a[i])
    elif operation == EXP:
        for i in range(size):
            out[i] = math.exp(a[i])
    elif operation == TANH:
        for i in range(size):
            out[i] = math.tanh(a[i])
    elif operation == ISNAN:
        for i in range(size):
            out[i] = 1.0 if a[i] != a[i] else 0.0
    else:
        for i in range(size):
            out[i] = 1.0 if abs(a[i]) < np.inf else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _remember(values: FloatArray, floats: FloatArray, step: IntArray, first: int) -> None:
    rows, symbols = values.shape
    for row in range(rows):
        place = step[RING] + (first + row) % step[LENGTH] * symbols
        floats[place : place + symbols] = values[row]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lag(out: FloatArray, floats: FloatArray, step: IntArray, first: int) -> None:
    rows, symbols = out.shape
    for row in range(rows):
        place = step[RING] + (first + row - step[WINDOW]) % step[LENGTH] * symbols
        out[row] = floats[place : place + symbols]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _trailing_sum(values: FloatArray, out: FloatArray, floats: FloatArray, step: IntArray, first: int) -> None:
    """A running sum kept exact to rounding by compensation, and set anew from a plain sum once every window.

    Bars are cut into windows counted from 1970; where one ends, the plain sum of its bars replaces the running sum.
    So a value depends on no bar older than two windows, wherever a history begins, and no bar costs more than another.
    """
    rows, symbols = values.shape
    state = floats[step[FLOATS] : step[FLOATS] + SUM_STATE * symbols].reshape(SUM_STATE, symbols)
    for row in range(rows):
        place = step[RING] + (first + row - step[WINDOW]) % step[LENGTH] * symbols
        whole = (first + row) % step[WINDOW] == step[WINDOW] - 1
        _slide(values[row], floats[place : place + symbols], state, whole, out[row])


@numba.njit(nogil=True, error_model="numpy")
def _slide(new: FloatArray, old: FloatArray, state: FloatArray, whole: bool, out: FloatArray) -> None:
    total, rest, fresh, missing, moving = state[0], state[1], state[2], state[3], state[4]
    for i in range(len(out)):
        in_known, out_known = abs(new[i]) < np.inf, abs(old[i]) < np.inf
        plus, minus = new[i] if in_known else 0.0, -old[i] if out_known else 0.0
        missing[i] += (0.0 if in_known else 1.0) - (0.0 if out_known else 1.0)
        moving[i] += (1.0 if plus != 0.0 else 0.0) - (1.0 if minus != 0.0 else 0.0)
        # Two sums without loss: what each rounds off is kept in `rest` (Knuth, TAOCP 2, 4.2.2).
        one = total[i] + plus
        part = one - total[i]
        lost = (total[i] - (one - part)) + (plus - part)
        two = one + minus
        part = two - one
        lost += (one - (two - part)) + (minus - part)
        fresh[i] += plus
        renew = whole or moving[i] == 0.0
        total[i] = (fresh[i] if moving[i] != 0.0 else 0.0) if renew else two
        rest[i] = 0.0 if renew else rest[i] + lost
        fresh[i] = 0.0 if whole else fresh[i]
        out[i] = total[i] + rest[i] if missing[i] == 0.0 else np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _trailing_extreme(
    values: FloatArray, out: FloatArray, floats: FloatArray, ints: IntArray, step: IntArray, first: int, sign: float
) -> None:
    """Largest of sign times the values: candidates in falling order, in a ring a symbol (Lemire 2006)."""
    rows, symbols = values.shape
    window, length = step[WINDOW], step[LENGTH]
    missing = floats[step[FLOATS] : step[FLOATS] + symbols]
    queue = ints[step[INTS] : step[INTS] + symbols * (window + 2)].reshape(symbols, window + 2)
    for row in range(rows):
        bar = first + row
        for i in range(symbols):
            value = values[row, i]
            gone = floats[step[RING] + (bar - window) % length * symbols + i]
            missing[i] += (1.0 if value != value else 0.0) - (1.0 if gone != gone else 0.0)
            head, tail = queue[i, window], queue[i, window + 1]
            if head < tail and queue[i, head % window] <= bar - window:
                head += 1
            if value == value:
                while head < tail:
                    last = queue[i, (tail - 1) % window]
                    if sign * floats[step[RING] + last % length * symbols + i] > sign * value:
                        break
                    tail -= 1
                queue[i, tail % window] = bar
                tail += 1
            queue[i, window], queue[i, window + 1] = head, tail
            known = missing[i] == 0.0
            best = queue[i, head % window]
            out[row, i] = floats[step[RING] + best % length * symbols + i] if known else np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _ewma(values: FloatArray, out: FloatArray, floats: FloatArray, step: IntArray, decay: float) -> None:
    rows, symbols = values.shape
    state = floats[step[FLOATS] : step[FLOATS] + 3 * symbols].reshape(3, symbols)
    total, weight, seen = state[0], state[1], state[2]
    least = float(step[WINDOW])
    for row in range(rows):
        for i in range(symbols):
            value = values[row, i]
            known = value == value
            total[i] = value + decay * total[i] if known else 0.0
            weight[i] = 1.0 + decay * weight[i] if known else 0.0
            seen[i] = seen[i] + 1.0 if known else 0.0
            out[row, i] = total[i] / weight[i] if seen[i] >= least else np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _last_known(values: FloatArray, out: FloatArray, floats: FloatArray, step: IntArray) -> None:
    rows, symbols = values.shape
    state = floats[step[FLOATS] : step[FLOATS] + 2 * symbols].reshape(2, symbols)
    kept, age = state[0], state[1]
    oldest = float(step[WINDOW])
    for row in range(rows):
        for i in range(symbols):
            value = values[row, i]
            known = value == value
            kept[i] = value if known else kept[i]
            age[i] = 0.0 if known else age[i] + 1.0
            out[row, i] = kept[i] if age[i] < oldest else np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _across(operation: int, values: FloatArray, out: FloatArray) -> None:
    rows, symbols = values.shape
    ordered = np.empty(symbols)
    for row in range(rows):
        known, total = 0, 0.0
        for i in range(symbols):
            value = values[row, i]
            if value != value:
                continue
            total += value
            place = known
            if operation == MEDIAN:
                while place > 0 and ordered[place - 1] > value:
                    ordered[place] = ordered[place - 1]
                    place -= 1
            ordered[place] = value
            known += 1
        middle = 0.5 * (ordered[max(known - 1, 0) // 2] + ordered[known // 2]) if known else np.nan
        out[row] = middle if operation == MEDIAN else (total if known else np.nan)
