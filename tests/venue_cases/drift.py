"""Drift v2, by the unit tests of its program: whole numbers throughout; figures of money become units exactly."""

from __future__ import annotations

from typing import Any

from margincast.riskcore.protocols.drift import (
    BASE,
    PRICE,
    QUOTE,
    WEIGHT,
    StrictPrice,
    scaled_asset_weight,
    size_discount_weight,
    size_premium_weight,
    token_value,
)
from margincast.riskcore.protocols.drift_liquidation import (
    asset_for_liability,
    base_to_cover_shortage,
    largest_share,
    liability_for_asset,
    liability_to_cover_shortage,
    liquidation_fee,
    perp_insurance_fee,
    spot_insurance_fee,
)
from margincast.riskcore.protocols.drift_margin import (
    PerpMarket,
    PerpPosition,
    SpotMarket,
    SpotPosition,
    account_margin,
    perp_margin,
    weighted_profit,
)
from margincast.riskcore.protocols.integers import units

from .cases import Inputs

LIABILITY_COVER = (
    "margin_shortage",
    "asset_weight",
    "asset_liq_multiplier",
    "liability_weight",
    "liability_liq_multiplier",
    "liability_decimals",
    "liability_price",
    "if_fee",
)
BASE_COVER = (
    "margin_shortage",
    "margin_ratio",
    "liquidation_fee",
    "if_liquidation_fee",
    "oracle_price",
    "quote_oracle_price",
)
ASSET_SIDE = ("asset_amount", "asset_liq_multiplier", "asset_decimals", "asset_price")
LIABILITY_SIDE = ("liability_liq_multiplier", "liability_decimals", "liability_price")
PERP_FEE = (
    "margin_shortage",
    "base_asset_amount",
    "margin_ratio",
    "liquidator_fee",
    "oracle_price",
    "quote_price",
    "max_if_fee",
)
SPOT_FEE = (
    "margin_shortage",
    "token_amount",
    "asset_weight",
    "asset_multiplier",
    "liability_weight",
    "liability_multiplier",
    "decimals",
    "price",
    "max_if_fee",
)
FEE_RAMP = ("base_fee", "max_fee", "slots_elapsed", "grace_slots", "increase_per_slot")
SHARE = ("margin_shortage", "margin_freed", "slots_elapsed", "initial_pct", "liquidation_duration")


def named(case: Inputs, names: tuple[str, ...]) -> list[int]:
    return [case[name] for name in names]


def drift_partial(case: Inputs) -> dict[str, Any]:
    if "liability_amount" in case:
        liability = [case["liability_amount"], *named(case, LIABILITY_SIDE)]
        return {"asset_transfer": asset_for_liability(*named(case, ASSET_SIDE), *liability)}
    if "asset_amount" in case:
        return {"liability_transfer": liability_for_asset(*named(case, ASSET_SIDE), *named(case, LIABILITY_SIDE))}
    if "asset_weight" in case:
        return {"liability_transfer": str(liability_to_cover_shortage(*named(case, LIABILITY_COVER)))}
    if "liquidation_duration" in case:
        return {"pct": largest_share(*named(case, SHARE))}
    return {"base_asset_amount": base_to_cover_shortage(*named(case, BASE_COVER))}


def drift_fee(case: Inputs) -> dict[str, Any]:
    if "slots_elapsed" in case:
        return {"fee": liquidation_fee(*named(case, FEE_RAMP))}
    if "token_amount" in case:
        return {"fee": spot_insurance_fee(*named(case, SPOT_FEE))}
    return {"fee": perp_insurance_fee(*named(case, PERP_FEE))}


def drift_weight(case: Inputs) -> dict[str, Any]:
    """Of a deposit or of a debt, as the rule of the case says."""
    if "scale_start_usd" in case:
        deposits, price = units(case["total_deposits"], BASE, "total_deposits"), units(case["price"], PRICE, "price")
        start = units(case["scale_start_usd"], QUOTE, "scale_start_usd")
        return {"weight": scaled_asset_weight(case["weight"], token_value(deposits, 9, price), start)}
    weigh = size_premium_weight if case.rule.startswith("liability") else size_discount_weight
    return {"weight": weigh(case["size_1e9"], case["imf_factor"], case["weight"])}


def drift_account(case: Inputs) -> dict[str, Any]:
    asset, liability = (units(case[f"init_{side}_weight"], WEIGHT, side) for side in ("asset", "liability"))
    sol = SpotMarket(9, asset, asset, liability, liability)
    price, size = units(case["price"], PRICE, "price"), units(case["order_size"], BASE, "order_size")
    orders = {"open_bids": size} if case["order_side"] == "bid" else {"open_asks": -size}
    held, quote = units(case.get("sol_deposit", 0), BASE, "sol"), units(case.get("usdc_deposit", 0), QUOTE, "usdc")
    balances = [
        SpotPosition(SpotMarket(6), StrictPrice(PRICE), quote, is_quote=True),
        SpotPosition(sol, StrictPrice(price), held, open_orders=1, **orders),
    ]
    margin = account_margin(balances, [], "initial")
    return {"margin_requirement": margin.margin_requirement, "total_collateral": margin.total_collateral}


def drift_prediction(case: Inputs) -> dict[str, Any]:
    ratio = units(case["margin_ratio"], WEIGHT, "margin_ratio")
    weight = units(case["upnl_weight"], WEIGHT, "upnl_weight")
    market = PerpMarket(ratio, ratio, maintenance_profit_weight=weight, prediction=True)
    price, base = units(case["price"], PRICE, "price"), units(case["base"], BASE, "base")
    position = PerpPosition(market, price, StrictPrice(PRICE), base, units(case["quote"], QUOTE, "quote"))
    return {
        "margin_requirement": perp_margin(position, "maintenance").margin_requirement,
        "weighted_upnl": weighted_profit(position, "maintenance"),
    }


ADAPTERS = {
    ("drift_v2", "partial_liquidation"): drift_partial,
    ("drift_v2", "liquidation_fee"): drift_fee,
    ("drift_v2", "collateral_haircut"): drift_weight,
    ("drift_v2", "cross_health"): drift_account,
    ("drift_v2", "margin"): drift_prediction,
}
