"""Books as they would be after a deposit, a reduction or a fill."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .accounts import CROSS, AccountBook, csr_pointers
from .arrays import BoolArray, FloatArray, IntArray, require
from .instruments import INVERSE, contract_profit, contract_value
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
    return book.with_amounts(np.arange(len(book)), np.zeros(len(book), dtype=np.int64), added)


def with_reduction(
    book: AccountBook, fraction: ArrayLike, market: MarketState, *, fee_rate: ArrayLike = 0.0
) -> AccountBook:
    """The book after each pool has closed `fraction` of every position at the mark, in [0, 1).

    Without a fee equity does not change; `fee_rate` is for each pool, otherwise as in `with_leg_reduction`.

    Raises
    ------
    InputError
        A fraction outside [0, 1), a fee that is not finite.

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
    require((closed >= 0) & (closed < 1), closed, "must be in [0, 1)", "fraction")
    fees = np.broadcast_to(np.asarray(fee_rate, dtype=np.float64), (len(book),))
    return with_leg_reduction(book, closed[book.position_pool], market, fee_rate=fees[book.position_pool])


def with_leg_reduction(
    book: AccountBook, share: ArrayLike, market: MarketState, *, fee_rate: ArrayLike = 0.0
) -> AccountBook:
    """The book after a share of each single position has been closed at the mark; one closed in full is gone.

    The profit or loss of what is closed is paid into the balance of its settlement asset, so equity moves by the fee
    only.

    Parameters
    ----------
    book, market
        The pools and the marks.
    share
        Of each position, in [0, 1], shape (n_positions,) or a scalar.
    fee_rate
        Fraction of the notional closed, taken from the settlement asset, shape (n_positions,) or a scalar.

    Raises
    ------
    InputError
        A share outside [0, 1], a fee that is not finite.

    Examples
    --------
    The whole ETH leg is sold at 2,000 for 0.1% of 4,000:

    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
    >>> legs = [0, 2], [0, 1], [0.1, 2.0], [60000.0, 1900.0], [np.nan, np.nan]
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], *legs)
    >>> market = MarketState(np.datetime64("2024-01-01"), [58_000.0, 2_000.0], [1.0])
    >>> after = with_leg_reduction(book, [0.0, 1.0], market, fee_rate=0.001)
    >>> after.quantity.tolist(), float(after.balance.sum().round(6))
    ([0.1], 1096.0)
    """
    legs = (len(book.quantity),)
    closed = np.broadcast_to(np.asarray(share, dtype=np.float64), legs)
    require((closed >= 0) & (closed <= 1), closed, "must be in [0, 1]", "share")
    fees = np.broadcast_to(np.asarray(fee_rate, dtype=np.float64), legs)
    require(np.isfinite(fees), fees, "must be a finite number", "fee_rate")
    mark, size, inverse = market.mark[book.position_instrument], book.position_size * closed, book.position_inverse
    realised = contract_profit(size, book.entry_price, mark, inverse)
    paid = contract_value(np.abs(size) * fees, mark, inverse)
    kept = np.flatnonzero(closed < 1)
    smaller = replace(
        book,
        position_pointer=csr_pointers(book.position_pool[kept], len(book)),
        position_instrument=book.position_instrument[kept],
        quantity=(book.quantity * (1 - closed))[kept],
        entry_price=book.entry_price[kept],
        leverage=book.leverage[kept],
    )
    return smaller.with_amounts(book.position_pool, book.position_asset, realised - paid)


def with_hedge(
    book: AccountBook, instrument: ArrayLike, quantity: ArrayLike, market: MarketState, *, fee_rate: ArrayLike = 0.0
) -> AccountBook:
    """The book after each pool has traded a signed quantity of an instrument at the mark: `with_fill` at that price.

    A quantity of the other sign than a leg's closes that leg first, so that a hedge in the instrument held is a cut.

    Parameters
    ----------
    book, market
        The pools and the marks.
    instrument, quantity, fee_rate
        As in `with_fill`; of a quantity of 0 the mark may be NaN. `RuleBook.closing_fee` is the fee of a venue that
        sets it aside in its margin.

    Raises
    ------
    InputError
        What `with_fill` refuses, and an instrument without a mark.

    Examples
    --------
    A long of 0.1 BTC sells 1.5 ETH at 2,000 for 0.05% of 3,000:

    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 1], [0], [0.1], [60000.0], [np.nan])
    >>> market = MarketState(np.datetime64("2024-01-01"), [58_000.0, 2_000.0], [1.0])
    >>> hedged = with_hedge(book, 1, -1.5, market, fee_rate=0.0005)
    >>> hedged.position_instrument.tolist(), hedged.quantity.tolist(), hedged.balance.tolist()
    ([0, 1], [0.1, -1.5], [900.0, -1.5])
    """
    place = np.broadcast_to(np.asarray(instrument, np.int64), (len(book),))
    known = (place >= 0) & (place < len(book.instruments))
    require(known, place, "unknown instrument position", "instrument")
    traded = np.broadcast_to(np.asarray(quantity, np.float64), (len(book),)) != 0
    return with_fill(book, place, quantity, np.where(traded, market.mark[place], 1.0), fee_rate=fee_rate)


def with_fill(
    book: AccountBook,
    instrument: ArrayLike,
    quantity: ArrayLike,
    price: ArrayLike,
    *,
    fee_rate: ArrayLike = 0.0,
    leverage: ArrayLike = np.nan,
    netting: bool = True,
) -> AccountBook:
    """The book after each pool has been filled once; every argument is a scalar or has shape (n_pools,).

    Parameters
    ----------
    book
        The pools.
    instrument, quantity, price
        Instrument position, signed contracts (0: nothing is filled) and fill price, quote units.
    fee_rate
        Fee, fraction of the notional filled, taken from the balance of the settlement asset; negative for a rebate.
    leverage
        Chosen for the position that grows or is opened; NaN leaves that of the position, and the highest of a new one.
    netting
        True: what is filled closes legs of the other side first, in the book's order, its profit at the fill price is
        paid to the balance, and the rest joins the first leg of its side at the average entry price (harmonic for
        inverse contracts), so that equity moves only by the fee and by (mark - fill price). False: hedge mode, the
        fill joins its side and closes nothing.

    Raises
    ------
    InputError
        An unknown instrument, a quantity or fee that is not finite, a price or leverage that is not positive, an
        instrument that is not that of an isolated pool.

    Examples
    --------
    A long of 1 at 100 sells 3 at 110: a profit of 10 and a short of 2.

    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 0], [], [], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> after = with_fill(book, 0, -3.0, 110.0, fee_rate=0.001)
    >>> after.quantity.tolist(), after.entry_price.tolist(), after.balance.round(9).tolist()
    ([-2.0], [110.0], [9.67])
    """
    n = (len(book),)
    fill = _Fill(
        np.broadcast_to(np.asarray(instrument, np.int64), n),
        np.broadcast_to(np.asarray(quantity, np.float64), n),
        np.broadcast_to(np.asarray(price, np.float64), n),
        np.broadcast_to(np.asarray(fee_rate, np.float64), n),
        np.broadcast_to(np.asarray(leverage, np.float64), n),
    )
    _check_fill(book, fill)
    legs = _Legs(book, fill)
    profit = legs.close(fill) if netting else np.zeros(n)
    legs.join(fill)
    table = book.instruments
    paid = contract_value(np.abs(fill.quantity) * fill.fee_rate, fill.price, legs.inverse)
    done = np.flatnonzero(fill.quantity)
    cash = table.multiplier[fill.instrument] * (profit - paid)
    return legs.book(fill).with_amounts(done, table.settlement[fill.instrument[done]], cash[done])


class _Fill(NamedTuple):
    instrument: IntArray
    quantity: FloatArray
    price: FloatArray
    fee_rate: FloatArray
    leverage: FloatArray


class _Legs:
    """The positions of a book while each pool is filled; `rest` is what is left of each fill, without its sign."""

    def __init__(self, book: AccountBook, fill: _Fill) -> None:
        self.before = book
        self.pool = book.position_pool
        self.size, self.entry = np.array(book.quantity), np.array(book.entry_price)
        self.leverage = np.array(book.leverage)
        self.inverse = np.asarray(book.instruments.kind[fill.instrument] == INVERSE)
        self.rest = np.abs(fill.quantity)
        self.side = np.where(
            book.position_instrument == fill.instrument[self.pool], self.size * fill.quantity[self.pool], 0.0
        )

    def close(self, fill: _Fill) -> FloatArray:
        """Close legs of the other side; the profit of each pool in units of the multiplier."""
        profit = np.zeros(len(self.rest))
        for legs in _in_turn(self.side < 0, self.before.position_pointer):
            of, sign = self.pool[legs], np.sign(self.size[legs])
            closed = np.minimum(np.abs(self.size[legs]), self.rest[of])
            profit[of] += contract_profit(sign * closed, self.entry[legs], fill.price[of], self.inverse[of])
            self.size[legs] -= sign * closed
            self.rest[of] -= closed
        return profit

    def join(self, fill: _Fill) -> None:
        """Add what is left to the first leg of its side, where there is one."""
        for legs in _in_turn((self.side > 0) & (self.rest[self.pool] > 0), self.before.position_pointer)[:1]:
            of = self.pool[legs]
            old, new, paid, got = np.abs(self.size[legs]), self.rest[of], self.entry[legs], fill.price[of]
            linear, harmonic = (old * paid + new * got) / (old + new), (old + new) / (old / paid + new / got)
            self.entry[legs] = np.where(self.inverse[of], harmonic, linear)
            self.size[legs] += np.sign(fill.quantity[of]) * new
            self.leverage[legs] = np.where(np.isnan(fill.leverage[of]), self.leverage[legs], fill.leverage[of])
            self.rest[of] = 0.0

    def book(self, fill: _Fill) -> AccountBook:
        """The book with these positions, those of size 0 gone, and a new one where something is left of the fill."""
        kept, opened = np.flatnonzero(self.size), np.flatnonzero(self.rest > 0)
        pools = np.concatenate((self.pool[kept], opened))
        order = np.argsort(pools, kind="stable")
        instrument = np.concatenate((self.before.position_instrument[kept], fill.instrument[opened]))
        size = np.concatenate((self.size[kept], np.sign(fill.quantity[opened]) * self.rest[opened]))
        return replace(
            self.before,
            position_pointer=csr_pointers(pools[order], len(self.rest)),
            position_instrument=instrument[order],
            quantity=size[order],
            entry_price=np.concatenate((self.entry[kept], fill.price[opened]))[order],
            leverage=np.concatenate((self.leverage[kept], fill.leverage[opened]))[order],
        )


def _check_fill(book: AccountBook, fill: _Fill) -> None:
    table = book.instruments
    known = (fill.instrument >= 0) & (fill.instrument < len(table))
    require(known, fill.instrument, "unknown instrument position", "instrument")
    require(np.isfinite(fill.quantity), fill.quantity, "must be a finite number", "quantity")
    require((fill.price > 0) & np.isfinite(fill.price), fill.price, "must be positive", "price")
    require(np.isfinite(fill.fee_rate), fill.fee_rate, "must be a finite number", "fee_rate")
    usable = np.isnan(fill.leverage) | ((fill.leverage > 0) & np.isfinite(fill.leverage))
    require(usable, fill.leverage, "must be positive", "leverage")
    symbol = np.array(table.symbols)[fill.instrument]
    right = (book.isolated == CROSS) | (book.isolated == symbol) | (fill.quantity == 0)
    require(right, symbol, "is not the instrument of the isolated pool", "instrument")


def _in_turn(chosen: BoolArray, pointer: IntArray) -> list[IntArray]:
    """Chosen entries of CSR rows in rounds: the first of each row, the second of each, and so on."""
    entries = np.flatnonzero(chosen)
    before = np.concatenate(([0], np.cumsum(chosen)))
    row = np.searchsorted(pointer, entries, side="right") - 1
    turn = before[entries] - before[pointer[row]]
    return [entries[turn == k] for k in range(int(turn.max(initial=-1)) + 1)]


def with_transfer(
    book: AccountBook, source: ArrayLike, target: ArrayLike, asset: ArrayLike, amount: ArrayLike
) -> AccountBook:
    """The book after amounts of assets have moved from pools to pools; arguments are scalars or of one length.

    Only the arithmetic: `sub_accounts.transfer` asks whether the source may let it go.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a", "a"], ["x", "y"], ["", ""], [0, 1, 1], [0], [9.0], [0, 0, 0], [], [], [], [])
    >>> with_transfer(book, 0, 1, 0, 4.0).balance.tolist()
    [9.0, -4.0, 4.0]
    """
    sources, targets, assets = (np.atleast_1d(np.asarray(c, np.int64)) for c in (source, target, asset))
    sources, targets, assets, amounts = np.broadcast_arrays(sources, targets, assets, np.asarray(amount, np.float64))
    for column, places, known in (
        ("source", sources, len(book)),
        ("target", targets, len(book)),
        ("asset", assets, len(book.instruments.assets)),
    ):
        require((places >= 0) & (places < known), places, "is not there", column)
    require(np.isfinite(amounts) & (amounts >= 0), amounts, "must be a number not below 0", "amount")
    both = np.concatenate((sources, targets))
    return book.with_amounts(both, np.concatenate((assets, assets)), np.concatenate((-amounts, amounts)))
