"""LightGBM on accounts, one booster a horizon, on its own or as a correction of a structural probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .booster import Booster, booster_from_text, booster_text, contributions, raw_scores, train_booster
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
        """Fit on rows whose outcome and offset are known; `breached` and `offset` (log odds) are (n, n_horizons).

        Raises
        ------
        InputError
            A column that the sample does not have, a direction for a column that is not used, other than one count of
            trees a horizon, or a horizon without known rows.
        """
        if strange := sorted(set(self.directions) - set(self.columns)):
            raise InputError("has a direction and is not among the columns", column="directions", value=strange[0])
        if len(self.rounds) != breached.shape[1]:
            raise InputError(f"needs one for each of {breached.shape[1]} horizons", column="rounds", value=self.rounds)
        self.boosters_: list[Booster] = []
        self.base_: list[float] = []
        features = sample.columns(self.columns)
        for k in range(len(self.rounds)):
            self._fit_one(features, breached[:, k], None if offset is None else offset[:, k], k)
        return self

    def _fit_one(self, features: FloatArray, breached: FloatArray, offset: FloatArray | None, k: int) -> None:
        known = np.isfinite(breached) if offset is None else np.isfinite(breached) & np.isfinite(offset)
        if not known.any():
            raise InputError("has no row whose outcome and offset are known", column="breached", value=f"horizon {k}")
        base = float(logit(breached[known].mean())) if offset is None else 0.0
        constraints = [self.directions.get(name, 0) for name in self.columns]
        booster = train_booster(
            features[known],
            breached[known],
            self.columns,
            parameters={**ACCOUNT_PARAMETERS, "monotone_constraints": constraints, "boost_from_average": False},
            rounds=self.rounds[k],
            seed=self.seed + k,
            offset=np.full(int(known.sum()), base) if offset is None else offset[known],
            threads=self.threads,
        )
        self.boosters_.append(booster)
        self.base_.append(base)

    def scores(self, sample: AccountSample, offset: FloatArray | None = None, *, trees: int = -1) -> FloatArray:
        """Log odds of each row at each horizon, (n, n_horizons), without any guard; of the first `trees` trees.

        Without trees they are the offset, or the log odds of the base rate.
        """
        features = sample.columns(self.columns)
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
        """TreeSHAP contributions to the log odds at one horizon, (n, n_columns + 1), the last the starting value.

        They add up to `scores` without an offset.
        """
        if horizon not in sample.horizons:
            raise InputError(f"is not one of {list(sample.horizons)}", column="horizon", value=horizon)
        k = sample.horizons.index(horizon)
        parts = contributions(self.boosters_[k], sample.columns(self.columns), threads=self.threads)
        parts[:, -1] += self.base_[k]
        return parts

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
