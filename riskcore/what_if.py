"""Books as they would be after a deposit or a reduction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .accounts import AccountBook
from .arrays import FloatArray, IntArray
from .errors import InputError
from .instruments import INVERSE
from .market import MarketState


def with_deposit(book: AccountBook, amount: ArrayLike) -> AccountBook:
    """The book after each pool has received `amount` of the base asset, shape (n_pools,) or a scalar.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 1], [0], [0.1], [60000.0], [np.nan])
    >>> with_deposit(book, 100.0).balance.tolist()
    [900.0, 100.0]
    """
    added = np.broadcast_to(np.asarray(amount, dtype=np.float64), (len(book),))
    return _with_balances(book, np.arange(len(book)), np.zeros(len(book), dtype=np.int64), added)


def with_reduction(book: AccountBook, fraction: ArrayLike, market: MarketState) -> AccountBook:
    """The book after each pool has closed `fraction` of every position at the mark, in [0, 1); costs are left out.

    The profit or loss of what is closed is paid into the balance of its settlement asset, so equity does not change.

    Raises
    ------
    InputError
        A fraction outside [0, 1).

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 1], [0], [0.1], [60000.0], [np.nan])
    >>> smaller = with_reduction(book, 0.5, MarketState(np.datetime64("2024-01-01"), [58_000.0], [1.0]))
    >>> smaller.quantity.tolist(), smaller.balance.round(6).tolist()
    ([0.05], [900.0, -100.0])
    """
    closed = np.broadcast_to(np.asarray(fraction, dtype=np.float64), (len(book),))
    outside = ~((closed >= 0) & (closed < 1))
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise InputError("must be in [0, 1)", row=row, column="fraction", value=float(closed[row]))
    table, instrument = book.instruments, book.position_instrument
    pool = np.repeat(np.arange(len(book)), np.diff(book.position_pointer))
    size = book.quantity * table.multiplier[instrument] * closed[pool]
    mark, entry = market.mark[instrument], book.entry_price
    inverse = table.kind[instrument] == INVERSE
    realised = np.where(inverse, size * (1 / entry - 1 / mark), size * (mark - entry))
    smaller = replace(book, quantity=book.quantity * (1 - closed[pool]))
    return _with_balances(smaller, pool, table.settlement[instrument], realised)


def _with_balances(book: AccountBook, pool: IntArray, asset: IntArray, amount: FloatArray) -> AccountBook:
    held = np.repeat(np.arange(len(book)), np.diff(book.balance_pointer))
    pools = np.concatenate((held, pool))
    order = np.argsort(pools, kind="stable")
    return replace(
        book,
        balance_pointer=np.searchsorted(pools[order], np.arange(len(book) + 1)).astype(np.int64),
        balance_asset=np.concatenate((book.balance_asset, asset))[order],
        balance=np.concatenate((book.balance, amount))[order],
    )
