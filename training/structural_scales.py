"""Scales by HARQ and Realized GARCH: fitted to a market's bars and laid out for every bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..features.market_data import MarketData
from ..features.volatility.estimators import FOUR_LOG_2, log_returns
from ..models.harq_scale import HarqScale
from ..models.realized_garch import RealizedGarchScale
from ..models.sample import ScaleField
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from .realised_measures import realised_measures
from .scale_inputs import scale_target


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


def log_range_variance(data: MarketData) -> FloatArray:
    """Log of Parkinson's variance of each bar, (n_bars, n_symbols); NaN in a gap, -inf where the bar did not move."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.log(data.mark("high") / data.mark("low")) ** 2 / FOUR_LOG_2))


def _by_series(data: MarketData, sigma: FloatArray) -> FloatArray:
    out = np.full((sigma.shape[0], data.history.close.shape[1], sigma.shape[2]), np.nan)
    out[:, data.history.mark_series] = sigma
    return out
