"""Fitting the forecasts of scale to a market, and laying them out for every bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..features.frame import FeatureFrame
from ..features.market_data import MarketData
from ..features.panel import build_features
from ..features.volatility.estimators import log_returns, realised_volatility
from ..models.harq_scale import HarqScale
from ..models.sample import ScaleField
from ..models.scale import HarScale
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from .realised_measures import SMALLEST, realised_measures
from .scale_inputs import BLEND_HOURS, ScaleInputs, scale_target
from .scale_pair import BASE, ScalePair
from .scale_rows import ScaleRows

FOLDS = 3
MOST_ROWS = 80_000
LEAF_ROWS_AN_HOUR = 100
"""A leaf of the learned scale holds as many rows for each hour of the horizon: windows of a day overlap."""


class ScaleForecaster:
    """The scales a market is given: blended ("blend"), autoregressive ("har") and learned on top of HARQ ("learned").

    Parameters
    ----------
    horizons
        In bars.
    rounds, seed, threads
        Of the learned scale.
    """

    def __init__(self, horizons: tuple[int, ...], rounds: int = 250, seed: int = 0, threads: int = 1) -> None:
        self.horizons, self.rounds, self.seed, self.threads = horizons, rounds, seed, threads

    def fit(self, data: MarketData, frame: FeatureFrame, first_bar: int, last_bar: int) -> ScaleForecaster:
        """Fit on forecasts made at bars from `first_bar` whose horizon has ended by `last_bar`."""
        inputs = ScaleInputs(data, frame)
        pool = [inputs, *_spot_inputs(data)]
        edges = np.linspace(first_bar, last_bar, FOLDS + 1).astype(int)
        names = (*inputs.names, BASE)
        self.har_, self.harq_, self.learned_, self.folds_ = {}, {}, {}, {}
        for horizon in self.horizons:
            target = scale_target(data, horizon)
            bars = np.arange(first_bar, last_bar - horizon + 1)
            if len(bars) < 10:
                raise InputError(f"leaves no bars to fit volatility over {horizon} bars on", column="train_end")
            flat = _flat(inputs.har_columns(), bars)
            self.har_[horizon] = HarScale().fit(flat, target[bars].ravel(), inputs.har_names)
            self.harq_[horizon] = HarqScale().fit(realised_measures(data, bars), target[bars].ravel())
            rows = ScaleRows.joined([self._rows(m, names, horizon, first_bar, _open_of(data, last_bar)) for m in pool])
            leaf_rows = LEAF_ROWS_AN_HOUR * max(1, round(horizon * data.bar_hours))
            self.learned_[horizon] = self._learned(rows, names, leaf_rows)
            self.folds_[horizon] = [
                (int(a), int(b), self._learned(rows.outside(_open_of(data, a), _open_of(data, b)), names, leaf_rows))
                for a, b in zip(edges[:-1], edges[1:], strict=True)
            ]
        return self

    def _rows(
        self, inputs: ScaleInputs, names: Sequence[str], horizon: int, first_bar: int, until: np.datetime64
    ) -> ScaleRows:
        """Rows of a market that open from `first_bar` on and have ended by `until`, thinned evenly to MOST_ROWS."""
        data = inputs.data
        last = int(np.searchsorted(data.times, until))
        bars = np.arange(first_bar, last - horizon + 1)
        bars = bars[:: max(1, len(bars) * len(data.symbols) // MOST_ROWS)]
        opens = np.repeat(data.times[bars], len(data.symbols))
        return ScaleRows(
            _flat(inputs.learned_columns(horizon, names, self._base(inputs, horizon)), bars),
            scale_target(data, horizon)[bars].ravel(),
            opens,
            opens + horizon * data.history.step,
        )

    def _learned(self, rows: ScaleRows, names: Sequence[str], leaf_rows: int) -> ScalePair:
        return ScalePair(self.rounds, self.seed, self.threads, leaf_rows).fit(rows.features, rows.target, names)

    def _base(self, inputs: ScaleInputs, horizon: int) -> FloatArray:
        """What the trees start from: HARQ, which beat the plain autoregression under them (docs/experiments.md)."""
        return self.harq_[horizon].predict(inputs.measures()).reshape(len(inputs.data.history) + 1, -1)

    def _har(self, inputs: ScaleInputs, horizon: int) -> FloatArray:
        columns = inputs.har_columns()
        flat = self.har_[horizon].predict(columns.reshape(-1, columns.shape[2]))
        return flat.reshape(columns.shape[:2])

    def fields(self, data: MarketData, frame: FeatureFrame, bars: IntArray | None = None) -> dict[str, ScaleField]:
        """Scale of every series at every bar (or only at `bars`), by name: blend, har, learned.

        At bars of the fitting period the learned scale comes from the fold that had not seen them, if the folds are
        still there (they are not stored).
        """
        inputs = ScaleInputs(data, frame)
        rows = np.arange(len(data.history) + 1) if bars is None else np.unique(bars)
        shape = (len(data.history) + 1, len(data.symbols), len(self.horizons))
        har, learned = np.full(shape, np.nan), np.full(shape, np.nan)
        for k, horizon in enumerate(self.horizons):
            har[:, :, k] = self._har(inputs, horizon)
            names = self.learned_[horizon].names_
            features = inputs.learned_columns(horizon, names, self._base(inputs, horizon))
            for chosen, model in self._assignments(horizon, rows):
                learned[chosen, :, k] = model.predict(_flat(features, chosen)).reshape(len(chosen), -1)
        blend = np.repeat(inputs.blend()[:, :, None], len(self.horizons), axis=2)
        logs = {"blend": blend, "har": har, "learned": learned}
        root = np.sqrt(np.array(self.horizons, dtype=np.float64))
        return {name: ScaleField(_by_series(data, np.exp(log) * root), self.horizons) for name, log in logs.items()}

    def _assignments(self, horizon: int, rows: IntArray) -> list[tuple[IntArray, ScalePair]]:
        folds = self.folds_.get(horizon, [])
        inside = [(rows[(rows >= a) & (rows < b)], model) for a, b, model in folds]
        rest = rows
        for a, b, _ in folds:
            rest = rest[(rest < a) | (rest >= b)]
        return [(chosen, model) for chosen, model in [*inside, (rest, self.learned_[horizon])] if len(chosen)]

    def set_threads(self, threads: int) -> None:
        """Predict on this many threads; changes no result."""
        self.threads = threads
        for model in self.learned_.values():
            model.set_threads(threads)

    def state(self) -> dict[str, Any]:
        """What `from_state` needs; without the folds."""
        return {
            "horizons": list(self.horizons),
            "rounds": self.rounds,
            "seed": self.seed,
            "har": {str(h): model.state() for h, model in self.har_.items()},
            "harq": {str(h): model.state() for h, model in self.harq_.items()},
            "learned": {str(h): model.state() for h, model in self.learned_.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ScaleForecaster:
        """The forecaster as it was when `state` was taken."""
        model = cls(tuple(state["horizons"]), int(state["rounds"]), int(state["seed"]))
        model.har_ = {int(h): HarScale.from_state(s) for h, s in state["har"].items()}
        model.harq_ = {int(h): HarqScale.from_state(s) for h, s in state["harq"].items()}
        model.learned_ = {int(h): ScalePair.from_state(s) for h, s in state["learned"].items()}
        model.folds_ = {}
        return model


def usual_scale(data: MarketData, horizons: tuple[int, ...], bar: int) -> ScaleField:
    """The realised volatility of the last 30 days over each horizon, at one bar only (NaN at the others)."""
    window = max(2, round(BLEND_HOURS[-1] / data.bar_hours))
    sigma = np.full((len(data.history) + 1, len(data.symbols), len(horizons)), np.nan)
    volatility = realised_volatility(log_returns(data.mark("close")), window)[bar - 1]
    sigma[bar] = np.maximum(volatility, SMALLEST)[:, None] * np.sqrt(np.array(horizons, dtype=np.float64))
    return ScaleField(_by_series(data, sigma), horizons)


def _flat(columns: FloatArray, rows: IntArray) -> FloatArray:
    return np.ascontiguousarray(columns[rows].reshape(-1, columns.shape[2]))


def _spot_inputs(data: MarketData) -> list[ScaleInputs]:
    """What the spot markets' scales are forecast from, where there are such bars of the same length."""
    spot = data.spot_market
    if spot is None or spot.history.step != data.history.step:
        return []
    return [ScaleInputs(spot, build_features(spot))]


def _open_of(data: MarketData, bar: int) -> np.datetime64:
    """Open of a bar, or of the one after the last."""
    instant: np.datetime64 = data.times[0] + bar * data.history.step
    return instant


def _by_series(data: MarketData, sigma: FloatArray) -> FloatArray:
    out = np.full((sigma.shape[0], data.history.close.shape[1], sigma.shape[2]), np.nan)
    out[:, data.history.mark_series] = sigma
    return out
