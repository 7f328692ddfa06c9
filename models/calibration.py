"""Calibration of probabilities, monotone and shrunk towards leaving them as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ..riskcore.arrays import FloatArray, require, require_shape

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1 before logs are taken."""


class Calibrator(Protocol):
    """What every calibrator does; `tests/test_models_calibrators.py` holds all of them to it.

    `predict` never falls with the probability, leaves 0 and 1 as they are, and NaN as NaN. A row whose probability,
    outcome or weight is NaN is left out of `fit`; without any row nothing is changed. A weight of k counts as k copies
    of the row. An outcome may be a frequency between 0 and 1.
    """

    def fit(self, probability: FloatArray, outcome: FloatArray, weight: FloatArray | None = None) -> Self:
        """Fit on rows, each of shape (n,)."""
        ...

    def predict(self, probability: FloatArray) -> FloatArray:
        """Calibrated probability of each."""
        ...

    def state(self) -> dict[str, Any]:
        """What `from_state` needs: numbers and arrays."""
        ...

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The calibrator as it was when `state` was taken."""
        ...


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

    def fit(self, probability: FloatArray, outcome: FloatArray, weight: FloatArray | None = None) -> BetaCalibration:
        """Fit on rows with a known probability and outcome (0 or 1, or a frequency); see `Calibrator`."""
        p, y, w = known_rows(probability, outcome, weight)
        low, high = _logs(p)
        found = penalised_logistic(np.stack((low, -high, np.ones(len(p)))), y, w, (1.0, 1.0, 0.0), self.shrinkage)
        self.a_, self.b_, self.c_ = found
        return self

    def predict(self, probability: FloatArray) -> FloatArray:
        """Calibrated probability; 0 and 1 stay, NaN stays NaN."""
        low, high = _logs(probability)
        return certain_kept(probability, expit(self.a_ * low - self.b_ * high + self.c_))

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"shrinkage": self.shrinkage, "a": self.a_, "b": self.b_, "c": self.c_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BetaCalibration:
        """The model as it was when `state` was taken."""
        model = cls(float(state["shrinkage"]))
        model.a_, model.b_, model.c_ = float(state["a"]), float(state["b"]), float(state["c"])
        return model


class PlattScaling:
    """Platt scaling of log odds: a * logit(p) + c, with a >= 0, held near (1, 0) by a quadratic penalty.

    Source: Platt (1999), on log odds in place of margins and without his change of the targets, which shrinks towards
    the base rate where the penalty shrinks towards changing nothing.

    Parameters
    ----------
    shrinkage
        Weight of the penalty, in rows.

    Examples
    --------
    Forecasts of 0.2 and 0.8 whose odds should be twice as far from even: 1 to 16 and 16 to 1.

    >>> p, y = np.array([0.2, 0.8]), np.array([1.0, 16.0]) / 17.0
    >>> PlattScaling(shrinkage=0.0).fit(p, y).predict(np.array([0.8])).round(4).tolist()
    [0.9412]
    """

    def __init__(self, shrinkage: float = 2000.0) -> None:
        self.shrinkage = shrinkage

    def fit(self, probability: FloatArray, outcome: FloatArray, weight: FloatArray | None = None) -> PlattScaling:
        """Fit on rows; see `Calibrator`."""
        p, y, w = known_rows(probability, outcome, weight)
        design = np.stack((log_odds(p), np.ones(len(p))))
        self.slope_, self.intercept_ = penalised_logistic(design, y, w, (1.0, 0.0), self.shrinkage)
        return self

    def predict(self, probability: FloatArray) -> FloatArray:
        """Calibrated probability; 0 and 1 stay, NaN stays NaN."""
        return certain_kept(probability, expit(self.slope_ * log_odds(probability) + self.intercept_))

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"shrinkage": self.shrinkage, "slope": self.slope_, "intercept": self.intercept_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PlattScaling:
        """The model as it was when `state` was taken."""
        model = cls(float(state["shrinkage"]))
        model.slope_, model.intercept_ = float(state["slope"]), float(state["intercept"])
        return model


class TemperatureScaling:
    """Temperature scaling: log odds divided by a temperature T > 0; 1/T is held near 1 by a quadratic penalty.

    Source: Guo, Pleiss, Sun and Weinberger (2017). It mends over- and underconfidence and leaves even odds even: a
    wrong base rate stays wrong.

    Parameters
    ----------
    shrinkage
        Weight of the penalty, in rows.

    Examples
    --------
    >>> p, y = np.array([0.2, 0.8]), np.array([1.0, 16.0]) / 17.0
    >>> round(TemperatureScaling(shrinkage=0.0).fit(p, y).temperature, 4)
    0.5
    """

    def __init__(self, shrinkage: float = 2000.0) -> None:
        self.shrinkage = shrinkage

    def fit(self, probability: FloatArray, outcome: FloatArray, weight: FloatArray | None = None) -> TemperatureScaling:
        """Fit on rows; see `Calibrator`."""
        p, y, w = known_rows(probability, outcome, weight)
        (self.slope_,) = penalised_logistic(log_odds(p)[None, :], y, w, (1.0,), self.shrinkage)
        return self

    @property
    def temperature(self) -> float:
        """T; infinite where the forecasts' order says nothing."""
        return 1.0 / self.slope_ if self.slope_ > 0 else float("inf")

    def predict(self, probability: FloatArray) -> FloatArray:
        """Calibrated probability; 0 and 1 stay, NaN stays NaN."""
        return certain_kept(probability, expit(self.slope_ * log_odds(probability)))

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"shrinkage": self.shrinkage, "slope": self.slope_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TemperatureScaling:
        """The model as it was when `state` was taken."""
        model = cls(float(state["shrinkage"]))
        model.slope_ = float(state["slope"])
        return model


def known_rows(
    probability: FloatArray, outcome: FloatArray, weight: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Probability, outcome and weight (1 if left out) of the rows where all three are known and the weight is not 0.

    Raises
    ------
    InputError
        Shapes that differ, an outcome outside [0, 1], or a negative weight.
    """
    weight = np.ones(len(probability)) if weight is None else weight
    for values, name in ((outcome, "outcome"), (weight, "weight")):
        require_shape(values, probability.shape, name)
    require(~(weight < 0), weight, "must not be negative", "weight")
    require(~((outcome < 0) | (outcome > 1)), outcome, "must be between 0 and 1", "outcome")
    known = np.isfinite(probability) & np.isfinite(outcome) & (weight > 0) & np.isfinite(weight)
    return probability[known], outcome[known], weight[known]


def penalised_logistic(
    design: FloatArray, outcome: FloatArray, weight: FloatArray, identity: tuple[float, ...], shrinkage: float
) -> tuple[float, ...]:
    """Coefficients of the rows of `design`, (k, n), that minimise the weighted log loss and a pull towards `identity`.

    Coefficients whose identity is 1 stay at or above 0. Sums are taken in a fixed order: a BLAS would round them
    differently on another number of threads.
    """
    start = np.array(identity)

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        scores = np.asarray((design * theta[:, None]).sum(axis=0))
        error = weight * (expit(scores) - outcome)
        pull = theta - start
        value = (weight * (np.logaddexp(0.0, scores) - scores * outcome)).sum()
        slope = np.asarray((design * error).sum(axis=1))
        return float(value + 0.5 * shrinkage * (pull * pull).sum()), slope + shrinkage * pull

    bounds = [(0.0 if one == 1.0 else None, None) for one in identity]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return tuple(float(v) for v in found.x)


def certain_kept(probability: FloatArray, calibrated: FloatArray) -> FloatArray:
    """The calibrated probabilities, but 0 and 1 (and what lies beyond) as they were."""
    return np.where((probability <= 0) | (probability >= 1), probability, calibrated)


def log_odds(probability: FloatArray) -> FloatArray:
    """Log odds, of probabilities kept 1e-7 from 0 and 1.

    Examples
    --------
    >>> log_odds(np.array([0.8])).round(4).tolist()
    [1.3863]
    """
    low, high = _logs(probability)
    return low - high


def _logs(probability: FloatArray) -> tuple[FloatArray, FloatArray]:
    p = np.clip(probability, SMALLEST, 1 - SMALLEST)
    return np.log(p), np.log1p(-p)
