"""Forecasts of the scale of each series' moves over a horizon: what historical simulation multiplies past paths by.

All work on logarithms of per-bar volatility and are pooled over series: one row is one series at one time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .booster import booster_from_text, booster_text, raw_scores, train_booster

SCALE_PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "num_leaves": 16,
    "learning_rate": 0.05,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
}


def blended_log_scale(log_volatilities: FloatArray) -> FloatArray:
    """Log of the root mean square of several volatilities, equal weights; last axis runs over them.

    Examples
    --------
    >>> round(float(np.exp(blended_log_scale(np.log([1.0, 7.0])))), 6)
    5.0
    """
    return np.asarray(0.5 * np.log(np.mean(np.exp(2 * np.asarray(log_volatilities)), axis=-1)))


class HarScale:
    """Heterogeneous autoregression: log future scale on logs of past volatilities over several windows.

    Source: Corsi (2009), "A simple approximate long-memory model of realized volatility", in logs and pooled.

    Attributes
    ----------
    coefficients_
        Intercept, then one for each column.
    names_
        Columns it was fitted on.
    """

    coefficients_: FloatArray
    names_: tuple[str, ...]

    def fit(self, features: FloatArray, target: FloatArray, names: Sequence[str]) -> HarScale:
        """Least squares on rows without NaN; `features` (n, k), `target` (n,) log scale.

        Columns that say the same share their coefficient. Sums are taken in a fixed order: a BLAS would round them
        differently on another number of threads.

        Raises
        ------
        InputError
            Fewer than k + 2 complete rows.
        """
        usable = np.isfinite(features).all(axis=1) & np.isfinite(target)
        if usable.sum() <= features.shape[1] + 1:
            raise InputError(
                "has too few complete rows to fit volatility on", column="features", value=int(usable.sum())
            )
        columns, mean = _centred(features[usable])
        response, level = _centred(target[usable])
        gram = np.einsum("ni,nj->ij", columns, columns)
        slopes = np.linalg.lstsq(gram, np.einsum("ni,n->i", columns, response), rcond=1e-12)[0]
        self.coefficients_ = np.concatenate(([level - (mean * slopes).sum()], slopes))
        self.names_ = tuple(names)
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """Log scale of each row; NaN where a column is NaN."""
        out = np.full(len(features), self.coefficients_[0])
        for k, coefficient in enumerate(self.coefficients_[1:]):
            out = out + coefficient * features[:, k]
        return out

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"coefficients": self.coefficients_, "names": list(self.names_)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> HarScale:
        """The model as it was when `state` was taken."""
        model = cls()
        model.coefficients_ = np.asarray(state["coefficients"], dtype=np.float64)
        model.names_ = tuple(state["names"])
        return model


def _centred(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = np.asarray(values.mean(axis=0))
    return values - mean, mean


class LearnedScale:
    """Boosted trees on top of an autoregression, pooled over series.

    The trees learn what the autoregression leaves, so that far outside the data the forecast stays log-linear.

    Parameters
    ----------
    rounds, seed, threads
        Number of trees, seed, threads (which change nothing).
    leaf_rows
        Fewest rows a leaf is made of. Forecasts over windows that overlap tell less than as many that do not.
    """

    def __init__(self, rounds: int = 250, seed: int = 0, threads: int = 1, leaf_rows: int = 100) -> None:
        self.rounds, self.seed, self.threads, self.leaf_rows = rounds, seed, threads, leaf_rows

    def fit(self, features: FloatArray, base: FloatArray, target: FloatArray, names: Sequence[str]) -> LearnedScale:
        """Fit on rows whose `base` (the autoregression's log scale) and `target` are known; features may be NaN.

        Without any such row InputError.
        """
        usable = np.isfinite(base) & np.isfinite(target)
        self.booster_ = train_booster(
            features[usable],
            (target - base)[usable],
            names,
            parameters=SCALE_PARAMETERS | {"min_data_in_leaf": self.leaf_rows},
            rounds=self.rounds,
            seed=self.seed,
            threads=self.threads,
        )
        return self

    def predict(self, features: FloatArray, base: FloatArray) -> FloatArray:
        """Log scale of each row; NaN where `base` is."""
        out = np.full(len(base), np.nan)
        known = np.isfinite(base)
        if known.any():
            scores = raw_scores(self.booster_, features[known], threads=self.threads)
            out[known] = base[known] + scores
        return out

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {
            "rounds": self.rounds,
            "seed": self.seed,
            "leaf_rows": self.leaf_rows,
            "booster": booster_text(self.booster_),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> LearnedScale:
        """The model as it was when `state` was taken."""
        model = cls(int(state["rounds"]), int(state["seed"]), leaf_rows=int(state["leaf_rows"]))
        model.booster_ = booster_from_text(state["booster"])
        return model
