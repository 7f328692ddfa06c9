"""dYdX v4, by the unit tests of its chain: whole quantums throughout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from margincast.riskcore.errors import InputError
from margincast.riskcore.protocols.dydx import LiquidityTier, Perpetual, Risk, settlement_ppm
from margincast.riskcore.protocols.dydx_accounts import Position, Subaccount
from margincast.riskcore.protocols.dydx_liquidation import (
    LiquidationConfig,
    bankruptcy_value,
    fill_value,
    fillable_price,
    insurance_delta,
    notional_limits,
)

from .cases import Inputs

CONVERSION_EXPONENT = -8
"""Of the bitcoin pair the tests trade; the cases leave it out."""


def tier(case: Inputs) -> LiquidityTier:
    fraction = case.get("maintenance_fraction_ppm", 0)
    return LiquidityTier(case["initial_margin_ppm"], fraction, case.get("oi_lower_cap", 0), case.get("oi_upper_cap", 0))


def perpetual(case: Inputs) -> Perpetual:
    return Perpetual(
        case["price"],
        case["price_exponent"],
        case["atomic_resolution"],
        tier(case),
        case.get("open_interest_quantums", 0),
        case.get("funding_index_now", 0),
    )


def markets(case: Inputs) -> dict[int, Perpetual]:
    """Markets of a case, given by themselves or with each position."""
    if "perpetuals" in case:
        return {int(key): perpetual(Inputs(values)) for key, values in case["perpetuals"].items()}
    return {entry["perpetual_id"]: perpetual(entry) for entry in case.each("positions")}


def account(case: Inputs) -> Subaccount:
    held = [
        Position(entry["perpetual_id"], entry["quantums"], entry.get("funding_index_at_last_settlement", 0))
        for entry in case.each("positions")
    ]
    return Subaccount(case["quote_balance"], tuple(held), chosen(case))


def trades(case: Inputs) -> dict[int, int]:
    """Sizes that change; a perpetual named twice is refused, as it is in an account."""
    updates = case.each("updates") if "updates" in case else []
    book = Subaccount(0, tuple(Position(entry["perpetual_id"], entry["delta"]) for entry in updates))
    return {held.perpetual: held.quantums for held in book.positions}


def chosen(case: Inputs) -> int:
    """Initial margin fraction the user chose; the protocol says `custom_imf_ppm`."""
    return next((case[name] for name in ("user_margin_ppm", "custom_imf_ppm", "user_imf_ppm") if name in case), 0)


def config(case: Inputs) -> LiquidationConfig:
    known = LiquidationConfig.__dataclass_fields__
    return LiquidationConfig(**{name: value for name, value in case.items() if name in known})


def refusable(adapter: Callable[[Inputs], dict[str, Any]]) -> Callable[[Inputs], dict[str, Any]]:
    """What the venue answers with an error, riskcore refuses as bad input."""

    def answer(case: Inputs) -> dict[str, Any]:
        try:
            return adapter(case)
        except InputError:
            return {"outcome": "error"}

    return answer


def dydx_trigger(case: Inputs) -> dict[str, Any]:
    return {"is_liquidatable": account(case).risk(markets(case)).is_liquidatable}


def dydx_bankruptcy(case: Inputs) -> dict[str, Any]:
    closing = (case["perpetual_id"], case["delta_quantums"])
    return {"quote_quantums": bankruptcy_value(account(case), markets(case), *closing)}


def dydx_fillable(case: Inputs) -> dict[str, Any]:
    closing = (case["perpetual_id"], case["delta_quantums"])
    price = fillable_price(account(case), markets(case), *closing, config(case))
    return {"num": price.numerator, "den": price.denominator, "value": float(price)}


def dydx_insurance(case: Inputs) -> dict[str, Any]:
    quantums = case["fill_amount"]
    quote = fill_value(case["subticks"], quantums, case.get("quantum_conversion_exponent", CONVERSION_EXPONENT))
    trade = (case["perpetual_id"], case["is_buy"], quantums, quote)
    delta = insurance_delta(account(case), markets(case), *trade, case["max_liquidation_fee_ppm"])
    return {"insurance_fund_delta": delta}


def dydx_limits(case: Inputs) -> dict[str, Any]:
    least, most = notional_limits(perpetual(case | {"initial_margin_ppm": 0}), case["quantums"], config(case))
    return {"min": least, "max": most}


def dydx_initial(case: Inputs) -> dict[str, Any]:
    interest, schedule = case["open_interest_notional"], tier(case)
    found = {"ppm": schedule.scaled_initial_margin_ppm(interest)}
    if "notional" in case:
        found["im"] = schedule.initial_margin(case["notional"], interest, chosen(case))
    return found


def dydx_maintenance(case: Inputs) -> dict[str, Any]:
    return {"ppm": tier(case).maintenance_margin_ppm}


def dydx_funding(case: Inputs) -> dict[str, Any]:
    return {"ppm": settlement_ppm(case["funding_index"], case["position_index"], case["quantums"])}


def dydx_margin(case: Inputs) -> dict[str, Any]:
    if "positions" not in case:
        risk = perpetual(case).risk(case["quantums"], chosen(case))
    else:
        found = markets(case)
        risk = account(case).after(found, trades(case), case.get("quote_delta", 0)).risk(found)
    return {"nc": risk.net_collateral, "im": risk.initial, "mm": risk.maintenance}


def dydx_order(case: Inputs) -> dict[str, Any]:
    first, second = (Risk(side["nc"], side["mmr"]) for side in (case.of("first"), case.of("second")))
    return {"cmp": first.compare(second)}


ANSWERS = {
    "liquidation_trigger": dydx_trigger,
    "bankruptcy_price": dydx_bankruptcy,
    "liquidation_price": dydx_fillable,
    "insurance_fund": dydx_insurance,
    "partial_liquidation": dydx_limits,
    "initial_margin": dydx_initial,
    "maintenance_margin": dydx_maintenance,
    "funding": dydx_funding,
    "margin": dydx_margin,
    "adl_order": dydx_order,
}
ADAPTERS = {("dydx_v4", kind): refusable(adapter) for kind, adapter in ANSWERS.items()}
