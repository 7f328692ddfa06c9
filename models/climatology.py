"""Climatology: past frequency of liquidation by main asset, side and distance bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..riskcore.arrays import BoolArray, FloatArray, IntArray
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure
from .sample import AccountSample, certain_where_breached, never_falling

BUCKETS = 12
PRIOR_ROWS = 20.0


class Climatology:
    """Frequency of liquidation in the training rows of the same main series, side and distance bucket.

    Distance is headroom over gross exposure, cut at quantiles of the training rows that have exposure. Cells are shrunk
    towards their distance bucket's frequency by 20 pseudo-rows; an unseen series gets the bucket's frequency, a pool
    of unknown headroom NaN.

    Attributes
    ----------
    edges_
        Inner bucket edges.
    bucket_rate_
        Frequency by bucket, (n_buckets, n_horizons).
    cell_rate_
        Frequency by (series, side, bucket), (n_series, 2, n_buckets, n_horizons).
    """

    def fit(self, sample: AccountSample, breached: FloatArray) -> Climatology:
        """Count; `breached` is (n, n_horizons) of 0, 1 or NaN (unknown).

        Raises
        ------
        InputError
            No row with exposure, or a horizon at which no outcome is known.
        """
        distance = relative_distance(sample.exposure)
        if not np.isfinite(distance).any() or not np.isfinite(breached).any(axis=0).all():
            raise InputError("needs rows with exposure and a known outcome at each horizon", column="breached")
        self.edges_ = np.quantile(distance[np.isfinite(distance)], np.linspace(0, 1, BUCKETS + 1)[1:-1])
        bucket = np.searchsorted(self.edges_, distance, side="right")
        series, side = main_leg(sample.exposure)
        n_series = int(series.max()) + 1
        self.bucket_rate_ = _rates(bucket, BUCKETS, breached, np.nanmean(breached, axis=0)[None, :])
        cell = (series * 2 + side) * BUCKETS + bucket
        prior = np.tile(self.bucket_rate_, (n_series * 2, 1))
        rates = _rates(cell, n_series * 2 * BUCKETS, breached, prior)
        self.cell_rate_ = rates.reshape(n_series, 2, BUCKETS, breached.shape[1])
        return self

    def predict(self, sample: AccountSample) -> FloatArray:
        """Frequency of each row's cell at each horizon, (n, n_horizons)."""
        distance = relative_distance(sample.exposure)
        bucket = np.searchsorted(self.edges_, distance, side="right")
        series, side = main_leg(sample.exposure)
        known = series < len(self.cell_rate_)
        rate = np.where(
            known[:, None], self.cell_rate_[np.where(known, series, 0), side, bucket], self.bucket_rate_[bucket]
        )
        rate = np.where(np.isnan(distance)[:, None], np.nan, rate)
        return certain_where_breached(never_falling(rate), sample.exposure)

    def reordered(self, places: IntArray) -> Climatology:
        """The same for series in another order: series j was places[j] in fitting, or -1: not there."""
        out = Climatology()
        out.edges_, out.bucket_rate_ = self.edges_, self.bucket_rate_
        unseen = (places < 0) | (places >= len(self.cell_rate_))
        out.cell_rate_ = np.where(
            unseen[:, None, None, None], self.bucket_rate_[None, None], self.cell_rate_[np.where(unseen, 0, places)]
        )
        return out

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {"edges": self.edges_, "bucket_rate": self.bucket_rate_, "cell_rate": self.cell_rate_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Climatology:
        """The model as it was when `state` was taken."""
        model = cls()
        model.edges_, model.bucket_rate_ = np.asarray(state["edges"]), np.asarray(state["bucket_rate"])
        model.cell_rate_ = np.asarray(state["cell_rate"])
        return model


def relative_distance(exposure: Exposure) -> FloatArray:
    """Headroom over gross exposure: roughly the adverse move that liquidates. Infinite without exposure."""
    gross = exposure.gross
    return np.where(gross > 0, exposure.headroom / np.where(gross > 0, gross, 1.0), np.inf)


def main_leg(exposure: Exposure) -> tuple[IntArray, IntArray]:
    """Series of each pool's largest absolute exposure, and its side: 0 long, 1 short. Series 0, long without any."""
    series, side = np.zeros(len(exposure), dtype=np.int64), np.zeros(len(exposure), dtype=np.int64)
    order = np.lexsort((np.arange(len(exposure.weight)), np.abs(exposure.weight), exposure.pool))
    last = exposure.pointer[1:] - 1
    there = np.diff(exposure.pointer) > 0
    entry = order[last[there]]
    series[there], side[there] = exposure.series[entry], (exposure.weight[entry] < 0).astype(np.int64)
    return series, side


def _rates(cell: IntArray, cells: int, breached: FloatArray, prior: FloatArray) -> FloatArray:
    out = np.empty((cells, breached.shape[1]))
    for k in range(breached.shape[1]):
        known: BoolArray = np.isfinite(breached[:, k])
        count = np.bincount(cell[known], minlength=cells)
        hits = np.bincount(cell[known], weights=breached[known, k], minlength=cells)
        out[:, k] = (hits + PRIOR_ROWS * prior[:, k]) / (count + PRIOR_ROWS)
    return out
