"""Spikes of volatility: what counts as one, forecasts made from the learned scale, and how they fare."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..features.bar_table import bar_table
from ..features.engine.step import run_step
from ..features.market_data import MarketData
from ..features.volatility.har import HarStep
from ..features.volatility.spike import SpikeStep
from ..models.account_boosting import logit
from ..models.sample import ScaleField
from ..models.spike import SpikeBooster, SpikeErrors
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from .market_view import MarketView
from .scale_inputs import scale_target
from .scales import ScaleForecaster
from .scores import DayBlocks, Skill, auc_within_strata, expected_calibration_error, log_losses

USUAL_DAYS, QUANTILE_DAYS = 30, 365
LEAST_KNOWN = 0.9
"""Share of the past windows that must be known for a threshold to be."""
MOST_ROWS = 80_000
YEAR_HOURS = 8760.0


@dataclass(frozen=True)
class SpikeRule:
    """What counts as a spike of a coin's volatility over the coming bars: one of two.

    Parameters
    ----------
    multiple
        More than this many times the median volatility over horizons of that length that ended in the last 30 days.
    quantile
        If given: more than this quantile of those that ended in the last 365 days, in place of the multiple.
    """

    multiple: float = 2.0
    quantile: float | None = None

    def __post_init__(self) -> None:
        if not self.multiple > 0:
            raise InputError("must be positive", column="multiple", value=self.multiple)
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise InputError("must be between 0 and 1", column="quantile", value=self.quantile)

    def threshold(self, data: MarketData, horizon: int) -> FloatArray:
        """Log volatility per bar above which it is a spike, as known at each open, (n_bars + 1, n_symbols)."""
        ended = np.full((len(data.history) + 1, len(data.symbols)), np.nan)
        ended[horizon:] = scale_target(data, horizon)[: len(data.history) + 1 - horizon]
        days = USUAL_DAYS if self.quantile is None else QUANTILE_DAYS
        window = round(days * 24 / data.bar_hours)
        past = pd.DataFrame(ended).rolling(window, min_periods=math.ceil(LEAST_KNOWN * window))
        if self.quantile is None:
            return np.asarray(past.median().to_numpy() + math.log(self.multiple))
        return np.asarray(past.quantile(self.quantile).to_numpy())


class SpikeForecaster:
    """Probability that volatility over each horizon is a spike.

    "errors" is that of the learned scale's past errors; "boosted" corrects it by what features say; "mean" is the mean
    of the two; "har" is that of the autoregression's errors; "climatology" is the frequency in training, by coin.

    Parameters
    ----------
    rule
        What counts as a spike.
    rounds, seed, threads
        Of the boosted correction.
    """

    def __init__(self, rule: SpikeRule, rounds: int = 100, seed: int = 0, threads: int = 1) -> None:
        self.rule, self.rounds, self.seed, self.threads = rule, rounds, seed, threads

    def fit(self, view: MarketView, scales: ScaleForecaster, first_bar: int, last_bar: int) -> SpikeForecaster:
        """Fit on forecasts made at bars from `first_bar` whose horizon has ended by `last_bar`.

        `scales` must still have its folds: the learned scale of training bars comes from one that had not seen them.
        """
        fields = scales.fields(view.data, view.frame, np.arange(last_bar))
        self.horizons = scales.horizons
        self.errors_ = {n: spike_errors(view.data, fields[n], first_bar, last_bar) for n in ("har", "learned")}
        self.boosters_: list[SpikeBooster] = []
        self.rate_ = np.empty((len(view.data.symbols), len(self.horizons)))
        for k, horizon in enumerate(self.horizons):
            rows = np.arange(first_bar, last_bar - horizon + 1)
            target, threshold = scale_target(view.data, horizon)[rows], self.rule.threshold(view.data, horizon)[rows]
            spiked = np.where(np.isfinite(target - threshold), (target > threshold).astype(np.float64), np.nan)
            self.rate_[:, k] = np.nanmean(spiked, axis=0)
            start = self._start(log_scale(view.data, fields["learned"], k)[rows], threshold, k)
            self.boosters_.append(self._boost(view, rows, start, spiked))
        return self

    def _boost(self, view: MarketView, rows: IntArray, start: FloatArray, spiked: FloatArray) -> SpikeBooster:
        stride = max(1, spiked.size // MOST_ROWS)
        features = _flat(view, rows[::stride])
        model = SpikeBooster(self.rounds, self.seed, self.threads)
        return model.fit(features, start[::stride].ravel(), spiked[::stride].ravel(), view.frame.names)

    def _start(self, forecast: FloatArray, threshold: FloatArray, k: int) -> FloatArray:
        probability = self.errors_["learned"][k].predict(forecast.ravel(), threshold.ravel())
        return logit(probability).reshape(forecast.shape)

    def predict(self, view: MarketView, fields: Mapping[str, ScaleField], bars: IntArray) -> dict[str, FloatArray]:
        """Probabilities as known at the opens of these bars, by name, (n_bars, n_symbols, n_horizons)."""
        shape = (len(bars), len(view.data.symbols), len(self.horizons))
        out = {name: np.full(shape, np.nan) for name in ("climatology", "har", "errors", "boosted")}
        features = _flat(view, bars)
        for k, horizon in enumerate(self.horizons):
            threshold = self.rule.threshold(view.data, horizon)[bars]
            scale = {name: log_scale(view.data, fields[name], k)[bars] for name in self.errors_}
            out["climatology"][:, :, k] = np.where(np.isfinite(threshold), self.rate_[:, k], np.nan)
            for said, name in (("har", "har"), ("errors", "learned")):
                flat = self.errors_[name][k].predict(scale[name].ravel(), threshold.ravel())
                out[said][:, :, k] = flat.reshape(shape[:2])
            boosted = self.boosters_[k].predict(features, logit(out["errors"][:, :, k]).ravel())
            out["boosted"][:, :, k] = boosted.reshape(shape[:2])
        out["mean"] = 0.5 * (out["errors"] + out["boosted"])
        return out


def spike_errors(data: MarketData, field: ScaleField, first_bar: int, last_bar: int) -> list[SpikeErrors]:
    """How a scale erred, one a horizon, at bars from `first_bar` whose horizon has ended by `last_bar`.

    The field must be what was said by models that had not seen those bars.
    """
    fitted = []
    for k, horizon in enumerate(field.horizons):
        rows = np.arange(first_bar, last_bar - horizon + 1)
        forecast, realised = log_scale(data, field, k)[rows], scale_target(data, horizon)[rows]
        fitted.append(SpikeErrors().fit(forecast.ravel(), realised.ravel()))
    return fitted


def spike_outcomes(data: MarketData, rule: SpikeRule, horizons: tuple[int, ...], bars: IntArray) -> FloatArray:
    """1 or 0: whether volatility from each bar on was a spike, (n_bars, n_symbols, n_horizons); NaN if not known."""
    away = [scale_target(data, h)[bars] - rule.threshold(data, h)[bars] for h in horizons]
    return np.stack([np.where(np.isfinite(one), (one > 0).astype(np.float64), np.nan) for one in away], axis=2)


def spike_step_probability(view: MarketView, multiple: float, bars: IntArray) -> FloatArray:
    """What the feature `SpikeStep` says at these bars, (n_bars, n_symbols, n_horizons), for a multiple of the median.

    It forecasts the horizons of `HarStep.usual`, which are 1, 4 and 24 hours where bars are an hour or shorter.
    """
    step = SpikeStep(HarStep.usual(view.data.bar_hours, half_life_hours=YEAR_HOURS), multiples=(multiple,))
    return run_step(step, bar_table(view.data), bars)


def log_scale(data: MarketData, field: ScaleField, k: int) -> FloatArray:
    """Log volatility per bar that a scale field forecasts over horizon k, (n_bars + 1, n_symbols)."""
    return np.asarray(np.log(field.sigma[:, data.history.mark_series, k] / math.sqrt(field.horizons[k])))


def spike_scores(
    said: Mapping[str, FloatArray], outcome: FloatArray, day: IntArray, *, baseline: str, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Log loss, its skill over a baseline with a 90% interval over resampled days, AUC and ECE of each model.

    Parameters
    ----------
    said, outcome
        Probabilities by name and outcomes, shape (n_bars, n_symbols); rows any of them does not know are left out.
    day
        Day of each bar, shape (n_bars,).
    """
    known = np.isfinite(outcome) & np.isfinite(np.stack(list(said.values()))).all(axis=0)
    days = DayBlocks(np.repeat(day, outcome.shape[1])[known.ravel()], seed=seed)
    y = outcome[known]
    base = log_losses(said[baseline][known], y)
    return {name: _scores(p[known], y, days.skill(log_losses(p[known], y), base)) for name, p in said.items()}


def _scores(p: FloatArray, y: FloatArray, skill: Skill) -> dict[str, Any]:
    return {
        "n": len(y),
        "base_rate": float(y.mean()),
        "log_loss": float(log_losses(p, y).mean()),
        "skill": skill,
        "auc": auc_within_strata(p, y, np.zeros(len(y), dtype=np.int64)),
        "ece": expected_calibration_error(p, y),
    }


def _flat(view: MarketView, bars: IntArray) -> FloatArray:
    values = view.frame.values[view.frame.rows_of(bars)]
    return values.reshape(-1, values.shape[2])
