"""The smallest number of steps of a measure that brings a forecast to a target, for many measures at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..models.account_boosting import logit
from ..riskcore.arrays import FloatArray, IntArray

After = Callable[[IntArray, FloatArray], FloatArray]
"""Probability after measures: which of them, and how many steps of each."""


@dataclass(frozen=True)
class Found:
    """What was found for each measure, shape (n,).

    Parameters
    ----------
    steps
        Smallest number of steps that is enough; NaN where none that was tried is.
    probability
        The forecast after them; where none is enough, the lowest that was seen.
    best
        `steps`, and where none is enough the number that gave the lowest forecast.
    """

    steps: FloatArray
    probability: FloatArray
    best: FloatArray


def least_steps(after: After, most: FloatArray, target: float, *, scan: int = 1) -> Found:
    """Smallest number of steps in 0 .. `most` that brings each probability to `target`.

    First `scan` evenly spaced numbers beside 0 are tried, then the gap below the first that is enough is closed. What
    is found is enough, one step less is not, nor is any number below it that was tried in the scan. That is the
    smallest of all where the forecast falls with the steps (`scan` = 1 will do), or where no stretch that is enough
    lies wholly between two numbers of the scan.

    Parameters
    ----------
    after
        Probability of some measures after some steps; called with many at once.
    most
        Whole numbers, shape (n,).
    target
        Probability.
    scan
        Intervals of the scan.

    Notes
    -----
    The gap is closed on log odds by interpolate, truncate, project: no slower than halving, and far
    faster on a smooth forecast. Source: Oliveira and Takahashi (2020), ACM Transactions on Mathematical Software 47(1).

    Examples
    --------
    >>> least_steps(lambda rows, steps: 1 / (2 + steps), np.array([1000.0, 5.0]), 0.01).steps.tolist()
    [98.0, nan]
    """
    points = np.ceil(np.outer(most, np.arange(scan + 1) / scan))
    tried = after(np.repeat(np.arange(len(most)), scan + 1), points.ravel()).reshape(points.shape)
    odds = _excess(tried, target)
    row, enough = np.arange(len(most)), odds <= 0
    first, ever = np.argmax(enough, axis=1), enough.any(axis=1)
    last = np.maximum(first - 1, 0)
    gap = _Gap(points[row, last], points[row, first], odds[row, last], odds[row, first], tried[row, first])
    gap.close(after, np.flatnonzero(ever & (first > 0)), target)
    lowest = np.argmin(odds, axis=1)
    best = np.where(ever, gap.high, points[row, lowest])
    return Found(np.where(ever, gap.high, np.nan), np.where(ever, gap.reached, tried[row, lowest]), best)


class _Gap:
    """Numbers of steps between which each answer lies: `low` is not enough, `high` is, and leaves `reached`."""

    def __init__(
        self, low: FloatArray, high: FloatArray, above: FloatArray, below: FloatArray, reached: FloatArray
    ) -> None:
        self.low, self.high, self.above, self.below, self.reached = low, high, above, below, reached

    def close(self, after: After, rows: IntArray, target: float) -> None:
        """Narrow the gaps of some rows to one step."""
        widest = np.ones(len(self.low))
        widest[rows] = np.maximum(self.high - self.low, 1.0)[rows]
        left = np.ceil(np.log2(widest)) + 1
        while len(rows := rows[self.high[rows] - self.low[rows] > 1]):
            left[rows] -= 1
            steps = self._next(rows, widest[rows], left[rows])
            probability = after(rows, steps)
            odds = _excess(probability, target)
            enough = odds <= 0
            yes, no = rows[enough], rows[~enough]
            self.high[yes], self.below[yes], self.reached[yes] = steps[enough], odds[enough], probability[enough]
            self.low[no], self.above[no] = steps[~enough], odds[~enough]

    def _next(self, rows: IntArray, widest: FloatArray, left: FloatArray) -> FloatArray:
        low, high, above, below = self.low[rows], self.high[rows], self.above[rows], self.below[rows]
        width, middle = high - low, 0.5 * (low + high)
        crossing = low + width * above / (above - below)
        # a step at least towards the middle, so that both ends close in on the answer
        inward = np.maximum(0.2 * width**2 / widest, 1.0)
        to_middle = middle - crossing
        guess = crossing + np.sign(to_middle) * np.minimum(inward, np.abs(to_middle))
        reach = np.maximum(0.5 * 2.0**left - 0.5 * width, 0.0)
        return np.asarray(np.clip(np.rint(np.clip(guess, middle - reach, middle + reach)), low + 1, high - 1))


def _excess(probability: FloatArray, target: float) -> FloatArray:
    """Log odds above those of the target, at or below 0 exactly where it is kept; NaN counts as certain."""
    known = np.where(np.isnan(probability), 1.0, probability)
    odds = logit(known) - logit(np.asarray(target))
    return np.where(known <= target, np.minimum(odds, 0.0), np.maximum(odds, 1e-12))
