"""Replies and documentation of other exchanges: OKX, Bitget, Bybit, and the examples of nautilus."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from margincast.riskcore.account_summary import summarise
from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.instruments import INVERSE, InstrumentTable
from margincast.riskcore.liquidation_price import cross_liquidation_price
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RuleBook
from margincast.riskcore.tier_tables import next_deduction
from margincast.riskcore.venue_replies import equity_of_ratio

from .binance import binance_liquidation, binance_tier_lookup
from .cases import NOW, Inputs, Leg, Unsupported, flat, pool


def nautilus_margin(case: Inputs) -> dict[str, Any]:
    if case["model"] != "standard":
        raise Unsupported(f"margin model {case['model']}")
    leg = Leg(case["quantity"], case["price"], case["price"], flat(case["margin_rate"]))
    return {"margin": pool([leg], 0.0, multiplier=case["multiplier"]).state().leg_maintenance[0]}


def nautilus_liquidation(case: Inputs) -> dict[str, Any]:
    """The isolated margin of the reply is equity at the mark, so the position is taken as opened there."""
    leg = Leg(
        case.signed("quantity"), case["mark_price"], case["mark_price"], flat(case["mmr"], case["maintenance_amount"])
    )
    return {"liquidation_price": pool([leg], case["isolated_margin"]).prices()[0]}


def docs_deduction(case: Inputs) -> dict[str, Any]:
    return {"cum": next_deduction(case["floor"], case["mmr"], case["prev_mmr"], case["prev_cum"])}


def docs_profit(case: Inputs) -> dict[str, Any]:
    leg = Leg(case.signed("qty"), case["entry"], case["mark"], flat(0.01))
    return {"upnl": pool([leg], 0.0).state().leg_profit[0]}


def docs_inverse_initial(case: Inputs) -> dict[str, Any]:
    leg = Leg(case["contracts"], case["entry"], case["entry"], flat(0.01, leverage=case["leverage"]), case["leverage"])
    state = pool([leg], 0.0, INVERSE).state()
    return {"position_value": state.leg_notional[0], "initial_margin": state.leg_initial[0]}


def okx_leg(case: Inputs) -> Leg:
    """A reply with a notional but no size: one contract worth that much."""
    notional, leverage = case["notional_usd"], case["leverage"]
    return Leg(1.0, notional, notional, flat(case["mmr"], leverage=leverage), leverage)


def okx_margin(case: Inputs) -> dict[str, Any]:
    state = pool([okx_leg(case)], case["adjusted_equity"]).state()
    return {"imr": state.leg_initial[0], "mmr": state.leg_maintenance[0]}


def okx_ratio(case: Inputs) -> dict[str, Any]:
    account = pool([okx_leg(case)], case["adjusted_equity"], closing_fee=case["taker_fee"])
    return {"margin_ratio": summarise(*account).coverage[0]}


def okx_inverse_maintenance(case: Inputs) -> dict[str, Any]:
    leg = Leg(case.signed("contracts"), case["avg_price"], case["mark_implied_by_upl"], flat(case["mmr"]))
    return {"mm": pool([leg], 0.0, INVERSE, case["contract_value_usd"]).state().leg_maintenance[0]}


def okx_discount(case: Inputs) -> dict[str, Any]:
    haircut = HaircutSchedule(np.zeros(1), np.array([case["discount"]]))
    table = InstrumentTable.linear_perpetuals([], base="USD", collateral=["held"])
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 1], [1], [case["eq"]], [0, 0], [], [], [], [])  # type: ignore[arg-type]
    rules = RuleBook("case", dt.date(2024, 1, 1), {}, {"held": haircut})
    return {"dis_eq": evaluate(book, MarketState(NOW, [], [1.0, case["coin_usd_price"]]), rules).equity[0]}  # type: ignore[arg-type]


def bitget_leg(case: Inputs, mark: str = "mark") -> Leg:
    return Leg(
        case.signed("size"), case["entry"], case[mark], flat(case["mmr"], leverage=case["leverage"]), case["leverage"]
    )


def bitget_profit(case: Inputs) -> dict[str, Any]:
    return {"upnl": pool([bitget_leg(case)], 0.0).state().leg_profit[0]}


def bitget_margin(case: Inputs) -> dict[str, Any]:
    return {"margin": pool([bitget_leg(case, "entry")], 0.0).state().leg_initial[0]}


def bitget_liquidation(case: Inputs) -> dict[str, Any]:
    leg = bitget_leg(case)
    maintenance = pool([leg], 0.0, closing_fee=case["taker_fee"]).state().maintenance[0]
    equity = equity_of_ratio(maintenance, case["margin_ratio"])
    price = cross_liquidation_price(leg.mark, leg.quantity, equity, maintenance, case["mmr"], "mark")
    return {"liquidation_price": float(price)}


ADAPTERS = {
    ("nautilus_margin", "initial_margin"): nautilus_margin,
    ("nautilus_margin", "liquidation_price"): nautilus_liquidation,
    ("exchange_docs", "tier_table"): docs_deduction,
    ("exchange_docs", "pnl"): docs_profit,
    ("exchange_docs", "initial_margin"): docs_inverse_initial,
    ("okx_bitget_recorded", "margin"): okx_margin,
    ("okx_bitget_recorded", "margin_ratio"): okx_ratio,
    ("okx_bitget_recorded", "maintenance_margin"): okx_inverse_maintenance,
    ("okx_bitget_recorded", "collateral_haircut"): okx_discount,
    ("okx_bitget_recorded", "initial_margin"): bitget_margin,
    ("okx_bitget_recorded", "pnl"): bitget_profit,
    ("okx_bitget_recorded", "liquidation_price"): bitget_liquidation,
    ("binance_documentation", "deduction"): docs_deduction,
    ("binance_documentation", "tier_lookup"): binance_tier_lookup,
    ("binance_documentation", "liquidation_price"): binance_liquidation,
    ("binance_documentation", "pnl"): docs_profit,
    ("bybit_documentation", "initial_margin"): docs_inverse_initial,
}
