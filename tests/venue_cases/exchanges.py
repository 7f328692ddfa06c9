"""Replies and documentation of other exchanges: OKX, Bitget, Bybit, and the examples of nautilus."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from margincast.riskcore.account_summary import summarise
from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.basis import carried_forward
from margincast.riskcore.fee_to_close import account_bankruptcy_price, inverse_cross_liquidation_price
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.liquidation_price import cross_liquidation_price
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.portfolio.deribit_charges import (
    offset_contingency,
    short_option_contingency,
    volatility_change,
)
from margincast.riskcore.portfolio.okx_charges import marginal_tier_charge, unit_maintenance, unit_margin
from margincast.riskcore.rate_modifiers import leveraged_rate
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.tier_tables import next_deduction
from margincast.riskcore.unified_margin import StatusBands, UnifiedRules, evaluate_unified
from margincast.riskcore.venue_replies import available_equity, currency_equity, equity_of_ratio, profit_ratio

from .binance import binance_liquidation, binance_tier_lookup
from .cases import NOW, Inputs, Leg, Pool, Unsupported, flat, pool

Adapter = Callable[[Inputs], dict[str, Any]]


def nautilus_margin(case: Inputs) -> dict[str, Any]:
    rate, model = case["margin_rate"], case["model"]
    if model not in ("standard", "leveraged"):
        raise Unsupported(f"margin model {model}")
    rate = leveraged_rate(rate, case["leverage"]) if model == "leveraged" else rate
    leg = Leg(case["quantity"], case["price"], case["price"], flat(rate))
    return {"margin": pool([leg], 0.0, multiplier=case["multiplier"]).state().leg_maintenance[0]}


def bybit_margin(case: Inputs) -> dict[str, Any]:
    """A position of a unified account, opened at its mark; margins with the fee to close."""
    schedule = flat(case["mmr"], case.get("deduction", 0.0), case["leverage"])
    leg = Leg(case.signed("size"), case["mark"], case["mark"], schedule, case["leverage"])
    kind = INVERSE if case.get("inverse") else LINEAR
    book, market, contracts = pool([leg], 0.0, kind, case.get("contract_value", 1.0))
    bands = StatusBands(1.25, None, 1.0)
    rules = UnifiedRules("case", contracts.effective_from, contracts, bands, taker_fee=case["taker_fee"])
    state = evaluate_unified(book, market, rules)
    return {"im": state.contract_initial[0], "mm": state.contract_maintenance[0]}


def nautilus_liquidation(case: Inputs) -> dict[str, Any]:
    """The isolated margin of the reply is equity at the mark, so the position is taken as opened there."""
    leg = Leg(
        case.signed("quantity"), case["mark_price"], case["mark_price"], flat(case["mmr"], case["maintenance_amount"])
    )
    return {"liquidation_price": pool([leg], case["isolated_margin"]).prices()[0]}


def docs_deduction(case: Inputs) -> dict[str, Any]:
    return {"cum": next_deduction(case["floor"], case["mmr"], case["prev_mmr"], case["prev_cum"])}


def docs_size(case: Inputs) -> str:
    """Name of the input that is the size: contracts of an inverse position, or units of the base asset."""
    return next((name for name in ("contracts", "usd", "quantity", "size") if name in case), "qty")


def docs_is_inverse(case: Inputs) -> bool:
    return docs_size(case) in ("contracts", "usd") or "inverse" in case.rule


def docs_profit(case: Inputs) -> dict[str, Any]:
    """Linear, or inverse in contracts of `contract_value`, its profit in coin."""
    leg = Leg(case.signed(docs_size(case)), case["entry"], case["mark"], flat(0.01))
    kind, multiplier = (INVERSE, case.get("contract_value", 1.0)) if docs_is_inverse(case) else (LINEAR, 1.0)
    return {"upnl": pool([leg], 0.0, kind, multiplier).state().leg_profit[0]}


def docs_portfolio(case: Inputs) -> dict[str, Any]:
    for key, adapter in PORTFOLIO_EXAMPLES.items():
        if key in case:
            return adapter(case)
    raise Unsupported(f"inputs {', '.join(case)}")


def okx_units(case: Inputs) -> dict[str, Any]:
    adjusted = marginal_tier_charge(case["mr7_raw"], *np.array(case["tiers"], np.float64).T)
    parts = [case.get(f"mr{k}", 0.0) for k in (1, 2, 3, 4, 5, 6)]
    spot, decay, vega, basis, rate, extreme = parts
    margin = case["mr"] if "mr" in case else unit_margin(spot, decay, vega, basis, rate, extreme)
    return {"mr7_adjusted": adjusted, "mr": margin, "mmr": unit_maintenance(margin, adjusted)}


def deribit_short_options(case: Inputs) -> dict[str, Any]:
    held = case.of("strike_positions")
    charge = short_option_contingency(held.get("call", 0.0), held.get("put", 0.0), case["per_contract_btc"])
    return {"contingency_btc": charge}


def deribit_offset(case: Inputs) -> dict[str, Any]:
    return {"contingency_btc": offset_contingency(case["long_btc"], case["short_btc"], case["rate"])}


def deribit_volatility(case: Inputs) -> dict[str, Any]:
    return {"iv_change": volatility_change(case["days"], case["base"], case["power"])}


def dederi_forward(case: Inputs) -> dict[str, Any]:
    return {"forward": carried_forward(case["index"], case["basis"], case["days"])}


PORTFOLIO_EXAMPLES = {
    "mr7_raw": okx_units,
    "strike_positions": deribit_short_options,
    "long_btc": deribit_offset,
    "power": deribit_volatility,
    "basis": dederi_forward,
}


def docs_liquidation(case: Inputs) -> dict[str, Any]:
    """Bybit's prices, isolated or of an inverse account with its fee; every other documented price is Binance's."""
    balance = next((case[name] for name in ("balance", "account_balance", "wallet_balance") if name in case), None)
    if balance is None and "leverage" in case:
        return docs_isolated(case)
    if not docs_is_inverse(case):
        return binance_liquidation(case)
    size = case.signed(docs_size(case)) if "side" in case else case[docs_size(case)]
    fee, rate = case["taker_fee"], case["mmr"]
    return {
        "bankruptcy_price": account_bankruptcy_price(size, case["entry"], balance, fee),
        "liquidation_price": inverse_cross_liquidation_price(size, case["entry"], balance, rate, fee),
    }


def docs_isolated(case: Inputs) -> dict[str, Any]:
    """Margin is what the position was opened with, maintenance is told at the entry."""
    schedule = flat(case["mmr"], case.get("deduction", 0.0), case["leverage"])
    leg = Leg(case.signed(docs_size(case)), case["entry"], case["entry"], schedule, case["leverage"])
    kind = INVERSE if docs_is_inverse(case) else LINEAR
    opened = pool([leg], 0.0, kind).state()
    return {
        "position_value": opened.leg_notional[0],
        "initial_margin": opened.leg_initial[0],
        "maintenance_margin": opened.leg_maintenance[0],
        "liquidation_price": pool([leg], opened.leg_initial[0], kind, maintenance_at="entry").prices()[0],
    }


def docs_inverse_initial(case: Inputs) -> dict[str, Any]:
    leg = Leg(case["contracts"], case["entry"], case["entry"], flat(0.01, leverage=case["leverage"]), case["leverage"])
    state = pool([leg], 0.0, INVERSE).state()
    return {"position_value": state.leg_notional[0], "initial_margin": state.leg_initial[0]}


def docs_schedule(case: Inputs) -> RateSchedule:
    """A rate for all sizes, or tiers of (cap, rate) or (floor, cap, rate) each of whose parts has its own rate."""
    if "tiers" not in case:
        return flat(case["mmr"], case.get("deduction", 0.0))
    columns = [list(column) for column in zip(*case["tiers"], strict=True)]
    floors = [0.0, *columns[0][:-1]] if len(columns) == 2 else columns[0]
    return RateSchedule.marginal(floors, columns[min(len(columns) - 1, 2)], np.ones(len(floors)))


def docs_maintenance(case: Inputs) -> dict[str, Any]:
    """Of an inverse position in coin, of a linear one in its quote asset, told at its entry or mark."""
    price, inverse = case["mark"] if "mark" in case else case["entry"], docs_is_inverse(case)
    leg = Leg(case[docs_size(case)], price, price, docs_schedule(case))
    kind, multiplier = (INVERSE, case.get("contract_value", 1.0)) if inverse else (LINEAR, 1.0)
    state = pool([leg], 0.0, kind, multiplier).state()
    required = state.leg_maintenance[0]
    return {"position_value": state.leg_notional[0], "maintenance_margin": required, "mm": required}


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


def okx_isolated(case: Inputs) -> Pool:
    """The isolated inverse position of a reply; its margin is the initial margin it was opened with."""
    schedule = flat(case["mmr"], leverage=case["leverage"])
    leg = Leg(case.signed("contracts"), case["avg_price"], case["avg_price"], schedule, case["leverage"])
    opened = pool([leg], 0.0, INVERSE, case["contract_value_usd"]).state()
    marked = leg._replace(mark=case["mark_implied_by_upl"])
    margin = case["margin"] if "margin" in case else opened.leg_initial[0]
    return pool([marked], margin, INVERSE, case["contract_value_usd"], closing_fee=case["taker_fee"])


def okx_inverse_maintenance(case: Inputs) -> dict[str, Any]:
    isolated = okx_isolated(case)
    state = isolated._replace(rules=replace(isolated.rules, closing_fee=0.0)).state()
    return {"mm": state.leg_maintenance[0], "mmr": state.leg_maintenance[0], "imr": state.leg_initial[0]}


def okx_inverse_ratio(case: Inputs) -> dict[str, Any]:
    return {"margin_ratio": summarise(*okx_isolated(case)).coverage[0]}


def okx_inverse_price(case: Inputs) -> dict[str, Any]:
    return {"liquidation_price": okx_isolated(case).prices()[0]}


def okx_inverse_margin(case: Inputs) -> dict[str, Any]:
    return {"margin": okx_isolated(case).book.balance[0]}


def okx_profit(case: Inputs) -> dict[str, Any]:
    isolated = okx_isolated(case)
    profit = isolated.state().leg_profit[0]
    return {"upl": profit, "upl_ratio": profit_ratio(profit, isolated.book.balance[0])}


def okx_account(case: Inputs) -> dict[str, Any]:
    equity = currency_equity(case["cash"], case["upl"], case.get("strategy_equity", 0.0), case.get("liability", 0.0))
    return {"eq": equity, "avail": available_equity(equity, case.get("frozen", 0.0))}


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


def bitget_maintenance(case: Inputs) -> dict[str, Any]:
    return {"mm": pool([bitget_leg(case)], 0.0, closing_fee=case["taker_fee"]).state().maintenance[0]}


def bitget_liquidation(case: Inputs) -> dict[str, Any]:
    leg = bitget_leg(case)
    maintenance = pool([leg], 0.0, closing_fee=case["taker_fee"]).state().maintenance[0]
    equity = equity_of_ratio(maintenance, case["margin_ratio"])
    price = cross_liquidation_price(leg.mark, leg.quantity, equity, maintenance, case["mmr"], "mark")
    return {"liquidation_price": float(price)}


def by_inverse(inverse: Adapter, linear: Adapter) -> Adapter:
    return lambda case: (inverse if case.get("inverse") else linear)(case)


ADAPTERS = {
    ("nautilus_margin", "initial_margin"): nautilus_margin,
    ("nautilus_margin", "maintenance_margin"): nautilus_margin,
    ("nautilus_margin", "margin"): bybit_margin,
    ("nautilus_margin", "liquidation_price"): nautilus_liquidation,
    ("exchange_docs", "tier_table"): docs_deduction,
    ("exchange_docs", "pnl"): docs_profit,
    ("exchange_docs", "initial_margin"): docs_inverse_initial,
    ("exchange_docs", "portfolio_margin"): docs_portfolio,
    ("exchange_docs", "liquidation_price"): docs_liquidation,
    ("exchange_docs", "bankruptcy_price"): docs_liquidation,
    ("exchange_docs", "maintenance_margin"): docs_maintenance,
    ("exchange_docs", "tier_lookup"): binance_tier_lookup,
    ("okx_bitget_recorded", "account"): okx_account,
    ("okx_bitget_recorded", "margin"): by_inverse(okx_inverse_maintenance, okx_margin),
    ("okx_bitget_recorded", "margin_ratio"): by_inverse(okx_inverse_ratio, okx_ratio),
    ("okx_bitget_recorded", "maintenance_margin"): by_inverse(okx_inverse_maintenance, bitget_maintenance),
    ("okx_bitget_recorded", "collateral_haircut"): okx_discount,
    ("okx_bitget_recorded", "initial_margin"): by_inverse(okx_inverse_margin, bitget_margin),
    ("okx_bitget_recorded", "pnl"): by_inverse(okx_profit, bitget_profit),
    ("okx_bitget_recorded", "liquidation_price"): by_inverse(okx_inverse_price, bitget_liquidation),
    ("binance_documentation", "deduction"): docs_deduction,
    ("binance_documentation", "tier_lookup"): binance_tier_lookup,
    ("binance_documentation", "liquidation_price"): binance_liquidation,
    ("binance_documentation", "pnl"): docs_profit,
    ("bybit_documentation", "initial_margin"): docs_inverse_initial,
    ("bybit_documentation", "maintenance_margin"): docs_maintenance,
    ("bybit_documentation", "liquidation_price"): docs_liquidation,
    ("bybit_documentation", "bankruptcy_price"): docs_liquidation,
}
