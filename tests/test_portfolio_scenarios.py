"""Scenario margin: risk arrays against QuantLib, the kernel against its twin, and what any margin must do."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.options.black76 import value as black76_value
from margincast.riskcore.options.option_table import OptionTable
from margincast.riskcore.portfolio.attribution import attribute_margin
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
from margincast.riskcore.portfolio.correlation_breakdown import (
    ALL_ONE,
    AS_GIVEN,
    NO_NETTING,
    REVERSED,
    ZERO,
    correlation_breakdown,
)
from margincast.riskcore.portfolio.exposures import exposures, leg_exposures, unit_rows
from margincast.riskcore.portfolio.netting import netted_losses, offset_losses
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
from margincast.riskcore.portfolio.risk_arrays import RiskArrays, reprice, risk_arrays
from margincast.riskcore.portfolio.scenario_grid import DOWN, SAME, UP, ScenarioGrid, VolatilityShock
from margincast.riskcore.portfolio.scenario_margin import ScenarioMargin, scenario_margin, unit_losses
from margincast.riskcore.portfolio.scenario_plain import plain_scenario_profit
from margincast.riskcore.portfolio.scenario_prices import scenario_values
from margincast.riskcore.portfolio.volatility_rule import VolatilityPoints

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


@each_rule
def test_threads_change_no_bit(rule: PortfolioRule) -> None:
    book, arrays = random_book(1, pools=300), risk_arrays(*market(), rule)
    one, two = (scenario_margin(book, arrays, rule, threads=k) for k in (1, 2))
    for name in ("maintenance", "initial", "netted_part", "active"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def quantlib_value(forward: float, strike: float, days: int, volatility: float, right: int) -> float:
    deviation = volatility * math.sqrt(days / 365.0)
    return float(ql.blackFormula(ql.Option.Call if right > 0 else ql.Option.Put, strike, forward, deviation))


def test_option_arrays_are_quantlib_values_of_the_shocked_market() -> None:
    rng = np.random.default_rng(5)
    n = 60
    days, right = rng.integers(2, 400, n), rng.choice([-1, 1], n)
    strike, volatility = rng.uniform(60, 160, n).round(), rng.uniform(0.2, 1.5, n)
    table = contract_table([f"O{i}" for i in range(n)], ["X"] * n, OPTION, units=["X"], strike=strike, right=right,
                           expiry=NOW + days * np.timedelta64(1, "D"), multiplier=2.0)  # fmt: skip
    rule = rule_of(UnitRule(GRID, SHOCK, horizon_days=1.0))
    arrays = risk_arrays(table, contract_prices(NOW, np.full(n, 100.0), volatility=volatility, discount=0.98), rule)
    for i in range(n):
        held = quantlib_value(100.0, strike[i], int(days[i]), volatility[i], right[i])
        for s in range(len(GRID)):
            reach = (30.0 / max(days[i], 1)) ** (0.3 if days[i] <= 30 else 0.13)
            factor = {UP: 1 + 0.45 * reach, SAME: 1.0, DOWN: max(1 - 0.3 * reach, 0.0)}[int(GRID.volatility[s])]
            moved = 100.0 * (1 + GRID.move[s])
            then = quantlib_value(moved, strike[i], int(days[i]) - 1, volatility[i] * factor, right[i])
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


@each_rule
@settings(max_examples=25, deadline=None)
@given(first=st.integers(0, 10**6), second=st.integers(0, 10**6))
def test_margin_of_independent_pools_is_that_of_each(rule: PortfolioRule, first: int, second: int) -> None:
    one, two = random_book(first), random_book(second)
    both = PositionBook(
        np.append(one.pool_pointer, one.pool_pointer[-1] + two.pool_pointer[1:]),
        np.append(one.contract, two.contract),
        np.append(one.quantity, two.quantity),
    )
    arrays = risk_arrays(*market(), rule)
    alone = [scenario_margin(book, arrays, rule).maintenance for book in (one, two)]
    np.testing.assert_array_equal(scenario_margin(both, arrays, rule).maintenance, np.concatenate(alone))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_units_of_a_summed_rule_are_independent(seed: int) -> None:
    """A pool needs the sum of what its units would need as pools of their own."""
    rule, book = RULES["sum"], random_book(seed, pools=1)
    margin, arrays = margin_of(book, rule)
    unit = arrays.contracts.unit[book.contract]
    order = np.argsort(unit, kind="stable")
    apart = PositionBook(
        np.append(0, np.cumsum(np.bincount(unit, minlength=3))), book.contract[order], book.quantity[order]
    )
    assert margin.maintenance[0] == pytest.approx(scenario_margin(apart, arrays, rule).maintenance.sum(), rel=1e-12)


@each_rule
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_margin_scales_with_positions(rule: PortfolioRule, seed: int, scale: float) -> None:
    rule = replace(rule, pool_minimum=0.0)
    book = random_book(seed)
    bigger = replace(book, quantity=scale * book.quantity)
    one, many = margin_of(book, rule)[0], margin_of(bigger, rule)[0]
    np.testing.assert_allclose(many.maintenance, scale * one.maintenance, rtol=1e-9, atol=1e-7)


@each_rule
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_positions_does_not_matter(rule: PortfolioRule, seed: int) -> None:
    book = random_book(seed, pools=1)
    shuffled = np.random.default_rng(seed).permutation(len(book.quantity))
    other = PositionBook(book.pool_pointer, book.contract[shuffled], book.quantity[shuffled])
    one, two = margin_of(book, rule)[0], margin_of(other, rule)[0]
    np.testing.assert_allclose(one.maintenance, two.maintenance, rtol=1e-9, atol=1e-7)


@each_rule
def test_long_and_short_of_one_contract_is_no_risk(rule: PortfolioRule) -> None:
    n = 24
    book = PositionBook(np.arange(n + 1) * 2, np.repeat(np.arange(n), 2), np.tile([3.5, -3.5], n))
    margin, _ = margin_of(book, rule)
    assert (margin.losses.profit == 0).all()
    assert (margin.netted == 0).all()


@each_rule
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_margin_is_never_below_what_is_stated(rule: PortfolioRule, seed: int) -> None:
    book = random_book(seed, pools=6)
    margin, arrays = margin_of(book, rule)
    held = np.diff(book.pool_pointer) > 0
    assert (margin.maintenance[held] >= rule.pool_minimum).all()
    assert (margin.maintenance[~held] == 0).all()
    assert (margin.initial >= margin.maintenance).all()
    measures = exposures(leg_exposures(book, arrays, unit_rows(book, arrays.contracts)), margin.losses.rows)
    unit = rule.unit_rule("BTC")
    least = np.bincount(margin.losses.rows.pool, measures @ unit.minimum.rates, minlength=6)
    added = np.bincount(margin.losses.rows.pool, measures @ unit.contingencies.rates, minlength=6)
    assert (margin.maintenance >= (rule.maintenance_factor * least + added) * (1 - 1e-12)).all()


@each_rule
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_legs_add_up_to_the_requirement(rule: PortfolioRule, seed: int) -> None:
    rule = replace(rule, pool_minimum=float(seed % 3) * 2_000)
    book = random_book(seed, pools=5)
    margin, arrays = margin_of(book, rule)
    legs = attribute_margin(book, arrays, rule, margin)
    total = np.bincount(book.pool_of_entry, legs.share, minlength=5)
    np.testing.assert_allclose(total, margin.maintenance, rtol=1e-9, atol=1e-6)


@each_rule
def test_a_leg_s_share_is_the_slope_of_margin(rule: PortfolioRule) -> None:
    """Euler: where one scenario binds, the share is quantity times the derivative."""
    book = PositionBook([0, 4], [0, 1, 2, 10], [1.0, -15.0, 40.0, -2.0])
    margin, arrays = margin_of(book, rule)
    share = attribute_margin(book, arrays, rule, margin).share
    for leg in range(4):
        step = 1e-6
        sides = [book.quantity * (1 + k * step * (np.arange(4) == leg)) for k in (-1, 1)]
        moved = [scenario_margin(replace(book, quantity=quantity), arrays, rule) for quantity in sides]
        slope = (moved[1].maintenance[0] - moved[0].maintenance[0]) / (2 * step)
        assert share[leg] == pytest.approx(slope, rel=1e-5, abs=1e-3)


def test_the_worst_scenario_by_name() -> None:
    grid = ScenarioGrid([0.0, 0.15, -0.6, 1.5], [UP, UP, SAME, DOWN], [1.0, 1.0, 0.5, 0.05])
    rule = rule_of(UnitRule(grid, SHOCK))
    margin, _ = margin_of(PositionBook([0, 1, 2], [0, 0], [-1.0, 1.0]), rule)
    assert margin.worst(rule) == ["BTC: price +15%, volatility up", "BTC: price -60%, weight 0.5"]


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


def test_all_correlations_one_is_the_sum_of_losses_on_one_side() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 8))
        losses, rho = rng.uniform(0, 100, n), np.ones((n, n))
        for down, up in ((losses, 0 * losses), (0 * losses, losses)):
            loss, parts, _ = netted_losses(down, up, rho)
            assert loss == pytest.approx(losses.sum(), rel=1e-12)
            np.testing.assert_allclose(parts, losses, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 13), both=st.sampled_from([0.0, 0.5, 1.0]), rho=st.floats(-0.05, 1.0)
)
def test_netted_losses_are_the_worst_choice_of_sides(seed: int, n: int, both: float, rho: float) -> None:
    """Not above the plain sum; not below any choice of sides; parts add up."""
    rng = np.random.default_rng(seed)
    down = rng.uniform(0, 10, n)
    up = np.where(rng.random(n) < both, rng.uniform(0, 10, n), 0.0)
    matrix = np.where(np.eye(n, dtype=bool), 1.0, rho)
    loss, parts, _ = netted_losses(down, up, matrix)
    assert loss <= np.maximum(down, up).sum() * (1 + 1e-12)
    assert parts.sum() == pytest.approx(loss, rel=1e-9, abs=1e-9)
    for _ in range(20):
        signed = np.where((rng.random(n) < 0.5) & (up > 0), up, -down)
        assert loss >= math.sqrt(max(signed @ matrix @ signed, 0.0)) * (1 - 1e-12)


def test_breakdown_regimes_by_hand() -> None:
    """A hedge of 100 against 60 at a correlation of 0.8, and the same two on one side."""
    table = contract_table(["A", "B"], ["BTC", "ETH"], LINEAR, units=UNITS[:2])
    rule = rule_of(UnitRule(ScenarioGrid.product([-0.1, 0.0, 0.1], SAME), SHOCK), netting=CORRELATION, correlation=RHO)
    arrays = risk_arrays(table, contract_prices(NOW, [1_000.0, 600.0]), rule)
    found = correlation_breakdown(PositionBook([0, 2, 4], [0, 1, 0, 1], [1.0, -1.0, 1.0, 1.0]), arrays, rule)
    square, cross = 100.0**2 + 60.0**2, 2 * 100 * 60
    signs = {AS_GIVEN: -0.8, ALL_ONE: -1.0, ZERO: 0.0, REVERSED: 0.8}
    for regime, sign in signs.items():
        both = [math.sqrt(square + sign * cross), math.sqrt(square - sign * cross)]
        assert found.of(regime).tolist() == pytest.approx(both, rel=1e-12)
    assert found.of(NO_NETTING).tolist() == pytest.approx([160.0, 160.0])
    assert found.worst[0] == NO_NETTING
    assert found.of(ALL_ONE)[1] == pytest.approx(160.0)
    assert found.shortfall[0] == pytest.approx(160.0 - math.sqrt(square - 0.8 * cross))


def test_breakdown_needs_correlations() -> None:
    with pytest.raises(InputError, match="has no correlations"):
        arrays = risk_arrays(*market(), rule_of())
        correlation_breakdown(random_book(0), arrays, rule_of())


def test_a_short_straddle_hedges_nothing() -> None:
    """It loses on both sides, so a future of a correlated unit adds to it whichever side that is on."""
    down, up = np.array([50.0, 0.0]), np.array([40.0, 30.0])
    matrix = np.array([[1.0, 0.9], [0.9, 1.0]])
    loss, _, side = netted_losses(down, up, matrix)
    assert side.tolist() == [1, 1]
    assert loss == pytest.approx(math.sqrt(40**2 + 30**2 + 2 * 0.9 * 40 * 30))


def test_offsets_count_profits_in_part() -> None:
    parts, scenario = offset_losses(np.array([[-100.0, 30.0], [80.0, -90.0]]), np.array([0.5, 0.5]))
    assert scenario == 1 and parts.tolist() == [-15.0, 90.0]
    parts, _ = offset_losses(np.array([[1.0, 0.0]]), np.array([0.9]))
    assert parts.tolist() == [0.0]


def test_offset_groups_lie_between_netting_and_the_sum() -> None:
    book = PositionBook([0, 2], [0, 1], [1.0, -18.0])
    needed = []
    for share in (0.0, 0.8, 1.0):
        groups = (OffsetGroup(("BTC", "ETH"), share),)
        needed.append(margin_of(book, rule_of(netting=OFFSET, offsets=groups))[0].maintenance[0])
    total = margin_of(book, rule_of())[0].maintenance[0]
    assert needed[2] < needed[1] < needed[0] <= total


def test_an_option_table_is_margined_as_its_contracts() -> None:
    expiry = np.array(["2024-02-01", "2024-03-01"], "datetime64[ns]")
    options = OptionTable(("C", "P"), ("BTC", "ETH"), expiry, [60_000.0, 3_000.0], [1, -1], [1.0, 10.0])
    table = contract_table(["C", "P"], ["BTC", "ETH"], OPTION, units=["BTC", "ETH"], multiplier=[1.0, 10.0],
                           strike=[60_000.0, 3_000.0], right=[1, -1], expiry=expiry)  # fmt: skip
    prices = contract_prices(NOW, [61_000.0, 2_900.0], volatility=0.6)
    same = [risk_arrays(one, prices, rule_of()).profit for one in (contracts_of_options(options), table)]
    np.testing.assert_array_equal(*same)


def test_correlated_netting_of_many_pools_is_that_of_each() -> None:
    """One row against the formula: a pool with one unit is its scan loss, others go through `netted_losses`."""
    rule, book = rule_of(netting=CORRELATION, correlation=RHO), random_book(11, pools=40)
    margin, _ = margin_of(book, rule)
    losses, rows = margin.losses, margin.losses.rows
    for pool in range(40):
        own = np.flatnonzero(rows.pool == pool)
        unit = rows.unit[own]
        loss, _, _ = netted_losses(losses.down[own], losses.up[own], RHO.matrix[np.ix_(unit, unit)])
        assert margin.netted[pool] == pytest.approx(loss, rel=1e-12, abs=1e-12)


def test_tails_count_by_their_weight() -> None:
    grid = ScenarioGrid([0.1, 0.5], [SAME, SAME], [1.0, 0.4])
    margin, _ = margin_of(PositionBook([0, 1], [0], [-1.0]), rule_of(UnitRule(grid, SHOCK)))
    table, prices = market()
    size = float(table.multiplier[0] * prices.price[0])
    assert margin.maintenance[0] == pytest.approx(0.4 * 0.5 * size, rel=1e-12)


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
