"""What the tests of portfolio margin share: contracts, books, rules and QuantLib; not a test itself."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import QuantLib as ql

from margincast.riskcore.errors import InputError
from margincast.riskcore.portfolio.contracts import (
    INVERSE,
    INVERSE_OPTION,
    LINEAR,
    OPTION,
    SPOT,
    ContractTable,
    PositionBook,
    contract_prices,
    contract_table,
)
from margincast.riskcore.portfolio.portfolio_rule import (
    CORRELATION,
    OFFSET,
    Charges,
    CorrelationTable,
    OffsetGroup,
    PortfolioRule,
    UnitRule,
)
from margincast.riskcore.portfolio.risk_arrays import RiskArrays, risk_arrays
from margincast.riskcore.portfolio.scenario_grid import DOWN, SAME, UP, ScenarioGrid, VolatilityShock
from margincast.riskcore.portfolio.scenario_margin import ScenarioMargin, scenario_margin

CALL, PUT = 1, -1
NOW = np.datetime64("2024-01-01", "ns")
SHOCK = VolatilityShock(0.45, 0.3, 0.3, 0.13)
UNITS = ("BTC", "ETH", "SOL")
GRID = ScenarioGrid(
    np.append(np.repeat([-0.15, -0.05, 0.0, 0.05, 0.15], 3), [-0.6, 1.2]),
    np.append(np.tile([DOWN, SAME, UP], 5), [UP, UP]),
    np.append(np.ones(15), [0.3, 0.3]),
)
CHARGES = Charges(short_option=0.01, delta=0.002, perpetual=0.001, future=0.001, offset=0.003, contract=0.25)
RHO = CorrelationTable(UNITS, np.array([[1.0, 0.8, 0.6], [0.8, 1.0, 0.7], [0.6, 0.7, 1.0]]))


def black(forward: float, strike: float, days: float, volatility: float, right: int) -> float:
    """QuantLib's value of an option, undiscounted."""
    side = ql.Option.Call if right > 0 else ql.Option.Put
    return float(ql.blackFormula(side, strike, forward, volatility * math.sqrt(days / 365.0)))


def book_of(*quantity: float) -> PositionBook:
    """One pool with the given quantity of each contract of a table."""
    return PositionBook([0, len(quantity)], np.arange(len(quantity)), quantity)


def rule_of(unit: UnitRule | None = None, **how: Any) -> PortfolioRule:
    return PortfolioRule("test", dt.date(2024, 1, 1), {}, unit or UnitRule(GRID, SHOCK), **how)


def market(seed: int = 0, n: int = 24) -> tuple[ContractTable, Any]:
    """A few contracts of every kind in three units."""
    rng = np.random.default_rng(seed)
    kind = np.concatenate(([LINEAR] * 5, [INVERSE, SPOT, INVERSE_OPTION], rng.choice([LINEAR, OPTION, OPTION], n - 8)))
    unit = np.concatenate(([0, 1, 2, 0, 1, 0, 1, 0], rng.integers(0, 3, n - 8)))
    level = np.array([60_000.0, 3_000.0, 100.0])[unit]
    option = kind >= OPTION
    settlement = np.where((kind == INVERSE) | (kind == INVERSE_OPTION), "BTC", "USD")
    expiry = np.where(option | (np.arange(n) == 3), NOW + np.timedelta64(30, "D"), np.datetime64("NaT"))
    table = contract_table(
        [f"C{i}" for i in range(n)],
        [UNITS[u] for u in unit],
        kind,
        units=UNITS,
        multiplier=np.where(kind == INVERSE, 100.0, rng.choice([0.1, 1.0, 2.0], n)),
        settlement=settlement.tolist(),
        strike=np.where(option, np.round(level * rng.choice([0.9, 1.0, 1.1], n)), np.nan),
        right=np.where(option, rng.choice([-1, 1], n), 0),
        expiry=expiry,
        assets=("USD", "BTC"),
        follows=[("BTC", "BTC")],
    )
    return table, contract_prices(NOW, level, [1.0, 60_000.0], np.where(option, rng.uniform(0.3, 1.2, n), np.nan))


def random_book(seed: int, pools: int = 4, n: int = 24) -> PositionBook:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 12, pools)
    size = int(counts.sum())
    return PositionBook(np.append(0, np.cumsum(counts)), rng.integers(0, n, size), rng.integers(-9, 10, size) / 2.0)


def margin_of(book: PositionBook, rule: PortfolioRule, seed: int = 0) -> tuple[ScenarioMargin, RiskArrays]:
    arrays = risk_arrays(*market(seed), rule)
    return scenario_margin(book, arrays, rule), arrays


RULES = {
    "sum": rule_of(UnitRule(GRID, SHOCK, CHARGES, Charges(option=0.02, perpetual=0.05))),
    "correlation": rule_of(
        UnitRule(GRID, SHOCK, CHARGES), netting=CORRELATION, correlation=RHO, initial_factor=1.3, pool_minimum=50.0
    ),
    "offset": rule_of(
        UnitRule(GRID, SHOCK, CHARGES, Charges(delta=0.05)),
        netting=OFFSET,
        offsets=(OffsetGroup(("BTC", "ETH"), 0.8),),
        maintenance_factor=0.5,
    ),
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


def by_rule(rule: PortfolioRule, table: ContractTable, prices: Any, *quantity: float) -> ScenarioMargin:
    return scenario_margin(book_of(*quantity), risk_arrays(table, prices, rule), rule)


def check_malformed(path: Path, read: Callable[[Path], Any], folder: Path, old: str, new: str, told: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    bad = folder / "bad.toml"
    bad.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=told) as error:
        read(bad)
    assert "bad.toml" in str(error.value) and "\n" not in str(error.value)
