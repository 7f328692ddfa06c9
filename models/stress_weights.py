"""Weights that let rows of volatile days count for more."""

from __future__ import annotations

import numpy as np

from ..riskcore.arrays import FloatArray, require
from ..riskcore.errors import InputError


def stress_weights(rank: FloatArray, strength: float) -> FloatArray:
    """Weights 1 + strength * rank^2, divided by their mean, so that a calibration heeds volatile days more.

    A calm block of rows says little of how forecasts fare in a crash. The square leaves the calmer half of the days
    nearly alike and lets the weight grow where losses happen.

    Parameters
    ----------
    rank
        Rank of the market's volatility when each row was forecast among that of its past, 0 (calmest) to 1, shape (n,).
    strength
        Not negative: how many rows of the calmest day a row of the most volatile day is worth, less 1.

    Returns
    -------
    Shape (n,), averaging 1; NaN where the rank is, which calibrators leave out.

    Raises
    ------
    InputError
        A rank outside [0, 1], or a strength that is negative or not finite.

    Examples
    --------
    >>> stress_weights(np.array([0.0, 1.0]), 2.0).tolist()
    [0.5, 1.5]
    """
    if not 0 <= strength < np.inf:
        raise InputError("must be finite and not negative", column="strength", value=strength)
    require(~((rank < 0) | (rank > 1)), rank, "must be between 0 and 1", "rank")
    weight = 1.0 + strength * rank**2
    known = np.isfinite(weight)
    return weight / weight[known].mean() if known.any() else weight
