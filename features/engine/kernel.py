"""The one loop that computes formulas, for a single bar of a stream and for blocks of a batch alike.

A program is a list of instructions over registers of shape (rows, n_symbols). Instructions run one after the other over
all rows of a block; within an instruction rows run in time order and each element's arithmetic does not depend on how
many rows the block has: so a batch and a stream give the same bits. Arrays are addressed by offset: a view costs a
hundred nanoseconds, an addition a fraction of one. Offsets are unsigned: a signed one is asked at every access whether
it counts from the end, and no vector code comes of it.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from ...riskcore.arrays import FloatArray, IntArray
from .logarithm import log_one

Code = npt.NDArray[np.uint64]
Offset = np.uint64

# Columns of an instruction.
OPERATION, A, B, C, OUT, WINDOW, RING, LENGTH, STATE = range(9)

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
ZERO, ONE, TWO, LANES = Offset(0), Offset(1), Offset(2), Offset(32)
HISTORY, LAG, SUM, MAX, MIN, EWMA, LAST_KNOWN, MEDIAN, MARKET_SUM = range(25, 34)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def run_block(
    code: Code, numbers: FloatArray, registers: FloatArray, floats: FloatArray, first: int, rows: int, width: int
) -> None:
    """Run every instruction over `rows` bars, the first of which has number `first` since 1970.

    Parameters
    ----------
    code
        Instructions, shape (k, 9), columns as named above.
    numbers
        A parameter of each, shape (k,).
    registers
        Shape (n_registers, at least rows * n_symbols in whole `LANES`).
    floats
        State.
    width
        Symbols.

    Notes
    -----
    Elementwise operations run over whole lanes, beyond the last symbol too, where no one looks: a loop over 64 numbers
    is vector code throughout, one over 50 ends in 18 single steps.
    """
    symbols, count, bar = Offset(width), Offset(rows), Offset(first)
    stride, memory = Offset(registers.shape[1]), registers.reshape(registers.size)
    size = (count * symbols + LANES - ONE) // LANES * LANES
    for k in range(len(code)):
        operation, window = code[k, OPERATION], code[k, WINDOW]
        a, b, c, out = code[k, A] * stride, code[k, B] * stride, code[k, C] * stride, code[k, OUT] * stride
        ring, length, state = code[k, RING], code[k, LENGTH], code[k, STATE]
        if operation <= WHERE:
            _elementwise(operation, memory, a, b, c, out, size)
        elif operation == HISTORY:
            _remember(memory, a, floats, ring, length, bar, count, symbols)
        elif operation == LAG:
            _lag(memory, out, floats, ring, length, bar - window, count, symbols)
        elif operation <= MIN:
            _trailing(operation, memory, a, out, floats, ring, length, window, state, bar, count, symbols)
        elif operation == EWMA:
            _ewma(memory, a, out, floats, state, numbers[k], float(window), count, symbols)
        elif operation == LAST_KNOWN:
            _last_known(memory, a, out, floats, state, float(window), count, symbols)
        else:
            _across(operation, memory, a, out, floats, state, count, symbols)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def run_bars(
    code: Code,
    numbers: FloatArray,
    registers: FloatArray,
    floats: FloatArray,
    first: int,
    inputs: FloatArray,
    outputs: IntArray,
    wanted: IntArray,
    out: FloatArray,
) -> None:
    """Run a program over many bars, block by block.

    Parameters
    ----------
    code, numbers, registers, floats, first
        As in `run_block`; the registers hold one block.
    inputs
        Bars of the columns the program reads, its first registers, shape (n_inputs, bars, n_symbols).
    outputs
        Registers to give out, shape (n_outputs,).
    wanted
        Bars after which they are given out, rising, shape (m,).
    out
        Is filled, shape (n_outputs, m, n_symbols).
    """
    _, bars, symbols = inputs.shape
    block, done = registers.shape[1] // symbols, 0
    for start in range(0, bars, block):
        rows = min(block, bars - start)
        for place in range(inputs.shape[0]):
            for row in range(rows):
                for i in range(symbols):
                    registers[place, row * symbols + i] = inputs[place, start + row, i]
        run_block(code, numbers, registers, floats, first + start, rows, symbols)
        while done < len(wanted) and wanted[done] < start + rows:
            for place in range(len(outputs)):
                for i in range(symbols):
                    out[place, done, i] = registers[outputs[place], (wanted[done] - start) * symbols + i]
            done += 1


@numba.njit(nogil=True, error_model="numpy")
def _elementwise(
    operation: Offset, memory: FloatArray, a: Offset, b: Offset, c: Offset, out: Offset, size: Offset
) -> None:
    if operation == ADD:
        for i in range(size):
            memory[out + i] = memory[a + i] + memory[b + i]
    elif operation == SUBTRACT:
        for i in range(size):
            memory[out + i] = memory[a + i] - memory[b + i]
    elif operation == MULTIPLY:
        for i in range(size):
            memory[out + i] = memory[a + i] * memory[b + i]
    elif operation == DIVIDE:
        for i in range(size):
            memory[out + i] = memory[a + i] / memory[b + i]
    elif operation == MAXIMUM:
        for i in range(size):
            memory[out + i] = _larger(memory[a + i], memory[b + i])
    elif operation == MINIMUM:
        for i in range(size):
            memory[out + i] = _smaller(memory[a + i], memory[b + i])
    elif operation == WHERE:
        for i in range(size):
            yes, no = memory[b + i], memory[c + i]
            memory[out + i] = yes if memory[a + i] != 0.0 else no
    elif operation <= NOT_EQUAL:
        _compare(operation, memory, a, b, out, size)
    elif operation <= NOT:
        _logic(operation, memory, a, b, out, size)
    else:
        _unary(operation, memory, a, out, size)


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _larger(a: float, b: float) -> float:
    """As np.maximum: NaN where one of the two is."""
    return a if a >= b or a != a else b


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _smaller(a: float, b: float) -> float:
    return a if a <= b or a != a else b


@numba.njit(nogil=True, error_model="numpy")
def _compare(operation: Offset, memory: FloatArray, a: Offset, b: Offset, out: Offset, size: Offset) -> None:
    if operation == LESS:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] < memory[b + i] else 0.0
    elif operation == LESS_EQUAL:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] <= memory[b + i] else 0.0
    elif operation == GREATER:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] > memory[b + i] else 0.0
    elif operation == GREATER_EQUAL:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] >= memory[b + i] else 0.0
    elif operation == EQUAL:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] == memory[b + i] else 0.0
    else:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] != memory[b + i] else 0.0


@numba.njit(nogil=True, error_model="numpy")
def _logic(operation: Offset, memory: FloatArray, a: Offset, b: Offset, out: Offset, size: Offset) -> None:
    if operation == AND:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] != 0.0 and memory[b + i] != 0.0 else 0.0
    elif operation == OR:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] != 0.0 or memory[b + i] != 0.0 else 0.0
    else:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] == 0.0 else 0.0


@numba.njit(nogil=True, error_model="numpy")
def _unary(operation: Offset, memory: FloatArray, a: Offset, out: Offset, size: Offset) -> None:
    if operation == NEGATIVE:
        for i in range(size):
            memory[out + i] = -memory[a + i]
    elif operation == ABSOLUTE:
        for i in range(size):
            memory[out + i] = abs(memory[a + i])
    elif operation == SIGN:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] > 0.0 else (-1.0 if memory[a + i] < 0.0 else memory[a + i])
    elif operation == SQRT:
        for i in range(size):
            memory[out + i] = math.sqrt(memory[a + i])
    elif operation == LOG:
        for i in range(size):
            memory[out + i] = log_one(memory[a + i])
    elif operation == EXP:
        for i in range(size):
            memory[out + i] = math.exp(memory[a + i])
    elif operation == TANH:
        for i in range(size):
            memory[out + i] = math.tanh(memory[a + i])
    elif operation == ISNAN:
        for i in range(size):
            memory[out + i] = 1.0 if memory[a + i] != memory[a + i] else 0.0
    else:
        for i in range(size):
            memory[out + i] = 1.0 if abs(memory[a + i]) < np.inf else 0.0


@numba.njit(nogil=True, error_model="numpy")
def _remember(
    memory: FloatArray,
    a: Offset,
    floats: FloatArray,
    ring: Offset,
    length: Offset,
    first: Offset,
    rows: Offset,
    symbols: Offset,
) -> None:
    for row in range(rows):
        place = ring + (first + row) % length * symbols
        for i in range(symbols):
            floats[place + i] = memory[a + row * symbols + i]


@numba.njit(nogil=True, error_model="numpy")
def _lag(
    memory: FloatArray,
    out: Offset,
    floats: FloatArray,
    ring: Offset,
    length: Offset,
    first: Offset,
    rows: Offset,
    symbols: Offset,
) -> None:
    for row in range(rows):
        place = ring + (first + row) % length * symbols
        for i in range(symbols):
            memory[out + row * symbols + i] = floats[place + i]


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _joined(operation: Offset, a: float, b: float) -> float:
    return a + b if operation == SUM else (_larger(a, b) if operation == MAX else _smaller(a, b))


@numba.njit(nogil=True, error_model="numpy")
def _trailing(
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

    Bars are cut into blocks of `window`, counted from 1970: a window is the tail of one block joined to the head of the
    next. Nothing is ever subtracted, so rounding does not build up, a NaN reaches no window but those it stands in, and
    a value depends on its window alone, wherever a history begins. State: the head so far, then the tails of the block
    before from each of its bars on; these are made where a block ends.
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
def _ewma(
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
def _last_known(
    memory: FloatArray,
    a: Offset,
    out: Offset,
    floats: FloatArray,
    state: Offset,
    oldest: float,
    rows: Offset,
    symbols: Offset,
) -> None:
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
def _across(
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
