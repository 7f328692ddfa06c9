"""Totals of a pool as venues show them, and the fields of their replies."""

import datetime as dt
import math

import numpy as np
import pytest

from margincast.riskcore.account_summary import summarise
from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.interest import hourly_interest, rollover_interest
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.riskcore.venue_replies import equity_of_ratio, mark_of_notional, wallet_balance

RULES = RuleBook("test", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0], [0.01], [50])})
MARKET = MarketState(np.datetime64("2024-01-01", "ns"), [100.0], [1.0])


def book_of(wallets, sizes, entry=90.0):
    """One pool a wallet, each with one position unless its size is 0."""
    held, n = [size for size in sizes if size], len(wallets)
    pointer = np.cumsum([0, *(size != 0 for size in sizes)])
    return AccountBook(
        InstrumentTable.linear_perpetuals(["BTC"]), [str(i) for i in range(n)], ["m"] * n, [CROSS] * n,
        range(n + 1), [0] * n, wallets,
        pointer, [0] * len(held), held, [entry] * len(held), [math.nan] * len(held),
    )  # fmt: skip


def test_totals():
    summary = summarise(book_of([30.0, 12.0, 5.0], [2.0, -1.0, 0.0]), MARKET, RULES)
    assert summary.equity.tolist() == [50.0, 2.0, 5.0]
    assert summary.notional.tolist() == [200.0, 100.0, 0.0]
    assert summary.initial.tolist() == [4.0, 2.0, 0.0]
    assert summary.available.tolist() == [46.0, 0.0, 5.0]
    np.testing.assert_array_equal(summary.coverage, [25.0, 2.0, np.nan])


def test_nothing_is_available_below_initial_margin():
    assert summarise(book_of([11.0], [-1.0]), MARKET, RULES).available.tolist() == [0.0]


@pytest.mark.parametrize("entry", [60.0, 100.0, 140.0])
def test_cash_accounting_has_the_same_equity(entry):
    """Cash + signed notional is equity whatever the entry price was."""
    cash, size = -130.0, 2.0
    book = book_of([wallet_balance(cash, [size], [entry])], [size], entry)
    assert evaluate(book, MARKET, RULES).equity[0] == pytest.approx(cash + size * 100.0)


def test_fields_of_replies():
    np.testing.assert_allclose(mark_of_notional([200.0, 50.0], [-2.0, 0.5]), [100.0, 100.0])
    np.testing.assert_allclose(equity_of_ratio([4.0, 3.0], [0.1, 1.0]), [40.0, 3.0])


def test_interest_is_charged_by_begun_periods():
    np.testing.assert_allclose(hourly_interest(2400.0, 0.01, [0.0, 0.5, 1.0, 1.01, 24.0]), [0.0, 1.0, 1.0, 2.0, 24.0])
    np.testing.assert_allclose(rollover_interest(100.0, 0.01, [0.0, 3.9, 4.0, 4.1]), [1.0, 2.0, 2.0, 3.0])
