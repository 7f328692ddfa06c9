"""Mango v4: health of accounts, its order of liquidation, and rule-books."""

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.protocols.mango import PerpPositions, PerpTerms, SpotOrders, TokenTable, health, perp_health
from margincast.riskcore.protocols.mango_liquidation import (
    BANKRUPT,
    CANCEL_ORDERS,
    HEALTHY,
    REDUCE,
    being_liquidated,
    liability_to_end,
    liquidation_phase,
    takeable_for_zero_health,
)
from margincast.riskcore.protocols.mango_rules import load_mango_rules, read_mango_rules

FEW = settings(max_examples=60, deadline=None)
KINDS = ("init", "liquidation_end", "maint")
TOKENS = TokenTable(
    price=[1.0, 5.0, 10.0],
    init_asset=[0.8, 0.5, 0.5],
    maint_asset=[0.9, 0.7, 0.7],
    init_liability=[1.2, 1.5, 1.5],
    maint_liability=[1.1, 1.3, 1.3],
    stable_price=[1.0, 4.0, 11.0],
)
PERP = PerpTerms(5.0, 10.0, 0.8, 1.2, 0.9, 1.1, 0.95, 1.0)

tokens = st.lists(st.integers(-1_000, 1_000), min_size=3, max_size=3)
funds = st.integers(0, 500)
lots = st.integers(-50, 50)


@st.composite
def orders(draw):
    return [SpotOrders(base, 0, draw(funds), draw(funds)) for base in (1, 2)]


@st.composite
def perps(draw):
    return [PerpPositions(PERP, draw(lots), draw(st.integers(-500, 500)), draw(funds) / 10, draw(funds) / 10)]


def one(balances, kind, held=(), working=()):
    return health(balances, TOKENS, kind, held, working)[0]


@FEW
@given(tokens, perps(), orders())
def test_initial_health_is_the_lowest_and_maintenance_the_highest(balances, held, working):
    found = [one(balances, kind, held, working) for kind in KINDS]
    assert found[0] <= found[1] + 1e-9 and found[1] <= found[2] + 1e-9


@FEW
@given(tokens, perps(), orders(), st.integers(0, 2), st.integers(1, 300), st.sampled_from(KINDS))
def test_a_deposit_never_hurts(balances, held, working, token, gift, kind):
    richer = list(balances)
    richer[token] += gift
    assert one(richer, kind, held, working) >= one(balances, kind, held, working) - 1e-9


@FEW
@given(tokens, perps(), orders(), st.sampled_from(KINDS))
def test_reserved_funds_never_count_for_more_than_as_balances(balances, held, working, kind):
    """What is in the order book is worth no more than the same funds free, and no less than nothing."""
    free = list(balances)
    for order in working:
        free[order.base] += float(order.reserved_base[0])
        free[0] += float(order.reserved_quote[0])
    found = one(balances, kind, held, working)
    assert one(balances, kind, held) - 1e-9 <= found <= one(free, kind, held) + 1e-9


@FEW
@given(tokens, perps(), st.sampled_from(KINDS), st.integers(1, 40))
def test_perpetual_orders_never_help(balances, held, kind, more):
    busy = [dataclasses.replace(position, bid_lots=position.bid_lots + more) for position in held]
    assert one(balances, kind, busy) <= one(balances, kind, held) + 1e-9


@FEW
@given(st.lists(tokens, min_size=2, max_size=5), st.sampled_from(KINDS))
def test_many_accounts_are_asked_at_once(book, kind):
    n = len(book)
    held = PerpPositions(PERP, np.arange(n), np.full(n, -50.0), np.ones(n), np.zeros(n))
    working = SpotOrders(1, 0, np.arange(n), np.full(n, 7.0), np.full(n, 4.5), np.full(n, 0.25))
    together = health(book, TOKENS, kind, [held], [working])
    for row, balances in enumerate(book):
        alone = PerpPositions(PERP, row, -50.0, 1.0, 0.0)
        pair = SpotOrders(1, 0, float(row), 7.0, 4.5, 0.25)
        assert health(balances, TOKENS, kind, [alone], [pair])[0] == together[row]


def test_health_is_the_sum_in_words():
    """100 quote owed, 10 base held; a short perpetual of one lot whose asks would all fill."""
    plain = dataclasses.replace(TOKENS, stable_price=TOKENS.price)
    assert health([-100.0, 10.0, 0.0], plain)[0] == pytest.approx(-100 * 1.2 + 10 * 5 * 0.5)
    assert health([-100.0, 10.0, 0.0], TOKENS)[0] == pytest.approx(-100 * 1.2 + 10 * 4 * 0.5)
    short = PerpPositions(PERP, -1.0, 100.0, 3.0, 2.0)
    bids = (-1 + 3) * 10 * 5 * 0.8 - 3 * 10 * 5
    asks = (-1 - 2) * 10 * 5 * 1.2 + 2 * 10 * 5
    assert perp_health(short, "init")[0] == pytest.approx((100 + min(bids, asks)) * 0.95)
    assert min(bids, asks) == asks
    two_prices = PerpPositions(dataclasses.replace(PERP, stable_price=6.0), -1.0, 0.0, 0.0, 0.0)
    assert perp_health(two_prices, "init")[0] == pytest.approx(-10 * 6 * 1.2)
    assert perp_health(two_prices, "maint")[0] == pytest.approx(-10 * 5 * 1.1)


def test_weights_scale_with_the_group():
    group = dataclasses.replace(
        TOKENS,
        stable_price=TOKENS.price,
        deposits=[100.0, 1_500.0, 10_000.0],
        deposit_scale_start=[1_000.0, 5_000.0, 10_000.0],
        borrows=[100.0, 1_500.0, 10_000.0],
        borrow_scale_start=[1_000.0, 5_000.0, 10_000.0],
    )
    assert group.asset_price("init").tolist() == pytest.approx([0.8, 5 * 0.5 / 1.5, 10 * 0.5 / 10])
    assert group.liability_price("init").tolist() == pytest.approx([1.2, 5 * 1.5 * 1.5, 10 * 1.5 * 10])
    for kind in KINDS[1:]:
        assert group.asset_price(kind).tolist() == TOKENS.asset_price(kind).tolist()
        assert group.liability_price(kind).tolist() == TOKENS.liability_price(kind).tolist()


def test_tokens_in_order_books_scale_weights_as_deposits_do():
    group = dataclasses.replace(
        TOKENS,
        stable_price=TOKENS.price,
        deposits=[0.0, 100.0, 600.0],
        deposit_scale_start=[np.inf, 500.0, 5_000.0],
        potential_deposits=[0.0, 100.0, 100.0],
    )
    assert group.asset_price("init").tolist() == pytest.approx([0.8, 5 * 0.5 * 100 / 200, 10 * 0.5 * 500 / 700])
    assert group.asset_price("maint").tolist() == TOKENS.asset_price("maint").tolist()
    assert group.liability_price("init").tolist() == pytest.approx([1.2, 7.5, 15.0])
    with pytest.raises(InputError, match="column potential_deposits: must not be negative"):
        dataclasses.replace(group, potential_deposits=[0.0, -1.0, 0.0])


def test_liquidation_runs_from_maintenance_to_its_end():
    before = [False, False, True, True, True]
    assert being_liquidated([0.0, -0.1, 5.0, 5.0, -1.0], [-5.0, -5.0, -0.1, 0.0, -9.0], before).tolist() == [
        False,
        True,
        True,
        False,
        True,
    ]
    phases = liquidation_phase([0, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0])
    assert phases.tolist() == [HEALTHY, CANCEL_ORDERS, REDUCE, BANKRUPT, HEALTHY]


@FEW
@given(st.floats(1.0, 500.0), st.floats(0.0, 0.1))
def test_repaying_what_ends_a_liquidation_ends_it(owed, fee):
    balances = np.array([owed * 4.0, -owed, 0.0])
    end = one(balances, "liquidation_end")
    repaid = liability_to_end(end, 5.0, 1.5, 0.8, fee).item()
    if repaid <= owed and balances[0] >= repaid * 5.0 * (1 + fee):
        after = balances + [-repaid * 5.0 * (1 + fee), repaid, 0.0]
        assert one(after, "liquidation_end") == pytest.approx(0.0, abs=1e-8)
    assert liability_to_end(-1.0, 5.0, 1.0, 1.0, fee).item() == np.inf


@FEW
@given(tokens, st.integers(0, 2))
def test_taking_what_can_be_taken_leaves_no_health(balances, token):
    weighted = TOKENS.asset_price("init")[token], TOKENS.liability_price("init")[token]
    before = one(balances, "init")
    taken = takeable_for_zero_health(before, balances[token], *weighted).item()
    left = [float(balance) for balance in balances]
    left[token] -= taken
    assert one(left, "init") == pytest.approx(0.0 if before > 0 else before, abs=1e-8)


def build(**columns):
    given = {name: getattr(TOKENS, name) for name in ("price", "init_asset", "maint_asset", "init_liability")}
    return TokenTable(**{**given, "maint_liability": TOKENS.maint_liability, **columns})


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: health([1.0, 2.0], TOKENS), "column balances: must have a column a token"),
        (lambda: health([1.0, np.nan, 0.0], TOKENS), "row 0, column balances: must be numbers"),
        (lambda: health([1.0, 1.0, 0.0], TOKENS, "final"), "column kind: must be one of init, maint"),
        (lambda: build(price=[1.0, np.nan, 1.0]), "row 1, column price: must be a number"),
        (lambda: build(price=[1.0, 0.0, 1.0]), "row 1, column price: must be positive"),
        (lambda: build(init_asset=[0.95, 0.5, 0.5]), "row 0, column init_asset: must not exceed maint_asset"),
        (lambda: build(init_liability=[1.0, 1.5, 1.5]), "row 0, column init_liability: must not be below"),
        (lambda: build(deposits=[1.0]), "column deposits: must have one value a token"),
        (lambda: PerpPositions(PERP, 1.0, np.nan, 0.0, 0.0), "column quote: must be a number"),
        (lambda: PerpPositions(PERP, 1.0, 0.0, -1.0, 0.0), "column bid_lots: must not be negative"),
        (lambda: SpotOrders(1, 0, -1.0, 0.0), "column reserved_base"),
        (lambda: dataclasses.replace(PERP, price=np.nan), "column price: must be a number"),
        (lambda: liability_to_end(1.0, 0.0, 1.0, 1.0, 0.0), "column liability_price: must be positive"),
        (lambda: takeable_for_zero_health(1.0, 1.0, 1.0, 0.0), "column liability_price: must be positive"),
    ],
)
def test_what_makes_no_sense_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_rules_give_the_tables():
    rules = load_mango_rules(dt.date(2023, 6, 1))
    table = rules.table(["base", "quote"], [5.0, 1.0], deposits=[1e9, 0.0])
    assert table.asset_price("init").tolist() == [2.5, 0.8]
    queued = rules.table(["base"], [5.0], stable_price=[4.0], borrows=[2.0], potential_deposits=[3.0])
    assert [queued.stable_price, queued.borrows, queued.potential_deposits] == [[4.0], [2.0], [3.0]]
    assert rules.perp("base", ["base", "quote"], 5.0).settle_token == 1
    for call in (
        lambda: rules.table(["other"], [1.0]),
        lambda: rules.perp("base", ["base"], 5.0),
        lambda: rules.perp("other", ["quote"], 5.0),
        lambda: load_mango_rules(dt.date(2022, 1, 1)),
    ):
        with pytest.raises(InputError, match="unknown|before the first"):
            call()


GOOD = Path(__file__).resolve().parents[1].joinpath("riskcore/venues/mango_v4_2023-01-01.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("init_asset = 0.8\n", "", "column tokens.table.quote init_asset: must be given as a number"),
        ("init_asset = 0.8", "init_asset = 0.85", "column tokens.table.quote init_asset: must not exceed maint_asset"),
        ("init_asset = 0.8", "init_asset = nan", "column tokens.table.quote init_asset: must be in"),
        ("maint_liability = 1.2", "maint_liability = 0.9", r"maint_liability: must be in \[1, init_liability\]"),
        ("borrow_scale_start = 0.0", "borrow_scale_start = -1.0", "borrow_scale_start: must not be negative"),
        ('settle_token = "quote"', 'settle_token = "euro"', "unknown settle_token; known are quote, base"),
        ("maint_base_asset = 0.8", "maint_base_asset = 1.8", "maint_base_asset: must be ordered about one"),
        ("init_base_liability = 1.2", "init_base_liability = 1.1", "init_base_liability: must not be below"),
        ("lot_size = 10.0", "lot = 10.0", "column perps.table.base lot: unknown key"),
        ("[perps]\ndate = 2023-06-01", "[perps]", "column perps date: must be given"),
        ('model = "mango_v4"', 'model = "mango_v3"', "the rules asked for are of the model mango_v4"),
    ],
)
def test_malformed_rule_books_are_refused(tmp_path, old, new, told):
    assert old in GOOD
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=told) as refusal:
        read_mango_rules(path)
    assert "\n" not in str(refusal.value) and str(path) in str(refusal.value)


def test_reserved_funds_fill_a_negative_balance_first():
    """100 quote behind bids, 60 quote owed: as quote 60 repay and 40 are a deposit, as base 20 tokens are one."""
    plain = dataclasses.replace(TOKENS, stable_price=TOKENS.price)
    found = health([-60.0, 0.0, 0.0], plain, "init", orders=[SpotOrders(1, 0, 0.0, 100.0)])[0]
    assert found == pytest.approx(-60 * 1.2 + min(60 * 1.2 + 40 * 0.8, 20 * 5 * 0.5))
    owing = health([0.0, -30.0, 0.0], plain, "init", orders=[SpotOrders(1, 0, 0.0, 100.0)])[0]
    assert owing == pytest.approx(-30 * 5 * 1.5 + min(100 * 0.8, 20 * 5 * 1.5))
