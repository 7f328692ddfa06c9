"""A penalised logistic regression on structural log odds: how much to trust them depends on a few features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from ..riskcore.arrays import BoolArray, FloatArray
from ..riskcore.errors import InputError

CENTRE, WIDTH = -3.0, 3.0
"""Log odds at which a feature shifts the forecast by its effect alone, and over which it does so once more."""
MOST_DEVIATIONS = 3.0
LEAST_SLOPE = 0.2
"""Of the forecast in the first structural log odds: more headroom never raises a probability."""
PENALTY, STRUCTURE_PENALTY = 500.0, 10.0
STEPS, TOLERANCE = 30, 1e-8


class StructuralLogit:
    """Log odds of liquidation from those of several structural models and from features x of the account's market.

    log odds = a + sum_m b_m l_m + sum_i x_i (u_i + v_i (l_1 - CENTRE) / WIDTH), the x standardised: a feature can shift
    the log odds (u) and make the tail fatter or thinner (v). b_m is never negative and the slope in l_1 is at least
    LEAST_SLOPE, so that the forecast falls with headroom as the structural ones do.

    Attributes
    ----------
    columns_
        Features used, by name.
    mean_, spread_
        Of the features in fitting; a missing feature counts as its mean.
    coefficients_
        a, b, u, v; shape (1 + n_models + 2 n_features,).
    """

    columns_: tuple[str, ...]
    mean_: FloatArray
    spread_: FloatArray
    coefficients_: FloatArray

    def __init__(self, models: int, penalty: float = PENALTY) -> None:
        self.models, self.penalty = models, penalty

    def fit(
        self, structural: FloatArray, features: FloatArray, columns: Sequence[str], outcome: FloatArray
    ) -> StructuralLogit:
        """Fit on rows whose outcome and structural log odds are known.

        Parameters
        ----------
        structural
            Log odds of each model, shape (n, n_models), the first the one whose tail is bent.
        features, columns
            Shape (n, n_features), and their names.
        outcome
            1, 0 or NaN, shape (n,).

        Raises
        ------
        InputError
            No known row, or another number of models.
        """
        self._require(structural)
        known = np.isfinite(structural).all(axis=1) & np.isfinite(outcome)
        if not known.any():
            raise InputError("has no row whose outcome and structural log odds are known", column="outcome")
        self.columns_ = tuple(columns)
        self.mean_, self.spread_ = _moments(features[known])
        design = self._design(structural[known], features[known])
        free = np.ones(design.shape[1], np.bool_)
        while True:
            found = self._fitted(design, outcome[known], free)
            negative = np.append([False, False], found[2 : 1 + self.models] < 0)
            if not negative.any():
                break
            free[: 1 + self.models] &= ~negative
        found[1] += 1.0
        self.coefficients_ = found
        return self

    def _fitted(self, design: FloatArray, outcome: FloatArray, free: BoolArray) -> FloatArray:
        """Newton steps on the penalised loss, from the first structural model as it is; others of `free` stay at 0."""
        penalty = np.full(design.shape[1], self.penalty)
        penalty[: 1 + self.models] = STRUCTURE_PENALTY
        penalty[0] = 1e-6
        columns, ridge = np.ascontiguousarray(design[:, free]), penalty[free]
        theta, start = np.zeros(columns.shape[1]), design[:, 1]
        for _ in range(STEPS):
            fitted = expit(np.einsum("ij,j->i", columns, theta) + start)
            slope = np.einsum("ij,i->j", columns, fitted - outcome) + ridge * theta
            weight = fitted * (1 - fitted)
            curvature = np.einsum("ij,ik->jk", columns * weight[:, None], columns) + np.diag(ridge)
            step = np.linalg.solve(curvature, slope)
            theta = theta - step
            if np.abs(step).max() < TOLERANCE:
                break
        out = np.zeros(design.shape[1])
        out[free] = theta
        return out

    def scores(self, structural: FloatArray, features: FloatArray) -> FloatArray:
        """Log odds of each row, shape (n,); NaN where a structural one is. Arguments as in `fit`."""
        self._require(structural)
        return self._scores(structural, self._standardised(features))

    def _scores(self, structural: FloatArray, x: FloatArray) -> FloatArray:
        plain, bent = self._effects
        slope = np.maximum(self.coefficients_[1] + np.einsum("ij,j->i", x, bent) / WIDTH, LEAST_SLOPE)
        others = np.einsum("ij,j->i", structural[:, 1:], self.coefficients_[2 : 1 + self.models])
        shift = np.einsum("ij,j->i", x, plain - bent * CENTRE / WIDTH)
        return np.asarray(self.coefficients_[0] + slope * structural[:, 0] + others + shift)

    def contributions(self, structural: FloatArray, features: FloatArray) -> FloatArray:
        """What each feature adds to the log odds of each row, and last what is left over the first structural model.

        Shape (n, n_features + 1); with the first structural log odds they add up to `scores`.
        """
        self._require(structural)
        x, (plain, bent) = self._standardised(features), self._effects
        parts = x * (plain + bent * (structural[:, :1] - CENTRE) / WIDTH)
        rest = self._scores(structural, x) - structural[:, 0] - parts.sum(axis=1)
        return np.column_stack((parts, rest))

    @property
    def _effects(self) -> tuple[FloatArray, FloatArray]:
        u, v = np.split(self.coefficients_[1 + self.models :], 2)
        return u, v

    def _standardised(self, features: FloatArray) -> FloatArray:
        spread = np.where(self.spread_ > 0, self.spread_, 1.0)
        centred = np.where(np.isfinite(features), (features - self.mean_) / spread, 0.0)
        return np.asarray(np.clip(np.where(self.spread_ > 0, centred, 0.0), -MOST_DEVIATIONS, MOST_DEVIATIONS))

    def _design(self, structural: FloatArray, features: FloatArray) -> FloatArray:
        x = self._standardised(features)
        away = (structural[:, :1] - CENTRE) / WIDTH
        return np.hstack((np.ones((len(x), 1)), structural, x, x * away))

    def _require(self, structural: FloatArray) -> None:
        if structural.ndim != 2 or structural.shape[1] != self.models:
            raise InputError(f"needs the log odds of {self.models} models", column="structural", value=structural.shape)

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {
            "models": self.models,
            "penalty": self.penalty,
            "columns": list(self.columns_),
            "mean": self.mean_,
            "spread": self.spread_,
            "coefficients": self.coefficients_,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> StructuralLogit:
        """The model as it was when `state` was taken."""
        model = cls(int(state["models"]), float(state["penalty"]))
        model.columns_ = tuple(state["columns"])
        model.mean_, model.spread_ = np.asarray(state["mean"]), np.asarray(state["spread"])
        model.coefficients_ = np.asarray(state["coefficients"])
        return model


def _moments(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each column, of what is known; 0 and 0 where nothing is."""
    there = np.isfinite(features)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, features, 0.0).sum(axis=0) / count
    variance = (np.where(there, features - mean, 0.0) ** 2).sum(axis=0) / count
    return mean, np.sqrt(variance)
