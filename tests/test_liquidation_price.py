"""Liquidation prices: against published formulas, against a plain twin, and by what they mean."""

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.liquidation_price import cross_liquidation_price, liquidation_price
from margincast.riskcore.margin_plain import plain_margin
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.rulebook_file import load_rulebook

NOW = np.datetime64("2024-01-01", "ns")
# A linear BTC and ETH contract paid in USDT, and an inverse BTC contract of 100 USD paid in BTC.
TABLE = InstrumentTable(("BTC", "ETH", "BTC_INV"), [LINEAR, LINEAR, INVERSE], [1, 10, 100], [0, 0, 1], ("USDT", "BTC"))
MARKS = {"BTC": 50_000.0, "ETH": 3_000.0, "BTC_INV": 50_100.0}
MARKET = MarketState(NOW, list(MARKS.values()), [1.0, 49_900.0])
TIERS = RateSchedule.marginal([0, 5e4, 2.5e5, 1e6, 5e6], [0.004, 0.01, 0.025, 0.1, 0.3], [125, 50, 20, 5, 2])
CLIFF = RateSchedule.cliff([0, 1e5, 4e5, 2e6], [0.01, 0.02, 0.05, 0.2], [50, 20, 10, 2])
COIN = RateSchedule.marginal([0, 5, 10, 40], [0.004, 0.01, 0.05, 0.2], [100, 50, 10, 2])
RULES = RuleBook(
    "test",
    dt.date(2024, 1, 1),
    {"BTC": TIERS, "ETH": CLIFF, "BTC_INV": COIN},
    {"BTC": HaircutSchedule([0, 2e5, 1e6], [0.95, 0.8, 0.5])},
)


def book_of(balances, positions):
    """One pool: {asset: amount} and (symbol, quantity, entry) a position."""
    symbols, quantity, entry = zip(*positions, strict=True) if positions else ((), (), ())
    return AccountBook(
        TABLE, ["a"], ["m"], [CROSS], [0, len(balances)], TABLE.asset_index_of(list(balances)), list(balances.values()),
        [0, len(positions)], TABLE.index_of(symbols), quantity, entry, [math.nan] * len(positions),
    )  # fmt: skip


def market_with(market, instrument, price):
    marks = np.array(market.mark)
    marks[instrument] = price
    return MarketState(market.time, marks, market.index)


def headroom(book, market, rules, instrument, price):
    """Equity - maintenance of pool 0 with one mark moved, by the plain margin."""
    equity, needed = plain_margin(book, market_with(market, instrument, price), rules, 0)
    if rules.maintenance_at == "mark":
        needed = plain_margin(book, market, rules, 0)[1]
    elif rules.maintenance_at == "entry":
        needed = 0.0
        for symbol, quantity, entry in zip(book.position_instrument, book.quantity, book.entry_price, strict=True):
            one = book_of({"USDT": 0.0}, [(TABLE.symbols[symbol], quantity, entry)])
            needed += plain_margin(one, market_with(market, symbol, entry), rules, 0)[1]
    return equity - needed


def gross(book, market):
    """What headroom is made of, for the tolerance."""
    size = np.abs(book.quantity) * TABLE.multiplier[book.position_instrument]
    marks = np.where(
        book.position_instrument == 2, 1.0 / np.array(market.mark)[2], np.array(market.mark)[book.position_instrument]
    )
    value = (size * marks * market.index[TABLE.settlement[book.position_instrument]]).sum()
    return value + (np.abs(book.balance) * market.index[book.balance_asset]).sum()


def twin(book, market, rules, instrument):
    """The liquidation price by listing every break, fitting the line between each two, and taking the nearest root."""
    inverse = TABLE.kind[instrument] == INVERSE

    def price_of(x):
        return 1.0 / x if inverse else x

    def at(x):
        return headroom(book, market, rules, instrument, price_of(x))

    legs = np.abs(book.quantity[book.position_instrument == instrument]) * TABLE.multiplier[instrument]
    breaks = [floor / leg for leg in legs for floor in rules.schedule_of(TABLE.symbols[instrument]).floors[1:]]
    asset = TABLE.settlement[instrument]
    size = book.quantity[book.position_instrument == instrument].sum()
    if TABLE.assets[asset] in rules.haircuts and size:
        alone = replace(rules, haircuts={})
        whole = [
            plain_margin(book, market_with(market, instrument, price_of(x)), _free(alone), 0)[0] for x in (1.0, 2.0)
        ]
        others = plain_margin(_without(book, asset), market_with(market, instrument, price_of(1.0)), _free(alone), 0)[0]
        slope = whole[1] - whole[0]
        breaks += [(floor - (whole[0] - others - slope)) / slope for floor in rules.haircuts["BTC"].floors]
    start = price_of(market.mark[instrument])
    edges = [0.0, *sorted({b for b in breaks if b > 0}), math.inf]
    found = []
    for low, high in zip(edges, edges[1:], strict=False):
        inner = (
            (low + (high - low) / 3, low + (high - low) / 1.5)
            if math.isfinite(high)
            else (low * 2 + start, low * 4 + 2 * start)
        )
        values = at(inner[0]), at(inner[1])
        slope = (values[1] - values[0]) / (inner[1] - inner[0])
        level = values[0] - slope * inner[0]
        if slope and low <= -level / slope <= high and level:
            found.append(-level / slope)
        if math.isfinite(high):
            after = at(high * (1 + 1e-9))
            if (level + slope * high >= 0) != (after >= 0):
                found.append(high)
    prices = [price_of(x) for x in found if x > 0]
    return min(prices, key=lambda p: abs(p - market.mark[instrument]), default=math.nan)


def _free(rules):
    free = HaircutSchedule([0], [1.0])
    return replace(rules, haircuts=dict.fromkeys(rules.haircuts, free), generic_haircut=free)


def _without(book, asset):
    """The same pool without what is held or settles in an asset."""
    held, legs = book.balance_asset != asset, TABLE.settlement[book.position_instrument] != asset
    return replace(
        book,
        balance_pointer=[0, held.sum()],
        balance_asset=book.balance_asset[held],
        balance=book.balance[held],
        position_pointer=[0, legs.sum()],
        position_instrument=book.position_instrument[legs],
        quantity=book.quantity[legs],
        entry_price=book.entry_price[legs],
        leverage=book.leverage[legs],
    )


def amounts(largest):
    return st.builds(
        lambda sign, exponent: sign * 10.0**exponent, st.sampled_from([-1.0, 1.0]), st.floats(-2.0, largest)
    )


@st.composite
def books(draw):
    positions = []
    for _ in range(draw(st.integers(1, 4))):
        symbol = draw(st.sampled_from(list(MARKS)))
        quantity = draw(amounts({"BTC": 2.0, "ETH": 2.5, "BTC_INV": 4.5}[symbol]))
        positions.append((symbol, quantity, MARKS[symbol] * draw(st.floats(0.7, 1.4))))
    balances = {"USDT": draw(st.floats(-2e4, 1e6)), "BTC": draw(st.floats(-0.5, 30.0))}
    return book_of(balances, positions)


@st.composite
def rule_books(draw):
    return replace(
        RULES,
        closing_fee=draw(st.sampled_from([0.0, 0.0006])),
        maintenance_at=draw(st.sampled_from(["price", "price", "mark", "entry"])),
        strict_trigger=draw(st.booleans()),
    )


QUICK = settings(derandomize=True, max_examples=100, deadline=None)


@QUICK
@given(books(), rule_books())
def test_agrees_with_the_plain_twin(book, rules):
    found = liquidation_price(book, MARKET, rules)
    assume(abs(headroom(book, MARKET, rules, 0, MARKS["BTC"])) > 1e-6 * gross(book, MARKET))
    for instrument in np.unique(book.position_instrument):
        price = found[book.position_instrument == instrument]
        assert len(set(price.tolist())) == 1 or np.isnan(price).all()
        expected = twin(book, MARKET, rules, int(instrument))
        distance = abs(expected - MARKET.mark[instrument])
        np.testing.assert_allclose(price[0], expected, rtol=1e-6, atol=1e-6 * distance if distance == distance else 0)


@QUICK
@given(books(), rule_books())
def test_headroom_vanishes_there_and_not_before(book, rules):
    market, scale = MARKET, gross(book, MARKET)
    for position, price in enumerate(liquidation_price(book, market, rules)):
        instrument = int(book.position_instrument[position])
        mark = float(market.mark[instrument])
        now = headroom(book, market, rules, instrument, mark)
        between = np.geomspace(mark, price, 12)[:-1] if price == price else mark * np.geomspace(1e-9, 1e9, 37)
        signs = [headroom(book, market, rules, instrument, p) * math.copysign(1.0, now) for p in between]
        largest = np.max([scale, *(scale * p / mark for p in between), *(scale * mark / p for p in between)])
        assert min(signs) >= -1e-9 * largest
        if price == price:
            at = [headroom(book, market, rules, instrument, price * (1 + shift)) for shift in (-1e-9, 0.0, 1e-9)]
            reach = scale * max(price / mark, mark / price, 1.0)
            jumps = rules.maintenance_at == "price" and TABLE.symbols[instrument] == "ETH"
            assert abs(at[1]) <= 1e-9 * reach or (jumps and min(at) <= 1e-9 * reach and max(at) >= -1e-9 * reach)


@QUICK
@given(books(), rule_books(), st.floats(1.0, 1e5))
def test_a_deposit_moves_it_away(book, rules, deposit):
    instrument = int(book.position_instrument[0])
    assume(headroom(book, MARKET, rules, instrument, float(MARKET.mark[instrument])) > 0)
    richer = replace(book, balance=book.balance + np.where(book.balance_asset == 0, deposit, 0.0))
    before, after = (
        np.abs(liquidation_price(b, MARKET, rules) - MARKET.mark[b.position_instrument]) for b in (book, richer)
    )
    assert (np.nan_to_num(after, nan=np.inf) >= np.nan_to_num(before, nan=np.inf) * (1 - 1e-12)).all()


@QUICK
@given(books(), st.randoms(use_true_random=False))
def test_order_of_positions_does_not_matter(book, random):
    order = list(range(len(book.quantity)))
    random.shuffle(order)
    other = replace(
        book,
        position_instrument=book.position_instrument[order],
        quantity=book.quantity[order],
        entry_price=book.entry_price[order],
    )
    np.testing.assert_array_equal(
        liquidation_price(other, MARKET, RULES), liquidation_price(book, MARKET, RULES)[order]
    )


def test_moving_further_breaches():
    book = book_of({"USDT": 20_000.0}, [("BTC", 2.0, 50_000.0), ("ETH", -1.0, 3_000.0)])
    for position, price in enumerate(liquidation_price(book, MARKET, RULES)):
        instrument, outwards = int(book.position_instrument[position]), math.copysign(1e-7, -book.quantity[position])
        assert headroom(book, MARKET, RULES, instrument, price * (1 + outwards)) < 0
        assert headroom(book, MARKET, RULES, instrument, price * (1 - outwards)) > 0


def test_binance_hedge_mode_formula():
    """Help page b3c689c1...: LP of a long and a short leg of one contract, with another contract beside them."""
    wallet, (ql, el), (qs, es) = 30_000.0, (10.0, 51_000.0), (2.0, 48_000.0)
    book = book_of({"USDT": wallet}, [("BTC", ql, el), ("BTC", -qs, es), ("ETH", 3.0, 2_900.0)])
    eth_notional = 30.0 * MARKS["ETH"]
    other_margin, other_profit = 0.01 * eth_notional, 30.0 * (MARKS["ETH"] - 2_900.0)
    price = liquidation_price(book, MARKET, RULES)
    (rate_l, cum_l), (rate_s, cum_s) = (
        (TIERS.rates[tier], TIERS.deductions[tier]) for tier in TIERS.tier_of([ql * price[0], qs * price[0]])
    )
    top = wallet - other_margin + other_profit + cum_l + cum_s - ql * el + qs * es
    assert price[0] == price[1] == pytest.approx(top / (ql * rate_l + qs * rate_s - ql + qs), rel=1e-12)


def test_tier_reached_on_the_way_is_used():
    """A short starts in the 0.4% tier and is liquidated in the 1% tier: P = (wallet + Q*EP + cum) / (Q*(1 + rate))."""
    book = book_of({"USDT": 60_000.0}, [("BTC", -0.9, 50_000.0)])
    expected = (60_000.0 + 45_000.0 + 300.0) / (0.9 * 1.01)
    assert TIERS.tier_of(45_000.0) == 0 and TIERS.tier_of(0.9 * expected) == 1 and TIERS.deductions[1] == 300.0
    assert liquidation_price(book, MARKET, RULES)[0] == pytest.approx(expected, rel=1e-12)


def test_cliff_is_liquidated_at_the_edge_of_the_tier():
    """A short of 30 ETH at 3,000: at 100,000 notional the rate doubles and 1,500 of equity are too little."""
    book = book_of({"USDT": 11_500.0}, [("ETH", -3.0, 3_000.0)])
    price = liquidation_price(book, MARKET, RULES)[0]
    assert price == pytest.approx(100_000 / 30, rel=1e-12)
    assert headroom(book, MARKET, RULES, 1, price * (1 - 1e-9)) == pytest.approx(500.0, abs=1e-3)
    assert headroom(book, MARKET, RULES, 1, price * (1 + 1e-9)) == pytest.approx(-500.0, abs=1e-3)


def test_inverse_long_by_hand():
    """Isolated coin pool: balance + F*(1/EP - 1/P) = F*rate/P, so 1/P = (balance + F/EP) / (F*(1 + rate))."""
    rules = replace(
        RULES,
        haircuts={"BTC": HaircutSchedule([0], [1.0])},
        schedules={"BTC_INV": RateSchedule.cliff([0], [0.01], [50])},
    )
    book = book_of({"BTC": 0.05}, [("BTC_INV", 250.0, 50_000.0)])
    face = 250.0 * 100.0
    expected = face * 1.01 / (0.05 + face / 50_000.0)
    assert liquidation_price(book, MARKET, rules)[0] == pytest.approx(expected, rel=1e-12)


def test_haircut_slices_bend_the_way():
    """A short of 200 inverse contracts with 4.2 BTC and a debt of 185,000 USDT.

    Its coin, 4.2 - 20,000 * (1/50,000 - 1/P), is worth more than 200,000 at the mark, where a slice counts 80%, and
    less where the pool is lost: there all of it counts 95%.
    """
    book = book_of({"BTC": 4.2, "USDT": -185_000.0}, [("BTC_INV", -200.0, 50_000.0)])
    price = liquidation_price(book, MARKET, RULES)[0]
    now, there = (49_900.0 * (4.2 - 20_000.0 * (1 / 50_000.0 - 1 / p)) for p in (MARKS["BTC_INV"], price))
    assert now > 2e5 > there
    assert 0.95 * there - 185_000.0 == pytest.approx(0.004 * 20_000.0 / price * 49_900.0, rel=1e-6)


@pytest.mark.parametrize("frozen", ["price", "mark"])
@pytest.mark.parametrize("quantity", [-0.3, 0.3])
@pytest.mark.parametrize("wallet", [900.0, 9_000.0, 30_000.0])
def test_account_formula_agrees_with_the_solver(frozen, quantity, wallet):
    book = book_of({"USDT": wallet}, [("BTC", quantity, 50_000.0)])
    rules = replace(
        RULES, maintenance_at=frozen, schedules={"BTC": RateSchedule.cliff([0], [0.01], [50])}, closing_fee=0.001
    )
    equity, maintenance = plain_margin(book, MARKET, rules, 0)
    closed = cross_liquidation_price(MARKS["BTC"], quantity, equity, maintenance, 0.011, frozen)
    np.testing.assert_allclose(liquidation_price(book, MARKET, rules)[0], closed, rtol=1e-12)


def test_account_formula_takes_columns():
    found = cross_liquidation_price([100.0, 100.0, 100.0], [1.0, -1.0, 1.0], [50.0, 50.0, 200.0], 1.0, 0.01)
    np.testing.assert_allclose(found, [100 - 49 / 0.99, 100 + 49 / 1.01, np.nan])
    with pytest.raises(InputError, match="column size: must not be zero"):
        cross_liquidation_price(100.0, 0.0, 50.0, 1.0, 0.01)


def test_bybit_isolated_is_frozen_at_entry():
    """LP = EP*(1 - (1/leverage - rate)) for a long with margin EP*Q/leverage (Bybit help, isolated linear)."""
    rules = replace(RULES, maintenance_at="entry", schedules={"BTC": RateSchedule.cliff([0], [0.005], [100])})
    book = book_of({"USDT": 2_000.0}, [("BTC", 0.4, 50_000.0)])
    for mark in (46_000.0, 60_000.0):
        moved = market_with(MARKET, 0, mark)
        assert liquidation_price(book, moved, rules)[0] == pytest.approx(50_000.0 * (1 - (0.1 - 0.005)), rel=1e-12)


def test_a_pool_in_breach_is_told_where_it_would_be_out_of_it():
    book = book_of({"USDT": 1_000.0}, [("BTC", 1.0, 52_000.0)])
    price = liquidation_price(book, MARKET, RULES)[0]
    assert headroom(book, MARKET, RULES, 0, MARKS["BTC"]) < 0 < headroom(book, MARKET, RULES, 0, price * 1.0001)
    assert price > MARKS["BTC"]


@pytest.mark.parametrize(("mark", "nearer"), [(50_000.0, "above"), (36_000.0, "below")])
def test_the_nearer_of_two_prices_is_told(mark, nearer):
    """A hedge a little longer than short is lost below by its loss and above by the tiers its legs grow into."""
    book = book_of({"USDT": 60_000.0}, [("BTC", 22.0, 50_000.0), ("BTC", -20.0, 50_000.0)])
    market = market_with(MARKET, 0, mark)
    lost = {"below": (33_000.0, 34_000.0), "above": (53_500.0, 54_000.0)}
    for low, high in lost.values():
        assert headroom(book, market, RULES, 0, low) * headroom(book, market, RULES, 0, high) < 0
    low, high = lost[nearer]
    assert low < liquidation_price(book, market, RULES)[0] < high


def test_none_where_no_positive_price_liquidates():
    book = book_of({"USDT": 100_000.0}, [("BTC", 1.0, 50_000.0), ("ETH", 1.0, 3_000.0)])
    assert np.isnan(liquidation_price(book, MARKET, RULES)).all()


def test_pools_are_independent_and_empty_ones_pass():
    one = book_of({"USDT": 3_000.0}, [("BTC", 1.0, 50_000.0)])
    book = AccountBook(
        TABLE, ["a", "b", "a"], ["m"] * 3, [CROSS, CROSS, "BTC"], [0, 1, 2, 3], [0, 0, 0], [3_000.0, 5.0, 3_000.0],
        [0, 1, 1, 2], [0, 0], [1.0, 1.0], [50_000.0, 50_000.0], [math.nan] * 2,
    )  # fmt: skip
    alone = liquidation_price(one, MARKET, RULES)[0]
    assert liquidation_price(book, MARKET, RULES).tolist() == [alone, alone]
    assert liquidation_price(book_of({"USDT": 5.0}, []), MARKET, RULES).tolist() == []


def test_bad_input_is_named():
    book = book_of({"USDT": 3_000.0}, [("BTC", 1.0, 50_000.0)])
    with pytest.raises(InputError, match="has no mark price"):
        liquidation_price(book, market_with(MARKET, 0, math.nan), RULES)
    with pytest.raises(InputError, match="no tier table"):
        liquidation_price(book, MARKET, replace(RULES, schedules={}))


def test_real_rule_book_across_its_tiers():
    """A short as large as Binance allows is liquidated by the tier it reaches, whatever tier it starts in."""
    rules = load_rulebook("binance_usdm")
    for start in np.geomspace(1e3, 9e8, 25):
        quantity = -start / MARKS["BTC"]
        book = book_of({"USDT": start}, [("BTC", quantity, MARKS["BTC"])])
        price = liquidation_price(book, MARKET, rules)[0]
        notional = -quantity * price
        needed = rules.schedule_of("BTC").maintenance(notional)
        assert 2 * start - notional == pytest.approx(float(needed), rel=1e-9)
