"""Synthetix v3 perps, by the arithmetic of its integration tests: positions opened in a market without skew."""

from __future__ import annotations

from typing import Any

from margincast.riskcore.protocols.synthetix import (
    LiquidationWindow,
    MarketTerms,
    available_margin,
    fill_price,
    requirements,
    window_capacity,
    withdrawable_margin,
)

from .cases import Inputs

TERMS = ("price", "skew_scale", "im_fraction", "min_im", "mm_scalar", "liq_reward", "min_margin")


def synthetix_margin(case: Inputs) -> dict[str, Any]:
    markets = case.each("markets")
    terms = MarketTerms(*([market[name] for market in markets] for name in TERMS))  # type: ignore[arg-type]
    sizes = [market["size"] for market in markets]
    entry = fill_price(terms.price, [market.get("skew", 0.0) for market in markets], terms.skew_scale, sizes)
    available, needed = available_margin(terms, case["collateral"], sizes, entry), requirements(terms, sizes)
    return {
        "available_margin": available[0],
        "withdrawable_margin": withdrawable_margin(available, needed)[0],
        "initial_margin_less_reward": needed.initial[0],
        "maintenance_margin_less_reward": needed.maintenance[0],
        "liquidation_reward": needed.reward[0],
    }


def synthetix_window(case: Inputs) -> dict[str, Any]:
    capacity = window_capacity(*(case[n] for n in ("maker", "taker", "skew_scale", "window_s", "multiplier")))
    used = ([case["used_in_window"]], [case["elapsed_s"]])
    window = LiquidationWindow(capacity, case["window_s"], *used, case.get("max_pd", 0.0))
    return {"size_after": window.size_after(case["size_before"])}


ADAPTERS = {
    ("synthetix_v3_perps", "margin"): synthetix_margin,
    ("synthetix_v3_perps", "partial_liquidation"): synthetix_window,
}
