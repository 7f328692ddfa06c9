"""Features and their values in words, as reasons name them."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..features.releases import MOST_HOURS
from .account_features import DIRECTIONAL

Form = Callable[[float], str]


def _fraction(value: float) -> str:
    return f"{100 * value:.3g}%"


def _ratio(value: float) -> str:
    """A log ratio or log return as the change it stands for."""
    return f"{100 * math.expm1(value):+.3g}%"


def _volatility(value: float) -> str:
    return f"{100 * math.exp(value):.3g}% an hour"


def _exponent(value: float) -> str:
    return f"{math.exp(value):.4g}"


def _deviations(value: float) -> str:
    return f"{value:.3g} standard deviations"


def _times(value: float) -> str:
    return f"{value:.3g}x"


def _chance(value: float) -> str:
    return f"{100 / (1 + math.exp(-value)):.3g}%"


def _plain(value: float) -> str:
    return f"{value:.3g}"


def _hours(value: float) -> str:
    return f"in {value:.3g} h" if value < MOST_HOURS else f"more than {MOST_HOURS:.0f} h away"


def _untold(_: float) -> str:
    """Of what a number says nothing, such as the sine of an hour."""
    return ""


FORMS: tuple[tuple[str, Form], ...] = (
    ("logit_", _chance),
    ("distance_", _deviations),
    ("leverage", _times),
    ("relative_distance", _fraction),
    ("maintenance_usage", _fraction),
    ("worst_leg_share", _fraction),
    ("scenario_usage", _times),
    ("leg_log_slope", _ratio),
    ("leg_log_amihud", _exponent),
    ("leg_log_depth", _exponent),
    ("leg_log_", _volatility),
    ("leg_market_log_", _volatility),
    ("leg_relative_log_", _ratio),
    ("leg_vol_of_vol", _plain),
    ("leg_move", _deviations),
    ("leg_return", _fraction),
    ("leg_market_return", _fraction),
    ("leg_drawdown", _ratio),
    ("leg_rise", _ratio),
    ("leg_jump_share", _fraction),
    ("leg_spread", _fraction),
    ("leg_volume_share", _fraction),
    ("leg_volume_", _ratio),
    ("leg_funding", _fraction),
    ("leg_basis", _fraction),
    ("leg_open_interest", _ratio),
    ("leg_season", _ratio),
    ("leg_absorption", _fraction),
    ("leg_hours_to_release", _hours),
    ("leg_hour", _untold),
    ("leg_week", _untold),
    ("volatility_", _fraction),
    ("", _plain),
)
"""Beginnings of features and how their values are told; the first that fits wins."""

NAMES = {
    "relative_distance": "headroom over exposure",
    "distance_fast": "distance at 6 h volatility a bar",
    "distance_ewma": "distance at 24 h volatility a bar",
    "distance_slow": "distance at 30 d volatility a bar",
    "maintenance_usage": "maintenance over equity",
    "worst_leg_share": "share of the riskiest leg",
    "scenario_usage": "loss in a 16% move over headroom",
    "coin_over_gross": "coin collateral over exposure",
    "net_share": "net over gross exposure",
    "volatility_forecast": "forecast volatility",
    "volatility_usual": "usual volatility",
    "leg_hour_sin": "hour of the day",
    "leg_hour_cos": "hour of the day",
    "leg_week_sin": "hour of the week",
    "leg_week_cos": "hour of the week",
    "leg_hours_to_release": "next scheduled US release",
}
"""Features whose own names say too little."""


def feature_words(feature: str, value: float) -> str:
    """A feature of an account and its value in words.

    Features of the market are means over the pool's legs by size. Those with a sign are told as the position has them:
    funding as paid or received, the others as against or for it (`account_features` holds them times -1 for longs), log
    returns and the basis as they are.

    Examples
    --------
    >>> feature_words("leg_funding_24h", -0.0003), feature_words("leg_return_4h", 0.01)
    ('funding_24h 0.03% paid', 'return_4h 1% against the position')
    >>> feature_words("leverage", 12.34), feature_words("leg_spread_24h", float("nan"))
    ('leverage 12.3x', 'spread_24h unknown')
    >>> feature_words("leg_log_ewma_24h", -5.0), feature_words("relative_distance", 0.0317)
    ('ewma_24h 0.674% an hour', 'headroom over exposure 3.17%')
    """
    name = feature.removeprefix("leg_")
    short = name.removeprefix("log_").removeprefix("logit_").replace("market_log_", "market_")
    shown = NAMES.get(feature, short)
    if math.isnan(value):
        return f"{shown} unknown"
    if math.isinf(value):
        return f"{shown} unbounded"
    form = next(form for start, form in FORMS if feature.startswith(start))
    if feature.startswith("leg_") and name.startswith(DIRECTIONAL):
        sides = ("received", "paid") if name.startswith("funding_") else ("against the position", "for the position")
        return f"{shown} {form(abs(value))} {sides[0] if value > 0 else sides[1]}"
    return f"{shown} {form(value)}".rstrip()
