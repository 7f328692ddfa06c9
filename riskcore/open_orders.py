"""The worst case of open orders: all bids of a contract fill, or all asks, and what orders hold back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from .accounts import AccountBook, csr_pointers
from .arrays import BoolArray, FloatArray, IntArray, frozen, group_sums, require, require_shape
from .errors import InputError
from .instruments import INVERSE, contract_profit, contract_value
from .market import MarketState


@dataclass(frozen=True)
class OpenOrders:
    """Open limit orders of the pools of a book.

    Parameters
    ----------
    pool, instrument
        Pool (row of the book) and instrument position of each order, shape (n_orders,).
    quantity
        Signed contracts: positive for bids, negative for asks.
    price
        Limit price, quote units; positive.

    Raises
    ------
    InputError
        Columns of different lengths, a zero or NaN quantity, a price that is not positive.
    """

    pool: IntArray
    instrument: IntArray
    quantity: FloatArray
    price: FloatArray

    def __post_init__(self) -> None:
        for name in ("pool", "instrument"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.int64))
        for name in ("quantity", "price"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        n = len(self.pool)
        for name in ("instrument", "quantity", "price"):
            require_shape(getattr(self, name), (n,), name)
        require(np.isfinite(self.quantity) & (self.quantity != 0), self.quantity, "must be a number, not 0", "quantity")
        require(np.isfinite(self.price) & (self.price > 0), self.price, "price must be positive", "price")

    def __len__(self) -> int:
        return len(self.pool)

    def check(self, book: AccountBook) -> None:
        """Raise InputError for the first order of a pool or in an instrument the book does not have."""
        for name, known in (("pool", len(book)), ("instrument", len(book.instruments))):
            place = getattr(self, name)
            require((place >= 0) & (place < known), place, f"is not one of the {known} of the book", name)


def worst_quantity(quantity: ArrayLike, bids: ArrayLike, asks: ArrayLike) -> FloatArray:
    """Signed position after the side of orders that leaves the larger one has filled; arguments broadcast.

    Parameters
    ----------
    quantity
        Signed position.
    bids, asks
        Total quantity of bids and of asks, not negative.

    Notes
    -----
    max(|quantity + bids|, |quantity - asks|), the position itself where orders only reduce it and the larger where
    they flip it; a tie goes to the bids. Sources: Binance USD-M open order margin, Mango v4 and Paradex.

    Examples
    --------
    >>> worst_quantity([1.0, 1.0, 0.0], [2.0, 0.0, 1.0], [1.0, 3.0, 1.0]).tolist()
    [3.0, -2.0, 1.0]
    """
    held = np.asarray(quantity, np.float64)
    up, down = held + np.asarray(bids, np.float64), held - np.asarray(asks, np.float64)
    return np.where(np.abs(up) >= np.abs(down), up, down)


def worst_contribution(
    quantity: ArrayLike,
    quote: ArrayLike,
    bids: ArrayLike,
    asks: ArrayLike,
    price: ArrayLike,
    asset_weight: ArrayLike,
    liability_weight: ArrayLike,
) -> FloatArray:
    """Least weighted value of a perpetual position over "all bids fill" and "all asks fill", quote units.

    Orders fill at `price`, so that base and quote move against each other: (quantity + bids) * price * weight + quote -
    bids * price, and alike for asks, with the liability weight on a negative base. Source: Mango v4 perp health.

    Examples
    --------
    >>> float(worst_contribution(0.0, 0.0, 2.0, 1.0, 100.0, 0.9, 1.1))
    -20.0
    """
    held, cash, unit = (np.asarray(values, np.float64) for values in (quantity, quote, price))

    def after(change: FloatArray) -> FloatArray:
        base = held + change
        weight = np.where(base < 0, liability_weight, asset_weight)
        return np.asarray(base * unit * weight + cash - change * unit)

    return np.minimum(after(np.asarray(bids, np.float64)), after(-np.asarray(asks, np.float64)))


def order_loss(orders: OpenOrders, book: AccountBook, market: MarketState) -> FloatArray:
    """What filling each order would lose at once against the mark, base asset, shape (n_orders,); 0 for good limits.

    A bid above the mark, an ask below it. Sources: Binance "open loss" and Bybit "order loss".

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [900.0], [0, 0], [], [], [], [])
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0])
    >>> order_loss(OpenOrders([0, 0], [0, 0], [2.0, 2.0], [101.0, 99.0]), book, market).tolist()
    [2.0, 0.0]
    """
    table, instrument = book.instruments, orders.instrument
    size, inverse = orders.quantity * table.multiplier[instrument], np.asarray(table.kind[instrument] == INVERSE)
    gain = contract_profit(size, orders.price, market.mark[instrument], inverse)
    return np.maximum(-gain, 0.0) * market.index[table.settlement[instrument]]


def with_orders_filled(book: AccountBook, orders: OpenOrders) -> AccountBook:
    """The book after, in each pool and contract, the worse side of the open orders has filled at its limit prices.

    Its initial margin is the one with open orders. The worse side is that of `worst_quantity`; a side that would leave
    the smaller position is not filled. What fills enters at the quantity-weighted price of the side; where it reduces
    or flips a position the entry price absorbs the profit, so that equity at the mark is that of the fill.

    Raises
    ------
    InputError
        An order of a pool or in a contract the book does not have; orders that leave no position of an entry price
        above 0 (a far limit against a large profit).

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [900.0], [0, 1], [0], [1.0], [90.0], [np.nan])
    >>> filled = with_orders_filled(book, OpenOrders([0, 0], [0, 0], [2.0, -0.5], [99.0, 120.0]))
    >>> filled.quantity.tolist(), filled.entry_price.tolist()
    ([3.0], [96.0])
    """
    table, pools = book.instruments, len(book)
    orders.check(book)
    position_key = book.position_pool * len(table) + book.position_instrument
    rows, place = np.unique(orders.pool * len(table) + orders.instrument, return_inverse=True)
    mine = np.isin(position_key, rows)
    held, ordered = np.searchsorted(rows, position_key[mine]), place.astype(np.int64)
    _refuse_two_legs(book, held, mine, len(rows))
    inverse = np.asarray(table.kind[rows % len(table)] == INVERSE)
    quantity = group_sums(held, book.quantity[mine], len(rows))
    bids = group_sums(ordered, np.maximum(orders.quantity, 0.0), len(rows))
    asks = group_sums(ordered, np.maximum(-orders.quantity, 0.0), len(rows))
    worst = worst_quantity(quantity, bids, asks)
    fills = np.sign(orders.quantity) == np.sign(worst - quantity)[ordered]
    spent = np.where(fills, contract_value(orders.quantity, orders.price, inverse[ordered]), 0.0)
    paid = contract_value(book.quantity[mine], book.entry_price[mine], inverse[held])
    total = group_sums(held, paid, len(rows)) + group_sums(ordered, spent, len(rows))
    leverage = np.full(len(rows), np.nan)
    leverage[held] = book.leverage[mine]
    with np.errstate(divide="ignore", invalid="ignore"):
        entry = np.where(inverse, worst / total, total / worst)
    require(np.isfinite(entry) & (entry > 0), entry, "orders leave no positive entry price", "price")
    key = np.concatenate((position_key[~mine], rows))
    order = np.argsort(key, kind="stable")
    return replace(
        book,
        position_pointer=csr_pointers(key[order] // len(table), pools),
        position_instrument=(key % len(table))[order],
        quantity=np.concatenate((book.quantity[~mine], worst))[order],
        entry_price=np.concatenate((book.entry_price[~mine], entry))[order],
        leverage=np.concatenate((book.leverage[~mine], leverage))[order],
    )


def _refuse_two_legs(book: AccountBook, held: IntArray, mine: BoolArray, rows: int) -> None:
    twice = np.bincount(held, minlength=rows)[held] > 1
    if twice.any():
        position = int(np.flatnonzero(mine)[np.argmax(twice)])
        name = book.instruments.symbols[int(book.position_instrument[position])]
        raise InputError("has two legs of one contract: orders do not say which", row=position, value=name)


def reserved_balance(balance: ArrayLike, reserved: ArrayLike, charge: ArrayLike = 0.0) -> FloatArray:
    """Balance of an asset once spot orders hold some of it back, and a charge for each order is paid.

    Funds in orders that sell the asset are no longer free: balance - reserved - charge. Sources: Binance and OKX
    (frozen balance); Drift's 0.01 USD for each open order.

    Examples
    --------
    >>> reserved_balance([100.0, 10.0], [30.0, 0.0], [0.0, 0.02]).tolist()
    [70.0, 9.98]
    """
    free = np.asarray(balance, np.float64) - np.asarray(reserved, np.float64) - np.asarray(charge, np.float64)
    return np.asarray(free)


def worse_side_of_reserve(
    reserved_base: ArrayLike,
    reserved_quote: ArrayLike,
    price: ArrayLike,
    base_weight: ArrayLike,
    quote_weight: ArrayLike,
) -> FloatArray:
    """Weighted value, quote units, of funds in spot orders that may end up as either asset: the lesser of the two.

    Both reserves become base at `price`, or both become quote. Source: Mango v4, reserved order funds; there a negative
    balance is filled before weights apply, which its own module does.

    Examples
    --------
    >>> float(worse_side_of_reserve(1.0, 50.0, 100.0, 0.8, 1.0))
    120.0
    """
    base, quote, unit = (np.asarray(values, np.float64) for values in (reserved_base, reserved_quote, price))
    worth = base * unit + quote
    return np.minimum(worth * np.asarray(base_weight, np.float64), worth * np.asarray(quote_weight, np.float64))
