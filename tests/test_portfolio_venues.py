"""Portfolio margin of venues: hand-worked positions, recorded replies, every shipped file."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import QuantLib as ql

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
from margincast.riskcore.portfolio.deribit_charges import offset_contingency, short_option_contingency
from margincast.riskcore.portfolio.deribit_pm import DeribitMargin, DeribitRules, deribit_margin
from margincast.riskcore.portfolio.deribit_pm_file import load_deribit_rules, read_deribit_rules
from margincast.riskcore.portfolio.paradex_pm import (
    ParadexMargin,
    load_paradex_rules,
    paradex_margin,
    read_paradex_rules,
)
from margincast.riskcore.portfolio.portfolio_rule import Charges, PortfolioRule
from margincast.riskcore.portfolio.portfolio_rule_file import load_portfolio_rule, read_portfolio_rule
from margincast.riskcore.portfolio.risk_arrays import risk_arrays
from margincast.riskcore.portfolio.scenario_margin import ScenarioMargin, scenario_margin

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
NOW = np.datetime64("2026-03-01T08:00", "ns")
CALL, PUT = 1, -1


def black(forward: float, strike: float, days: float, volatility: float, right: int) -> float:
    side = ql.Option.Call if right > 0 else ql.Option.Put
    return float(ql.blackFormula(side, strike, forward, volatility * math.sqrt(days / 365.0)))


def book_of(*quantity: float) -> PositionBook:
    """One pool with the given quantity of each contract of a table."""
    return PositionBook([0, len(quantity)], np.arange(len(quantity)), quantity)


def by_rule(rule: PortfolioRule, table: ContractTable, prices: Any, *quantity: float) -> ScenarioMargin:
    return scenario_margin(book_of(*quantity), risk_arrays(table, prices, rule), rule)


# ---- every shipped file


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


# ---- Deribit, first portfolio margin

FIRST = load_portfolio_rule("deribit_pm", dt.date(2021, 1, 1))


def coin_table(*contracts: tuple[int, float, int, str]) -> ContractTable:
    """Contracts of BTC settled in coin: kind, strike, right, expiry; inverse futures of 1 USD."""
    kind, strike, right, expiry = zip(*contracts, strict=True)
    names = [f"C{place}" for place in range(len(contracts))]
    return contract_table(
        names, ["BTC"] * len(names), kind, units=["BTC"], assets=["BTC"], strike=strike, right=right, expiry=expiry
    )


def test_first_deribit_a_single_future_loses_its_move() -> None:
    """Long 60,000 USD of perpetual at 60,000: 1 coin less 1 / 0.9 coins at -10%."""
    margin = by_rule(FIRST, coin_table((INVERSE, np.nan, 0, "NaT")), contract_prices(NOW, [60_000.0]), 60_000.0)
    assert margin.maintenance[0] == pytest.approx(1 / 0.9 - 1, rel=1e-12)
    assert margin.initial[0] == pytest.approx(1.3 * (1 / 0.9 - 1), rel=1e-12)


def test_first_deribit_contingencies_are_those_of_its_page() -> None:
    """Calls +10 and puts -20 of a strike: 0.1 BTC; 100 BTC long against 100 BTC short: 1 BTC."""
    expiry = "2026-04-01T08:00"
    options = coin_table((INVERSE_OPTION, 60_000.0, CALL, expiry), (INVERSE_OPTION, 60_000.0, PUT, expiry))
    prices = contract_prices(NOW, [60_000.0, 60_000.0], volatility=0.6)
    assert by_rule(FIRST, options, prices, 10.0, -20.0).contingency[0] == pytest.approx(
        short_option_contingency(10, -20)
    )
    futures = coin_table((INVERSE, np.nan, 0, "NaT"), (INVERSE, np.nan, 0, "2026-06-26T08:00"))
    margin = by_rule(FIRST, futures, contract_prices(NOW, [60_000.0, 60_000.0]), 6e6, -6e6)
    assert margin.maintenance[0] == pytest.approx(float(offset_contingency(100.0, -100.0))) == pytest.approx(1.0)


def test_first_deribit_short_call_is_black_at_the_shocks() -> None:
    """15 days: volatility rises by (30 / 15)^0.3 * 38%; worst at +10%, in coin, and 0.01 coin of contingency."""
    table = coin_table((INVERSE_OPTION, 62_000.0, CALL, "2026-03-16T08:00"))
    margin = by_rule(FIRST, table, contract_prices(NOW, [60_000.0], volatility=0.6), -1.0)
    up = 0.6 * (1 + 2**0.3 * 0.38)
    lost = black(66_000.0, 62_000.0, 15, up, CALL) / 66_000.0 - black(60_000.0, 62_000.0, 15, 0.6, CALL) / 60_000.0
    assert margin.maintenance[0] == pytest.approx(lost + 0.01, rel=1e-9)
    assert margin.worst(FIRST) == ["BTC: price +10%, volatility up"]


# ---- Deribit, risk matrix with an extended table


def deribit(
    rules: DeribitRules, table: ContractTable, prices: Any, quantity: list[float], index: float, **how: Any
) -> DeribitMargin:
    units = {name: index for name in table.units}
    return deribit_margin(book_of(*quantity), table, prices, rules, index=units, base_price=how.get("base", index))


def test_deribit_example_of_its_documentation() -> None:
    """The response example of private/pme/simulate, 2024-06-17, perpetual and a future; it rounds to 9 decimals."""
    rules = load_deribit_rules(dt.date(2024, 6, 17))
    table = coin_table((INVERSE, np.nan, 0, "NaT"), (INVERSE, np.nan, 0, "2024-06-28T08:00"))
    marks = (65_910.57, 67_371.75)
    prices = contract_prices(np.datetime64(1718619740501, "ms"), marks)
    found = deribit(rules, table, prices, [0.314538364 * marks[0], -0.001187534 * marks[1]], 65_666.19)
    assert found.worst_loss[0] == pytest.approx(0.05968587238095239, rel=1e-9)
    assert found.roll_shock[0] == pytest.approx(0.00315725898, rel=1e-9)
    assert found.delta_shock[0] == 0.0
    assert found.initial[0] == pytest.approx(0.06284313098, abs=1e-9)
    assert found.maintenance[0] == pytest.approx(0.050274504784, abs=1e-9)
    assert found.scenario[0] // 3 == 0


def test_deribit_reply_recorded_in_2026() -> None:
    """A recorded reply of 2026-02-15: short perpetual of ETH, range 18%, worst in the last bucket."""
    table = contract_table(["ETH-PERPETUAL"], ["ETH"], INVERSE, units=["ETH"], assets=["ETH"])
    prices = contract_prices(np.datetime64(1771197609587, "ms"), [1949.49])
    found = deribit(load_deribit_rules(), table, prices, [-0.999487053 * 1949.49], 1949.34)
    assert found.worst_loss[0] == pytest.approx(0.15246412672881357, rel=1e-12)
    assert found.roll_shock[0] == pytest.approx(0.004997435265, rel=1e-12)
    assert found.initial[0] == pytest.approx(0.157461562265, abs=1e-9)
    assert found.maintenance[0] == pytest.approx(0.125969249812, abs=1e-9)
    assert found.scenario[0] == 25 - 1


IN_2025 = load_deribit_rules(dt.date(2025, 1, 1))


def test_deribit_short_call_far_out_of_the_money_is_caught_by_the_extended_table() -> None:
    """1,000 calls at twice the price: +500% counts by 16/500, less the dampener, in coin at the edge of +16%."""
    table = coin_table((INVERSE_OPTION, 120_000.0, CALL, "2026-03-31T08:00"))
    prices = contract_prices(NOW, [60_000.0], volatility=0.6)
    found = deribit(IN_2025, table, prices, [-1_000.0], 60_000.0)
    before = black(60_000.0, 120_000.0, 30, 0.6, CALL) / 60_000.0
    worst = 0.0
    for move in (-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0):
        at = 60_000.0 * (1 + move)
        edge = 60_000.0 * (1 + math.copysign(0.16, move))
        lost = 1_000 * (black(at, 120_000.0, 30, 0.9, CALL) / at - before) * at * 0.16 / abs(move) / edge
        damp = (abs(move) / 0.16 - 1) * 100_000 / edge
        worst = max(worst, lost - damp)
    standard = 1_000 * (black(69_600.0, 120_000.0, 30, 0.9, CALL) / 69_600.0 - before)
    assert worst > standard
    assert found.worst_loss[0] == pytest.approx(worst, rel=1e-9)
    assert found.scenario[0] >= 27


def test_deribit_short_put_by_black() -> None:
    """One put at the money, 60 days, low volatility: the shock is 0.5 * (30 / 60)^0.13 and leaves it at 50% or more."""
    table = coin_table((INVERSE_OPTION, 60_000.0, PUT, "2026-04-30T08:00"))
    for volatility in (0.2, 0.6):
        found = deribit(IN_2025, table, contract_prices(NOW, [60_000.0], volatility=volatility), [-1.0], 60_000.0)
        up = max(volatility * (1 + 0.5 * 0.5**0.13), 0.5)
        lost = black(50_400.0, 60_000.0, 60, up, PUT) / 50_400.0 - black(60_000, 60_000, 60, volatility, PUT) / 60_000.0
        assert found.worst_loss[0] == pytest.approx(lost, rel=1e-9)


def test_deribit_roll_shock_adds_expiries_and_grows_with_them() -> None:
    """A calendar of 1 coin each way: 1% of the perpetual, exp(0.075 * years) - 1 of a future of two years."""
    table = coin_table((INVERSE, np.nan, 0, "NaT"), (INVERSE, np.nan, 0, "2028-02-29T08:00"))
    found = deribit(IN_2025, table, contract_prices(NOW, [60_000.0, 60_000.0]), [60_000.0, -60_000.0], 60_000.0)
    years = (dt.date(2028, 2, 29) - dt.date(2026, 3, 1)).days / 365
    assert found.roll_shock[0] == pytest.approx(0.01 + math.exp(0.075 * years) - 1, rel=1e-9)
    assert found.worst_loss[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("coins", "rate"), [(300.0, 0.0), (1_000.0, 0.00005 * (1_000 - 1e9 / 3e6)), (1e5, 0.1)])
def test_deribit_delta_shock_by_hand(coins: float, rate: float) -> None:
    """At 60,000 a delta of 20 million USD is 333.3 coins; above it 0.005% a coin, at most 10%."""
    found = deribit(
        IN_2025, coin_table((INVERSE, np.nan, 0, "NaT")), contract_prices(NOW, [60_000.0]), [coins * 60_000.0], 60_000.0
    )
    assert found.delta_shock[0] == pytest.approx(rate * coins, rel=1e-9)


def test_deribit_long_options_reduce_the_delta_shock_but_do_not_raise_it() -> None:
    expiry = "2026-04-30T08:00"
    table = coin_table(
        (INVERSE, np.nan, 0, "NaT"), (INVERSE_OPTION, 60_000.0, CALL, expiry), (INVERSE_OPTION, 60_000.0, PUT, expiry)
    )
    prices = contract_prices(NOW, [60_000.0] * 3, volatility=0.6)

    def shock(*quantity: float) -> float:
        return float(deribit(IN_2025, table, prices, list(quantity), 60_000.0).delta_shock[0])

    alone = shock(1e8, 0, 0)
    assert shock(1e8, 500, 0) == pytest.approx(alone) == pytest.approx(shock(-1e8, 0, 500))
    assert 0 < shock(-1e8, 500, 0) < alone and 0 < shock(1e8, 0, 500) < alone
    assert shock(0, 5_000, 0) == 0.0 == shock(-1e8, 10_000, 0)


def test_deribit_profits_of_another_unit_pay_by_their_share() -> None:
    """2026: long ETH_USDC, which loses 18%, alone and against a short of ETH settled in coin in the same book."""
    rules = load_deribit_rules()
    table = contract_table(
        ["ETH_USDC-PERPETUAL", "ETH-PERPETUAL"], ["ETH_USDC", "ETH"], [LINEAR, INVERSE], units=["ETH_USDC", "ETH"],
        settlement=["USD", "ETH"], assets=["USD", "ETH"],
    )  # fmt: skip
    prices = contract_prices(NOW, [2_000.0, 2_000.0], index=[1.0, 2_000.0])
    alone, hedged = (deribit(rules, table, prices, [1.0, q], 2_000.0, base=1.0) for q in (0.0, -2_000.0))
    assert alone.worst_loss[0] == pytest.approx(0.18 * 2_000.0)
    up = 0.18 / 1.18 * 2_000.0 - 0.4 * 0.18 * 2_000.0
    down = 0.18 * 2_000.0 - 0.6 * (1 / 0.82 - 1) * 2_000.0
    assert hedged.worst_loss[0] == pytest.approx(max(up, down), rel=1e-9)


def test_deribit_longer_books_are_the_sum_of_pools_and_threads_change_nothing() -> None:
    rng = np.random.default_rng(1)
    table = coin_table(
        (INVERSE, np.nan, 0, "NaT"), (INVERSE, np.nan, 0, "2026-06-26T08:00"),
        (INVERSE_OPTION, 70_000.0, CALL, "2026-06-26T08:00"), (INVERSE_OPTION, 50_000.0, PUT, "2026-04-24T08:00"),
    )  # fmt: skip
    prices = contract_prices(NOW, np.full(4, 60_000.0), volatility=0.6)
    pools = 40
    quantity = rng.normal(0, 1, (pools, 4)) * [6e4, 6e4, 1, 1]
    book = PositionBook(np.arange(pools + 1) * 4, np.tile(np.arange(4), pools), quantity.ravel())
    how: dict[str, Any] = {"index": {"BTC": 60_000.0}, "base_price": 60_000.0}
    one, two = (deribit_margin(book, table, prices, IN_2025, threads=k, **how) for k in (1, 2))
    np.testing.assert_array_equal(one.initial, two.initial)
    singles = [deribit_margin(book_of(*row), table, prices, IN_2025, **how).initial[0] for row in quantity]
    np.testing.assert_array_equal(one.initial, singles)
    double = deribit_margin(PositionBook(book.pool_pointer, book.contract, 2 * book.quantity), table, prices, IN_2025,
                            **how)  # fmt: skip
    assert (double.roll_shock == pytest.approx(2 * one.roll_shock)) and (double.initial >= one.initial).all()


def test_deribit_refuses_what_it_cannot_margin() -> None:
    future = coin_table((INVERSE, np.nan, 0, "NaT"))
    prices = contract_prices(NOW, [60_000.0])
    with pytest.raises(InputError, match="base_price: must be positive"):
        deribit_margin(book_of(1.0), future, prices, IN_2025, index={"BTC": 60_000.0}, base_price=0.0)
    with pytest.raises(InputError, match="needs a positive index price"):
        deribit_margin(book_of(1.0), future, prices, IN_2025, index={}, base_price=1.0)
    linear = contract_table(["BTC"], ["BTC"], LINEAR, units=["BTC"])
    with pytest.raises(InputError, match="row 0, column contract: does not settle as its risk unit says"):
        deribit(IN_2025, linear, prices, [1.0], 60_000.0)
    doge = contract_table(["DOGE"], ["DOGE"], INVERSE, units=["DOGE"])
    with pytest.raises(InputError, match="the deribit_pm rule does not know it; known are BTC, BTC_USDC, ETH"):
        deribit(IN_2025, doge, prices, [1.0], 60_000.0)
    option = coin_table((INVERSE_OPTION, 60_000.0, CALL, "2026-02-01"))
    with pytest.raises(InputError, match="has expired"):
        deribit(IN_2025, option, contract_prices(NOW, [60_000.0], volatility=0.6), [1.0], 60_000.0)
    with pytest.raises(InputError, match="the rules asked for are of the model deribit_portfolio"):
        load_deribit_rules(dt.date(2021, 1, 1))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('settlement = "coin"', 'settlement = "cash"', 'units.BTC settlement: must be "coin" or "linear"'),
        ("price_range = 0.16", "price_range = 1.6", "units.BTC price_range: must be between 0 and 1"),
        ("price_range = 0.16", "", "units.BTC price_range: must be given as a number"),
        ("buckets = 4", "buckets = 0", "units.BTC buckets: must be at least 1"),
        ("buckets = 4", "buckets = 4.5", "units.BTC buckets: must be given as a int"),
        ("buckets = 4", "buckets = 5", "column units: tables of all units need the same number of scenarios"),
        ("[-0.66, -0.33", "[-1.66, -0.33", "units.BTC extended: moves must be above -1 and beyond"),
        ("[-0.66, -0.33", "[-0.66, -0.1", "units.BTC extended: moves must be above -1 and beyond"),
        ("up = 0.5,", "up = -0.5,", "units.BTC.volatility up: must not be negative"),
        ("up = 0.5,", "above = 0.5,", "units.BTC.volatility above: unknown key"),
        ("dampener = 100_000.0", "dampener = -1.0", "units.BTC dampener: must not be negative"),
        ("profit_share = 0.0", "profit_share = 1.5", r"units.BTC profit_share: must be in \[0, 1\]"),
        ("maintenance_factor = 0.8", "maintenance_factor = 1.8", r"maintenance_factor: must be in \(0, 1\]"),
        ("most_profit = 0.0", "most_profit = 0.0\nhaircut = 0.1", "units.BTC haircut: unknown key"),
        ("[requirement]", "[requirements]", "column requirements: unknown key"),
        ('model = "deribit_portfolio"', 'model = "portfolio"', "column model"),
        ("date = 2024-06-17\nsource", "source", "date: must be given as a date"),
    ],
)
def test_malformed_deribit_files_are_one_error(tmp_path: Path, old: str, new: str, told: str) -> None:
    check_malformed(
        rulebook_in_force("deribit_pm", dt.date(2025, 1, 1)).path, read_deribit_rules, tmp_path, old, new, told
    )


def check_malformed(path: Path, read: Callable[[Path], Any], folder: Path, old: str, new: str, told: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    bad = folder / "bad.toml"
    bad.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=told) as error:
        read(bad)
    assert "bad.toml" in str(error.value) and "\n" not in str(error.value)


# ---- Paradex

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


# ---- Bybit


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


# ---- TIMS

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


def test_vectors_of_deribits_page_agree() -> None:
    path = SHARED / "vectors" / "exchange_docs.json"
    if not path.is_file():
        pytest.skip(f"no cases at {path}")
    cases = {case["id"]: case for case in json.loads(path.read_text(encoding="utf-8"))["cases"]}
    shock = cases["exchange_docs/deribit/iv_shock"]
    up = FIRST.unit_rule("BTC").volatility.shocked(1.0, shock["inputs"]["days"], 1)
    assert float(up) - 1.0 == pytest.approx(shock["expected"]["iv_change"])
    rate = cases["exchange_docs/deribit/short_option_contingency"]["inputs"]["per_contract_btc"]
    assert FIRST.unit_rule("BTC").contingencies.short_option == rate
    assert FIRST.unit_rule("BTC").contingencies.offset == cases["exchange_docs/deribit/offset_futures_contingency"][
        "inputs"
    ]["rate"]  # fmt: skip
