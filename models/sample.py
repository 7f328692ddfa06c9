"""What a forecast is made from: pools seen at bars, and the scale of moves known there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure


@dataclass(frozen=True)
class AccountSample:
    """Pools, each seen at one bar's open.

    Parameters
    ----------
    bar
        Bar at whose open each pool is seen, shape (n,).
    exposure
        Exposures and headroom then.
    horizons
        Horizons to forecast, in bars, rising.
    features
        Account and market features known then, shape (n, n_features); NaN where not knowable.
    feature_names
        Their names.
    """

    bar: IntArray
    exposure: Exposure
    horizons: tuple[int, ...]
    features: FloatArray
    feature_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.horizons or list(self.horizons) != sorted(set(self.horizons)) or self.horizons[0] < 1:
            raise InputError("must be rising and at least one bar", column="horizons", value=self.horizons)
        if len(self.bar) != len(self.exposure) or self.features.shape != (len(self.bar), len(self.feature_names)):
            raise InputError(f"features have shape {self.features.shape} for {len(self.bar)} rows", column="features")

    def __len__(self) -> int:
        return len(self.bar)

    def take(self, rows: IntArray) -> AccountSample:
        """The sample of these rows, in this order."""
        return AccountSample(
            self.bar[rows], self.exposure.take(rows), self.horizons, self.features[rows], self.feature_names
        )

    def column(self, name: str) -> FloatArray:
        """One feature by name; an unknown name raises InputError."""
        if name not in self.feature_names:
            raise InputError("is not a feature of this sample", column="feature", value=name)
        return self.features[:, self.feature_names.index(name)]

    def columns(self, names: Sequence[str]) -> FloatArray:
        """Features by name, (n, len(names)); an unknown name raises InputError."""
        return np.column_stack([np.empty((len(self), 0)), *(self.column(name) for name in names)])


@dataclass(frozen=True)
class ScaleField:
    """Scale (standard deviation) of each series' log move over each horizon, as known at each bar's open.

    Parameters
    ----------
    sigma
        Shape (n_bars + 1, n_series, n_horizons); row i uses closes of bars before i only. NaN where not knowable.
    horizons
        In bars.
    """

    sigma: FloatArray
    horizons: tuple[int, ...]

    def of_entries(self, sample: AccountSample, horizon: int) -> FloatArray:
        """Scale at each exposure entry of a sample for one horizon; an unknown horizon raises InputError."""
        if horizon not in self.horizons:
            raise InputError(f"has no scale; there are {list(self.horizons)}", column="horizon", value=horizon)
        bar = np.repeat(sample.bar, np.diff(sample.exposure.pointer))
        return np.asarray(self.sigma[bar, sample.exposure.series, self.horizons.index(horizon)])


def never_falling(probability: FloatArray) -> FloatArray:
    """Probabilities made non-decreasing along the horizons (last axis) by their running maximum, within [0, 1].

    NaN stays NaN and is passed over by longer horizons.

    Examples
    --------
    >>> never_falling(np.array([[0.2, 0.1, 0.5]])).tolist()
    [[0.2, 0.2, 0.5]]
    """
    highest = np.fmax.accumulate(np.clip(probability, 0.0, 1.0), axis=-1)
    return np.where(np.isnan(probability), np.nan, highest)


def certain_where_breached(probability: FloatArray, exposure: Exposure) -> FloatArray:
    """Set probabilities to 1 where headroom is already negative and to 0 where nothing can move it.

    The second holds for pools without exposure: no price changes their headroom. One that has no maintenance margin
    either holds no position, and is not liquidated whatever it owes.
    """
    still = exposure.gross == 0
    out = np.where((exposure.headroom < 0)[:, None], 1.0, probability)
    safe = still & ((exposure.headroom >= 0) | (exposure.maintenance == 0))
    return np.where(safe[:, None], 0.0, out)
