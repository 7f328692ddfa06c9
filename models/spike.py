"""Probability that volatility over a horizon exceeds a threshold: from a scale forecast and how it erred before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from ..riskcore.arrays import BoolArray, FloatArray, require_shape
from ..riskcore.errors import InputError
from .booster import booster_from_text, booster_text, raw_scores, train_booster

GRID = 400
"""Even ranks of the errors that are kept."""
CURVE_STEPS = 4001
BOOSTER_PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 500,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "lambda_l2": 20.0,
}


class SpikeErrors:
    """P(scale * exp(error) > threshold), the errors being those of past forecasts of the logarithm of the scale.

    Nothing is trained but the distribution of errors, smoothed by a normal kernel so that no threshold is impossible.

    Parameters
    ----------
    bandwidth
        Standard deviation of the kernel, in standard deviations of the errors.

    Attributes
    ----------
    errors_
        Errors at even ranks, rising.
    width_
        Standard deviation of the kernel.

    Examples
    --------
    Errors of -0.1 or 0.1: the second just reaches a threshold of exp(0.1) times the forecast, half of the times.

    >>> model = SpikeErrors(bandwidth=0.01).fit(np.zeros(2), np.array([-0.1, 0.1]))
    >>> model.predict(np.array([0.0]), np.array([0.1])).round(3).tolist()
    [0.25]
    """

    def __init__(self, bandwidth: float = 0.2) -> None:
        if not bandwidth > 0:
            raise InputError("must be positive", column="bandwidth", value=bandwidth)
        self.bandwidth = bandwidth

    def fit(self, forecast: FloatArray, realised: FloatArray) -> SpikeErrors:
        """Fit on log scales, forecast (out of sample) and realised, shape (n,); rows with NaN are left out."""
        require_shape(realised, forecast.shape, "realised")
        errors = (realised - forecast)[np.isfinite(realised - forecast)]
        if len(errors) < 2 or np.ptp(errors) == 0.0:
            raise InputError("needs two different errors", column="realised", value=len(errors))
        self.errors_ = errors_at_even_ranks(errors)
        self.width_ = self.bandwidth * float(errors.std())
        self._tabulate()
        return self

    def predict(self, forecast: FloatArray, threshold: FloatArray) -> FloatArray:
        """Probability that the log scale exceeds a log threshold, shape (n,); NaN where either is."""
        require_shape(threshold, forecast.shape, "threshold")
        return np.interp(threshold - forecast, *self._curve, left=1.0, right=0.0)

    def _tabulate(self) -> None:
        """Lay out the probability by distance of the threshold: it is one curve for all forecasts."""
        away = np.linspace(self.errors_[0] - 8 * self.width_, self.errors_[-1] + 8 * self.width_, CURVE_STEPS)
        share = np.zeros(CURVE_STEPS)
        for error in self.errors_:
            share += ndtr((error - away) / self.width_)
        self._curve = away, share / len(self.errors_)

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"bandwidth": self.bandwidth, "errors": self.errors_, "width": self.width_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SpikeErrors:
        """The model as it was when `state` was taken."""
        model = cls(float(state["bandwidth"]))
        model.errors_, model.width_ = np.asarray(state["errors"], dtype=np.float64), float(state["width"])
        model._tabulate()
        return model


class SpikeBooster:
    """Boosted trees on top of the log odds of `SpikeErrors`: what features say beyond the forecast of the scale.

    Parameters
    ----------
    rounds, seed, threads
        Number of trees, seed, threads (which change nothing).
    """

    def __init__(self, rounds: int = 100, seed: int = 0, threads: int = 1) -> None:
        self.rounds, self.seed, self.threads = rounds, seed, threads

    def fit(self, features: FloatArray, start: FloatArray, exceeded: FloatArray, names: Sequence[str]) -> SpikeBooster:
        """Fit on features (n, k), which may be NaN, log odds to start from and outcomes, 0, 1 or NaN (left out).

        Without any row InputError.
        """
        known = np.isfinite(start) & np.isfinite(exceeded)
        self.booster_ = train_booster(
            np.column_stack((features, start))[known],
            exceeded[known],
            [*names, "log_odds_of_errors"],
            parameters=BOOSTER_PARAMETERS,
            rounds=self.rounds,
            seed=self.seed,
            offset=start[known],
            threads=self.threads,
        )
        return self

    def predict(self, features: FloatArray, start: FloatArray) -> FloatArray:
        """Probability of each row; NaN where `start` is."""
        out = np.full(len(start), np.nan)
        known: BoolArray = np.isfinite(start)
        if known.any():
            columns = np.column_stack((features, start))[known]
            out[known] = expit(start[known] + raw_scores(self.booster_, columns, threads=self.threads))
        return out

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"rounds": self.rounds, "seed": self.seed, "booster": booster_text(self.booster_)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SpikeBooster:
        """The model as it was when `state` was taken."""
        model = cls(int(state["rounds"]), int(state["seed"]))
        model.booster_ = booster_from_text(state["booster"])
        return model


def errors_at_even_ranks(errors: FloatArray) -> FloatArray:
    """At most `GRID` of the errors, the middles of as many groups of equal count, rising."""
    if len(errors) <= GRID:
        return np.sort(errors)
    return np.quantile(errors, (np.arange(GRID) + 0.5) / GRID)
