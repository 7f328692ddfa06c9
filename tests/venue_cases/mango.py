"""Mango v4, by the unit tests of its program: initial health of one account."""

from __future__ import annotations

import math
from typing import Any

from margincast.riskcore.protocols.mango import PerpPositions, PerpTerms, SpotOrders, TokenTable, health

from .cases import Inputs


def table(case: Inputs) -> TokenTable:
    """The tokens all cases share, with the group totals of this one."""
    tokens = case.shared["tokens"]
    price, asset, liability = ([token[name] for token in tokens] for name in ("price", "aw", "lw"))
    banks = [bank or {} for bank in case.get("banks") or [{} for _ in tokens]]
    return TokenTable(
        price,
        asset,
        asset,
        liability,
        liability,
        deposits=[bank.get("deposits", 0.0) for bank in banks],  # type: ignore[arg-type]
        borrows=[bank.get("borrows", 0.0) for bank in banks],  # type: ignore[arg-type]
        deposit_scale_start=[start_of(bank, "dep") for bank in banks],  # type: ignore[arg-type]
        borrow_scale_start=[start_of(bank, "bor") for bank in banks],  # type: ignore[arg-type]
        potential_deposits=[potential(bank) for bank in banks],  # type: ignore[arg-type]
    )


def start_of(bank: dict[str, float], side: str) -> float:
    """Value from which a side is scaled; a bank that names none, or zero, is never scaled."""
    starts = [value for name, value in bank.items() if name.startswith(side) and "start" in name]
    return starts[0] if any(starts) else math.inf


def potential(bank: dict[str, float]) -> float:
    """Tokens in order books that may become deposits."""
    return next((value for name, value in bank.items() if "potential" in name or "serum" in name), 0.0)


def perp(case: Inputs) -> PerpPositions:
    terms = case.shared["perp"]
    base = (terms["base_aw"], terms["base_lw"])
    weights = (*base, *base, terms["overall_aw"], terms["overall_aw"])
    lots, quote, bids, asks = case["perp_base_lots_quote_bids_asks"]
    return PerpPositions(PerpTerms(terms["price"], terms["lot"], *weights, terms["settle"]), lots, quote, bids, asks)


def orders(case: Inputs) -> list[SpotOrders]:
    """Each pair is a token against the first one."""
    reserved = case["open_orders_quote_base"]
    asks = case.get("lowest_ask") or [0.0 for _ in reserved]
    bids = case.get("highest_bid_inv") or [0.0 for _ in reserved]
    return [
        SpotOrders(token, 0, base, quote, ask, bid)
        for token, ((quote, base), ask, bid) in enumerate(zip(reserved, asks, bids, strict=True), start=1)
    ]


def mango_health(case: Inputs) -> dict[str, Any]:
    found = health(case["tokens"], table(case), "init", [perp(case)], orders(case))
    return {"health": found[0]}


ADAPTERS = {("mango_v4", "cross_health"): mango_health}
