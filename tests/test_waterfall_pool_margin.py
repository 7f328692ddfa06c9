"""Margin of one pool from plain lists: what `evaluate` says of it, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.margin import evaluate
from margincast.riskcore.waterfall.pool_margin import Leg, PoolRules


def one_by_one(book, market, rules):
    found = PoolRules(book, rules)
    for pool in range(len(book)):
        mine = slice(book.position_pointer[pool], book.position_pointer[pool + 1])
        columns = (book.position_instrument, book.quantity, book.entry_price, book.leverage)
        legs = [Leg(*leg) for leg in zip(*(column[mine].tolist() for column in columns), strict=True)]
        held = slice(book.balance_pointer[pool], book.balance_pointer[pool + 1])
        cash = list(zip(book.balance_asset[held].tolist(), book.balance[held].tolist(), strict=True))
        yield mine, found.margin(legs, cash, market)


def one_balance_an_asset(book):
    """The same book with the balances of a pool in one asset added up, as a ledger keeps them."""
    holder = np.repeat(np.arange(len(book)), np.diff(book.balance_pointer))
    total = np.zeros((len(book), len(book.instruments.assets)))
    np.add.at(total, (holder, book.balance_asset), book.balance)
    pool, asset = np.nonzero(total)
    pointer = np.append(0, np.cumsum(np.bincount(pool, minlength=len(book))))
    return replace(book, balance_pointer=pointer, balance_asset=asset, balance=total[pool, asset])


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_it_is_evaluate_bit_for_bit(draw, seed):
    world = draw.world(seed, pools=12)
    book = one_balance_an_asset(world.book)
    state = evaluate(book, world.market, world.rules)
    for pool, (mine, found) in enumerate(one_by_one(book, world.market, world.rules)):
        assert (found.equity, found.maintenance) == (state.equity[pool], state.maintenance[pool])
        assert found.notional == state.leg_notional[mine].tolist()
        assert found.profit == state.leg_profit[mine].tolist()
        assert found.leg_maintenance == state.leg_maintenance[mine].tolist()
