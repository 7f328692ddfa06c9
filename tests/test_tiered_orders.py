"""Open orders at their worst, and contracts beyond the linear perpetual: quanto and dated futures."""

import datetime as dt
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import (
    INVERSE,
    LINEAR,
    InstrumentTable,
    require_live,
    require_same_instruments,
)
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.open_orders import (
    OpenOrders,
    order_loss,
    reserved_balance,
    with_orders_filled,
    worse_side_of_reserve,
    worst_contribution,
    worst_quantity,
)
from margincast.riskcore.rulebook import NO_HAIRCUT, RateSchedule, RuleBook
from margincast.riskcore.rulebook_file import load_rulebook

NOW = np.datetime64("2024-01-01", "ns")
TABLE = InstrumentTable(("L", "I"), [LINEAR, INVERSE], [1.0, 10.0], [0, 1], ("USD", "BTC"))
RULES = RuleBook("x", dt.date(2024, 1, 1), {"L": RateSchedule.cliff([0], [0.01], [50]),
                                            "I": RateSchedule.cliff([0], [0.01], [50])},
                 {"BTC": NO_HAIRCUT})  # fmt: skip
MARKET = MarketState(NOW, [100.0, 50_000.0], [1.0, 50_000.0])


def book_of(positions):
    """One pool; (instrument, quantity, entry) a position."""
    instrument, quantity, entry = zip(*positions, strict=True) if positions else ((), (), ())
    n = len(positions)
    return AccountBook(TABLE, ["a"], ["m"], [CROSS], [0, 2], [0, 1], [1e4, 0.5], [0, n], instrument, quantity, entry,
                       [math.nan] * n)  # fmt: skip


# --- orders -------------------------------------------------------------------------------------------------------


@given(st.floats(-10, 10), st.floats(0, 10), st.floats(0, 10))
def test_worst_quantity_is_the_larger_side(quantity, bids, asks):
    worst = float(worst_quantity(quantity, bids, asks))
    assert abs(worst) == max(abs(quantity + bids), abs(quantity - asks))
    assert worst in (quantity + bids, quantity - asks)


@given(st.floats(-10, 10), st.floats(-1e3, 1e3), st.floats(0, 10), st.floats(0, 10))
def test_worst_contribution_is_no_better_than_any_fill(held, quote, bids, asks):
    worst = float(worst_contribution(held, quote, bids, asks, 100.0, 0.9, 1.1))
    for change in (bids, -asks):
        base = held + change
        value = base * 100 * (1.1 if base < 0 else 0.9) + quote - change * 100
        assert worst <= value + 1e-9
    assert worst_contribution(held, quote, 0.0, 0.0, 100.0, 1.0, 1.0) == pytest.approx(held * 100 + quote)


order_lists = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0.5, 5).flatmap(lambda q: st.sampled_from([q, -q])), st.floats(0.97, 1.03)),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=40)
@given(st.sampled_from([0.0, 2.0, -3.0]), order_lists)
def test_the_filled_book_has_the_margin_of_the_worst_fill(held, found):
    """Against every side of every contract filled by hand: no other has more margin; equity is that of its fills."""
    book = book_of([(0, held, 98.0)] if held else [])
    unit = np.array([100.0, 50_000.0])
    scale = np.array([1.0, 1000.0])
    orders = OpenOrders([0] * len(found), [i for i, _, _ in found], [q * scale[i] for i, q, _ in found],
                        [p * unit[i] for i, _, p in found])  # fmt: skip
    filled = with_orders_filled(book, orders)
    state = evaluate(filled, MARKET, RULES)
    margins = {}
    for side in itertools.product((1, -1), repeat=2):
        takes = np.array([np.sign(q) == side[i] for i, q in zip(orders.instrument, orders.quantity, strict=True)])
        total = np.array([held, 0.0]) + np.bincount(orders.instrument, orders.quantity * takes, 2)
        margins[side] = float(np.abs(total) @ np.array([100.0, 10.0])) * 0.02
    assert state.initial[0] == pytest.approx(max(margins.values()), rel=1e-9)
    size = np.where(orders.instrument == 1, 10.0, 1.0) * orders.quantity
    gain = np.where(
        orders.instrument == 1, size * (1 / orders.price - 1 / 50_000) * 50_000, size * (100 - orders.price)
    )
    change = state.equity[0] - evaluate(book, MARKET, RULES).equity[0]
    sides = [
        sum(g for g, i, q in zip(gain, orders.instrument, orders.quantity, strict=True) if np.sign(q) == side[i])
        for side, margin in margins.items()
    ]
    none = [0.0] + [sum(g for g, i, q in zip(gain, orders.instrument, orders.quantity, strict=True)
                        if i == one and np.sign(q) == way) for one in (0, 1) for way in (1, -1)]  # fmt: skip
    assert min(abs(change - one) for one in sides + none) < 1e-6


def test_order_loss_is_what_a_fill_loses_at_once():
    book = book_of([])
    orders = OpenOrders([0] * 4, [0, 0, 1, 1], [2.0, -1.0, 5_000.0, -5_000.0], [101.0, 105.0, 50_500.0, 49_000.0])
    inverse = 50_000.0 * 50_000.0 * np.array([1 / 50_000 - 1 / 50_500, 1 / 49_000 - 1 / 50_000])
    np.testing.assert_allclose(order_loss(orders, book, MARKET), [2.0, 0.0, *inverse], rtol=1e-9)


def test_flips_and_other_legs_are_kept():
    book = book_of([(1, 100.0, 40_000.0), (0, 1.0, 90.0)])
    filled = with_orders_filled(book, OpenOrders([0], [0], [-3.0], [110.0]))
    assert filled.position_instrument.tolist() == [0, 1] and filled.quantity.tolist() == [-2.0, 100.0]
    # 20 of profit at the fill, then 2 short from 110: the entry that is worth the same at any mark
    assert filled.entry_price.tolist() == [120.0, 40_000.0]
    same = with_orders_filled(book, OpenOrders([0], [0], [-0.5], [110.0]))
    assert sorted(same.quantity.tolist()) == [1.0, 100.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OpenOrders([0], [0], [0.0], [1.0]), "row 0, column quantity: must be a number, not 0"),
        (lambda: OpenOrders([0], [0], [math.nan], [1.0]), "row 0, column quantity"),
        (lambda: OpenOrders([0], [0], [1.0], [0.0]), "row 0, column price: price must be positive"),
        (lambda: OpenOrders([0], [0, 1], [1.0], [1.0]), r"column instrument: has shape \(2,\), expected \(1,\)"),
        (lambda: with_orders_filled(book_of([]), OpenOrders([1], [0], [1.0], [1.0])), "row 0, column pool: is not one"),
        (lambda: with_orders_filled(book_of([]), OpenOrders([0], [2], [1.0], [1.0])), "row 0, column instrument: is"),
        (lambda: with_orders_filled(book_of([(0, 1.0, 9.0), (0, -2.0, 9.0)]), OpenOrders([0], [0], [1.0], [1.0])),
         "has two legs of one contract"),
        (lambda: with_orders_filled(book_of([(0, 1.0, 100.0)]), OpenOrders([0], [0], [-3.0], [10.0])),
         "row 0, column price: orders leave no positive entry price"),
    ],
)  # fmt: skip
def test_bad_orders_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_reserves():
    assert reserved_balance(100.0, 30.0, 0.03) == pytest.approx(69.97)
    assert worse_side_of_reserve(1.0, 50.0, 100.0, 0.8, 0.9) == pytest.approx(120.0)
    assert worse_side_of_reserve(1.0, 50.0, 100.0, 0.9, 0.7) == pytest.approx(105.0)


# --- quanto -------------------------------------------------------------------------------------------------------


def test_bitmex_ethusd_is_a_linear_contract_settled_in_another_asset():
    """https://www.bitmex.com/app/seriesGuide/ETHUSD: 0.000001 XBT a dollar; value, 2% of margin, profit in XBT."""
    table = InstrumentTable(("ETHUSD",), [LINEAR], [1e-6], [0], ("XBT",))
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 1], [0], [2.0], [0, 1], [0], [100_000.0], [500.0], [50.0])
    rules = RuleBook("x", dt.date(2019, 1, 1), {"ETHUSD": RateSchedule.cliff([0], [0.01], [50])}, base="XBT")
    state = evaluate(book, MarketState(NOW, [500.0], [1.0]), rules)
    assert state.leg_notional[0] == pytest.approx(50.0) and state.leg_initial[0] == pytest.approx(1.0)
    assert load_rulebook("bitmex").schedule_of("ETHUSD").max_leverage[0] == 50.0
    later = evaluate(book, MarketState(NOW, [510.0], [1.0]), rules)
    assert later.leg_profit[0] == pytest.approx((510 - 500) * 1e-6 * 100_000)


@given(st.floats(10, 5_000), st.floats(1_000, 1e5), st.floats(-1e6, 1e6).filter(bool))
def test_quanto_profit_does_not_see_the_dollar_price_of_its_coin(mark, coin, quantity):
    table = InstrumentTable(("ETHUSD",), [LINEAR], [1e-6], [1], ("USD", "XBT"))
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 1], [1], [1.0], [0, 1], [0], [quantity], [500.0], [math.nan])
    rules = RuleBook("x", dt.date(2024, 1, 1), {"ETHUSD": RateSchedule.cliff([0], [0.01], [50])}, {"XBT": NO_HAIRCUT})
    state = evaluate(book, MarketState(NOW, [mark], [1.0, coin]), rules)
    assert state.leg_profit[0] / coin == pytest.approx(quantity * 1e-6 * (mark - 500), rel=1e-9, abs=1e-12)
    assert state.equity[0] == pytest.approx(coin * (1 + quantity * 1e-6 * (mark - 500)), rel=1e-9, abs=1e-6)


# --- dated futures ------------------------------------------------------------------------------------------------

EXPIRY = np.datetime64("2024-12-27T08:00", "ns")


def dated(expiry=None):
    return InstrumentTable(("F", "P"), [LINEAR, LINEAR], [1.0, 1.0], [0, 0], ("USD",), expiry)


def test_expiry_is_optional_and_checked():
    assert np.isnat(dated().expiry).all() and dated().expiry.dtype == "datetime64[ns]"
    table = dated([EXPIRY, "NaT"])
    assert table.expired(EXPIRY - np.timedelta64(1, "ns")).tolist() == [False, False]
    assert table.expired(EXPIRY).tolist() == [True, False]
    assert not table.expiry.flags.writeable
    with pytest.raises(InputError, match=r"column expiry: has shape \(1,\), expected \(2,\)"):
        dated([EXPIRY])


def test_an_expired_contract_is_refused():
    table = dated([EXPIRY, "NaT"])
    require_live(table, np.array([1, 1]), EXPIRY)
    require_live(table, np.array([0, 1]), EXPIRY - np.timedelta64(1, "s"))
    with pytest.raises(InputError, match="row 1, column expiry: has expired by 2024-12-27.* .found 'F'"):
        require_live(table, np.array([1, 0]), EXPIRY)


def test_tables_that_differ_in_expiry_are_not_the_same():
    require_same_instruments(dated([EXPIRY, "NaT"]), dated([EXPIRY, "NaT"]))
    with pytest.raises(InputError, match="column instruments"):
        require_same_instruments(dated([EXPIRY, "NaT"]), dated())
