"""Hyperliquid: recorded replies and documentation."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from typing import Any

from margincast.riskcore.account_summary import summarise
from margincast.riskcore.liquidation_price import cross_liquidation_price
from margincast.riskcore.rulebook import RuleBook
from margincast.riskcore.rulebook_file import load_rulebook
from margincast.riskcore.tier_tables import schedule_from_leverage
from margincast.riskcore.venue_replies import mark_of_notional, wallet_balance

from .cases import Inputs, Leg, Pool, flat, pool

RULES_2023 = load_rulebook("hyperliquid", dt.date(2023, 6, 1))
RULES_2024 = load_rulebook("hyperliquid", dt.date(2024, 10, 1))


def hyperliquid_leg(position: Inputs) -> Leg:
    """A position of a reply; one without an entry price is taken as opened at its mark."""
    size, leverage = position["size"], position.get("leverage", math.nan)
    mark = position["mark"] if "mark" in position else float(mark_of_notional(position["notional"], size))
    if "max_leverage" in position:
        schedule = schedule_from_leverage([0.0], [position["max_leverage"]])
    else:
        schedule = RULES_2023.schedule_of(position["coin"])
    return Leg(size, position.get("entry", mark), mark, schedule, leverage)


def hyperliquid_pool(legs: Sequence[Leg], cash: float) -> Pool:
    return pool(legs, wallet_balance(cash, [leg.quantity for leg in legs], [leg.entry for leg in legs]))


def hyperliquid_account(case: Inputs) -> dict[str, Any]:
    summary = summarise(*hyperliquid_pool([hyperliquid_leg(p) for p in case.each("positions")], case["raw_usd"]))
    return {
        "account_value": summary.equity[0],
        "total_ntl": summary.notional[0],
        "margin_used": summary.initial[0],
        "withdrawable": summary.available[0],
        "cross_maintenance_margin": summary.maintenance[0],
    }


def hyperliquid_margin_used(case: Inputs) -> dict[str, Any]:
    if "size" in case:
        return {"margin_used": pool([hyperliquid_leg(case)], 0.0).state().leg_initial[0]}
    notional, leverage = case["notional"], case["leverage"]
    leg = Leg(1.0, notional, notional, flat(0.01, leverage=leverage), leverage)
    return {"margin_used": pool([leg], 0.0).state().leg_initial[0]}


def hyperliquid_profit(case: Inputs) -> dict[str, Any]:
    return {"unrealized_pnl": pool([hyperliquid_leg(case)], 0.0).state().leg_profit[0]}


def hyperliquid_liquidation(rules: RuleBook) -> Callable[[Inputs], dict[str, Any]]:
    def adapter(case: Inputs) -> dict[str, Any]:
        if "raw_usd" in case:
            isolated = hyperliquid_pool([hyperliquid_leg(case)], case["raw_usd"])
            return {"liquidation_price": isolated.prices()[0], "margin_used": isolated.state().equity[0]}
        leg, account = hyperliquid_leg(case), (case["account_value"], case["maintenance_margin"])
        rate = leg.schedule.rates[0]
        price = cross_liquidation_price(leg.mark, leg.quantity, *account, rate, rules.maintenance_at)
        return {"liquidation_price": float(price)}

    return adapter


def hyperliquid_tier_table(case: Inputs) -> dict[str, Any]:
    schedule = schedule_from_leverage(case["floors"], case["max_leverage"])
    return {"rates": schedule.rates.tolist(), "deductions": schedule.deductions.tolist()}


ADAPTERS = {
    ("hyperliquid_cassette", "account"): hyperliquid_account,
    ("hyperliquid_cassette", "initial_margin"): hyperliquid_margin_used,
    ("hyperliquid_cassette", "pnl"): hyperliquid_profit,
    ("hyperliquid_cassette", "liquidation_price"): hyperliquid_liquidation(RULES_2023),
    ("hyperliquid_ccxt", "account"): hyperliquid_account,
    ("hyperliquid_ccxt", "initial_margin"): hyperliquid_margin_used,
    ("hyperliquid_ccxt", "pnl"): hyperliquid_profit,
    ("hyperliquid_ccxt", "liquidation_price"): hyperliquid_liquidation(RULES_2024),
    ("hyperliquid_documentation", "tier_table"): hyperliquid_tier_table,
    ("hyperliquid_documentation", "liquidation_price"): hyperliquid_liquidation(RULES_2024),
}
