"""Margin of one pool, written as the rule reads. The plain twin of `margin_kernel`, and the reference in tests."""

from __future__ import annotations

from .accounts import AccountBook
from .instruments import INVERSE
from .market import MarketState
from .rulebook import RuleBook


def plain_margin(book: AccountBook, market: MarketState, rules: RuleBook, pool: int) -> tuple[float, float]:
    """Equity and maintenance margin of one pool, base asset.

    Examples
    --------
    >>> import numpy as np, datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 1], [0], [0.1], [60000.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.01], [50.0])})
    >>> plain_margin(book, MarketState(np.datetime64("2024-01-01"), [59_000.0], [1.0]), rules, 0)
    (800.0, 59.0)
    """
    table = book.instruments
    totals: dict[int, float] = {}
    required = 0.0
    for entry in range(book.balance_pointer[pool], book.balance_pointer[pool + 1]):
        asset = int(book.balance_asset[entry])
        totals[asset] = totals.get(asset, 0.0) + float(book.balance[entry])
    for entry in range(book.position_pointer[pool], book.position_pointer[pool + 1]):
        i = int(book.position_instrument[entry])
        mark, paid = float(market.mark[i]), float(book.entry_price[entry])
        size, asset = float(book.quantity[entry] * table.multiplier[i]), int(table.settlement[i])
        if table.kind[i] == INVERSE:
            profit, notional = size * (1 / paid - 1 / mark), abs(size) / mark
        else:
            profit, notional = size * (mark - paid), abs(size) * mark
        totals[asset] = totals.get(asset, 0.0) + profit
        needed = float(rules.schedule_of(table.symbols[i]).maintenance(notional)) + notional * rules.closing_fee
        required += needed * float(market.index[asset])
    equity = 0.0
    for asset, total in totals.items():
        haircut = rules.haircut_of(table.assets[asset], table.base)
        equity += float(haircut.collateral_value(total * float(market.index[asset])))
    return equity, required
