"""Scales by HARQ and Realized GARCH: fitted to a market's bars and laid out for every bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..features.engine.operations import rolling_mean
from ..features.market_data import MarketData
from ..features.volatility.estimators import FOUR_LOG_2, log_returns, parkinson, semivariances
from ..models.harq_scale import HarqScale, RealisedMeasures
from ..models.realized_garch import RealizedGarchScale
from ..models.sample import ScaleField
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from .scales import SMALLEST, scale_target

HARQ_HOURS = (6, 24, 168, 720)
"""Windows of squared returns, whose error of measurement enters; Parkinson's estimator is a regressor beside each."""
FALLS_HOURS = 24
"""Window of the share of the variance that came in falls."""


class StructuralScales:
    """Scales of HARQ ("harq", pooled over symbols) and Realized GARCH ("realized_garch", one for each symbol).

    HARQ is fitted to the same target as the autoregression of `ScaleForecaster`, for each horizon its own. Realized
    GARCH follows Parkinson's variance of each bar.

    Parameters
    ----------
    horizons
        In bars.
    """

    def __init__(self, horizons: tuple[int, ...]) -> None:
        self.horizons = horizons

    def fit(self, data: MarketData, first_bar: int, last_bar: int) -> StructuralScales:
        """Fit on bars from `first_bar` on and before `last_bar`; targets of HARQ have ended by `last_bar`."""
        self.harq_: dict[int, HarqScale] = {}
        for horizon in self.horizons:
            rows = np.arange(first_bar, last_bar - horizon + 1)
            if len(rows) == 0:
                raise InputError(f"leaves no bars to fit volatility over {horizon} bars on", column="train_end")
            target = scale_target(data, horizon)[rows].ravel()
            self.harq_[horizon] = HarqScale().fit(realised_measures(data, rows), target)
        self.realized_garch_ = RealizedGarchScale().fit(
            log_returns(data.mark("close")), log_range_variance(data), first_bar, last_bar
        )
        return self

    def fields(self, data: MarketData) -> dict[str, ScaleField]:
        """Scale of every series at every bar, by name: harq, realized_garch."""
        bars = np.arange(len(data.history) + 1)
        measures = realised_measures(data, bars)
        harq = np.stack([self.harq_[h].predict(measures).reshape(len(bars), -1) for h in self.horizons], axis=2)
        logs = {"harq": harq, "realized_garch": self.realized_garch_.predict(log_range_variance(data), self.horizons)}
        root = np.sqrt(np.array(self.horizons, dtype=np.float64))
        return {name: ScaleField(_by_series(data, np.exp(log) * root), self.horizons) for name, log in logs.items()}

    def reordered(self, places: IntArray) -> StructuralScales:
        """The same for symbols in another order: symbol j was places[j] in fitting, or -1: not there."""
        out = StructuralScales(self.horizons)
        out.harq_, out.realized_garch_ = self.harq_, self.realized_garch_.reordered(places)
        return out

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {
            "horizons": list(self.horizons),
            "harq": {str(h): model.state() for h, model in self.harq_.items()},
            "realized_garch": self.realized_garch_.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> StructuralScales:
        """The scales as they were when `state` was taken."""
        model = cls(tuple(int(h) for h in state["horizons"]))
        model.harq_ = {int(h): HarqScale.from_state(s) for h, s in state["harq"].items()}
        model.realized_garch_ = RealizedGarchScale.from_state(state["realized_garch"])
        return model


def realised_measures(data: MarketData, bars: IntArray) -> RealisedMeasures:
    """Measures known at the opens of these bars, one row a bar and symbol (the symbol runs fastest).

    Mean squared returns and a third of mean fourth powers over the windows of HARQ_HOURS; log volatility by Parkinson
    over the last bar and the same windows; the share of the day's variance that came in falls, less a half. A variance
    is kept above the smallest the scales know, where nothing moved.
    """
    returns, high, low = log_returns(data.mark("close")), data.mark("high"), data.mark("low")
    windows = [_bars(data, hours) for hours in HARQ_HOURS]
    variance = [np.maximum(rolling_mean(returns**2, window), SMALLEST**2) for window in windows]
    quarticity = [rolling_mean(returns**4, window) / 3.0 for window in windows]
    ranges = [np.log(np.maximum(parkinson(high, low, window), SMALLEST)) for window in (1, *windows)]
    falls, rises = semivariances(returns, _bars(data, FALLS_HOURS))
    share = falls / np.maximum(falls + rises, SMALLEST**2) - 0.5
    named = [f"{hours}h" for hours in HARQ_HOURS]
    names = (*named, *(f"log_parkinson_{name}" for name in ("bar", *named)), "falls_share")
    return RealisedMeasures(_known(variance, bars), _known(quarticity, bars), _known([*ranges, share], bars), names)


def log_range_variance(data: MarketData) -> FloatArray:
    """Log of Parkinson's variance of each bar, (n_bars, n_symbols); NaN in a gap, -inf where the bar did not move."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.log(data.mark("high") / data.mark("low")) ** 2 / FOUR_LOG_2))


def _known(columns: list[FloatArray], bars: IntArray) -> FloatArray:
    """Columns known at the opens of `bars` (the row before each), (len(bars) * n_symbols, k); NaN at bar 0."""
    values = np.stack(columns, axis=2)
    before = np.full((1, *values.shape[1:]), np.nan)
    return np.concatenate((before, values))[bars].reshape(-1, values.shape[2])


def _bars(data: MarketData, hours: float) -> int:
    return max(2, round(hours / data.bar_hours))


def _by_series(data: MarketData, sigma: FloatArray) -> FloatArray:
    out = np.full((sigma.shape[0], data.history.close.shape[1], sigma.shape[2]), np.nan)
    out[:, data.history.mark_series] = sigma
    return out
