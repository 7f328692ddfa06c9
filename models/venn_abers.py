"""Venn-Abers: two isotonic calibrations that bracket the probability, one for each outcome the asked row may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray, group_sums
from .calibration import certain_kept, known_rows
from .venn_abers_kernel import fits_with_an_event


class VennAbers:
    """Inductive Venn-Abers predictor: p0 and p1 are the isotonic fits at p when (p, 0) and (p, 1) join the rows.

    If rows were exchangeable, the one of p0 and p1 that belongs to the true outcome would be perfectly calibrated.
    Rows of one day share their prices and are not: [p0, p1] is far too narrow for an interval, see
    `intervals.DayBlockInterval`.

    Source: Vovk, Petej and Fedorova (2015); the merged probability p1 / (1 - p0 + p1) has the least worst-case regret
    of log loss.

    Parameters
    ----------
    shrinkage
        Rows that say "change nothing": the prediction is the mean of the merged probability, with the weight of the
        rows fitted on, and p itself, with this weight. 0 is the method as published.

    Attributes
    ----------
    scores_, zero_, one_
        Probabilities fitted on, rising and without repetition, and p0 and p1 there.
    weight_
        Total weight of the rows.

    Examples
    --------
    Rows at 0.2 (no event) and 0.6 (event). At 0.4, one more event lies between them and fits as it is, 1, and so does
    one more survivor, 0. At 0.2 an event is averaged with the survivor there.

    >>> model = VennAbers().fit(np.array([0.2, 0.6]), np.array([0.0, 1.0]))
    >>> [values.tolist() for values in model.bracket(np.array([0.4, 0.2]))]
    [[0.0, 0.0], [1.0, 0.5]]
    >>> model.predict(np.array([0.4, 0.2])).round(4).tolist()
    [0.5, 0.3333]
    """

    def __init__(self, shrinkage: float = 0.0) -> None:
        self.shrinkage = shrinkage

    def fit(self, probability: FloatArray, outcome: FloatArray, weight: FloatArray | None = None) -> VennAbers:
        """Fit on rows; see `Calibrator`. Weights should average 1: the asked row counts as a row of weight 1."""
        p, y, w = known_rows(probability, outcome, weight)
        self.scores_, place = np.unique(p, return_inverse=True)
        total = group_sums(place, w, len(self.scores_))
        hits = group_sums(place, w * y, len(self.scores_))
        self.one_ = fits_with_an_event(total, hits)
        self.zero_ = 1.0 - fits_with_an_event(total[::-1].copy(), (total - hits)[::-1].copy())[::-1]
        # rounding of the sums must not turn the order of equal values
        self.one_ = np.maximum.accumulate(np.clip(self.one_, 0.0, 1.0))
        self.zero_ = np.maximum.accumulate(np.clip(self.zero_, 0.0, 1.0))
        self.weight_ = float(w.sum())
        return self

    def bracket(self, probability: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The isotonic fits p0 and p1 at each probability; NaN stays NaN. Without any row they are 0 and 1."""
        # one more event between two scores is pooled with the higher, one more survivor with the lower
        zero = np.concatenate(([0.0], self.zero_))[np.searchsorted(self.scores_, probability, side="right")]
        one = np.concatenate((self.one_, [1.0]))[np.searchsorted(self.scores_, probability, side="left")]
        unknown = np.isnan(probability)
        return np.where(unknown, np.nan, zero), np.where(unknown, np.nan, one)

    def predict(self, probability: FloatArray) -> FloatArray:
        """Merged probability, shrunk; 0 and 1 stay, NaN stays NaN. Without any row nothing is changed."""
        zero, one = self.bracket(probability)
        if self.weight_ == 0.0:
            return np.array(probability, dtype=np.float64)
        merged = one / (1.0 - zero + one)
        mixed = (self.weight_ * merged + self.shrinkage * probability) / (self.weight_ + self.shrinkage)
        return certain_kept(probability, mixed)

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {
            "shrinkage": self.shrinkage,
            "scores": self.scores_,
            "zero": self.zero_,
            "one": self.one_,
            "weight": self.weight_,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> VennAbers:
        """The model as it was when `state` was taken."""
        model = cls(float(state["shrinkage"]))
        model.scores_ = np.asarray(state["scores"], dtype=np.float64)
        model.zero_, model.one_ = np.asarray(state["zero"], np.float64), np.asarray(state["one"], np.float64)
        model.weight_ = float(state["weight"])
        return model
