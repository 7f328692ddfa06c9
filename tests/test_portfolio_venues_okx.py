"""OKX's portfolio margin: every component by hand, what they add up to, its files."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portfolio_setups import CALL, PUT, black, check_malformed

from margincast.riskcore.dated_files import list_rulebooks, rulebook_in_force
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
from margincast.riskcore.portfolio.okx_charges import borrowing_margin, currency_hedges, depeg_charge
from margincast.riskcore.portfolio.okx_pm import OkxMargin, okx_margin
from margincast.riskcore.portfolio.okx_pm_file import load_okx_rules, read_okx_rules
from margincast.riskcore.portfolio.okx_pm_rules import TermVolatility, Tiers

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
NOW = np.datetime64("2025-03-01T08:00", "ns")
BEFORE, JANUARY, NEWEST = (load_okx_rules(day) for day in (dt.date(2024, 12, 1), dt.date(2025, 1, 10), None))
ASSETS = ("USD", "USDT", "USDC", "BTC")


def btc(*contracts: tuple[int, str, float, int, str], unit: str = "BTC") -> ContractTable:
    """Contracts of one unit: kind, settlement asset, strike, right, expiry; inverse futures of 100 USD."""
    kind, settlement, strike, right, expiry = zip(*contracts, strict=True)
    return contract_table(
        [f"C{place}" for place in range(len(kind))], [unit] * len(kind), kind, units=[unit], settlement=settlement,
        assets=ASSETS, strike=strike, right=right, expiry=expiry, follows=[("BTC", unit)],
        multiplier=np.where(np.array(kind) == INVERSE, 100.0, 1.0),
    )  # fmt: skip


def at(n: int, price: float = 60_000.0, volatility: float = 0.6, usdt: float = 1.0) -> Any:
    return contract_prices(NOW, np.full(n, price), index=[1.0, usdt, 1.0, price], volatility=volatility)


def margin(rules: Any, table: ContractTable, quantity: list[float], **how: Any) -> OkxMargin:
    book = PositionBook([0, len(quantity)], np.arange(len(quantity)), quantity)
    borrowed = how.pop("borrowed", None)
    return okx_margin(book, table, at(len(quantity), **how), rules, borrowed=borrowed)


PERP = (LINEAR, "USDT", np.nan, 0, "NaT")


def option(right: int, strike: float, expiry: str) -> tuple[int, str, float, int, str]:
    return (OPTION, "USD", strike, right, expiry)


def test_parameters_are_those_of_the_notice() -> None:
    path = SHARED / "vectors" / "exchange_docs.json"
    if not path.is_file():
        pytest.skip(f"no cases at {path}")
    published = json.loads(path.read_text(encoding="utf-8"))
    shared = published["shared"]["okx_pm_parameters_2025_01"]
    for rules in (JANUARY, NEWEST):
        for name, units in (("BTC_ETH", ["BTC", "ETH"]), ("large", ["LTC", "ADA"]), ("others", ["NEWCOIN"])):
            for unit in units:
                found = rules.unit(unit)
                assert list(found.moves) == shared["mr1"][name] and found.extreme_move == shared["mr6"][name]
                assert found.basis == shared["mr4_annualised"][name]
    tiers = JANUARY.unit("BTC").multipliers
    assert [list(row) for row in zip(tiers.caps, tiers.rates, strict=True)] == shared["mr7_tiers"]


@pytest.mark.parametrize(
    ("rules", "unit", "rate"),
    [(BEFORE, "BTC-USDT", 0.15), (JANUARY, "BTC", 0.12), (NEWEST, "LTC", 0.18), (NEWEST, "SOL", 0.18),
     (NEWEST, "EOS", 0.25), (NEWEST, "NEWCOIN", 0.25), (BEFORE, "EOS-USD", 0.25), (BEFORE, "SOL-USDC", 0.25)],
)  # fmt: skip
def test_single_perpetual_is_move_times_notional(rules: Any, unit: str, rate: float) -> None:
    """The greater of MR1 and half of MR6: SOL has the large extreme move and the small spot shock, EOS the reverse."""
    found = margin(rules, btc(PERP, unit=unit), [-2.0])
    figures = rules.unit(unit)
    assert found.spot_shock[0] == pytest.approx(figures.moves[-1] * 120_000)
    assert found.extreme[0] == pytest.approx(0.5 * figures.extreme_move * 120_000)
    assert found.maintenance[0] == pytest.approx(max(rate, figures.moves[-1]) * 120_000)
    assert found.initial[0] == pytest.approx(1.3 * found.maintenance[0])


@pytest.mark.parametrize("volatility", [0.5, 1.0])
def test_spot_shock_of_a_short_call_takes_points_or_a_percentage(volatility: float) -> None:
    """30 days: 25 points or 40%. At 50% volatility the points are worse, at 100% the percentage."""
    found = margin(NEWEST, btc(option(CALL, 60_000, "2025-03-31T08:00")), [-3.0], volatility=volatility)
    up = max(volatility + 0.25, volatility * 1.4)
    assert (up == volatility * 1.4) == (volatility == 1.0)
    lost = black(67_200, 60_000, 30, up, CALL) - black(60_000, 60_000, 30, volatility, CALL)
    assert found.spot_shock[0] == pytest.approx(3 * lost, rel=1e-9)


def test_shock_between_the_listed_days_is_interpolated_and_never_below_zero() -> None:
    shock = TermVolatility((0.0, 30.0), (0.3, 0.2), relative=False)
    assert shock.shocked(0.5, [0.0, 7.5, 30.0, 400.0], 1).tolist() == pytest.approx([0.8, 0.775, 0.7, 0.7])
    assert shock.shocked([0.5, 0.1], 0.0, -1).tolist() == pytest.approx([0.2, 0.0])


def test_decay_of_a_long_straddle_is_a_day_of_time() -> None:
    table = btc(option(CALL, 60_000, "2025-03-11T08:00"), option(PUT, 60_000, "2025-03-11T08:00"))
    found = margin(NEWEST, table, [1.0, 1.0])
    lost = sum(black(60_000, 60_000, 10, 0.6, right) - black(60_000, 60_000, 9, 0.6, right) for right in (CALL, PUT))
    assert found.decay[0] == pytest.approx(lost, rel=1e-9)


def test_vega_of_a_calendar_spread_is_what_its_expiries_pay_for_each_other() -> None:
    """Long 90 days against short 30: volatilities moved by 15 and 25 points, the lesser side, half of it."""
    table = btc(option(CALL, 60_000, "2025-03-31T08:00"), option(CALL, 60_000, "2025-05-30T08:00"))
    found = margin(NEWEST, table, [-1.0, 1.0])

    def moved(days: int, points: float) -> float:
        return black(60_000, 60_000, days, 0.6 + points, CALL) - black(60_000, 60_000, days, 0.6, CALL)

    hedged = max(min(moved(30, 0.25), moved(90, 0.15)), min(-moved(30, -0.25), -moved(90, -0.15)))
    assert found.vega[0] == pytest.approx(0.5 * hedged, rel=1e-9)
    assert margin(NEWEST, table, [-1.0, -1.0]).vega[0] == 0.0


def test_basis_of_a_carry_trade_grows_with_time() -> None:
    """Long perpetual against a future of 26 September: 209 days at 5% a year, 10% before January."""
    table = (PERP, (LINEAR, "USDT", np.nan, 0, "2025-09-26T08:00"))
    for rules, unit, annual in ((NEWEST, "BTC", 0.05), (BEFORE, "BTC-USDT", 0.1)):
        found = margin(rules, btc(*table, unit=unit), [1.0, -1.0])
        assert found.basis[0] == pytest.approx(annual * 209 / 365 * 60_000, rel=1e-9)
        assert found.spot_shock[0] == pytest.approx(0.0, abs=1e-9)


def test_rate_moves_the_value_of_options_by_time() -> None:
    table = btc(option(CALL, 60_000, "2026-03-01T08:00"))
    value = black(60_000, 60_000, 365, 0.6, CALL)
    assert margin(NEWEST, table, [2.0]).rate[0] == pytest.approx(2 * value * (1 - math.exp(-0.05)), rel=1e-9)
    assert margin(NEWEST, table, [-2.0]).rate[0] == pytest.approx(2 * value * (math.exp(0.05) - 1), rel=1e-9)


def test_minimum_charge_binds_a_hedged_book_and_grows_by_tiers() -> None:
    """100 BTC each way of USDT contracts: 0.1% of 12 million, 10,000 once and 2,000 twice; once all of it later."""
    for rules, expected in ((JANUARY, 14_000.0), (NEWEST, 12_000.0)):
        found = margin(rules, btc(PERP, PERP), [100.0, -100.0])
        assert found.minimum[0] == pytest.approx(expected) == pytest.approx(found.maintenance[0])


def test_inverse_contracts_follow_their_coin() -> None:
    """Long 600 contracts of 100 USD: 60,000 USD, in USD a linear profit; short a coin-settled call by Black."""
    found = margin(NEWEST, btc((INVERSE, "BTC", np.nan, 0, "NaT")), [600.0])
    assert found.spot_shock[0] == pytest.approx(0.12 * 60_000, rel=1e-9)
    found = margin(NEWEST, btc((INVERSE_OPTION, "BTC", 60_000.0, CALL, "2025-03-31T08:00")), [-1.0])
    lost = black(67_200, 60_000, 30, 0.85, CALL) - black(60_000, 60_000, 30, 0.6, CALL)
    assert found.spot_shock[0] == pytest.approx(lost, rel=1e-9)


def test_stablecoins_hedged_across_are_charged_by_tiers_and_by_their_distance_from_the_peg() -> None:
    """Long 10 million of USDT contracts, short as much in coin: 0.5% of 5 million and 1% of 5, or 3% of all at 0.97."""
    table = btc(PERP, (INVERSE, "BTC", np.nan, 0, "NaT"))
    assert margin(NEWEST, table, [1e7 / 6e4, -1e5]).depeg[0] == pytest.approx(75_000.0)
    depegged = margin(NEWEST, table, [1e7 / 6e4, -1e5], usdt=0.97)
    assert depegged.depeg[0] == pytest.approx(0.03 * 0.97 * 1e7, rel=1e-9)
    assert margin(NEWEST, table, [1e7 / 6e4, 1e5]).depeg[0] == 0.0
    unhedged = margin(NEWEST, table, [1e7 / 6e4, 0.0])
    assert unhedged.depeg[0] == 0.0
    found = margin(NEWEST, table, [1e7 / 6e4, -1e5])
    assert found.maintenance[0] == pytest.approx(found.unit[0] + 75_000.0)


def test_no_depeg_charge_before_units_were_merged() -> None:
    assert BEFORE.depeg is None
    table = btc(PERP, (INVERSE, "BTC", np.nan, 0, "NaT"), unit="BTC-USDT")
    assert margin(BEFORE, table, [1e7 / 6e4, -1e5]).depeg[0] == 0.0


def test_spot_counts_as_far_as_it_hedges() -> None:
    """3 BTC held: against a short of 2 contracts 2 count, alone or beside a long none."""
    table = btc(PERP, (SPOT, "USD", np.nan, 0, "NaT"))
    assert margin(NEWEST, table, [-2.0, 3.0]).spot_shock[0] == pytest.approx(0.0, abs=1e-9)
    assert margin(NEWEST, table, [-4.0, 3.0]).spot_shock[0] == pytest.approx(0.12 * 60_000)
    assert margin(NEWEST, table, [2.0, 3.0]).spot_shock[0] == pytest.approx(0.12 * 120_000)
    assert margin(NEWEST, table, [0.0, 3.0]).maintenance[0] == 0.0


def test_loans_add_their_tier_to_both_requirements() -> None:
    """300,000 USDT borrowed: 3% and 12%; they are not multiplied by 1.3."""
    borrowed = [[0.0, 300_000.0, 0.0, 0.0]]
    plain, loan = (margin(NEWEST, btc(PERP), [1.0], borrowed=one) for one in (None, borrowed))
    assert loan.maintenance[0] - plain.maintenance[0] == pytest.approx(9_000)
    assert loan.initial[0] - plain.initial[0] == pytest.approx(36_000)
    assert borrowing_margin([200_000.0, 200_001.0], [200_000, 500_000], [0.02, 0.03]).tolist() == [4_000.0, 6_000.03]


def test_bad_loans_are_one_error() -> None:
    for borrowed, told in (
        ([[1.0, 2.0]], r"borrowed: has shape \(1, 2\), expected \(1, 4\)"),
        ([[0.0, -1.0, 0.0, 0.0]], "borrowed: must not be negative"),
    ):
        with pytest.raises(InputError, match=told):
            margin(NEWEST, btc(PERP), [1.0], borrowed=borrowed)
    with pytest.raises(InputError, match="row 0, column borrowed: a loan needs an index price"):
        okx_margin(PositionBook([0, 1], [0], [1.0]), btc(PERP),
                   contract_prices(NOW, [60_000.0], index=[1.0, 1.0, np.nan, np.nan]), NEWEST,
                   borrowed=[[0.0, 0.0, 1.0, 0.0]])  # fmt: skip


def test_hedges_across_currencies_are_used_up_pair_by_pair() -> None:
    pairs = [[0, 2], [0, 1], [1, 2]]
    assert currency_hedges([[100.0, -30.0, -80.0]], pairs).tolist() == [[80.0, 20.0, 0.0]]
    assert currency_hedges([[0.0, 50.0, -20.0], [10.0, 5.0, 1.0]], pairs).tolist() == [[0, 0, 20], [0, 0, 0]]
    assert depeg_charge([0.0, 7e6], [5e6, 2e7], [0.005, 0.01]).tolist() == [0.0, 45_000.0]


BOOK = btc(
    PERP, (INVERSE, "BTC", np.nan, 0, "NaT"),
    (LINEAR, "USDC", np.nan, 0, "2025-06-27T08:00"), (SPOT, "USD", np.nan, 0, "NaT"),
    option(CALL, 70_000, "2025-03-28T08:00"), option(PUT, 50_000, "2025-06-27T08:00"),
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_any_book_must_satisfy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pools = 6
    quantity = rng.normal(0, 5, (pools, 6)) * [1, 600, 1, 1, 1, 1]
    quantity[:, 3] = np.abs(quantity[:, 3])
    book = PositionBook(np.arange(pools + 1) * 6, np.tile(np.arange(6), pools), quantity.ravel())
    one, two = (okx_margin(book, BOOK, at(6), NEWEST, threads=k) for k in (1, 2))
    np.testing.assert_array_equal(one.maintenance, two.maintenance)
    parts = np.maximum(np.maximum(one.spot_shock, one.decay), one.extreme) + one.vega + one.basis + one.rate
    np.testing.assert_allclose(one.unit, np.maximum(parts, one.minimum), rtol=1e-12)
    np.testing.assert_allclose(one.maintenance, one.unit + one.depeg, rtol=1e-12)
    np.testing.assert_allclose(one.initial, 1.3 * one.maintenance, rtol=1e-12)
    for name in ("spot_shock", "decay", "vega", "basis", "rate", "extreme", "minimum", "depeg"):
        assert (getattr(one, name) >= 0).all()
    double = okx_margin(PositionBook(book.pool_pointer, book.contract, 2 * book.quantity), BOOK, at(6), NEWEST)
    for name in ("spot_shock", "decay", "vega", "basis", "rate", "extreme"):
        np.testing.assert_allclose(getattr(double, name), 2 * getattr(one, name), rtol=1e-9, atol=1e-6)
    assert (double.minimum >= 2 * one.minimum * (1 - 1e-12)).all()
    order = rng.permutation(6)
    shuffled = PositionBook([0, 6], order, quantity[0][order])
    assert okx_margin(shuffled, BOOK, at(6), NEWEST).maintenance[0] == pytest.approx(one.maintenance[0], rel=1e-9)


def test_unknown_units_and_expired_options_are_one_error() -> None:
    table = btc(option(CALL, 60_000, "2025-02-01"))
    with pytest.raises(InputError, match="option C0 has expired"):
        margin(NEWEST, table, [1.0])
    with pytest.raises(InputError, match="an option needs an implied volatility"):
        margin(NEWEST, btc(option(CALL, 60_000, "2025-05-01")), [1.0], volatility=np.nan)


def test_every_file_loads() -> None:
    books = [book for book in list_rulebooks("okx_pm") if book.venue == "okx_pm"]
    assert [book.effective_from.isoformat() for book in books] == ["2024-05-11", "2025-01-06", "2025-01-15"]
    for book in books:
        rules = read_okx_rules(book.path)
        assert rules.effective_from == book.effective_from and rules.generic is not None
        assert all(len(told) > 20 for told in rules.sources.values())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("moves = [0, 0.04, 0.08, 0.12]", "moves = [0.04, 0.08]", "units.majors moves: must begin with 0"),
        ("moves = [0, 0.04, 0.08, 0.12]", "moves = [0, 0.08, 0.04]", "units.majors moves: must rise .found 0.04"),
        ("moves = [0, 0.04, 0.08, 0.12]", "moves = [0, 1.04]", "units.majors moves: must be between 0 and 1"),
        ("moves = [0, 0.04, 0.08, 0.12]", "", "units.majors moves: must be given as a list"),
        ("extreme_move = 0.24", "extreme_move = 1.24", "units.majors extreme_move: must be between 0 and 1"),
        ("basis = 0.05", "basis = -0.05", "units.majors basis: must not be negative"),
        ("basis = 0.05", "annual_basis = 0.05", "units.majors annual_basis: unknown key"),
        ("perpetual = 0.001,", "perpetual = -0.001,", "units.majors.minimum_charge perpetual: must not be negative"),
        ("perpetual = 0.001,", "swap = 0.001,", "units.majors.minimum_charge swap: unknown key"),
        ("[250_000.0, 500_000.0", "[500_000.0, 250_000.0", "units.majors caps: must rise"),
        ("[1, 2, 4, 6, 8, 10, 12]", "[1, 2, 4, 6, 8, 10]", "units.majors rates: has 6 rates for 7 tiers"),
        ("[1, 2, 4, 6, 8, 10, 12]", "[0, 2, 4, 6, 8, 10, 12]", "units.majors rates: must be positive"),
        ('"BTC", "ETH"', '"BTC", "BTC"', "units.majors underlyings: must be names, each named once"),
        ('"BTC", "ETH"', '"BTC", 1', "units.majors underlyings: must be names, each named once"),
        ("generic = true", "generic = false", "units.others generic: one class may be generic"),
        ("generic = true", "", "units.others underlyings: must be given as a list"),
        ("days = [0.0, 30.0", "days = [30.0, 0.0", "volatility days: must begin with 0"),
        ("points = [0.3, 0.25, 0.2, 0.15]", "points = [0.3]", "volatility size: has 1 sizes for 4 days"),
        ("points = [0.3,", "points = [-0.3,", "volatility size: must not be negative"),
        ("vega_share = 0.5", "vega_share = 1.5", r"column vega_share: must be in \[0, 1\]"),
        ("initial_multiple = 1.3", "initial_multiple = 0.3", "column initial_multiple: must be at least 1"),
        ("uses_spot = true", "uses_spot = 1", "components uses_spot: must be given as a bool"),
        ("rates = [0.005,", "rates = [-0.005,", "depeg rates: must be positive"),
        ("initial_rates = [0.1,", "initial_rates = [", "borrowing rates: has 3 rates for 4 tiers"),
        ("[components]", "[component]", "column component: unknown key"),
        ("date = 2025-01-15\nsource", "source", "units.majors date: must be given as a date"),
        ('model = "okx_pm"', 'model = "portfolio"', "column model"),
    ],
)
def test_malformed_files_are_one_error(tmp_path: Path, old: str, new: str, told: str) -> None:
    check_malformed(rulebook_in_force("okx_pm").path, read_okx_rules, tmp_path, old, new, told)


def test_tiers_rise_and_have_a_rate_each() -> None:
    with pytest.raises(InputError, match="row 1, column caps: must rise"):
        Tiers((2.0, 1.0), (1.0, 2.0))
