"""Why a pool is endangered: parts that add up to the log odds of its forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.account_boosting import logit
from ..models.sample import AccountSample, ScaleField
from ..models.structural_logit import StructuralLogit
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray, group_sums
from .forecaster import HYBRID_WEIGHTS, STACKED, with_structural
from .reason_words import feature_words
from .scales import usual_scale
from .score import Scorer

GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("carry", "funding, basis and open interest", ("leg_funding", "leg_basis", "leg_open_interest")),
    ("releases", "scheduled US releases", ("leg_hours_to_release",)),
    ("season", "time of day and week", ("leg_season", "leg_hour", "leg_week")),
    ("momentum", "recent moves against the position", ("leg_move", "leg_return", "leg_drawdown", "leg_rise")),
    ("market_stress", "stress across the market", ("leg_market", "leg_absorption", "leg_average", "leg_relative")),
    ("liquidity", "volume and depth", ("leg_log_amihud", "leg_spread", "leg_volume", "leg_log_depth", "leg_imbalance")),
    ("volatility_shape", "pattern of past volatility", ("leg_",)),
    ("structure", "what simulations with other volatilities say", ("logit_",)),
    ("account", "leverage and make-up of the account", ("",)),
)
"""Reason codes, their words and the beginnings of the features they take; the first that fits wins."""

_WORDS = {
    "distance": "distance to liquidation at its usual volatility",
    "volatility_now": "forecast volatility against the usual",
    "base_rate": "how often any account is liquidated (starting point)",
    "calibration": "calibration, and no fall with the horizon",
    "fall_back": "historical simulation in place of the learned forecast",
    "in_breach": "maintenance margin is already breached",
    "no_positions": "no positions that could be liquidated",
}
MOST_CAUSES = 2
"""Features named beside a reason, those of the largest effect."""


def explain(scorer: Scorer, book: AccountBook, horizon: str) -> list[list[dict[str, Any]]]:
    """Reasons for each pool's log odds at one horizon, largest effect first; they add up to the log odds.

    Each has a code, its words ("text"), its effect, and "because": the features behind it with their values.
    "distance" is the log odds by simulation at the pool's usual (30-day) volatility; "volatility_now" is what the
    forecast volatility changes in that; the rest are the learned correction's TreeSHAP values by group of features,
    the base rate it starts from, and what calibration and the order of horizons change. Where the forecast fell back
    to historical simulation, "fall_back" is what that changes. A pool in breach, and one without positions, are certain
    for one reason: "in_breach", "no_positions". Log odds are those of probabilities kept within 1e-7 of 0 and 1.
    """
    k = scorer.horizons.index(horizon)
    sample, said = scorer.sample(book), scorer.predict(book)
    rich = with_structural(sample, said)
    forecast, hybrid = logit(said["forecast"][:, k]), logit(said["hybrid"][:, k])
    usual_field = usual_scale(scorer.view.data, scorer.model.horizons, scorer.bar)
    usual = logit(scorer.model.historical_["fhs_learned"].predict(sample, usual_field)[:, k])
    weight = HYBRID_WEIGHTS["stacked"] + HYBRID_WEIGHTS["correction"]
    structural = logit(said["fhs_learned"][:, k])
    learned = _learned(scorer, sample, rich, k)
    parts = {"distance": weight * usual, "volatility_now": weight * (structural - usual), "base_rate": learned.base}
    parts |= learned.groups()
    parts["calibration"] = hybrid - sum(parts.values())
    causes = learned.causes(rich) | _structural_causes(scorer, sample, usual_field, k)
    held, breached = np.diff(book.position_pointer) > 0, sample.exposure.headroom < 0
    out = []
    for row in range(len(book)):
        effects = {code: float(values[row]) for code, values in parts.items()}
        if forecast[row] != hybrid[row] or (said["forecast"][row] != said["hybrid"][row]).any():
            effects["fall_back"] = float(forecast[row] - hybrid[row])
        if not held[row] or breached[row]:
            effects = {"in_breach" if held[row] else "no_positions": float(forecast[row])}
        out.append(_sorted_reasons(effects, {code: one[row] for code, one in causes.items()}))
    return out


def _sorted_reasons(
    effects: Mapping[str, float], causes: Mapping[str, Sequence[tuple[str, float]]]
) -> list[dict[str, Any]]:
    words = {code: text for code, text, _ in GROUPS} | _WORDS
    reasons = [
        {"code": code, "text": words[code], "effect": effect, "because": [_cause(*c) for c in causes.get(code, ())]}
        for code, effect in effects.items()
    ]
    return sorted(reasons, key=lambda reason: (-abs(reason["effect"]), reason["code"]))


def _cause(feature: str, value: float) -> dict[str, Any]:
    known = float(value) if np.isfinite(value) else None
    return {"feature": feature, "value": known, "text": feature_words(feature, value)}


def _structural_causes(
    scorer: Scorer, sample: AccountSample, usual: ScaleField, k: int
) -> dict[str, list[list[tuple[str, float]]]]:
    """Headroom over exposure, and the forecast and usual volatility over the horizon, of each pool."""
    horizon, exposure = sample.horizons[k], sample.exposure
    gross = np.where(exposure.gross > 0, exposure.gross, np.nan)
    share = np.abs(exposure.weight) / gross[exposure.pool]
    now, then = (
        group_sums(exposure.pool, share * field.of_entries(sample, horizon), len(sample))
        for field in (scorer.fields["learned"], usual)
    )
    room = exposure.headroom / gross
    return {
        "distance": [[("relative_distance", value)] for value in room],
        "volatility_now": [
            [("volatility_forecast", a), ("volatility_usual", b)] for a, b in zip(now, then, strict=True)
        ],
    }


@dataclass(frozen=True)
class _Learned:
    """What is learned from accounts adds to the log odds: the stacked regression and the boosters.

    Parameters
    ----------
    names, effects
        Features, and what each adds (of boosters its TreeSHAP value), weighted as the members are in the hybrid,
        (n, n_features).
    base
        Where the boosters start, weighted, (n,).
    """

    names: tuple[str, ...]
    effects: FloatArray
    base: FloatArray

    def groups(self) -> dict[str, FloatArray]:
        """Effect of each group of features on each row."""
        out = {code: np.zeros(len(self.base)) for code, _, _ in GROUPS}
        for column, code in enumerate(_codes(self.names)):
            out[code] += self.effects[:, column]
        return out

    def causes(self, rich: AccountSample) -> dict[str, list[list[tuple[str, float]]]]:
        """Of each group and row the features with the largest effect, and their values."""
        codes = np.array(_codes(self.names))
        out = {}
        for code, _, _ in GROUPS:
            columns = np.flatnonzero(codes == code)
            order = np.argsort(-np.abs(self.effects[:, columns]), axis=1, kind="stable")[:, :MOST_CAUSES]
            out[code] = [
                [(self.names[c], float(rich.features[row, c])) for c in columns[mine] if self.effects[row, c] != 0]
                for row, mine in enumerate(order)
            ]
        return out


def _learned(scorer: Scorer, sample: AccountSample, rich: AccountSample, k: int) -> _Learned:
    model, horizon = scorer.model, scorer.model.horizons[k]
    place = {name: column for column, name in enumerate(rich.feature_names)}
    effects, base = _stacked_effects(model.stack_[k], rich, horizon), np.zeros(len(sample))
    for name, booster, rows in (("lightgbm", model.lightgbm_, sample), ("correction", model.correction_, rich)):
        values = booster.explain(rows, horizon) * HYBRID_WEIGHTS[name]
        effects[:, [place[column] for column in booster.columns]] += values[:, :-1]
        base += values[:, -1]
    return _Learned(rich.feature_names, effects, base)


def _stacked_effects(stack: StructuralLogit, rich: AccountSample, horizon: int) -> FloatArray:
    """What the stacked regression adds to the log odds of fhs_learned, weighted, by feature of `rich`, (n, n_features).

    What belongs to no feature of the account is put to the log odds of FHS, which it comes from.
    """
    structural = rich.columns([f"logit_{name}_{horizon}" for name in STACKED])
    weight = HYBRID_WEIGHTS["stacked"] + HYBRID_WEIGHTS["correction"]
    effects = np.zeros(rich.features.shape)
    places = [rich.feature_names.index(name) for name in (*stack.columns_, f"logit_fhs_{horizon}")]
    effects[:, places] = weight * stack.contributions(structural, rich.columns(stack.columns_))
    return effects


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
    return [*reasons[:most], {"code": "rest", "text": "all else", "effect": rest, "because": []}]
