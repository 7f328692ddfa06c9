"""Flapping: how often an alert on one account goes off and comes back while nothing but the market changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.historical import thinned
from ..riskcore.arrays import BoolArray, FloatArray
from ..riskcore.rulebook import RuleBook
from .dataset import Dataset, sample_of
from .forecaster import LiquidationForecaster
from .market_view import MarketView

WATCHED, WATCHED_HOURS = 200, 24
ALERTED_SHARE = 0.1
WATCHED_MODELS = ("health_factor", "fhs", "fhs_har", "hybrid")


@dataclass(frozen=True)
class Watch:
    """Forecasts of accounts bar after bar.

    Parameters
    ----------
    said
        Probabilities by model, each (n_accounts, n_bars, n_horizons).
    alive
        Whether each account was not liquidated yet at the bar's open, and its prices were known, (n_accounts, n_bars).
    bar_hours
        Length of a bar.
    """

    said: Mapping[str, FloatArray]
    alive: BoolArray
    bar_hours: float


def watch_accounts(
    model: LiquidationForecaster, view: MarketView, rules: RuleBook, data: Dataset, *, most: int = WATCHED
) -> Watch:
    """Forecast some tested accounts again at each bar of the day after they were seen, their books as they were."""
    rows = thinned(np.arange(len(data)), most)
    bars = max(1, min(round(WATCHED_HOURS / view.data.bar_hours), data.sample.horizons[-1]))
    breach = np.where(data.outcome.breach_bar >= 0, data.outcome.breach_bar, len(view.history) + 1)[rows]
    when = data.sample.bar[rows][:, None] + np.arange(bars)
    alive = (when <= breach[:, None]) & (when <= len(view.history))
    place = np.argwhere(alive)
    bar = when[alive]
    order = np.argsort(bar, kind="stable")
    place, bar = place[order], bar[order]
    sample = sample_of(view, data.book.take(rows[place[:, 0]]), bar, rules, model.horizons)
    found = model.predict(sample, model.scales_.fields(view.data, view.frame, bar))
    found["health_factor"] = model.baselines_.health_factor_.predict(sample)
    said = {}
    for name in WATCHED_MODELS:
        said[name] = np.full((*alive.shape, len(model.horizons)), np.nan)
        said[name][place[:, 0], place[:, 1]] = found[name]
    return Watch(said, alive, view.data.bar_hours)


def flapping(watch: Watch, horizon: int, thresholds: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """How steady the alerts of each model are at one horizon, by its place.

    Parameters
    ----------
    watch
        Forecasts bar after bar.
    horizon
        Place of the horizon.
    thresholds
        By model: alerts are up from this probability on.

    Returns
    -------
    dict
        By model: threshold, accounts, alerted (accounts with any alert), flaps (alerts that came back on an account
        after they had gone), flaps_per_alerted_account and changes_per_account_day (ups and downs of alerts while the
        account was alive).
    """
    return {name: _flaps(watch, watch.said[name][:, :, horizon], level) for name, level in thresholds.items()}


def _flaps(watch: Watch, probability: FloatArray, threshold: float) -> dict[str, Any]:
    with np.errstate(invalid="ignore"):
        up = (probability >= threshold) & watch.alive
    both = watch.alive[:, 1:] & watch.alive[:, :-1]
    changes = int(((up[:, 1:] != up[:, :-1]) & both).sum())
    raised = up[:, 0].astype(np.int64) + (up[:, 1:] & ~up[:, :-1]).sum(axis=1)
    alerted = int((raised > 0).sum())
    flaps = int(np.maximum(raised - 1, 0).sum())
    days = float(both.sum()) * watch.bar_hours / 24
    return {
        "threshold": threshold,
        "accounts": len(up),
        "alerted": alerted,
        "flaps": flaps,
        "flaps_per_alerted_account": flaps / alerted if alerted else float("nan"),
        "changes_per_account_day": changes / days if days else float("nan"),
    }


def alert_threshold(probability: FloatArray) -> float:
    """The probability that a tenth of the rows reach: alerts as many as a desk could look at, whatever the model.

    Examples
    --------
    >>> alert_threshold(np.arange(11) / 10)
    0.9
    """
    return float(np.quantile(probability, 1 - ALERTED_SHARE, method="higher"))
