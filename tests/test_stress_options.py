"""Stresses of option books against QuantLib's values, and what each shock does to longs and shorts."""

import datetime as dt

import numpy as np
import pytest
import QuantLib

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.market import MarketState
from margincast.riskcore.options.option_holdings import OptionHoldings
from margincast.riskcore.options.option_table import OptionTable
from margincast.riskcore.options.short_option import load_short_option_rules
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.riskcore.stress.option_books import OptionSetting, stress_options
from margincast.riskcore.stress.path import price_path

FUTURES = InstrumentTable.linear_perpetuals(["BTC", "ETH"], base="USD")
RULES = RuleBook(
    "test", dt.date(2024, 1, 1), {s: RateSchedule.cliff([0.0], [0.05], [10.0]) for s in ("BTC", "ETH")}, base="USD"
)
MARKET = MarketState(np.datetime64("2024-01-02", "ns"), [100.0, 10.0], [1.0])
DERIBIT = load_short_option_rules("deribit_options")
CONTRACTS = OptionTable(
    ("C", "P", "E"), ("BTC", "BTC", "ETH"), ["2024-07-01", "2024-03-01", "2024-07-01"], [110.0, 90.0, 10.0],
    [1, -1, 1], [1.0, 1.0, 10.0],
)  # fmt: skip


def setting(quantities, cash=60.0, volatility=(0.6, 0.7, 0.8), futures=0.0):
    legs = 1 if futures else 0
    book = AccountBook(
        FUTURES, ["a"], ["m"], [""], [0, 1], [0], [cash], [0, legs], [0] * legs, [futures] * legs, [100.0] * legs,
        [np.nan] * legs,
    )  # fmt: skip
    held = OptionHoldings(CONTRACTS, [0, len(quantities)], np.arange(len(quantities)), quantities)
    return OptionSetting(book, held, MARKET, np.array(volatility), RULES, DERIBIT)


def black(right, strike, forward, volatility, expiry):
    years = (np.datetime64(expiry, "ns") - MARKET.time) / np.timedelta64(365, "D")
    kind = QuantLib.Option.Call if right == 1 else QuantLib.Option.Put
    return QuantLib.blackFormula(kind, strike, forward, volatility * np.sqrt(years))


def test_equity_is_cash_futures_and_options_at_shocked_prices_and_volatilities():
    path = price_path("x", "", [[0.8, 0.7], [1.1, 1.2]], FUTURES, volatility=np.array([2.0, 0.5]))
    outcome = stress_options(setting([-1.0, 2.0, 0.5], futures=0.3), path)
    for step, (btc, eth, up) in enumerate([(80.0, 7.0, 2.0), (110.0, 12.0, 0.5)]):
        equity = 60.0 + 0.3 * (btc - 100)
        equity -= black(1, 110.0, btc, 0.6 * up, "2024-07-01")
        equity += 2 * black(-1, 90.0, btc, 0.7 * up, "2024-03-01")
        equity += 5 * black(1, 10.0, eth, 0.8 * up, "2024-07-01")
        assert outcome.equity[step, 0] == pytest.approx(equity, rel=1e-10)
        held = 0.05 * 0.3 * btc + 0.075 * btc
        assert outcome.headroom[step, 0] == pytest.approx(equity - held, rel=1e-10)


def test_a_volatility_spike_hurts_who_is_short_and_not_who_is_long():
    spike = price_path("spike", "", [1.0, 1.0], FUTURES, volatility=np.array([1.0, 3.0]))
    short, long = (stress_options(setting([q, q, q]), spike).equity[:, 0] for q in (-0.5, 0.5))
    assert short[1] < short[0] and long[1] > long[0]
    assert short[1] - short[0] == pytest.approx(long[0] - long[1])


def test_the_first_breach_is_told():
    path = price_path("rise", "", [1.0, 1.2, 1.6], FUTURES)
    assert stress_options(setting([-1.0], cash=40.0), path).first_breach.tolist() == [2]
    assert stress_options(setting([1.0]), path).first_breach.tolist() == [-1]


@pytest.mark.parametrize(
    ("changed", "path", "message"),
    [
        ({"volatility": (0.6, np.nan, 0.8)}, [1.0], "row 1, column volatility: P has no volatility"),
        ({"volatility": (-0.1, 0.7, 0.8)}, [1.0], "row 0, column volatility: C has no volatility"),
        ({}, [[1.0]], "the stress x has 1 columns, the book 2"),
    ],
)
def test_what_is_refused(changed, path, message):
    table = FUTURES if np.ndim(path) == 1 else InstrumentTable.linear_perpetuals(["BTC"], base="USD")
    with pytest.raises(InputError, match=message):
        stress_options(setting([1.0, 1.0, 1.0], **changed), price_path("x", "", path, table))


def test_an_underlying_without_a_mark_is_refused():
    table = InstrumentTable.linear_perpetuals(["BTC"], base="USD")
    book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [1.0], [0, 0], [], [], [], [])
    held = OptionHoldings(CONTRACTS, [0, 1], [2], [1.0])
    market = MarketState(MARKET.time, [100.0], [1.0])
    with pytest.raises(InputError, match="ETH"):
        stress_options(OptionSetting(book, held, market, np.ones(3), RULES, DERIBIT), price_path("x", "", [1.0], table))
