"""The product of positions and risk arrays, written as the rule reads. The plain twin of `scenario_kernel`."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray, IntArray


def plain_scenario_profit(
    pointer: IntArray, contract: IntArray, quantity: FloatArray, profit: FloatArray
) -> FloatArray:
    """Profit of each row of positions in each scenario, shape (n_rows, width); equal to the kernel bit for bit.

    Examples
    --------
    >>> profit = np.array([[1.0, -1.0], [0.5, 0.25]])
    >>> plain_scenario_profit(np.array([0, 2]), np.array([0, 1]), np.array([2.0, -4.0]), profit).tolist()
    [[0.0, -3.0]]
    """
    out = np.zeros((len(pointer) - 1, profit.shape[1]))
    for row in range(len(out)):
        for entry in range(pointer[row], pointer[row + 1]):
            out[row] += quantity[entry] * profit[contract[entry]]
    return out
