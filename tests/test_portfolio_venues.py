"""Portfolio margin of Paradex, Bybit and the OCC, and every shipped file."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from portfolio_setups import CALL, PUT, black, book_of, by_rule, check_malformed

from margincast.riskcore.dated_files import list_rulebooks, rulebook_in_force
from margincast.riskcore.errors import InputError
from margincast.riskcore.portfolio.contracts import (
    LINEAR,
    OPTION,
    SPOT,
    ContractTable,
    PositionBook,
    contract_prices,
    contract_table,
)
from margincast.riskcore.portfolio.deribit_pm_file import read_deribit_rules
from margincast.riskcore.portfolio.paradex_pm import (
    ParadexMargin,
    load_paradex_rules,
    paradex_margin,
    read_paradex_rules,
)
from margincast.riskcore.portfolio.portfolio_rule import Charges
from margincast.riskcore.portfolio.portfolio_rule_file import load_portfolio_rule, read_portfolio_rule
from margincast.riskcore.portfolio.risk_arrays import risk_arrays

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
NOW = np.datetime64("2026-03-01T08:00", "ns")


@pytest.mark.parametrize(
    ("model", "read"),
    [("portfolio", read_portfolio_rule), ("deribit_portfolio", read_deribit_rules)],
)
def test_every_shipped_file_loads(model: str, read: Callable[[Path], Any]) -> None:
    books = list_rulebooks(model)
    assert books
    for book in books:
        rules = read(book.path)
        assert (rules.venue, rules.effective_from) == (book.venue, book.effective_from)
        assert rules.sources and all(len(told) > 20 for told in rules.sources.values())


def test_the_paradex_files_load() -> None:
    for book in list_rulebooks("paradex_portfolio"):
        assert read_paradex_rules(book.path).scenarios.effective_from == book.effective_from


def test_venues_that_were_asked_for_are_there() -> None:
    assert {"deribit_pm", "okx_pm", "paradex_pm", "bybit_pm", "tims"} <= {book.venue for book in list_rulebooks()}


PARADEX = load_paradex_rules()
PERP = contract_table(["BTC-USD-PERP"], ["BTC"], LINEAR, units=["BTC"])


def paradex(table: ContractTable, prices: Any, quantity: list[float], funding: Any = 0.0) -> ParadexMargin:
    return paradex_margin(book_of(*quantity), risk_arrays(table, prices, PARADEX.scenarios), PARADEX, funding)


def test_paradex_scenarios_are_the_table_of_its_page() -> None:
    grid = PARADEX.scenarios.unit_rule("BTC").grid
    assert len(grid) == 24
    listed = {(round(m, 4), int(v)): w for m, v, w in zip(grid.move, grid.volatility, grid.weight, strict=True)}
    for move in (0.12, 0.08, 0.04, 0.0, -0.04, -0.08, -0.12):
        assert listed[move, 1] == listed[move, -1] == 1.0
    far = {-0.66: 0.24, -0.33: 0.48, 0.5: 0.32, 1.0: 0.16, 2.0: 0.08, 3.0: 0.0533, 4.0: 0.04, 5.0: 0.032}
    for move, weight in ({0.16: 1.0, -0.16: 1.0} | far).items():
        assert listed[move, 1] == weight and (move, -1) not in listed


def test_paradex_perpetual_by_hand() -> None:
    """Short 2 BTC at 100,000: worst 500% at 3.2% and 16% alike; a funding to be paid of 0.02% and a fee of 0.03%."""
    found = paradex(PERP, contract_prices(NOW, [100_000.0]), [-2.0], -0.0002)
    assert found.funding[0] == pytest.approx(40.0) and found.fees[0] == pytest.approx(60.0)
    assert found.initial[0] == pytest.approx(32_000 + 100) and found.maintenance[0] == pytest.approx(16_000 + 100)
    received = paradex(PERP, contract_prices(NOW, [100_000.0]), [-2.0], 0.0002)
    assert received.funding[0] == 0.0


def test_paradex_minimum_delta_holds_for_a_hedged_book() -> None:
    """Long 3 and short 2 at one price: SCAN 16% of 1; and of 3 against 3: 1% of the hedged 3."""
    table = contract_table(["A", "B"], ["BTC", "BTC"], LINEAR, units=["BTC"], expiry=["NaT", "2026-06-26"])
    prices = contract_prices(NOW, [100_000.0, 100_000.0])
    assert paradex(table, prices, [3.0, -2.0]).scenarios.initial[0] == pytest.approx(16_000)
    assert paradex(table, prices, [3.0, -3.0]).scenarios.initial[0] == pytest.approx(0.01 * 300_000)


def test_paradex_short_put_by_black() -> None:
    """A put at the money, 10 days: volatility up by 40% * 3^0.3; 24% of the loss at -66% is above that at -16%."""
    table = contract_table(
        ["P"], ["BTC"], OPTION, units=["BTC"], strike=100_000.0, right=PUT, expiry="2026-03-11T08:00"
    )
    found = paradex(table, contract_prices(NOW, [100_000.0], volatility=0.5), [-1.0])
    value = black(100_000, 100_000, 10, 0.5, PUT)
    up = 0.5 * (1 + 0.4 * 3**0.3)
    near, far = (black(at, 100_000, 10, up, PUT) - value for at in (84_000, 34_000))
    assert found.scenarios.initial[0] == pytest.approx(max(near, 0.24 * far), rel=1e-9)
    assert found.fees[0] == pytest.approx(min(0.0003 * 100_000, 0.125 * value))


def test_paradex_asks_for_funding_of_what_is_held() -> None:
    table = contract_table(["A", "B"], ["BTC", "BTC"], LINEAR, units=["BTC"])
    arrays = risk_arrays(table, contract_prices(NOW, [100_000.0, 100_000.0]), PARADEX.scenarios)
    paradex_margin(PositionBook([0, 1], [0], [1.0]), arrays, PARADEX, [0.0, np.nan])
    with pytest.raises(InputError, match="row 0, column funding_rate: has no funding rate .found 'B'."):
        paradex_margin(PositionBook([0, 1], [1], [1.0]), arrays, PARADEX, [0.0, np.nan])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("funding_hours = 8.0", "funding_hours = -8.0", "provisions funding_hours: must not be negative"),
        ("fee = 0.0003", 'fee = "0.03%"', "provisions fee: must be given as a number"),
        ("[provisions]", "[provision]", "column provision: unknown key"),
        ('[-0.66, "up", 0.24]', '[-1.66, "up", 0.24]', "units.all move: must be above -1"),
        ("hedged = 0.01", "hedge = 0.01", "units.all.minimum hedge: unknown key"),
        ('model = "paradex_portfolio"', 'model = "portfolio"', "column model"),
    ],
)
def test_malformed_paradex_files_are_one_error(tmp_path: Path, old: str, new: str, told: str) -> None:
    check_malformed(rulebook_in_force("paradex_pm").path, read_paradex_rules, tmp_path, old, new, told)


def test_bybit_perpetual_by_hand_on_both_dates() -> None:
    """Long 1 BTC at 100,000: 15%, from 2025-01-10 10%, and half a per cent of contingency; initial 1.2 times that."""
    for day, move in ((dt.date(2024, 12, 1), 0.15), (dt.date(2025, 2, 1), 0.10)):
        margin = by_rule(load_portfolio_rule("bybit_pm", day), PERP, contract_prices(NOW, [100_000.0]), 1.0)
        assert margin.maintenance[0] == pytest.approx((move + 0.005) * 100_000)
        assert margin.initial[0] == pytest.approx(1.2 * (move + 0.005) * 100_000)


def test_bybit_naked_short_call_by_black() -> None:
    table = contract_table(
        ["C"], ["BTC"], OPTION, units=["BTC"], strike=110_000.0, right=CALL, expiry="2026-03-31T08:00"
    )
    margin = by_rule(
        load_portfolio_rule("bybit_pm"), table, contract_prices(NOW, [100_000.0], volatility=0.5), -2.0
    )  # fmt: skip
    lost = black(110_000, 110_000, 30, 0.5 * 1.33, CALL) - black(100_000, 110_000, 30, 0.5, CALL)
    assert margin.maintenance[0] == pytest.approx(2 * lost + 0.01 * 2 * 100_000, rel=1e-9)


TIMS = load_portfolio_rule("tims")


def test_tims_points_are_ten_and_equidistant_on_each_side() -> None:
    for unit, low, high in (("AAPL", -0.15, 0.15), ("SPX", -0.08, 0.06), ("RUT", -0.10, 0.10)):
        move = TIMS.unit_rule(unit).grid.move
        np.testing.assert_allclose(np.append(move[:5], 0.0), np.linspace(low, 0.0, 6), atol=1e-15)
        np.testing.assert_allclose(np.append(0.0, move[5:]), np.linspace(0.0, high, 6), atol=1e-15)
        assert (TIMS.unit_rule(unit).grid.volatility == 0).all()


def test_tims_stock_option_and_minimum_by_hand() -> None:
    """100 shares lose 15%; a covered far call changes nothing but asks 37.50 where it cannot lose; a put by Black."""
    table = contract_table(
        ["AAPL", "C500", "P90"], ["AAPL"] * 3, [SPOT, OPTION, OPTION], units=["AAPL"], multiplier=[1.0, 100.0, 100.0],
        strike=[np.nan, 500.0, 90.0], right=[0, CALL, PUT], expiry=["NaT", "2026-03-31T08:00", "2026-03-31T08:00"],
    )  # fmt: skip
    prices = contract_prices(NOW, [100.0, 100.0, 100.0], volatility=0.3)
    assert by_rule(TIMS, table, prices, 100.0, 0.0, 0.0).maintenance[0] == pytest.approx(1_500.0)
    assert by_rule(TIMS, table, prices, 0.0, -2.0, 0.0).maintenance[0] == pytest.approx(2 * 37.5)
    lost = 100 * (black(85, 90, 30, 0.3, PUT) - black(100, 90, 30, 0.3, PUT))
    assert by_rule(TIMS, table, prices, 0.0, 0.0, -3.0).maintenance[0] == pytest.approx(3 * lost, rel=1e-9)


def test_tims_product_group_offsets_ninety_per_cent_of_gains() -> None:
    """Long SPX 100,000 and short OEX 100,000: at -8% 8,000 lost less 90% of 8,000 won; equities pay for nothing."""
    table = contract_table(["SPX", "OEX", "AAPL"], ["SPX", "OEX", "AAPL"], SPOT, units=["SPX", "OEX", "AAPL"])
    prices = contract_prices(NOW, [1_000.0, 1_000.0, 1_000.0])
    assert by_rule(TIMS, table, prices, 100.0, -100.0, 0.0).maintenance[0] == pytest.approx(800.0)
    assert by_rule(TIMS, table, prices, 100.0, 0.0, -100.0).maintenance[0] == pytest.approx(8_000 + 15_000)


@pytest.mark.parametrize("venue", ["bybit_pm", "tims"])
def test_more_of_a_position_never_asks_less(venue: str) -> None:
    rule = load_portfolio_rule(venue)
    table = contract_table(
        ["F", "C", "P"], ["X"] * 3, [LINEAR, OPTION, OPTION], units=["X"], strike=[np.nan, 110.0, 90.0],
        right=[0, CALL, PUT], expiry=["NaT", "2026-03-31T08:00", "2026-03-31T08:00"],
    )  # fmt: skip
    prices = contract_prices(NOW, [100.0] * 3, volatility=0.6)
    rng = np.random.default_rng(0)
    for quantity in rng.normal(0, 10, (20, 3)):
        small, large = (by_rule(rule, table, prices, *(k * quantity)).maintenance[0] for k in (1.0, 1.7))
        assert large == pytest.approx(1.7 * small, rel=1e-9) and small >= 0


def test_charges_know_hedged_deltas_and_option_contracts() -> None:
    with pytest.raises(InputError, match="column hedged: must not be negative"):
        Charges(hedged=-0.1)
    assert Charges(option_contract=0.375).rates.sum() == 0.375
