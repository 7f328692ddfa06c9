"""Liquidation prices and margins that venues have published, recomputed."""

from __future__ import annotations

import numpy as np

from ..riskcore.instruments import InstrumentTable
from ..riskcore.liquidation_price import cross_liquidation_price, liquidation_price
from ..riskcore.market import MarketState
from ..riskcore.records import book_from_records
from ..riskcore.rulebook import RateSchedule, RuleBook
from ..riskcore.rulebook_file import load_rulebook
from .selfcheck_finding import Finding

FAQ = "Binance support, liquidation price of USD-M futures, worked example (also quoted in freqtrade's tests)"


def venue_findings() -> list[Finding]:
    """Worked examples of Binance, and a recorded reply of Hyperliquid."""
    return [_binance_cross(), _binance_deduction(), _hyperliquid_cross()]


def _binance_cross() -> Finding:
    table = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
    single = {"BTC": _one_tier(0.025, 16_300.0), "ETH": _one_tier(0.1, 135_365.0)}
    rules = RuleBook("example", load_rulebook("binance_usdm").effective_from, single, strict_trigger=False)
    positions = [
        {"symbol": "ETH", "quantity": 3683.979, "entry_price": 1456.84},
        {"symbol": "BTC", "quantity": 109.488, "entry_price": 32481.98},
    ]
    book = book_from_records(
        [{"account": "faq", "balances": {"USDT": 1_535_443.01}, "positions": positions}], table, source="selfcheck"
    )
    market = MarketState(np.datetime64("2021-02-01"), np.array([31967.27, 1335.18]), np.array([1.0]))
    ours = float(liquidation_price(book, market, rules)[0])
    return Finding("liquidation price of a two-leg cross account", FAQ, 1153.26, ours, 0.006)


def _binance_deduction() -> Finding:
    schedule = RateSchedule.marginal([0, 50_000, 250_000], [0.004, 0.005, 0.01], [125, 100, 50])
    source = "Binance support, maintenance amount formula, level 3"
    return Finding("maintenance amount of the third tier", source, 1300.0, float(schedule.deductions[2]), 1e-9)


def _hyperliquid_cross() -> Finding:
    ours = cross_liquidation_price(137.96, -0.5, 11_524.216934, 38.8818, 0.01, "price")
    source = "recorded venue reply, October 2024 (ccxt fixtures)"
    return Finding("cross liquidation price of a short", source, 22_881.19788911, float(ours), 2.3e-4)


def _one_tier(rate: float, deduction: float) -> RateSchedule:
    return RateSchedule(np.zeros(1), np.array([rate]), np.array([deduction]), np.array([20.0]))
