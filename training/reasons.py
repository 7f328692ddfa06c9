"""Why a pool is endangered: parts that add up to the log odds of its forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..models.account_boosting import logit
from ..models.sample import AccountSample, ScaleField
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray
from .forecaster import HYBRID_WEIGHTS, with_structural
from .scales import usual_scale
from .score import Scorer

GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("carry", "funding and basis", ("leg_funding", "leg_basis", "leg_open_interest")),
    ("season", "time of day and week", ("leg_season", "leg_hour", "leg_week")),
    ("momentum", "recent moves against the position", ("leg_move", "leg_return", "leg_drawdown", "leg_rise")),
    ("market_stress", "stress across the market", ("leg_market", "leg_absorption", "leg_average", "leg_relative")),
    ("liquidity", "volume and depth", ("leg_log_amihud", "leg_spread", "leg_volume", "leg_log_depth", "leg_imbalance")),
    ("volatility_shape", "pattern of past volatility", ("leg_",)),
    ("structure", "simulations under other volatilities", ("logit_",)),
    ("account", "leverage and make-up of the account", ("",)),
)
"""Reason codes, their words and the beginnings of the features they take; the first that fits wins."""


def explain(scorer: Scorer, book: AccountBook, horizon: str) -> list[list[dict[str, Any]]]:
    """Reasons for each pool's log odds at one horizon, largest effect first; they add up to the log odds.

    "distance" is the log odds by simulation at the pool's usual (30-day) volatility; "volatility_now" is what the
    forecast volatility changes in that; the rest are the learned correction's TreeSHAP values by group of features,
    the base rate it starts from, and what calibration and the order of horizons change. Where the forecast fell back
    to historical simulation, "fall_back" is what that changes.
    """
    k = scorer.horizons.index(horizon)
    sample = scorer.sample(book)
    said = scorer.predict(book)
    structural = logit(said["fhs_learned"][:, k])
    usual = logit(_usual(scorer, sample)[:, k])
    rich = with_structural(sample, said)
    learned, base = _learned_parts(scorer, sample, rich, k)
    weight = HYBRID_WEIGHTS["fhs_learned"] + HYBRID_WEIGHTS["correction"]
    parts = {"distance": weight * usual, "volatility_now": weight * (structural - usual), "base_rate": base, **learned}
    total = logit(said["hybrid"][:, k])
    parts["calibration"] = total - np.sum(list(parts.values()), axis=0)
    if (said["forecast"] != said["hybrid"]).any():
        parts["fall_back"] = logit(said["forecast"][:, k]) - total
    words = {code: text for code, text, _ in GROUPS} | _WORDS
    return [_sorted_reasons(parts, words, row) for row in range(len(book))]


_WORDS = {
    "distance": "distance to liquidation at its usual volatility",
    "volatility_now": "volatility forecast against the usual",
    "base_rate": "base rate the learned part starts from",
    "calibration": "calibration and order of horizons",
    "fall_back": "historical simulation in place of the learned forecast",
}


def _sorted_reasons(parts: dict[str, FloatArray], words: dict[str, str], row: int) -> list[dict[str, Any]]:
    reasons = [{"code": c, "text": words[c], "effect": float(v[row])} for c, v in parts.items()]
    return sorted(reasons, key=lambda reason: (-abs(reason["effect"]), reason["code"]))


def _usual(scorer: Scorer, sample: AccountSample) -> FloatArray:
    field: ScaleField = usual_scale(scorer.view.data, scorer.model.horizons, scorer.bar)
    return scorer.model.historical_["fhs_learned"].predict(sample, field)


def _learned_parts(
    scorer: Scorer, sample: AccountSample, rich: AccountSample, k: int
) -> tuple[dict[str, FloatArray], FloatArray]:
    model, horizon = scorer.model, scorer.model.horizons[k]
    parts = {code: np.zeros(len(sample)) for code, _, _ in GROUPS}
    base = np.zeros(len(sample))
    for name, booster, rows in (("lightgbm", model.lightgbm_, sample), ("correction", model.correction_, rich)):
        values = booster.explain(rows, horizon) * HYBRID_WEIGHTS[name]
        for column, code in enumerate(_codes(booster.columns)):
            parts[code] += values[:, column]
        base += values[:, -1]
    return parts, base


def _codes(columns: Sequence[str]) -> list[str]:
    return [next(code for code, _, starts in GROUPS if column.startswith(starts)) for column in columns]


def shortened(reasons: list[dict[str, Any]], most: int = 5) -> list[dict[str, Any]]:
    """The `most` largest reasons and the sum of the others, which still add up.

    Examples
    --------
    >>> parts = [{"code": c, "text": c, "effect": e} for c, e in (("a", 2.0), ("b", -1.0), ("c", 0.5))]
    >>> [(r["text"], r["effect"]) for r in shortened(parts, 1)]
    [('a', 2.0), ('all else', -0.5)]
    """
    if len(reasons) <= most + 1:
        return reasons
    rest = sum(reason["effect"] for reason in reasons[most:])
    return [*reasons[:most], {"code": "rest", "text": "all else", "effect": rest}]
