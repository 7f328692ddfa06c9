"""What scales are forecast from, and what they are held to; log volatility per bar of every symbol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..features.frame import FeatureFrame
from ..features.market_data import MarketData
from ..features.volatility.day_types import day_type_ahead
from ..features.volatility.estimators import ewma_volatility, log_returns, parkinson, realised_volatility
from ..features.volatility.season_ahead import DAY, WEEK, season_ahead
from ..models.harq_scale import RealisedMeasures
from ..models.scale import blended_log_scale
from ..riskcore.arrays import FloatArray
from .realised_measures import SMALLEST, realised_measures
from .scale_pair import BASE

BLEND_HOURS = (6, 24, 720)
HAR_HOURS = (6, 24, 168, 720)
EWMA_HOURS = (3, 12, 48)
SEASONS = ("season_day_ahead", "season_week_ahead", "season_day_type_ahead", "season_day_type_ahead_market")
SEASON_WEEKS = 26
"""How far back the season of a day's type looks: a Saturday comes once a week."""


class ScaleInputs:
    """What the scales are forecast from, row i as known at the open of bar i; log volatility per bar."""

    def __init__(self, data: MarketData, frame: FeatureFrame) -> None:
        self.data, self.frame = data, frame
        self.names = (*frame.names, *SEASONS)
        self._features = np.full((len(data.history) + 1, len(data.symbols), len(frame.names)), np.nan)
        self._features[frame.bars] = frame.values
        self._missing = np.full((*self._features.shape[:2], 1), np.nan)
        self._har: FloatArray | None = None
        self._measures: RealisedMeasures | None = None

    @property
    def har_names(self) -> list[str]:
        """Names of the autoregression's columns."""
        both = [f"log_{kind}_{hours}h" for hours in HAR_HOURS for kind in ("realised", "parkinson")]
        return both + [f"log_ewma_{hours}h" for hours in EWMA_HOURS]

    def har_columns(self) -> FloatArray:
        """Log volatilities over several windows, (n_bars + 1, n_symbols, k)."""
        if self._har is None:
            returns, high, low = log_returns(self.data.mark("close")), self.data.mark("high"), self.data.mark("low")
            columns = []
            for hours in HAR_HOURS:
                window = self._bars(hours)
                columns += [realised_volatility(returns, window), parkinson(high, low, window)]
            ranges = parkinson(high, low, 1)
            columns += [ewma_volatility(ranges, self._bars(hours)) for hours in EWMA_HOURS]
            self._har = np.stack([_known(_safe_log(c)) for c in columns], axis=2)
        return self._har

    def measures(self) -> RealisedMeasures:
        """What HARQ is computed from, one row a bar and symbol."""
        if self._measures is None:
            self._measures = realised_measures(self.data, np.arange(len(self.data.history) + 1))
        return self._measures

    def blend(self) -> FloatArray:
        """Log of the equal-weight blend of realised variance over 6 h, 24 h and 30 d, (n_bars + 1, n_symbols)."""
        returns = log_returns(self.data.mark("close"))
        logs = [_known(_safe_log(realised_volatility(returns, self._bars(hours)))) for hours in BLEND_HOURS]
        return blended_log_scale(np.stack(logs, axis=2))

    def learned_columns(self, horizon: int, names: Sequence[str], base: FloatArray) -> FloatArray:
        """What the learned scale is fed, by name, (n_bars + 1, n_symbols, k); NaN if not there.

        The panel, the usual level of the coming bars, and `base`, what the trees start from.
        """
        added = [*self._seasons(horizon), base]
        columns = np.concatenate((self._features, np.stack(added, axis=2), self._missing), axis=2)
        place = {name: k for k, name in enumerate((*self.names, BASE))}
        return columns[:, :, [place.get(name, -1) for name in names]]

    def _seasons(self, horizon: int) -> list[FloatArray]:
        """SEASONS of the bars ahead; of the day's type only for less than a day, which holds all times of day."""
        data, step = self.data, self.data.history.step
        high, low = data.mark("high"), data.mark("low")
        deviation = _safe_log(parkinson(high, low, 1)) - _safe_log(parkinson(high, low, self._bars(168)))
        day, week = int(DAY / step), int(WEEK / step)
        seasons = [
            season_ahead(deviation, min(horizon, day) if day else horizon, day, 28),
            season_ahead(deviation, min(horizon, week), week, 12),
        ]
        if horizon >= day or day * step != DAY:
            return seasons + [np.full_like(seasons[0], np.nan)] * 2
        own, market = (
            day_type_ahead(x, data.times[0], step, horizon, SEASON_WEEKS) for x in (deviation, _mean_known(deviation))
        )
        return [*seasons, own, np.broadcast_to(market, own.shape)]

    def _bars(self, hours: float) -> int:
        return max(2, round(hours / self.data.bar_hours))


def scale_target(data: MarketData, horizon: int) -> FloatArray:
    """Log of the root mean Parkinson variance over bars i .. i + horizon - 1, (n_bars + 1, n_symbols)."""
    variance = parkinson(data.mark("high"), data.mark("low"), horizon)
    out = np.full((len(variance) + 1, variance.shape[1]), np.nan)
    out[: max(len(variance) - horizon + 1, 0)] = _safe_log(variance[horizon - 1 :])
    return out


def _safe_log(volatility: FloatArray) -> FloatArray:
    return np.log(np.maximum(volatility, SMALLEST))


def _mean_known(values: FloatArray) -> FloatArray:
    """Mean of the columns known in each row, (n, 1); NaN where none is."""
    known = np.isfinite(values).sum(axis=1, keepdims=True)
    return np.where(known > 0, np.nan_to_num(values).sum(axis=1, keepdims=True) / np.maximum(known, 1), np.nan)


def _known(values: FloatArray) -> FloatArray:
    """Row k of `values`, known at the close of bar k, moved to row k + 1: the open of the next bar."""
    return np.vstack((np.full((1, values.shape[1]), np.nan), values))
