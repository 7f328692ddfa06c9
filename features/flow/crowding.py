"""Which side of a market is crowded, from what it pays, what it holds and how its accounts lean."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray

SCORE_CAP = 3.0
"""Standard deviations beyond which a score says no more."""


def long_share(ratio: FloatArray) -> FloatArray:
    """Share of accounts (or positions) that are long, from a venue's long/short ratio.

    Examples
    --------
    >>> long_share(np.array([[3.0], [1.0]])).tolist()
    [[0.75], [0.5]]
    """
    return ratio / (1.0 + np.where(ratio >= 0.0, ratio, np.nan))


def crowded_side(funding_score: FloatArray, premium_score: FloatArray) -> FloatArray:
    """Which side pays to be in: mean of two scores, each cut at three standard deviations and brought to -1 .. 1.

    Parameters
    ----------
    funding_score, premium_score
        Funding and premium against their own past, standard deviations, shape (T, n); see `past_score`.

    Returns
    -------
    FloatArray
        Positive where longs are crowded, negative where shorts are. NaN where one of the two is.

    Examples
    --------
    >>> crowded_side(np.array([[1.5, 9.0]]), np.array([[-1.5, 3.0]])).tolist()
    [[0.0, 1.0]]
    """
    return 0.5 / SCORE_CAP * (_cut(funding_score) + _cut(premium_score))


def crowding(side: FloatArray, open_interest: FloatArray, usual: FloatArray) -> FloatArray:
    """The crowded side weighted by how much is held against what usually is: side * open interest / usual.

    A side that pays to be in matters the more the more is held. NaN where one of the three is, or nothing is usual.

    Examples
    --------
    >>> crowding(np.array([[0.5]]), np.array([[150.0]]), np.array([[100.0]])).tolist()
    [[0.75]]
    """
    return side * open_interest / np.where(usual > 0.0, usual, np.nan)


def _cut(score: FloatArray) -> FloatArray:
    return np.minimum(np.maximum(score, -SCORE_CAP), SCORE_CAP)
