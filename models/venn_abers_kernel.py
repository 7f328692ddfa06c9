"""The compiled core of Venn-Abers: for each place, the isotonic fit there when one more event is put there."""

from __future__ import annotations

import numba
import numpy as np

from ..riskcore.arrays import FloatArray


@numba.njit(cache=True, nogil=True)
def fits_with_an_event(weight: FloatArray, hits: FloatArray) -> FloatArray:
    """The isotonic fit at each place i when a row of weight 1 and outcome 1 is added there, shape (n,).

    Places are in rising order of the score; `weight` is their total weight, `hits` their weight times outcome. One
    walk over the greatest convex minorant of the cumulative sums: the added row is a segment of slope 1 that moves to
    the right by one place at a time, and the minorant is mended where it moved. Linear time.

    Source: Vovk, Petej and Fedorova (2015), "Large-scale probabilistic predictors with and without guarantees of
    validity", algorithms 1 and 2, with weights.
    """
    n = len(weight)
    x, y = np.empty(n + 2), np.empty(n + 2)
    x[0], y[0] = -1.0, -1.0
    x[1], y[1] = 0.0, 0.0
    for i in range(n):
        x[i + 2], y[i + 2] = x[i + 1] + weight[i], y[i + 1] + hits[i]
    stack_x, stack_y = np.empty(n + 2), np.empty(n + 2)
    top = -1
    # corners of the minorant from the right end, so that the leftmost is on top
    for i in range(n + 1, -1, -1):
        top = _push(stack_x, stack_y, top, x[i], y[i])
    out = np.empty(n)
    for i in range(n):
        run = stack_x[top - 1] - stack_x[top]
        rise = stack_y[top - 1] - stack_y[top]
        out[i] = rise / run
        # the added row moves behind place i: the point between the two is mirrored
        x[i + 1], y[i + 1] = x[i] + weight[i], y[i] + hits[i]
        if (y[i + 1] - stack_y[top]) * run < rise * (x[i + 1] - stack_x[top]):
            top = _push(stack_x, stack_y, top - 1, x[i + 1], y[i + 1])
    return out


@numba.njit(cache=True, nogil=True)
def _push(stack_x: FloatArray, stack_y: FloatArray, top: int, x: float, y: float) -> int:
    """Put a point to the left of a convex chain, dropping corners that are not below the new line; the new top."""
    while top >= 1:
        near_x, near_y = stack_x[top], stack_y[top]
        far_x, far_y = stack_x[top - 1], stack_y[top - 1]
        if (near_y - y) * (far_x - x) < (far_y - y) * (near_x - x):
            break
        top -= 1
    stack_x[top + 1], stack_y[top + 1] = x, y
    return top + 1
