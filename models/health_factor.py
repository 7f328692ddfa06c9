"""The rule most venues show: equity over maintenance, and how often accounts of that health were liquidated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from ..riskcore.arrays import BoolArray, FloatArray
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure
from .sample import AccountSample, certain_where_breached, never_falling

BUCKETS = 100
PRIOR_ROWS = 20.0
THRESHOLD = 1.1


def health_factor(exposure: Exposure) -> FloatArray:
    """Equity, with collateral after haircuts, over the maintenance requirement, shape (n,); below 1 is breached.

    Infinite where nothing is required; NaN where equity is not known.

    Examples
    --------
    >>> none = np.zeros(0)
    >>> health_factor(Exposure(np.zeros(2, int), none.astype(int), none, np.ones(1), np.full(1, 3.0), np.full(1, 2.0)))
    array([1.5])
    """
    required = exposure.maintenance > 0
    ratio = exposure.equity / np.where(required, exposure.maintenance, 1.0)
    return np.where(required | np.isnan(exposure.equity), ratio, np.inf)


def is_alarmed(exposure: Exposure, threshold: float = THRESHOLD) -> BoolArray:
    """Whether the rule raises an alarm: the health factor is below `threshold`; False where it is not known."""
    return health_factor(exposure) < threshold


class HealthFactor:
    """Frequency of liquidation by health factor, never rising with it.

    The training rows that are not in breach are cut into 100 buckets of equal count. A bucket's frequency is shrunk
    towards that of all by 20 pseudo-rows, so that none is 0 or 1; then neighbours that rise are pooled (isotonic
    regression, weighted by rows). The order of accounts is the rule's own: of equal health, all are equally endangered.

    Attributes
    ----------
    edges_
        Inner bucket edges of the health factor, rising.
    rate_
        Frequency by bucket, (n_buckets, n_horizons), not rising along the first axis.
    """

    def fit(self, sample: AccountSample, breached: FloatArray) -> HealthFactor:
        """Count; `breached` is (n, n_horizons) of 0, 1 or NaN (not known).

        Raises
        ------
        InputError
            No row with a finite health factor that is not in breach, or a horizon at which no outcome of one is known.
        """
        health = health_factor(sample.exposure)
        alive = np.isfinite(health) & (sample.exposure.headroom >= 0)
        if not np.isfinite(breached[alive]).any(axis=0).all():
            raise InputError("needs rows with positions and a known outcome at each horizon", column="breached")
        self.edges_ = np.unique(np.quantile(health[alive], np.linspace(0, 1, BUCKETS + 1)[1:-1]))
        bucket = np.searchsorted(self.edges_, health[alive], side="right")
        rates = [_falling_rates(bucket, len(self.edges_) + 1, hit) for hit in breached[alive].T]
        self.rate_ = np.column_stack(rates)
        return self

    def predict(self, sample: AccountSample) -> FloatArray:
        """Frequency at each row's health factor, (n, n_horizons); NaN where that is not known."""
        health = health_factor(sample.exposure)
        rate = self.rate_[np.searchsorted(self.edges_, health, side="right")]
        rate = np.where(np.isnan(health)[:, None], np.nan, rate)
        return certain_where_breached(never_falling(rate), sample.exposure)

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"edges": self.edges_, "rate": self.rate_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> HealthFactor:
        """The model as it was when `state` was taken."""
        model = cls()
        model.edges_, model.rate_ = np.asarray(state["edges"]), np.asarray(state["rate"])
        return model


def _falling_rates(bucket: np.ndarray[tuple[int], np.dtype[np.int64]], buckets: int, hit: FloatArray) -> FloatArray:
    known = np.isfinite(hit)
    count = np.bincount(bucket[known], minlength=buckets)
    hits = np.bincount(bucket[known], weights=hit[known], minlength=buckets)
    shrunk = (hits + PRIOR_ROWS * hits.sum() / count.sum()) / (count + PRIOR_ROWS)
    return np.asarray(isotonic_regression(shrunk, weights=count + PRIOR_ROWS, increasing=False).x)
