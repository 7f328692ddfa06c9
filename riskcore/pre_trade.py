"""What an order would do to the margin of a pool, whether the venue would take it, and the largest it would take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .accounts import AccountBook
from .arrays import BoolArray, FloatArray, IntArray, frozen, group_sums
from .instruments import INVERSE, contract_value
from .margin import MarginState, Stage, evaluate
from .market import MarketState
from .open_orders import OpenOrders
from .rulebook import RuleBook
from .what_if import with_fill


class Refusal(IntEnum):
    """Why an order is not taken; the first reason that applies."""

    NONE = 0
    NOT_REDUCING = 1
    POOL_MAY_ONLY_REDUCE = 2
    ABOVE_POSITION_LIMIT = 3
    INSUFFICIENT_MARGIN = 4


@dataclass(frozen=True)
class Orders:
    """One order a pool, shape (n_pools,) or scalars; see `with_fill` for what is not said here.

    Parameters
    ----------
    instrument, quantity, price, fee_rate, leverage
        As in `with_fill`; a quantity of 0 is no order.
    reduce_only
        Whether the order is refused if it would do more than reduce.
    """

    instrument: ArrayLike
    quantity: ArrayLike
    price: ArrayLike
    fee_rate: ArrayLike = 0.0
    leverage: ArrayLike = math.nan
    reduce_only: ArrayLike = False

    def fill(self, book: AccountBook) -> AccountBook:
        """The book after all are filled."""
        return with_fill(
            book, self.instrument, self.quantity, self.price, fee_rate=self.fee_rate, leverage=self.leverage
        )


@dataclass(frozen=True)
class OrderPreview:
    """Margin of every pool before its order and after the fill.

    Parameters
    ----------
    before, after
        Margin states.
    book
        The book after the fills.
    refusal
        `Refusal` of each pool's order, shape (n_pools,).
    available
        Equity after the fill above initial margin and reserve, base asset; negative if there is too little.
    """

    before: MarginState
    after: MarginState
    book: AccountBook
    refusal: NDArray[np.int8]
    available: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "refusal", frozen(self.refusal, np.int8))
        object.__setattr__(self, "available", frozen(self.available, np.float64))

    def reason(self, pool: int) -> str:
        """Why the order of a pool is refused, in words; "" if it is taken."""
        kind = Refusal(int(self.refusal[pool]))
        if kind is Refusal.INSUFFICIENT_MARGIN:
            return f"insufficient margin: {-self.available[pool]:g} short of initial margin"
        return "" if kind is Refusal.NONE else kind.name.lower().replace("_", " ")


def preview_orders(
    book: AccountBook, market: MarketState, rules: RuleBook, orders: Orders, *, reserve: ArrayLike = 0.0
) -> OrderPreview:
    """Margin after each pool's order is filled at its price and re-marked, and whether it would be taken.

    Parameters
    ----------
    book, market, rules
        The pools, the prices and the rules that hold.
    orders
        One order a pool.
    reserve
        Base asset set aside for resting orders (`resting_reserve`), shape (n_pools,) or a scalar.

    Notes
    -----
    An order that only reduces the net position in its instrument is taken whatever the margin. Any other is refused
    if it says it only reduces; if the pool may only reduce or is worse off; if the position would be above the limit of
    its tier table; or if equity after the fill, fee and loss against the mark included, is below initial margin and
    reserve.

    Raises
    ------
    InputError
        What `with_fill` and `evaluate` refuse.

    Examples
    --------
    With 1,000 and 10x the venue takes a long of 10,000, and not one of 11,000.

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [1000.0], [0, 0], [], [], [], [])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.02], [10.0])})
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0])
    >>> [preview_orders(book, market, rules, Orders(0, size, 100.0)).reason(0) for size in (100.0, 110.0)]
    ['', 'insufficient margin: 100 short of initial margin']
    """
    before = evaluate(book, market, rules)
    filled = orders.fill(book)
    after = evaluate(filled, market, rules)
    n = len(book)
    instrument = np.broadcast_to(np.asarray(orders.instrument, np.int64), (n,))
    quantity = np.broadcast_to(np.asarray(orders.quantity, np.float64), (n,))
    none, net = quantity == 0, net_quantity(book, instrument)
    reduces = none | ((net * quantity < 0) & (np.abs(quantity) <= np.abs(net)))
    available = after.equity - after.initial - np.broadcast_to(np.asarray(reserve, np.float64), (n,))
    refusal = np.zeros(n, np.int8)
    refusal[~(available >= 0)] = Refusal.INSUFFICIENT_MARGIN
    refusal[_above_limit(filled, market, rules, instrument)] = Refusal.ABOVE_POSITION_LIMIT
    refusal[before.stage >= Stage.REDUCE_ONLY] = Refusal.POOL_MAY_ONLY_REDUCE
    refusal[np.broadcast_to(np.asarray(orders.reduce_only, np.bool_), (n,))] = Refusal.NOT_REDUCING
    refusal[reduces] = Refusal.NONE
    return OrderPreview(before, after, filled, refusal, available)


def net_quantity(book: AccountBook, instrument: ArrayLike) -> FloatArray:
    """Signed contracts each pool holds of an instrument, one for all or one a pool; shape (n_pools,).

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> names = ["a"], ["main"], [""]
    >>> book = AccountBook(table, *names, [0, 0], [], [], [0, 2], [0, 0], [3.0, -1.0], [9.0, 9.0], [1, 1])
    >>> net_quantity(book, 0).tolist()
    [2.0]
    """
    pool = book.position_pool
    wanted = np.broadcast_to(np.asarray(instrument, np.int64), (len(book),))
    return group_sums(pool, np.where(book.position_instrument == wanted[pool], book.quantity, 0.0), len(book))


def _above_limit(book: AccountBook, market: MarketState, rules: RuleBook, instrument: IntArray) -> BoolArray:
    """Pools of which a position in the instrument of their order is above the limit of its tier table."""
    table, held = book.instruments, book.position_instrument
    limit = np.full(len(table), np.inf)
    for place in np.unique(held):
        limit[place] = rules.schedule_of(table.symbols[place]).limit
    notional = np.abs(contract_value(book.position_size, market.mark[held], book.position_inverse))
    above = (notional > limit[held]) & (held == instrument[book.position_pool])
    return group_sums(book.position_pool, above.astype(np.float64), len(book)) > 0


def resting_reserve(
    book: AccountBook, market: MarketState, rules: RuleBook, orders: OpenOrders, fee_rate: float = 0.0
) -> FloatArray:
    """Base asset to set aside for resting orders, the worst of all bids and all asks filling, shape (n_pools,).

    Parameters
    ----------
    book, market, rules
        The pools, the prices and the rules that hold.
    orders
        The resting orders of the pools.
    fee_rate
        Fee of a fill, fraction of its notional.

    Notes
    -----
    For each instrument apart: the larger of what available margin (equity - initial margin) loses if all its bids fill
    and if all its asks fill, and 0; summed over instruments. A fill is priced at its limit or at the mark, whichever is
    worse for the pool, so that a resting order never earns. Exact for a pool with orders in one instrument; with
    several the sum is what per-instrument venues ask.

    Raises
    ------
    InputError
        An order of a pool or in an instrument that is not there, what `evaluate` refuses.

    See Also
    --------
    open_orders.with_orders_filled : venues that margin the book as it would be after the worse side has filled.

    Examples
    --------
    A long of 1 at 10x with a bid for 2 and an ask for 1 at the mark of 100: the bid costs 20, the ask frees 10.

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [50.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.02], [10.0])})
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0])
    >>> resting_reserve(book, market, rules, OpenOrders([0, 0], [0, 0], [2.0, -1.0], [100.0, 100.0])).tolist()
    [20.0]
    """
    orders.check(book)
    free = _available(book, market, rules)
    reserve = np.zeros(len(book))
    for place in np.unique(orders.instrument):
        mark = market.mark[place]
        worst = np.zeros(len(book))
        for side in (1.0, -1.0):
            mine = (orders.instrument == place) & (orders.quantity * side > 0)
            pool, size, limit = orders.pool[mine], np.abs(orders.quantity[mine]), orders.price[mine]
            amount = group_sums(pool, size, len(book))
            worse = np.maximum(limit, mark) if side > 0 else np.minimum(limit, mark)
            average = _average_price(pool, size, worse, amount, mark, book, int(place))
            after = with_fill(book, place, side * amount, average, fee_rate=fee_rate)
            worst = np.maximum(worst, free - _available(after, market, rules))
        reserve += worst
    return reserve


def _average_price(
    pool: IntArray, size: FloatArray, price: FloatArray, amount: FloatArray, mark: float, book: AccountBook, place: int
) -> FloatArray:
    """Price at which one fill of each pool's whole amount earns what its fills together do; the mark without any."""
    inverse = bool(book.instruments.kind[place] == INVERSE)
    paid = group_sums(pool, contract_value(size, price, inverse), len(book))
    some, average = amount > 0, np.full(len(book), mark)
    average[some] = amount[some] / paid[some] if inverse else paid[some] / amount[some]
    return average


def _available(book: AccountBook, market: MarketState, rules: RuleBook) -> FloatArray:
    state = evaluate(book, market, rules)
    return state.equity - state.initial
