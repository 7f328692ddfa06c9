"""LightGBM on accounts, one booster a horizon, on its own or as a correction of a structural probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from ..riskcore.arrays import FloatArray
from .booster import booster_from_text, booster_text, contributions, raw_scores, train_booster
from .sample import AccountSample, certain_where_breached, never_falling

ACCOUNT_PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 500,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.6,
    "bagging_freq": 1,
    "lambda_l2": 20.0,
    "monotone_constraints_method": "basic",
}


def logit(probability: FloatArray) -> FloatArray:
    """Log odds, of probabilities kept within [1e-7, 1 - 1e-7]; NaN stays NaN.

    Examples
    --------
    >>> round(float(logit(np.array(0.75))), 6)
    1.098612
    """
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.log(p) - np.log1p(-p)


class AccountBooster:
    """One binary booster a horizon, monotone in the columns it is told.

    Parameters
    ----------
    columns
        Features used, by name.
    directions
        For some of them, -1: the probability never rises with it, +1: never falls.
    rounds
        Trees for each horizon.
    seed, threads
        Seed; threads change nothing.

    Attributes
    ----------
    boosters_
        One a horizon.
    """

    def __init__(
        self,
        columns: Sequence[str],
        directions: Mapping[str, int],
        rounds: Sequence[int],
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.columns, self.directions, self.rounds = tuple(columns), dict(directions), tuple(rounds)
        self.seed, self.threads = seed, threads

    def fit(self, sample: AccountSample, breached: FloatArray, offset: FloatArray | None = None) -> AccountBooster:
        """Fit on rows whose outcome is known; `breached` and `offset` (log odds) are (n, n_horizons)."""
        features = self._features(sample)
        constraints = [self.directions.get(name, 0) for name in self.columns]
        self.boosters_ = []
        self.base_ = []
        for k, rounds in enumerate(self.rounds):
            known = np.isfinite(breached[:, k])
            base = 0.0 if offset is not None else float(logit(breached[known, k].mean()))
            start = np.full(int(known.sum()), base) if offset is None else offset[known, k]
            booster = train_booster(
                features[known],
                breached[known, k],
                self.columns,
                parameters={**ACCOUNT_PARAMETERS, "monotone_constraints": constraints, "boost_from_average": False},
                rounds=rounds,
                seed=self.seed + k,
                offset=start,
                threads=self.threads,
            )
            self.boosters_.append(booster)
            self.base_.append(base)
        return self

    def scores(self, sample: AccountSample, offset: FloatArray | None = None, *, trees: int = -1) -> FloatArray:
        """Log odds of each row at each horizon, (n, n_horizons), without any guard; of the first `trees` trees."""
        features = self._features(sample)
        columns = [
            base + raw_scores(booster, features, trees=trees, threads=self.threads)
            for booster, base in zip(self.boosters_, self.base_, strict=True)
        ]
        scores = np.column_stack(columns)
        return scores if offset is None else scores + offset

    def predict(self, sample: AccountSample, offset: FloatArray | None = None, *, trees: int = -1) -> FloatArray:
        """Probability of each row at each horizon, (n, n_horizons); of the first `trees` trees, -1 for all."""
        scores = self.scores(sample, offset, trees=trees)
        return certain_where_breached(never_falling(expit(scores)), sample.exposure)

    def explain(self, sample: AccountSample, horizon: int) -> FloatArray:
        """TreeSHAP contributions to the log odds at one horizon, (n, n_columns + 1), the last the starting value."""
        k = sample.horizons.index(horizon)
        parts = contributions(self.boosters_[k], self._features(sample), threads=self.threads)
        parts[:, -1] += self.base_[k]
        return parts

    def _features(self, sample: AccountSample) -> FloatArray:
        return np.column_stack([sample.column(name) for name in self.columns])

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {
            "columns": list(self.columns),
            "directions": self.directions,
            "rounds": list(self.rounds),
            "seed": self.seed,
            "base": self.base_,
            "boosters": [booster_text(b) for b in self.boosters_],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> AccountBooster:
        """The model as it was when `state` was taken."""
        model = cls(state["columns"], state["directions"], state["rounds"], int(state["seed"]))
        model.base_ = [float(b) for b in state["base"]]
        model.boosters_ = [booster_from_text(text) for text in state["boosters"]]
        return model
