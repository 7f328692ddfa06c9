"""The one loop that computes formulas, for a single bar of a stream and for blocks of a batch alike.

A program is a list of instructions over registers of shape (rows, n_symbols). Instructions run one after the other over
all rows of a block; within an instruction rows run in time order and each element's arithmetic does not depend on how
many rows the block has: so a batch and a stream give the same bits. Arrays are addressed by offset: a view costs a
hundred nanoseconds, an addition a fraction of one. Offsets are unsigned: a signed one is asked at every access whether
it counts from the end, and no vector code comes of it.
"""

from __future__ import annotations

import numba

from ...riskcore.arrays import FloatArray, IntArray
from .elementwise import run_elementwise
from .instructions import (
    EWMA,
    HISTORY,
    LAG,
    LANES,
    LAST_KNOWN,
    LENGTH,
    MIN,
    ONE,
    OPERATION,
    OUT,
    RING,
    STATE,
    WHERE,
    WINDOW,
    A,
    B,
    C,
    Code,
    Offset,
)
from .remembering import run_across, run_ewma, run_lag, run_last_known, run_remember, run_trailing


@numba.njit(cache=True, nogil=True, error_model="numpy")
def run_block(
    code: Code, numbers: FloatArray, registers: FloatArray, floats: FloatArray, first: int, rows: int, width: int
) -> None:
    """Run every instruction over `rows` bars, the first of which has number `first`.

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
            run_elementwise(operation, memory, a, b, c, out, size)
        elif operation == HISTORY:
            run_remember(memory, a, floats, ring, length, bar, count, symbols)
        elif operation == LAG:
            run_lag(memory, out, floats, ring, length, bar - window, count, symbols)
        elif operation <= MIN:
            run_trailing(operation, memory, a, out, floats, ring, length, window, state, bar, count, symbols)
        elif operation == EWMA:
            run_ewma(memory, a, out, floats, state, numbers[k], float(window), count, symbols)
        elif operation == LAST_KNOWN:
            run_last_known(memory, a, out, floats, state, float(window), count, symbols)
        else:
            run_across(operation, memory, a, out, floats, state, count, symbols)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def run_bars(
    code: Code,
    numbers: FloatArray,
    registers: FloatArray,
    floats: FloatArray,
    first: int,
    inputs: FloatArray,
    bars: int,
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
        Bars of the columns the program reads, its first registers, shape (n_inputs, at least `bars`, n_symbols).
    outputs
        Registers to give out, shape (n_outputs,).
    wanted
        Bars after which they are given out, rising, shape (m,).
    out
        Is filled, shape (m, n_outputs, n_symbols).
    """
    symbols = inputs.shape[2]
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
                    out[done, place, i] = registers[outputs[place], (wanted[done] - start) * symbols + i]
            done += 1
