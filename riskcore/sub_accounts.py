"""Pools of an account: what may be moved between them, and books with pools merged, netted or split.

What merging does to requirement - equity, exactly:

* Pools side by side do not touch: margin of a union of independent pools is theirs, one after the other.
* Legs are margined one by one, so merging without netting leaves maintenance and initial margin as the sum.
* Opposite legs of one instrument that are netted need no more than the larger of them did, under any schedule that does
  not fall with size. Legs of one side that are joined climb tiers together: under a marginal schedule of several tiers
  they need more than apart, under one tier the same.
* Equity of the merged pool is at least the sum where an asset's haircut is one slice, since debts of one pool are then
  covered by balances of another without a haircut on them; it is at most the sum where haircuts grow with value and no
  pool owes the asset.

So merging with netting never raises requirement - equity under one-slice haircuts and one-tier schedules. With several
slices or tiers it may, and splitting is what a user gains by.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .accounts import CROSS, AccountBook, csr_pointers
from .arrays import FloatArray, IntArray, group_sums, require, require_shape
from .asset_totals import asset_totals
from .errors import InputError
from .instruments import INVERSE
from .margin import evaluate, require_prices
from .market import MarketState
from .rulebook import RuleBook
from .what_if import with_transfer


def withdrawable(
    book: AccountBook, market: MarketState, rules: RuleBook, asset: str, *, profits_count: bool = True
) -> FloatArray:
    """Most of an asset that each pool may let go, units of the asset, shape (n_pools,).

    Parameters
    ----------
    book, market, rules
        The pools, the prices and the rules that hold.
    asset
        What is to be moved.
    profits_count
        True: unrealised profit supports what is withdrawn, as on most venues; False: only losses count, so that what
        is not yet realised is not paid out. Either way no more than the balance held goes.

    Notes
    -----
    The largest amount not above the balance that leaves equity at or above initial margin, exact over haircut slices:
    the collateral value of the asset may fall by equity - initial margin, and the haircut function is inverted there.

    Raises
    ------
    InputError
        An unknown asset, what `evaluate` refuses.

    Examples
    --------
    1 BTC of 40,000 at 90% under 18,000 of initial margin: 0.5 may go.

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import HaircutSchedule, RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"], collateral=["BTC"])
    >>> names = ["a"], ["main"], [""]
    >>> book = AccountBook(table, *names, [0, 1], [1], [1.0], [0, 1], [0], [4.5], [40_000.0], [10.0])
    >>> rates = {"BTC": RateSchedule.marginal([0.0], [0.01], [50.0])}
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), rates, {"BTC": HaircutSchedule([0.0], [0.9])})
    >>> withdrawable(book, MarketState(np.datetime64("2024-01-01"), [40_000.0], [1.0, 40_000.0]), rules, "BTC").tolist()
    [0.5]
    """
    place = int(book.instruments.asset_index_of([asset])[0])
    state = evaluate(book, market, rules)
    free = state.equity - state.initial
    totals, losses = asset_totals(book, market), asset_totals(book, market, losses_only=True)
    if not profits_count:
        free = free - _equity_of(book, market, rules, totals) + _equity_of(book, market, rules, losses)
        totals = losses
    price = market.index[place]
    if np.isnan(price):  # nobody holds it: `evaluate` refuses a balance without an index price
        return np.zeros(len(book))
    haircut = rules.haircut_of(asset, book.instruments.base)
    value = totals[:, place] * price
    held = group_sums(book.balance_pool, np.where(book.balance_asset == place, book.balance, 0.0), len(book))
    least = _least_value(haircut.floors, haircut.rates, haircut.offsets, haircut.collateral_value(value) - free, value)
    return np.where(free >= 0, np.clip((value - least) / price, 0.0, np.maximum(held, 0.0)), 0.0)


def _least_value(
    floors: FloatArray, rates: FloatArray, offsets: FloatArray, wanted: FloatArray, value: FloatArray
) -> FloatArray:
    """The least value whose collateral value is still `wanted`, which is at most that of `value`."""
    edges = floors * rates + offsets
    tier = np.maximum(np.searchsorted(edges, wanted, side="left") - 1, 0)
    rate = rates[tier]
    inside = np.divide(wanted - offsets[tier], rate, out=floors[tier].astype(np.float64), where=rate > 0)
    return np.minimum(np.where(wanted <= 0, wanted, inside), value)


def _equity_of(book: AccountBook, market: MarketState, rules: RuleBook, totals: FloatArray) -> FloatArray:
    table, equity = book.instruments, np.zeros(len(book))
    for place in np.flatnonzero((totals != 0).any(axis=0)):
        haircut = rules.haircut_of(table.assets[place], table.base)
        equity += haircut.collateral_value(totals[:, place] * market.index[place])
    return equity


def transfer(
    book: AccountBook,
    market: MarketState,
    rules: RuleBook,
    source: int,
    target: int,
    asset: str,
    amount: float,
    *,
    profits_count: bool = True,
) -> AccountBook:
    """The book after an amount has moved from one pool to another of the same account.

    Raises
    ------
    InputError
        Pools of different accounts or the same pool, an amount that is not positive or more than is `withdrawable`.

    Examples
    --------
    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a", "a"], ["x", "y"], ["", ""], [0, 1, 1], [0], [9.0], [0, 0, 0], [], [], [], [])
    >>> market, rules = MarketState(np.datetime64("2024-01-01"), [1.0], [1.0]), RuleBook("x", dt.date(2024, 1, 1), {})
    >>> transfer(book, market, rules, 0, 1, "USDT", 4.0).balance.tolist()
    [9.0, -4.0, 4.0]
    """
    for column, place in (("source", source), ("target", target)):
        if not 0 <= place < len(book):
            raise InputError("is not there", column=column, value=place)
    if source == target or book.account[source] != book.account[target]:
        raise InputError("must be another pool of the same account", column="target", value=str(book.account[target]))
    if not (amount > 0 and np.isfinite(amount)):
        raise InputError("must be positive", column="amount", value=amount)
    most = float(withdrawable(book, market, rules, asset, profits_count=profits_count)[source])
    if amount > most:
        raise InputError(f"at most {most:g} {asset} may be withdrawn", row=source, column="amount", value=amount)
    return with_transfer(book, source, target, int(book.instruments.asset_index_of([asset])[0]), amount)


def merged(book: AccountBook, group: ArrayLike) -> AccountBook:
    """The book with pools of one group as one pool; legs and balances stay as they are.

    Parameters
    ----------
    book
        The pools.
    group
        Group of each pool, 0 .. n_groups - 1, shape (n_pools,). A group is named after its first pool, and cross.

    Raises
    ------
    InputError
        A shape that disagrees, a group number that is left out or negative.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> names = ["a", "a"], ["x", "y"], ["", ""]
    >>> book = AccountBook(table, *names, [0, 1, 2], [0, 0], [9.0, 5.0], [0, 0, 0], [], [], [], [])
    >>> merged(book, [0, 0]).balance_pointer.tolist()
    [0, 2]
    """
    groups = np.asarray(group, np.int64)
    require_shape(groups, (len(book),), "group")
    found, first = np.unique(groups, return_index=True)
    if not np.array_equal(found, np.arange(len(found))):
        raise InputError("must be numbers from 0 without a gap", column="group", value=found.tolist())
    order = np.argsort(groups, kind="stable")
    ordered = book.take(order)
    ends = np.searchsorted(groups[order], np.arange(len(found) + 1))
    return replace(
        ordered,
        account=book.account[first],
        sub_account=book.sub_account[first],
        isolated=np.full(len(found), CROSS),
        balance_pointer=ordered.balance_pointer[ends],
        position_pointer=ordered.position_pointer[ends],
    )


def netted(book: AccountBook, market: MarketState) -> AccountBook:
    """The book with the legs of each instrument in a pool as one, closed against each other at the mark.

    Legs of one side join at their average entry price (harmonic for inverse contracts) and at the lowest leverage
    chosen among those of the larger side; what both sides have in common is realised, so no asset's total changes.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> names = ["a"], ["main"], [""]
    >>> book = AccountBook(table, *names, [0, 0], [], [], [0, 2], [0, 0], [3.0, -1.0], [90.0, 110.0], [5.0, 9.0])
    >>> one = netted(book, MarketState(np.datetime64("2024-01-01"), [100.0], [1.0]))
    >>> one.quantity.tolist(), one.entry_price.tolist(), one.balance.tolist()
    ([2.0], [90.0], [20.0])
    """
    require_prices(book, market)
    table = book.instruments
    key, leg = np.unique(book.position_pool * len(table) + book.position_instrument, return_inverse=True)
    n = len(key)
    unit = np.where(book.position_inverse, -1 / book.entry_price, book.entry_price)
    size, cost = np.empty((2, n)), np.empty((2, n))
    for side, mine in enumerate((book.quantity > 0, book.quantity < 0)):
        size[side] = group_sums(leg, np.where(mine, np.abs(book.quantity), 0.0), n)
        cost[side] = group_sums(leg, np.where(mine, np.abs(book.quantity) * unit, 0.0), n)
    average = np.divide(cost, size, out=np.zeros_like(cost), where=size > 0)
    place, owner = key % len(table), key // len(table)
    inverse = table.kind[place] == INVERSE
    mark = np.where(inverse, -1 / market.mark[place], market.mark[place])
    closed = np.minimum(size[0], size[1])
    realised = closed * ((mark - average[0]) * (size[0] > 0) + (average[1] - mark) * (size[1] > 0))
    net, larger = size[0] - size[1], (size[1] > size[0]).astype(np.int64)
    entry = average[larger, np.arange(n)]
    entry = np.where(inverse, -1 / np.where(entry == 0, 1.0, entry), entry)
    kept = np.flatnonzero(net)
    positions = replace(
        book,
        position_pointer=csr_pointers(owner[kept], len(book)),
        position_instrument=place[kept],
        quantity=net[kept],
        entry_price=entry[kept],
        leverage=_least_leverage(book, leg, larger, n)[kept],
    )
    paid = np.flatnonzero(closed > 0)
    return positions.with_amounts(
        owner[paid], table.settlement[place[paid]], (realised * table.multiplier[place])[paid]
    )


def _least_leverage(book: AccountBook, leg: IntArray, larger: IntArray, legs: int) -> FloatArray:
    """Lowest leverage chosen on the larger side of each net leg; NaN where nothing was chosen."""
    mine = (book.quantity < 0) == (larger[leg] == 1)
    chosen = np.where(mine & ~np.isnan(book.leverage), book.leverage, np.inf)
    least = np.full(legs, np.inf)
    np.minimum.at(least, leg, chosen)
    return np.where(np.isinf(least), np.nan, least)


def split(book: AccountBook, position_part: ArrayLike, balance_part: ArrayLike, parts: int) -> AccountBook:
    """The book with every pool split into `parts` pools, in the order of pools and then of parts.

    Parameters
    ----------
    book
        The pools.
    position_part, balance_part
        Part, 0 .. parts - 1, that each position and each balance goes to.
    parts
        Number of parts; those with nothing in them are pools too. Sub-account names get "/0", "/1", ... appended.

    Raises
    ------
    InputError
        A shape that disagrees, a part out of range, no part at all.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 2], [0, 0], [9.0, 5.0], [0, 0], [], [], [], [])
    >>> split(book, [], [1, 0], 2).balance.tolist()
    [5.0, 9.0]
    """
    position, balance = np.asarray(position_part, np.int64), np.asarray(balance_part, np.int64)
    if parts < 1:
        raise InputError("must be at least 1", column="parts", value=parts)
    for column, part, count in (
        ("position_part", position, len(book.quantity)),
        ("balance_part", balance, len(book.balance)),
    ):
        require_shape(part, (count,), column)
        require((part >= 0) & (part < parts), part, f"must be from 0 to {parts - 1}", column)
    legs, leg_pointer = _parted(book.position_pool * parts + position, len(book) * parts)
    held, held_pointer = _parted(book.balance_pool * parts + balance, len(book) * parts)
    names = np.repeat(book.sub_account, parts), np.tile([f"/{part}" for part in range(parts)], len(book))
    return AccountBook(
        book.instruments,
        np.repeat(book.account, parts),
        np.char.add(*names),
        np.repeat(book.isolated, parts),
        held_pointer,
        book.balance_asset[held],
        book.balance[held],
        leg_pointer,
        book.position_instrument[legs],
        book.quantity[legs],
        book.entry_price[legs],
        book.leverage[legs],
    )


def _parted(key: IntArray, keys: int) -> tuple[IntArray, IntArray]:
    """Entries in the order of their keys, and the pointers over all keys."""
    order = np.argsort(key, kind="stable")
    return order, csr_pointers(key[order], keys)
