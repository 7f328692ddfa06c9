"""Conformal corrections of a margin: what past misses say should be added."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .margin_quantiles import LossSeries, QuantileModel, require_level
from .margin_window import conformal_rank, trailing


def conformal_shift(losses: FloatArray, margin: FloatArray, level: float) -> float:
    """What to add to a margin so that it would have covered `level` of the losses it was calibrated on.

    The ceil((n + 1) * level)-th smallest of the scores loss - margin, at most the largest.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), split conformal prediction.

    Examples
    --------
    >>> round(conformal_shift(np.arange(1.0, 100.0), np.full(99, 90.0), 0.95), 6)
    5.0
    """
    scores = np.sort(np.asarray(losses, np.float64) - np.asarray(margin, np.float64))
    if len(scores) == 0 or not np.isfinite(scores).all():
        raise InputError("needs finite losses and margins to calibrate on", column="losses", value=len(scores))
    return float(scores[conformal_rank(len(scores), require_level(level)) - 1])


@dataclass(frozen=True)
class RollingConformal:
    """A base model plus the conformal shift of its last `window` misses.

    Parameters
    ----------
    base
        Model whose quantile is corrected.
    window, minimum
        Scores looked at, at most and at least.
    """

    base: QuantileModel
    window: int = 250
    minimum: int = 100

    @property
    def name(self) -> str:
        """RC, its window and what it corrects."""
        return f"RC-{self.window}({self.base.name})"

    def predict(self, series: LossSeries, level: float) -> FloatArray:
        """See `QuantileModel.predict`; NaN before `minimum` scores."""
        margin = self.base.predict(series, level)
        start = _first_known(margin)
        scores = series.losses[start:] - margin[start:-1]
        shifts = trailing(scores, self.window, self.minimum, partial(_ranked, level=level))
        return np.concatenate((np.full(start, np.nan), margin[start:] + shifts))


@dataclass(frozen=True)
class AdaptiveConformal:
    """A base model plus a shift whose asked tail is steered by the misses (ACI).

    The tail a asked of the scores moves by a += rate * (1 - level - missed).

    Notes
    -----
    Source: Gibbs and Candes, Adaptive conformal inference under distribution shift, NeurIPS 2021.
    """

    base: QuantileModel
    rate: float = 0.01
    window: int = 250
    minimum: int = 100

    @property
    def name(self) -> str:
        """ACI, its rate and what it corrects."""
        return f"ACI-{self.rate:.2f}({self.base.name})".replace("0.", ".")

    def predict(self, series: LossSeries, level: float) -> FloatArray:
        """See `QuantileModel.predict`; NaN before `minimum` scores."""
        margin = self.base.predict(series, level)
        start = _first_known(margin)
        scores = (series.losses[start:] - margin[start:-1]).tolist()
        shifts = self._steer(scores, 1 - require_level(level))
        return np.concatenate((np.full(start, np.nan), margin[start:] + shifts))

    def _steer(self, scores: list[float], target: float) -> FloatArray:
        ordered: list[float] = []
        shifts = np.full(len(scores) + 1, np.nan)
        tail = target
        for j in range(len(scores) + 1):
            if j >= self.minimum:
                shifts[j] = _ranked(ordered, 1 - tail)
            if j == len(scores):
                break
            if j >= self.minimum:
                tail += self.rate * (target - (scores[j] > shifts[j]))
            insort(ordered, scores[j])
            if j >= self.window:
                del ordered[bisect_left(ordered, scores[j - self.window])]
        return shifts


def _ranked(ordered: list[float], level: float) -> float:
    return ordered[conformal_rank(len(ordered), level) - 1]


def _first_known(margin: FloatArray) -> int:
    known = np.flatnonzero(np.isfinite(margin))
    return int(known[0]) if len(known) else len(margin) - 1
