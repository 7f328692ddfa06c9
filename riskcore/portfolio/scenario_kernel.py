"""The compiled product of positions and risk arrays. Its plain twin is `scenario_plain`."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray, IntArray
from ..margin_kernel import NEXT, njit_kernel

TWO, THREE, FOUR = np.uint64(2), np.uint64(3), np.uint64(4)


@njit_kernel
def scenario_pass(
    first: int,
    last: int,
    pointer: IntArray,
    contract: IntArray,
    quantity: FloatArray,
    profit: FloatArray,
    out: FloatArray,
) -> None:
    """Write out[row] = sum over the entries of each row first : last of quantity * profit[contract].

    Each number is added in the order of the entries and rounded after each step, so the bits do not depend on how rows
    are divided among threads. Four entries at a time: the sum is read and written once for them.
    """
    row, end = np.uint64(first), np.uint64(last)
    while row < end:
        for place in range(out.shape[1]):
            out[row, np.uint64(place)] = 0.0
        entry, stop = np.uint64(pointer[row]), np.uint64(pointer[row + NEXT])
        while entry + FOUR <= stop:
            q0, q1 = quantity[entry], quantity[entry + NEXT]
            q2, q3 = quantity[entry + TWO], quantity[entry + THREE]
            c0, c1 = np.uint64(contract[entry]), np.uint64(contract[entry + NEXT])
            c2, c3 = np.uint64(contract[entry + TWO]), np.uint64(contract[entry + THREE])
            for place in range(out.shape[1]):
                s = np.uint64(place)
                total = out[row, s] + q0 * profit[c0, s]
                total += q1 * profit[c1, s]
                total += q2 * profit[c2, s]
                out[row, s] = total + q3 * profit[c3, s]
            entry += FOUR
        while entry < stop:
            q, c = quantity[entry], np.uint64(contract[entry])
            for place in range(out.shape[1]):
                s = np.uint64(place)
                out[row, s] += q * profit[c, s]
            entry += NEXT
        row += NEXT
