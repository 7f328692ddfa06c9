"""Intervals around one forecast probability, from resampled days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray, require_shape
from ..riskcore.errors import InputError
from .calibration import known_rows
from .venn_abers import VennAbers

GRID = 200
"""Probabilities at which the bounds are kept, at even ranks of those fitted on."""


class DayBlockInterval:
    """Between what bounds the frequency of the event lies among all forecasts of p, over days like those fitted on.

    Days are drawn with replacement, all rows of a day together, and Venn-Abers is fitted to each draw: the interval
    reaches from the lower quantile of p0 to the upper quantile of p1. So it is wide where days are few or agree little,
    and where forecasts like p are rare, and it does not trust the forecast to be calibrated.

    What is covered is the frequency averaged over days. Whether today is a bad day is another question, about one draw
    of the factors that accounts share: `FactorFrailty.interval` answers it, and is far wider.

    Parameters
    ----------
    level
        Nominal coverage.
    resamples, seed
        Draws of days.

    Attributes
    ----------
    grid_, low_, high_
        Probabilities, and the bounds there, rising.

    Examples
    --------
    Forecasts of 0.5 that all come true on one day and none on the other: 40 rows say no more than two.

    >>> day = np.repeat([0, 1], 20)
    >>> model = DayBlockInterval().fit(np.full(40, 0.5), np.repeat([0.0, 1.0], 20), day)
    >>> [bound.round(2).tolist() for bound in model.predict(np.array([0.5]))]
    [[0.0], [1.0]]
    """

    def __init__(self, level: float = 0.9, resamples: int = 200, seed: int = 0) -> None:
        if not 0 < level < 1:
            raise InputError("must be between 0 and 1", column="level", value=level)
        self.level, self.resamples, self.seed = level, resamples, seed

    def fit(
        self, probability: FloatArray, outcome: FloatArray, day: IntArray, weight: FloatArray | None = None
    ) -> DayBlockInterval:
        """Fit on rows of several days; rows with NaN are left out.

        Raises
        ------
        InputError
            Known rows of fewer than two days, or what `known_rows` refuses.
        """
        require_shape(day, probability.shape, "day")
        weight = np.ones(len(probability)) if weight is None else weight
        p, y, w = known_rows(probability, outcome, weight)
        known = np.isfinite(probability) & np.isfinite(outcome) & (weight > 0) & np.isfinite(weight)
        days, block = np.unique(day[known], return_inverse=True)
        if len(days) < 2:
            raise InputError("needs rows of at least two days", column="day", value=len(days))
        draws = np.random.default_rng(self.seed).multinomial(
            len(days), np.full(len(days), 1 / len(days)), size=self.resamples
        )
        self.grid_ = np.unique(np.quantile(p, np.linspace(0, 1, GRID), method="nearest"))
        brackets = [VennAbers().fit(p, y, w * drawn[block]).bracket(self.grid_) for drawn in draws]
        tail = 0.5 - self.level / 2
        self.low_ = np.quantile([zero for zero, _ in brackets], tail, axis=0)
        self.high_ = np.quantile([one for _, one in brackets], 1.0 - tail, axis=0)
        return self

    def predict(self, probability: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bound at each probability, neither falling with it; between grid points the wider is taken.

        Below and above all probabilities fitted on the bounds are 0 and 1. 0 and 1 stay (what is certain has no
        interval), NaN stays NaN.
        """
        below = np.concatenate(([0.0], self.low_))[np.searchsorted(self.grid_, probability, side="right")]
        above = np.concatenate((self.high_, [1.0]))[np.searchsorted(self.grid_, probability, side="left")]
        as_it_is = ~((probability > 0) & (probability < 1))
        return np.where(as_it_is, probability, below), np.where(as_it_is, probability, above)

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "grid": self.grid_,
            "low": self.low_,
            "high": self.high_,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DayBlockInterval:
        """The model as it was when `state` was taken."""
        model = cls(float(state["level"]), int(state["resamples"]), int(state["seed"]))
        model.grid_ = np.asarray(state["grid"], dtype=np.float64)
        model.low_, model.high_ = np.asarray(state["low"], np.float64), np.asarray(state["high"], np.float64)
        return model
