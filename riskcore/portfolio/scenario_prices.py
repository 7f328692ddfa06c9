"""Black-76 over scenarios: many shocked forwards and a few shocked volatilities of each option."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..arrays import FloatArray, IntArray


def scenario_values(
    forward: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    volatility: FloatArray,
    way: IntArray,
    right: NDArray[np.int8] | FloatArray,
    discount: FloatArray,
) -> FloatArray:
    """Value of each option in each scenario, shape (n_options, n_scenarios).

    Black's formula as it stands: right to a few roundings of the forward, which is what a sum of profits keeps.
    `options.black76.value` also keeps the digits of far tails, for ten times the work.

    Parameters
    ----------
    forward
        Forward of each option in each scenario, shape (n_options, n_scenarios).
    strike, years, right, discount
        As of `options.black76.value`, shape (n_options,).
    volatility
        Volatilities each option may have, shape (n_options, n_ways).
    way
        Which of them each scenario takes, shape (n_scenarios,).

    Examples
    --------
    >>> column = np.ones(1)
    >>> scenario_values(np.array([[100.0, 110.0]]), 100 * column, column, np.array([[0.2, 0.3]]), np.array([0, 1]),
    ...                 column, column).round(6).tolist()
    [[7.965567, 18.141012]]
    """
    spread = volatility * np.sqrt(years)[:, None]
    side = np.asarray(right, np.float64)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        steep, half = (1.0 / spread)[:, way], (0.5 * spread)[:, way]
        middle = np.log(forward / strike[:, None])
        middle *= steep
        held, paid = ndtr(side * (middle + half)), ndtr(side * (middle - half))
        worth = side * (forward * held - strike[:, None] * paid)
    certain = spread == 0
    if certain.any():
        exercised = np.maximum(side * (forward - strike[:, None]), 0.0)
        worth = np.where(certain[:, way], exercised, worth)
    return np.asarray(discount[:, None] * worth)
