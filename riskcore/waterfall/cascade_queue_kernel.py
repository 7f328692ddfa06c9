"""The compiled queues of a cascade: rows of one side by trigger, equals by row. Plain twin: `cascade_plain.queue`.

The bits of a positive float rise with it. Their 22 highest that differ at all are sorted by two passes of a radix sort;
what the lower ones would have decided, which is little, is put right after it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import FloatArray
from ..margin_kernel import NEXT, njit_kernel

DIGIT, LAST, SPAN = np.uint64(11), np.uint64(2**11 - 1), np.uint64(2**22)
"""Bits of a digit, the highest digit, and how many numbers two digits tell apart."""
HALF, LOW, NONE = np.uint64(32), np.uint64(2**32 - 1), np.uint64(0)
MOVES = 8
"""Moves a row that putting right may take on average."""
Bits = NDArray[np.uint64]


@njit_kernel
def range_pass(trigger: FloatArray, bits: Bits, size: FloatArray, ranges: Bits) -> None:
    """Write lowest and highest bits and number of the triggers above 0 of the longs, then of the shorts.

    `bits` is the memory of `trigger` as unsigned integers.
    """
    low, high, rows = ~NONE, NONE, NONE
    short_low, short_high, short_rows = ~NONE, NONE, NONE
    for i in range(len(trigger)):
        if trigger[i] > 0.0:
            if size[i] > 0.0:
                low, high = min(low, bits[i]), max(high, bits[i])
                rows += NEXT
            else:
                short_low, short_high = min(short_low, bits[i]), max(short_high, bits[i])
                short_rows += NEXT
    ranges[0], ranges[1], ranges[2] = low, high, rows
    ranges[3], ranges[4], ranges[5] = short_low, short_high, short_rows


@njit_kernel
def queue_pass(
    trigger: FloatArray, bits: Bits, size: FloatArray, long: bool, ranges: Bits, queue: Bits, spare: Bits, at: Bits
) -> bool:
    """Write the rows of one side that some price liquidates into `queue`, sorted; false if it gives up.

    Parameters
    ----------
    trigger, bits, size
        Liquidation prices, the same memory as unsigned integers, and signed sizes.
    long
        Longs by falling trigger; false: shorts by rising.
    ranges
        Lowest and highest bits on this side.
    queue, spare, at
        Memory to work in: two of the number of rows, and two digits' counts.
    """
    low, high = ranges[0], ranges[1]
    shift = NONE
    while ((high - low) >> shift) >= SPAN:
        shift += NEXT
    at[:] = NONE
    first, second = at[: LAST + NEXT], at[LAST + NEXT :]
    place = NONE
    for i in range(len(trigger)):
        if trigger[i] > 0.0 and (size[i] > 0.0) == long:
            key = ((high - bits[i]) if long else (bits[i] - low)) >> shift
            spare[place] = key << HALF | np.uint64(i)
            place += NEXT
            first[key & LAST] += NEXT
            second[key >> DIGIT] += NEXT
    _scatter(spare, queue, first, HALF)
    _scatter(queue, spare, second, HALF + DIGIT)
    return _put_right(spare, queue, bits, long)


@njit_kernel
def _scatter(given: Bits, sorted_: Bits, count: Bits, shift: np.uint64) -> None:
    """Sort by one digit, keeping the order of equals; `count` says how many there are of each."""
    before = NONE
    for digit in range(len(count)):
        count[digit], before = before, before + count[digit]
    for one in given:
        digit = (one >> shift) & LAST
        sorted_[count[digit]] = one
        count[digit] += NEXT


@njit_kernel
def _put_right(given: Bits, queue: Bits, bits: Bits, long: bool) -> bool:
    """Write the rows alone, those of equal keys by all their bits; false if that takes too many moves."""
    left = MOVES * len(given)
    for last in range(len(given)):
        key, row, place = given[last] >> HALF, given[last] & LOW, last
        while place > 0 and given[place - 1] >> HALF == key:
            other = bits[queue[place - 1]]
            if other == bits[row] or (other > bits[row]) == long:
                break
            queue[place] = queue[place - 1]
            place -= 1
            left -= 1
        queue[place] = row
        if left < 0:
            return False
    return True
