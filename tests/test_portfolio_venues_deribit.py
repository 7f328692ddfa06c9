"""Deribit's portfolio margins: hand-worked positions, recorded replies, malformed files."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from portfolio_setups import CALL, PUT, black, book_of, by_rule, check_malformed

from margincast.riskcore.dated_files import rulebook_in_force
from margincast.riskcore.errors import InputError
from margincast.riskcore.portfolio.contracts import (
    INVERSE,
    INVERSE_OPTION,
    LINEAR,
    ContractTable,
    PositionBook,
    contract_prices,
    contract_table,
)
from margincast.riskcore.portfolio.deribit_charges import offset_contingency, short_option_contingency
from margincast.riskcore.portfolio.deribit_pm import DeribitMargin, DeribitRules, deribit_margin
from margincast.riskcore.portfolio.deribit_pm_file import load_deribit_rules, read_deribit_rules
from margincast.riskcore.portfolio.portfolio_rule_file import load_portfolio_rule

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
NOW = np.datetime64("2026-03-01T08:00", "ns")
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
