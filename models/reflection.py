"""The reflection principle: the simplest structural probability of touching a barrier."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from ..riskcore.arrays import FloatArray
from .sample import AccountSample, certain_where_breached, never_falling


def touch_probability(distance: FloatArray) -> FloatArray:
    """Probability that a driftless Brownian motion falls by `distance` standard deviations within the time.

    2 * Phi(-d), by reflection; 1 for distances that are not positive; NaN stays NaN.

    Examples
    --------
    >>> round(float(touch_probability(np.array(1.959964))), 6)
    0.05
    """
    return np.minimum(1.0, 2.0 * ndtr(-np.asarray(distance)))


class EwmaReflection:
    """Reflection principle with the pool's own EWMA volatility; nothing is fitted.

    Parameters
    ----------
    column
        Feature holding the pool's distance: headroom over the EWMA standard deviation of its value per bar.
    """

    def __init__(self, column: str = "distance_ewma") -> None:
        self.column = column

    def predict(self, sample: AccountSample) -> FloatArray:
        """Probability of each row at each horizon, (n, n_horizons)."""
        distance = sample.column(self.column)[:, None] / np.sqrt(np.array(sample.horizons))
        return certain_where_breached(never_falling(touch_probability(distance)), sample.exposure)
