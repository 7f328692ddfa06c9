"""Risk arrays against QuantLib, the kernel against its twin, charges by hand, and what is refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from portfolio_setups import GRID, NOW, SHOCK, black, margin_of, market, random_book, rule_of

from margincast.riskcore.errors import InputError
from margincast.riskcore.options.black76 import value as black76_value
from margincast.riskcore.options.option_table import OptionTable
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
    contracts_of_options,
)
from margincast.riskcore.portfolio.exposures import exposures, leg_exposures, unit_rows
from margincast.riskcore.portfolio.portfolio_rule import (
    CORRELATION,
    MEASURES,
    OFFSET,
    Charges,
    CorrelationTable,
    OffsetGroup,
    PortfolioRule,
    UnitRule,
)
from margincast.riskcore.portfolio.risk_arrays import reprice, risk_arrays
from margincast.riskcore.portfolio.scenario_grid import DOWN, SAME, UP, ScenarioGrid
from margincast.riskcore.portfolio.scenario_margin import scenario_margin, unit_losses
from margincast.riskcore.portfolio.scenario_plain import plain_scenario_profit
from margincast.riskcore.portfolio.scenario_prices import scenario_values
from margincast.riskcore.portfolio.volatility_rule import VolatilityPoints


@pytest.mark.parametrize("threads", [1, 2])
def test_the_kernel_is_its_plain_twin_bit_for_bit(threads: int) -> None:
    rng = np.random.default_rng(3)
    book, rule = random_book(3, pools=60), rule_of()
    arrays = risk_arrays(*market(), rule)
    noise = rng.standard_normal(arrays.profit.shape) * 10.0 ** rng.integers(-6, 6, arrays.profit.shape)
    arrays = replace(arrays, profit=noise)
    found = unit_losses(book, arrays, threads=threads)
    rows = found.rows
    plain = plain_scenario_profit(rows.pointer, book.contract[rows.entry], book.quantity[rows.entry], arrays.profit)
    np.testing.assert_array_equal(found.profit, plain)


def test_option_arrays_are_blacks_of_the_shocked_market() -> None:
    rng = np.random.default_rng(5)
    n = 60
    days, right = rng.integers(2, 400, n), rng.choice([-1, 1], n)
    strike, volatility = rng.uniform(60, 160, n).round(), rng.uniform(0.2, 1.5, n)
    table = contract_table([f"O{i}" for i in range(n)], ["X"] * n, OPTION, units=["X"], strike=strike, right=right,
                           expiry=NOW + days * np.timedelta64(1, "D"), multiplier=2.0)  # fmt: skip
    rule = rule_of(UnitRule(GRID, SHOCK, horizon_days=1.0))
    arrays = risk_arrays(table, contract_prices(NOW, np.full(n, 100.0), volatility=volatility, discount=0.98), rule)
    for i in range(n):
        held = black(100.0, strike[i], int(days[i]), volatility[i], right[i])
        for s in range(len(GRID)):
            reach = (30.0 / max(days[i], 1)) ** (0.3 if days[i] <= 30 else 0.13)
            factor = {UP: 1 + 0.45 * reach, SAME: 1.0, DOWN: max(1 - 0.3 * reach, 0.0)}[int(GRID.volatility[s])]
            moved = 100.0 * (1 + GRID.move[s])
            then = black(moved, strike[i], int(days[i]) - 1, volatility[i] * factor, right[i])
            expected = 2.0 * 0.98 * GRID.weight[s] * (then - held)
            assert arrays.profit[i, s] == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_scenario_values_are_black_76() -> None:
    rng = np.random.default_rng(2)
    n = 200
    forward = 100.0 * np.exp(rng.normal(0, 0.5, (n, 7)))
    strike, years = rng.uniform(50, 200, n), rng.choice([0.0, 0.01, 1.0], n)
    volatility, way = np.where(rng.random((n, 3)) < 0.1, 0.0, rng.uniform(0.05, 2, (n, 3))), rng.integers(0, 3, 7)
    right, discount = rng.choice([-1, 1], n), rng.uniform(0.9, 1, n)
    found = scenario_values(forward, strike, years, volatility, way, right, discount)
    exact = black76_value(forward, *(c[:, None] for c in (strike, years)), volatility[:, way],
                          right[:, None], discount[:, None])  # fmt: skip
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12 * 100)


def test_linear_inverse_quanto_and_spot_contracts_by_hand() -> None:
    """A move of +10% at 50,000: inverse and quanto pay in coin, which is worth 10% more or not."""
    for follows, coin_after in (((), 50_000.0), ((("BTC", "BTC"),), 55_000.0)):
        table = contract_table(
            ["linear", "inverse", "quanto", "spot", "inverse call"],
            ["BTC", "BTC", "ETH", "BTC", "BTC"],
            [LINEAR, INVERSE, LINEAR, SPOT, INVERSE_OPTION],
            units=["BTC", "ETH"],
            multiplier=[0.01, 100.0, 0.0001, 1.0, 1.0],
            settlement=["USD", "BTC", "BTC", "USD", "BTC"],
            strike=[np.nan] * 4 + [1.0],
            right=[0, 0, 0, 0, 1],
            expiry=["NaT"] * 4 + ["2024-01-02"],
            assets=("USD", "BTC"),
            follows=follows,
        )
        unit = UnitRule(ScenarioGrid.product([0.1], SAME), SHOCK)
        prices = contract_prices(NOW, [50_000.0, 50_000.0, 2_000.0, 50_000.0, 50_000.0], [1.0, 50_000.0], 0.1)
        found = risk_arrays(table, prices, rule_of(unit)).profit[:, 0]
        inverse = 100.0 * (1 / 50_000 - 1 / 55_000) * coin_after
        quanto = 0.0001 * 200 * 50_000.0  # ETH moves, the coin it pays does not
        deep = (1 - 1 / 55_000) * coin_after - (1 - 1 / 50_000) * 50_000.0
        np.testing.assert_allclose(found, [0.01 * 5_000, inverse, quanto, 5_000.0, deep], rtol=1e-12, atol=1e-9)


def test_repricing_one_unit_is_pricing_anew() -> None:
    table, prices = market()
    rule = rule_of()
    moved = replace(prices, price=np.where(table.unit == 1, prices.price * 1.07, prices.price))
    again, fresh = reprice(risk_arrays(table, prices, rule), moved, ["ETH"]), risk_arrays(table, moved, rule)
    for name in ("profit", "value", "notional", "delta"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fresh, name))


def test_delta_is_the_slope_of_the_risk_array() -> None:
    table, prices = market()
    small = 1e-5
    rule = rule_of(UnitRule(ScenarioGrid.product([-small, small], SAME), SHOCK))
    arrays = risk_arrays(table, prices, rule)
    slope = (arrays.profit[:, 1] - arrays.profit[:, 0]) / (2 * small)
    np.testing.assert_allclose(arrays.delta, slope, rtol=1e-6, atol=1e-4)


def test_charges_by_hand() -> None:
    """One unit, one strike: 3 calls short against 1 put long, a second strike long; futures offset each other."""
    symbols, n = ["C100", "P100", "C110", "PERP", "JUN", "SPOT"], 6
    table = contract_table(
        symbols,
        ["X"] * n,
        [OPTION, OPTION, OPTION, LINEAR, LINEAR, SPOT],
        units=["X"],
        multiplier=[2.0, 2.0, 2.0, 1.0, 1.0, 1.0],
        strike=[100.0, 100.0, 110.0, np.nan, np.nan, np.nan],
        right=[1, -1, 1, 0, 0, 0],
        expiry=["2024-03-01"] * 3 + ["NaT", "2024-06-01", "NaT"],
    )
    prices = contract_prices(NOW, np.full(n, 100.0), volatility=[0.5, 0.5, 0.5, np.nan, np.nan, np.nan])
    book = PositionBook([0, n], np.arange(n), [-3.0, 1.0, 5.0, 4.0, -6.0, 1.0])
    netted, apart = 2 * 2 * 100.0, 3 * 2 * 100.0
    for nets, short in ((True, netted), (False, apart)):
        arrays = risk_arrays(table, prices, rule_of(UnitRule(GRID, SHOCK, net_rights=nets)))
        rows = unit_rows(book, table)
        found = dict(zip(MEASURES, exposures(leg_exposures(book, arrays, rows), rows)[0], strict=True))
        deltas = book.quantity * arrays.delta
        option_delta = deltas[:3].sum()
        expected = {
            "short_option": short,
            "short_option_amount": short / 100.0,
            "delta": abs(option_delta - 100.0),
            "perpetual": 400.0,
            "future": 600.0,
            "offset": 500.0,
            "option": 9 * 2 * 100.0,
            "contract": 20.0,
            "option_contract": 9.0,
            "hedged": min(deltas[deltas > 0].sum(), -deltas[deltas < 0].sum()),
        }
        assert found == pytest.approx(expected, rel=1e-12)


def test_an_option_table_is_margined_as_its_contracts() -> None:
    expiry = np.array(["2024-02-01", "2024-03-01"], "datetime64[ns]")
    options = OptionTable(("C", "P"), ("BTC", "ETH"), expiry, [60_000.0, 3_000.0], [1, -1], [1.0, 10.0])
    table = contract_table(["C", "P"], ["BTC", "ETH"], OPTION, units=["BTC", "ETH"], multiplier=[1.0, 10.0],
                           strike=[60_000.0, 3_000.0], right=[1, -1], expiry=expiry)  # fmt: skip
    prices = contract_prices(NOW, [61_000.0, 2_900.0], volatility=0.6)
    same = [risk_arrays(one, prices, rule_of()).profit for one in (contracts_of_options(options), table)]
    np.testing.assert_array_equal(*same)


def option_market(**change: Any) -> tuple[ContractTable, Any]:
    given: dict[str, Any] = {"expiry": "2024-02-01", "volatility": 0.5, "price": 100.0, "underlying": "BTC"} | change
    units = ["X" if given["underlying"] == "X" else "BTC"]
    table = contract_table(
        ["O"], [given["underlying"]], OPTION, units=units, strike=100.0, right=1, expiry=given["expiry"]
    )
    return table, contract_prices(NOW, [given["price"]], volatility=given["volatility"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"volatility": np.nan}, "row 0, column volatility: an option needs an implied volatility"),
        ({"expiry": "2023-12-31"}, "row 0, column expiry: option O has expired"),
        ({"price": np.nan}, "row 0, column price: must be a positive number"),
        ({"price": -1.0}, "row 0, column price: must be a positive number"),
        ({"underlying": "X"}, "column unit: the test rule does not know it; known are BTC"),
        ({"underlying": "Y"}, "row 0, column underlying: unknown underlying"),
    ],
)
def test_what_cannot_be_priced_is_one_error(change: dict[str, Any], told: str) -> None:
    rule = PortfolioRule("test", dt.date(2024, 1, 1), {"BTC": UnitRule(GRID, SHOCK)})
    with pytest.raises(InputError) as error:
        table, prices = option_market(**change)
        risk_arrays(table, prices, rule)
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: ScenarioGrid([], [], []), "a grid needs at least one scenario"),
        (lambda: Charges(delta=-0.1), "column delta: must not be negative"),
        (lambda: VolatilityPoints(-0.1, 0.1), "column up: must not be negative"),
        (lambda: UnitRule(GRID, SHOCK, horizon_days=-1), "column horizon_days: must not be negative"),
        (lambda: OffsetGroup(("BTC",), 0.5), "column units: needs two or more"),
        (lambda: OffsetGroup(("BTC", "ETH"), 1.5), "column share: must be in"),
        (lambda: CorrelationTable(("A", "B"), [[1, 0.5], [0.4, 1]]), "must be symmetric"),
        (lambda: CorrelationTable(("A", "B"), [[1, 1.5], [1.5, 1]]), r"must be in \[-1, 1\]"),
        (lambda: CorrelationTable(("A", "B"), [[0.9, 0.5], [0.5, 1]]), "must be 1 on the diagonal"),
        (
            lambda: CorrelationTable(tuple("ABC"), [[1, -0.9, -0.9], [-0.9, 1, -0.9], [-0.9, -0.9, 1]]),
            "positive semi-definite",
        ),
        (lambda: CorrelationTable(("A",), [[1, 0], [0, 1]]), "expected one row and column a unit"),
        (lambda: rule_of(netting="max"), 'must be "sum", "correlation" or "offset"'),
        (lambda: rule_of(netting=CORRELATION), "go together"),
        (lambda: rule_of(offsets=(OffsetGroup(("BTC", "ETH"), 0.5),)), "go together"),
        (lambda: rule_of(netting=OFFSET, offsets=[OffsetGroup(("A", "B"), 0.5)] * 2), "is in two offset groups"),
        (lambda: rule_of(initial_factor=0.0), "column initial_factor: must be positive"),
        (lambda: rule_of(pool_minimum=-1.0), "column pool_minimum: must not be negative"),
        (lambda: PortfolioRule("test", dt.date(2024, 1, 1), {}), "column units: needs the rule"),
        (lambda: PositionBook([0, 1], [0], [np.nan]), "row 0, column quantity: must be a finite number"),
        (lambda: PositionBook([0, 2], [0], [1.0]), "is not a CSR pointer"),
        (lambda: margin_of(PositionBook([0, 1], [99], [1.0]), rule_of()), "row 0, column contract: is not one of 24"),
        (lambda: contract_table(["A", "A"], ["X", "X"], LINEAR, units=["X"]), "row 1, column symbols: is listed twice"),
        (lambda: contract_table(["A"], ["X"], 9, units=["X"]), "row 0, column kind: is not a kind of contract"),
        (lambda: contract_table(["A"], ["X"], LINEAR, units=["X"], multiplier=0.0), "column multiplier: must be pos"),
        (lambda: contract_table(["A"], ["X"], OPTION, units=["X"], right=1), "an option needs a positive strike"),
        (lambda: contract_table(["A"], ["X"], OPTION, units=["X"], strike=1.0), "is a CALL"),
        (lambda: contract_table(["A"], ["X"], OPTION, units=["X"], strike=1.0, right=1), "an option needs an expiry"),
        (lambda: contract_table(["A"], ["X"], LINEAR, units=["X"], multiplier=[1.0, 2.0]), "has shape"),
    ],
)
def test_bad_rules_and_books_are_one_error(make: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()


def test_arrays_of_another_grid_are_refused() -> None:
    arrays = risk_arrays(*market(), rule_of())
    with pytest.raises(InputError, match="under other scenarios"):
        scenario_margin(random_book(0), arrays, rule_of(UnitRule(ScenarioGrid.product([0.1], UP), SHOCK)))


def test_a_contract_that_was_not_priced_is_refused() -> None:
    table, prices = market()
    arrays = risk_arrays(table, prices, rule_of(), held=np.array([0, 1]))
    assert margin_of(PositionBook([0, 1], [1], [1.0]), rule_of())[0].maintenance[0] > 0
    with pytest.raises(InputError, match="was not priced in the risk arrays .found 'C2'"):
        scenario_margin(PositionBook([0, 1], [2], [1.0]), arrays, rule_of())
