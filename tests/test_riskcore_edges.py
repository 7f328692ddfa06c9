"""Edges of the core: what is unpriced, expired, empty, of another unit or shared with the caller."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import linearise, linearise_at
from margincast.riskcore.fee_to_close import fee_to_close, position_bankruptcy_price
from margincast.riskcore.instruments import INVERSE, InstrumentTable
from margincast.riskcore.interest import with_interest
from margincast.riskcore.largest_order import largest_order
from margincast.riskcore.leg_margin import restate
from margincast.riskcore.margin import evaluate
from margincast.riskcore.mark_price.feeds import PriceFeeds
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.portfolio.contracts import (
    LINEAR,
    contract_prices,
    contract_table,
    contracts_of_instruments,
)
from margincast.riskcore.price_surface import PriceAxis, price_surface
from margincast.riskcore.priced_tiers import priced_rules
from margincast.riskcore.rate_modifiers import leverage_rate
from margincast.riskcore.records import records_of_book
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.size_rates import evaluate_by_size, load_size_rates
from margincast.riskcore.sub_accounts import split, withdrawable

DAY = np.datetime64("2024-01-01")
TABLE = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["SOL"])
TIERS = RateSchedule.marginal([0.0], [0.004], [125.0])
RULES = RuleBook("test", dt.date(2024, 1, 1), {"BTC": TIERS}, {"SOL": HaircutSchedule([0.0], [0.9])})
MARKET = MarketState(DAY, [100.0, 10.0], [1.0, np.nan])


def one_pool(*positions, balances=((0, 20.0),), isolated="", table=TABLE):
    """A book of one pool: (instrument, quantity, entry price) each, and (asset, amount)."""
    instrument, quantity, entry = zip(*positions, strict=True) if positions else ((), (), ())
    asset, amount = zip(*balances, strict=True) if balances else ((), ())
    ends = [0, len(asset)], [0, len(instrument)]
    leverage = [np.nan] * len(instrument)
    return AccountBook(
        table, ["a"], ["main"], [isolated], ends[0], asset, amount, ends[1], instrument, quantity, entry, leverage
    )


def test_nothing_can_be_withdrawn_of_an_asset_without_a_price():
    assert withdrawable(one_pool(), MARKET, RULES, "SOL").tolist() == [0.0]


def test_a_pool_without_positions_is_liquidated_nowhere():
    rules = replace(RULES, strict_trigger=False)
    for balances in ((), ((0, -5.0),)):
        axes = PriceAxis(("BTC",), (), [0.0]), PriceAxis(("ETH",), (), [0.0])
        assert not price_surface(one_pool(balances=balances), MARKET, rules, *axes).breached.any()


def test_an_expired_contract_has_no_exposure_from_either_side():
    times = np.datetime64("2024-01-01", "ns") + np.arange(4) * np.timedelta64(1, "h")
    table = InstrumentTable(("BTC",), [0], [1.0], [0], ("USDT",), [times[2]])
    flat = np.full((4, 1), 100.0)
    history = MarketHistory(table, times, flat, flat, flat, flat, [0], [-1], np.zeros((4, 1)))
    book = one_pool((0, 1.0, 100.0), table=table)
    assert linearise_at(book, np.array([1]), history, RULES).headroom.tolist() == [19.6]
    with pytest.raises(InputError, match="has expired by"):
        linearise(book, history.state_at(2), history, RULES)
    with pytest.raises(InputError, match="row 0, column bar: has a position that has expired by then .found 2"):
        linearise_at(book, np.array([2]), history, RULES)


@pytest.mark.parametrize(("side", "kind", "price"), [(1, LINEAR, 0.0), (-1, INVERSE, np.inf)])
def test_a_position_at_less_than_its_own_worth_is_never_bankrupt(side, kind, price):
    for leverage in (0.5, 1.0):
        assert position_bankruptcy_price(100.0, side, leverage, kind) == price
        assert fee_to_close(side, 100.0, leverage, 0.01, kind) == 0.0


def test_the_closing_fee_adds_to_smooth_rates():
    rules = load_size_rates("deribit_futures")
    table = InstrumentTable(("BTC-PERPETUAL",), [INVERSE], [10.0], [0], ("BTC",))
    book, market = one_pool((0, 1e5, 1e4), table=table), MarketState(DAY, [1e4], [1.0])
    without = evaluate_by_size(book, market, replace(rules, rules=replace(rules.rules, closing_fee=0.0)))
    fee = evaluate_by_size(book, market, replace(rules, rules=replace(rules.rules, closing_fee=0.001)))
    assert fee.maintenance - without.maintenance == pytest.approx(100 * 0.001)
    assert fee.initial.tolist() == without.initial.tolist()


def test_an_alias_of_another_size_has_tiers_of_its_own():
    table = InstrumentTable(("BIG", "SMALL"), [0, 0], [1.0, 0.01], [0, 0], ("USDT",))
    tiers = RateSchedule([0, 500], [0.004, 0.005], [0, 0], [100, 75], 1_000.0, "amount")
    counted = RuleBook("test", dt.date(2024, 1, 1), {"BIG": tiers}, aliases={"SMALL": "BIG", "OTHER": "BIG"})
    rules = priced_rules(counted, table, MarketState(DAY, [100.0, 100.0], [1.0]))
    assert [rules.schedule_of(name).limit for name in ("BIG", "SMALL", "OTHER")] == [1e5, 1e3, 1e5]


def test_a_rate_that_is_not_known_is_not_made_up_from_leverage():
    assert np.isnan(leverage_rate([np.nan, np.nan], [10.0, np.nan])).all()


def test_contracts_of_instruments_expire_when_these_do():
    table = InstrumentTable(("F", "P"), [0, 0], [1.0, 1.0], [0, 0], ("USDT",), [np.datetime64("2024-06-28T08"), "NaT"])
    np.testing.assert_array_equal(contracts_of_instruments(table, ["B", "B"]).expiry, table.expiry)


def test_an_expired_future_is_not_priced():
    table = contract_table(["F"], ["X"], LINEAR, units=["X"], expiry="2023-12-31")
    with pytest.raises(InputError, match="row 0, column expiry: future F has expired"):
        contract_prices(DAY, [1.0]).check(table, np.array([True]))


@pytest.mark.parametrize(
    "book",
    [
        one_pool((0, 1.0, 100.0), balances=((0, 10.0), (1, 2.0)), isolated="BTC"),
        one_pool((0, 1.0, 100.0), (0, -1.0, 100.0), isolated="BTC"),
        one_pool(isolated="BTC"),
    ],
    ids=["margin in coin", "two legs", "closed"],
)
def test_what_a_record_cannot_say_of_an_isolated_pool_is_an_error(book):
    with pytest.raises(InputError, match="row 0, column isolated: a record needs"):
        records_of_book(book)


def test_prices_need_a_feed():
    with pytest.raises(InputError, match="column feeds: needs at least one feed"):
        PriceFeeds.of_prices([], ["BTC"], DAY, np.empty((0, 1)))


def test_a_restated_column_is_not_the_caller_s():
    book = one_pool((0, 1.0, 100.0))
    mine = np.array([12.0])
    state = restate(evaluate(book, MARKET, RULES), book, RULES, leg_maintenance=mine)
    mine[0] = 0.0
    assert state.leg_maintenance.tolist() == state.maintenance.tolist() == [12.0]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: evaluate(one_pool(), MarketState(DAY, [1.0, 1.0], [2.0, 1.0]), RULES),
            "column index: USDT is the base",
        ),
        (lambda: split(one_pool(balances=()), [], [], 0), "column parts: must be at least 1"),
        (lambda: with_interest(one_pool(), 0.01, -3), "column snapshots: must not be negative"),
        (
            lambda: one_pool((1, 1.0, 9.0), isolated="BTC"),
            "row 0, column isolated: is isolated and holds .* .found 'BTC'",
        ),
        (
            lambda: largest_order(one_pool(), MarketState(DAY, [np.nan, 1.0], [1.0, 1.0]), RULES, 0, "BTC", 1, 9.0),
            "column mark: BTC has no mark price",
        ),
    ],
)
def test_what_was_let_through_is_one_error(make, told):
    with pytest.raises(InputError, match=told) as error:
        make()
    assert "\n" not in str(error.value)
