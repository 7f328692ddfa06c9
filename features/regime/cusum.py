"""Cumulative sums: how far a series has run away from its usual level, and when that became too far."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from ...riskcore.arrays import BoolArray, FloatArray
from ...riskcore.errors import InputError


@dataclass(frozen=True)
class Cusum:
    """Two one-sided cumulative sums.

    Parameters
    ----------
    up, down
        Sums after each value, shape (T,); an alarm is told with the sum that raised it, the next starts from zero.
    rose, fell
        Where `up` and `down` passed the threshold.
    """

    up: FloatArray
    down: FloatArray
    rose: BoolArray
    fell: BoolArray


def cusum(scores: FloatArray, slack: float = 0.5, threshold: float = 5.0) -> Cusum:
    """Tabular CUSUM of standardised values: up = max(0, up + z - slack), down = max(0, down - z - slack).

    Source: E. Page, Continuous inspection schemes, Biometrika 41 (1954); with slack 1/2 and threshold 4 (5)
    independent normal values raise an alarm on either side once in 168 (465) on average (D. Montgomery, Introduction to
    Statistical Quality Control, table of average run lengths).

    Parameters
    ----------
    scores
        Values less their usual level over their usual deviation, shape (T,); a NaN is left out.
    slack
        Half the shift to detect, in deviations, not negative.
    threshold
        Sum above which an alarm is raised, positive.

    Raises
    ------
    InputError
        A slack below zero, a threshold that is not positive.

    Examples
    --------
    >>> found = cusum(np.array([0.0, 3.0, 3.0, 1.0]), 0.5, 4.0)
    >>> found.up.tolist(), found.rose.tolist()
    ([0.0, 2.5, 5.0, 0.5], [False, False, True, False])
    """
    if not slack >= 0.0:
        raise InputError("must not be below 0", column="slack", value=slack)
    if not threshold > 0.0:
        raise InputError("must be positive", column="threshold", value=threshold)
    sums, told = np.zeros(2), np.zeros((len(scores), 2))
    for row, score in enumerate(np.asarray(scores, np.float64).tolist()):
        add_score(sums, score, slack, threshold)
        told[row] = sums
    return Cusum(told[:, 0], told[:, 1], told[:, 0] > threshold, told[:, 1] > threshold)


@numba.njit(cache=True, nogil=True)
def add_score(sums: FloatArray, score: float, slack: float, threshold: float) -> None:
    """One value; sums that had raised an alarm start from zero."""
    if np.isnan(score):
        return
    for side in range(2):
        before = 0.0 if sums[side] > threshold else sums[side]
        sums[side] = max(0.0, before + (score if side == 0 else -score) - slack)
