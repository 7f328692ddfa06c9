"""The outlook for a whole book: what it may see liquidated together, and where volatility may spike."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..models.joint_losses import JointLosses, scenario_totals
from ..models.joint_paths import path_severity, with_marginals
from ..models.sample import certain_where_breached
from ..riskcore.arrays import FloatArray
from .market_level import gross_notional
from .score import Forecast, Scorer
from .volatility_spikes import SpikeRule, log_scale

SPIKE = SpikeRule(2.0)
DRAWS = 4000
"""Totals drawn for each forecast, at least."""
POOLS_AT_ONCE = 2000
LEVELS = (0.5, 0.9, 0.99)


def outlook(scorer: Scorer, forecast: Forecast, seed: int = 0) -> dict[str, Any]:
    """What a book may lose together within each horizon, and the probability of a volatility spike of each coin.

    Returns
    -------
    dict
        "liquidated_notional" (gross, base asset) and "liquidated_pools", by horizon: "expected", central intervals and
        "upper_99_if_independent", the 99% quantile if pools fell independently of each other. "volatility_spike", by
        coin and horizon: the probability that volatility exceeds twice its 30-day median; NaN where not known.

    Notes
    -----
    All pools go through the same price paths, each moved so that its own probability is the forecast's
    (`models.joint_paths.with_marginals`). How well such intervals held: docs/calibration.md.
    """
    notional = gross_notional(forecast.book, scorer.view.history, np.full(len(forecast.book), scorer.bar))
    amounts = {"liquidated_notional": notional, "liquidated_pools": np.ones(len(forecast.book))}
    tables: dict[str, dict[str, Any]] = {name: {} for name in amounts}
    for k, horizon in enumerate(scorer.horizons):
        for name, (joint, alone) in _totals(scorer, forecast, k, amounts, seed).items():
            tables[name][horizon] = _table(joint, alone)
    return {**tables, "volatility_spike": _spikes(scorer)}


def _totals(
    scorer: Scorer, forecast: Forecast, k: int, amounts: dict[str, FloatArray], seed: int
) -> dict[str, tuple[JointLosses, JointLosses]]:
    """Totals on shared paths and of independent pools, by amount."""
    paths = len(scorer.model.historical_["fhs_learned"].libraries_[scorer.model.horizons[k]].start)
    draws = -(-DRAWS // paths)
    joint = {name: np.zeros((draws, paths)) for name in amounts}
    alone = {name: np.zeros((DRAWS, 1)) for name in amounts}
    for first in range(0, len(forecast.book), POOLS_AT_ONCE):
        rows = np.arange(first, min(first + POOLS_AT_ONCE, len(forecast.book)))
        conditional = _conditional(scorer, forecast, rows, k)
        marginal = forecast.probability[None, rows, k]
        for name, amount in amounts.items():
            joint[name] += scenario_totals(conditional, amount[rows], draws, seed + first)
            alone[name] += scenario_totals(marginal, amount[rows], DRAWS, seed + first)
    return {name: (JointLosses.of(joint[name]), JointLosses.of(alone[name])) for name in amounts}


def _conditional(scorer: Scorer, forecast: Forecast, rows: np.ndarray[Any, Any], k: int) -> FloatArray:
    """Probability of each pool on each path, (n_paths, n_rows); its mean over the paths is the forecast's."""
    sample = scorer.sample(forecast.book.take(rows))
    simulation, horizon = scorer.model.historical_["fhs_learned"], scorer.model.horizons[k]
    scale = scorer.fields["learned"].of_entries(sample, horizon)
    severity = path_severity(sample.exposure, simulation.libraries_[horizon], scale)
    own = forecast.probability[rows, k]
    moved = with_marginals(severity, own, simulation.bandwidth)
    known = np.where(np.isnan(moved), own, moved)
    return certain_where_breached(known.T, sample.exposure).T


def _table(joint: JointLosses, alone: JointLosses) -> dict[str, Any]:
    intervals = {f"interval_{round(100 * level)}": list(joint.interval(level)) for level in LEVELS}
    return {"expected": joint.mean, **intervals, "upper_99_if_independent": alone.quantile(0.99)}


def _spikes(scorer: Scorer) -> dict[str, dict[str, float]]:
    data = scorer.view.data
    said = np.full((len(data.symbols), len(scorer.horizons)), np.nan)
    for k, horizon in enumerate(scorer.model.horizons):
        scale = log_scale(data, scorer.fields["learned"], k)[scorer.bar]
        said[:, k] = scorer.model.spike_errors_[k].predict(scale, SPIKE.threshold(data, horizon)[scorer.bar])
    return {s: dict(zip(scorer.horizons, said[i].tolist(), strict=True)) for i, s in enumerate(data.symbols)}
