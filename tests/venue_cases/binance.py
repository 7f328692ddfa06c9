"""Binance, by the tests and tables of freqtrade and by its documentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from margincast.riskcore.interest import hourly_interest, rollover_interest
from margincast.riskcore.rulebook import RateSchedule

from .cases import Inputs, Leg, Unsupported, flat, pool, rows_schedule


def binance_tier_table(case: Inputs) -> dict[str, Any]:
    schedule = RateSchedule.marginal(case["floors"], case["mmr"], np.ones(len(case["floors"])))
    return {"maintenance_amounts": schedule.deductions.tolist()}


def binance_tier_lookup(case: Inputs) -> dict[str, Any]:
    schedule = rows_schedule(case["tiers"])
    tier = int(schedule.tier_of(case["notional"]))
    return {"mmr": schedule.rates[tier], "maintenance_amount": schedule.deductions[tier]}


def binance_max_leverage(case: Inputs) -> dict[str, Any]:
    caps = [row[1] for row in case["tiers"]]
    return {"max_leverage": rows_schedule(case["tiers"]).leverage_for(case["stake"], caps)}


def binance_liquidation(case: Inputs) -> dict[str, Any]:
    return cross_example(case) if "position" in case else isolated_example(case)


def isolated_example(case: Inputs) -> dict[str, Any]:
    frozen = {"bybit": "entry"}.get(case["venue"], "price")
    schedule = flat(case["mmr"], case["maintenance_amount"])
    leg = Leg(case.signed("quantity"), case["entry_price"], case["entry_price"], schedule)
    isolated = pool([leg], case["wallet_balance"], closing_fee=case["taker_fee"], maintenance_at=frozen)
    return {"liquidation_price": isolated.prices()[0]}


def cross_example(case: Inputs) -> dict[str, Any]:
    legs = [
        Leg(position.signed("q"), position["ep"], position["mp"], flat(position["mmr"], position["cum"]))
        for position in [case.of("position"), *case.each("other_positions")]
    ]
    return {"liquidation_price": pool(legs, case["wallet_balance"]).prices()[0]}


def borrow_interest(case: Inputs) -> dict[str, Any]:
    charge = {"binance": hourly_interest, "kraken": rollover_interest}.get(case["venue"])
    if charge is None:
        raise Unsupported(f"interest of {case['venue']}")
    return {"interest": charge(case["borrowed"], case["rate"], case["hours"])}


ADAPTERS = {
    ("binance_freqtrade", "tier_table"): binance_tier_table,
    ("binance_freqtrade", "tier_lookup"): binance_tier_lookup,
    ("binance_freqtrade", "initial_margin"): binance_max_leverage,
    ("binance_freqtrade", "liquidation_price"): binance_liquidation,
    ("binance_freqtrade", "borrow_interest"): borrow_interest,
}
