"""Figures published elsewhere, recomputed on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..models.reflection import touch_probability
from ..riskcore.instruments import InstrumentTable
from ..riskcore.liquidation_price import cross_liquidation_price, liquidation_price
from ..riskcore.market import MarketState
from ..riskcore.records import book_from_records
from ..riskcore.rulebook import RateSchedule, RuleBook
from ..riskcore.rulebook_file import load_rulebook
from .coverage_tests import kupiec
from .margin_backtest import var_table_check


@dataclass(frozen=True)
class Finding:
    """One published figure and ours."""

    what: str
    source: str
    published: float
    ours: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether ours is within the tolerance of the published figure."""
        return abs(self.ours - self.published) <= self.tolerance


def run_selfcheck(shared: Path | None = None) -> list[Finding]:
    """Recompute venue examples and textbook values; with a folder that holds var_tables, published back-tests too."""
    findings = [_binance_cross(), _binance_deduction(), _hyperliquid_cross(), _reflection(), _kupiec()]
    return findings + (_var_tables(shared) if shared else [])


FAQ = "Binance support, liquidation price of USD-M futures, worked example (also quoted in freqtrade's tests)"


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


def _reflection() -> Finding:
    ours = float(touch_probability(np.array(1.6448536269514722)))
    return Finding("touching 1.645 standard deviations", "normal tables: twice 5%", 0.1, ours, 1e-12)


def _kupiec() -> Finding:
    first = next(x for x in range(3, 20) if kupiec(x, 255, 0.01).p_value < 0.05)
    return Finding("violations in 255 days that reject 1% at 5%", "Kupiec (1995), table", 7.0, float(first), 0.0)


def _var_tables(shared: Path) -> list[Finding]:
    folder = shared / "var_tables" if (shared / "var_tables").is_dir() else shared
    source = "QuantLet/Conformal_Oracle, published one-day 1% VaR results"
    rows = var_table_check(folder)
    return [
        Finding(f"rows of {method} that agree: counts, shift, p-value, score", source, len(mine), sum(mine), 0.0)
        for method in sorted({row.method for row in rows})
        if (mine := [row.agrees for row in rows if row.method == method])
    ]


def _one_tier(rate: float, deduction: float) -> RateSchedule:
    return RateSchedule(np.zeros(1), np.array([rate]), np.array([deduction]), np.array([20.0]))
