"""Calibration of probabilities, monotone and shrunk towards leaving them as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ..riskcore.arrays import FloatArray

IDENTITY = (1.0, 1.0, 0.0)


class BetaCalibration:
    """Beta calibration: log odds = a * log(p) - b * log(1 - p) + c, with a, b >= 0 so that order is kept.

    Source: Kull, Silva Filho and Flach (2017). A quadratic penalty holds (a, b, c) near (1, 1, 0), which changes
    nothing: rows of one day share their prices, so a block of weeks says less than its number of rows.

    Parameters
    ----------
    shrinkage
        Weight of the penalty, in rows.

    Examples
    --------
    >>> p = np.full(10_000, 0.2)
    >>> y = np.repeat([1.0, 0.0], [4000, 6000])
    >>> model = BetaCalibration(shrinkage=0.0).fit(p, y)
    >>> round(float(model.predict(np.array([0.2]))[0]), 3)
    0.4
    """

    def __init__(self, shrinkage: float = 2000.0) -> None:
        self.shrinkage = shrinkage

    def fit(self, probability: FloatArray, outcome: FloatArray) -> BetaCalibration:
        """Fit on rows with a known probability and outcome (0 or 1); without any it changes nothing.

        Sums are taken in a fixed order: a BLAS would round them differently on another number of threads.
        """
        known = np.isfinite(probability) & np.isfinite(outcome)
        low, high = _logs(probability[known])
        y = outcome[known]

        def loss(theta: FloatArray) -> tuple[float, FloatArray]:
            scores = theta[0] * low - theta[1] * high + theta[2]
            error = expit(scores) - y
            pull = theta - np.array(IDENTITY)
            value = (np.logaddexp(0.0, scores) - scores * y).sum() + 0.5 * self.shrinkage * (pull * pull).sum()
            slope = np.array([(error * low).sum(), -(error * high).sum(), error.sum()])
            return float(value), slope + self.shrinkage * pull

        bounds = [(0.0, None), (0.0, None), (None, None)]
        found = minimize(loss, np.array(IDENTITY), jac=True, method="L-BFGS-B", bounds=bounds)
        self.a_, self.b_, self.c_ = (float(v) for v in found.x)
        return self

    def predict(self, probability: FloatArray) -> FloatArray:
        """Calibrated probability; 0 and 1 stay, NaN stays NaN."""
        low, high = _logs(probability)
        out = expit(self.a_ * low - self.b_ * high + self.c_)
        return np.where((probability <= 0) | (probability >= 1), probability, out)

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"shrinkage": self.shrinkage, "a": self.a_, "b": self.b_, "c": self.c_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BetaCalibration:
        """The model as it was when `state` was taken."""
        model = cls(float(state["shrinkage"]))
        model.a_, model.b_, model.c_ = float(state["a"]), float(state["b"]), float(state["c"])
        return model


def _logs(probability: FloatArray) -> tuple[FloatArray, FloatArray]:
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.log(p), np.log1p(-p)
