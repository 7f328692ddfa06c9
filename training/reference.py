"""What is kept of the training sample, to know later whether the market still looks like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..models.historical import thinned
from ..models.sample import AccountSample, ScaleField
from ..riskcore.arrays import BoolArray, FloatArray, IntArray
from ..riskcore.errors import InputError
from .exchangeability import excess_day_losses

BINS = 10
POINTS = 256
"""Values kept of each feature: a distribution known to 1 / 256."""
USUALLY_KNOWN = 0.95


@dataclass(frozen=True)
class Reference:
    """The training sample in small: a few hundred numbers a feature.

    Parameters
    ----------
    columns
        Features, n of them.
    points
        Evenly spaced order statistics of each, (n, 256); NaN where the feature was never known.
    edges
        Inner edges of its bins, tenths of the training sample, (n, 9).
    shares
        Share of the training rows in each bin and, last, without a value, (n, 11).
    scale_range
        Lowest and highest forecast scale of any series at each horizon, (n_horizons, 2).
    days
        Distinct days of the training rows.
    day_scores, rows_per_day
        `excess_day_losses` of the days that the calibration was fitted on, and the median of their rows.
    """

    columns: tuple[str, ...]
    points: FloatArray
    edges: FloatArray
    shares: FloatArray
    scale_range: FloatArray
    days: int
    day_scores: FloatArray
    rows_per_day: int

    @property
    def usually_known(self) -> BoolArray:
        """Features that nearly every training row had."""
        return np.asarray(self.shares[:, -1] <= 1 - USUALLY_KNOWN)

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return asdict(self) | {"columns": list(self.columns)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Reference:
        """The reference as it was when `state` was taken."""
        arrays = ("points", "edges", "shares", "scale_range", "day_scores")
        return cls(
            tuple(state["columns"]),
            days=int(state["days"]),
            rows_per_day=int(state["rows_per_day"]),
            **{name: np.asarray(state[name], dtype=np.float64) for name in arrays},
        )


def training_reference(
    sample: AccountSample,
    day: IntArray,
    scale: ScaleField,
    *,
    probability: FloatArray,
    outcome: FloatArray,
    judged_day: IntArray,
    stride: int,
) -> Reference:
    """Keep what the monitors compare with.

    Parameters
    ----------
    sample, day
        All training rows, and their days.
    scale
        The learned scale at the training bars, each from a fold that had not seen it.
    probability, outcome, judged_day
        The hybrid's forecasts on the rows that the calibration was fitted on, (n, n_horizons).
    stride
        `day_stride` of the horizons.
    """
    if len(sample) == 0:
        raise InputError("holds no row to compare with later", column="sample")
    columns = [sample.features[:, k] for k in range(len(sample.feature_names))]
    edges = np.stack([_edges(column) for column in columns])
    seen = scale.sigma[np.unique(sample.bar)]
    span = np.column_stack((np.nanmin(seen, axis=(0, 1)), np.nanmax(seen, axis=(0, 1))))
    known = np.isfinite(probability).all(axis=1) & np.isfinite(outcome).all(axis=1)
    counts = np.unique(judged_day[known], return_counts=True)[1]
    return Reference(
        sample.feature_names,
        np.stack([_points(column) for column in columns]),
        edges,
        np.stack([bin_shares(column, edges[k]) for k, column in enumerate(columns)]),
        span,
        len(np.unique(day)),
        excess_day_losses(probability, outcome, judged_day, stride=stride),
        int(np.median(counts)) if len(counts) else 0,
    )


def day_stride(longest_hours: float) -> int:
    """Distance in days between days whose horizons do not meet.

    Examples
    --------
    >>> day_stride(4), day_stride(24), day_stride(72)
    (2, 2, 4)
    """
    return 1 + int(np.ceil(longest_hours / 24))


def bin_shares(values: FloatArray, edges: FloatArray) -> FloatArray:
    """Share of the values in each bin (right-open, by inner edges) and, last, of those without a value.

    Examples
    --------
    >>> bin_shares(np.array([0.0, 1.0, 2.0, np.nan]), np.array([1.0])).tolist()
    [0.25, 0.5, 0.25]
    """
    known = values[~np.isnan(values)]
    place = np.searchsorted(edges, known, side="right")
    counts = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    return np.append(counts, len(values) - len(known)) / len(values)


def _edges(values: FloatArray) -> FloatArray:
    known = values[~np.isnan(values)]
    steps = np.linspace(0, 1, BINS + 1)[1:-1]
    # an infinite edge leaves every value in the first bin: the share without a value is all there is to compare
    return np.quantile(known, steps, method="lower") if len(known) else np.full(BINS - 1, np.inf)


def _points(values: FloatArray) -> FloatArray:
    known = np.sort(values[~np.isnan(values)])
    out = np.full(POINTS, np.nan)
    kept = known[thinned(np.arange(len(known)), POINTS)]
    out[: len(kept)] = kept
    return out
