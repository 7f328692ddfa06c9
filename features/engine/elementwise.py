"""Operations of a program that look at one number of each register: loops that compile to vector code."""

from __future__ import annotations

import math

import numba
import numpy as np

from ...riskcore.arrays import FloatArray
from .instructions import (
    ABSOLUTE,
    ADD,
    AND,
    DIVIDE,
    EQUAL,
    EXP,
    GREATER,
    GREATER_EQUAL,
    ISNAN,
    LESS,
    LESS_EQUAL,
    LOG,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATIVE,
    NOT,
    NOT_EQUAL,
    OR,
    SIGN,
    SQRT,
    SUBTRACT,
    TANH,
    WHERE,
    Offset,
)
from .logarithm import log_one


@numba.njit(nogil=True, error_model="numpy")
def run_elementwise(
    operation: Offset, memory: FloatArray, a: Offset, b: Offset, c: Offset, out: Offset, size: Offset
) -> None:
    """One elementwise operation over `size` numbers: registers at offsets a, b, c into the one at offset out."""
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
            memory[out + i] = larger(memory[a + i], memory[b + i])
    elif operation == MINIMUM:
        for i in range(size):
            memory[out + i] = smaller(memory[a + i], memory[b + i])
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
def larger(a: float, b: float) -> float:
    """As np.maximum: NaN where one of the two is."""
    return a if a >= b or a != a else b


@numba.njit(nogil=True, error_model="numpy", inline="always")
def smaller(a: float, b: float) -> float:
    """As np.minimum: NaN where one of the two is."""
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
