"""Where the price stands against its own past: signed moves, drawdown from the high, rise from the low."""

from __future__ import annotations

import numpy as np

from ..riskcore.arrays import FloatArray
from .engine.operations import rolling


def move(returns: FloatArray, window: int) -> FloatArray:
    """Log move over a trailing window of bars; NaN where one of its returns is NaN.

    Examples
    --------
    >>> move(np.array([[0.01], [-0.03], [0.01]]), 2)[:, 0].round(6).tolist()
    [nan, -0.02, -0.02]
    """
    return rolling(returns, window)


def drawdown(high: FloatArray, close: FloatArray, window: int) -> FloatArray:
    """Log distance of the close below the highest high of a trailing window: zero or negative.

    Examples
    --------
    >>> drawdown(np.array([[100.0], [80.0]]), np.array([[90.0], [50.0]]), 2)[-1].round(6).tolist()
    [-0.693147]
    """
    return np.log(close / rolling(high, window, np.maximum))


def rise(low: FloatArray, close: FloatArray, window: int) -> FloatArray:
    """Log distance of the close above the lowest low of a trailing window: zero or positive.

    Examples
    --------
    >>> rise(np.array([[50.0], [80.0]]), np.array([[90.0], [100.0]]), 2)[-1].round(6).tolist()
    [0.693147]
    """
    return np.log(close / rolling(low, window, np.minimum))
