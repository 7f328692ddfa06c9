"""Liquidation prices: where a pool's equity meets its maintenance margin when one instrument's mark moves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .accounts import AccountBook
from .arrays import BoolArray, FloatArray, IntArray, group_sums
from .compiled import CompiledBook, CompiledRules, compile_book, compile_rules
from .errors import InputError
from .instruments import contract_value
from .liquidation_kernel import walk_both
from .margin import pool_margin, require_prices
from .market import MarketState
from .rulebook import MaintenanceAt, RuleBook


def liquidation_price(book: AccountBook, market: MarketState, rules: RuleBook) -> FloatArray:
    """The price of each position's instrument at which its pool is liquidated, all else unchanged.

    Parameters
    ----------
    book, market, rules
        The pools, the prices and the rules that hold.

    Returns
    -------
    FloatArray
        One price a position, in the order of the book's positions, quote units: the price nearest to the mark at which
        equity - maintenance margin of the pool is zero or changes its sign. All legs of the instrument in the pool move
        together and share the price; other marks and all index prices stay. For a pool that is healthy it is where it
        is lost, for one that is already in breach where it would be out of it. NaN where no positive price does that
        (venues show null or "--").

    Raises
    ------
    InputError
        A position without a mark or a tier table, a balance without an index price or a haircut.

    Notes
    -----
    Exact: headroom is followed from break to break over tiers, haircut slices and the jumps of cliff schedules, so a
    position that changes tier on the way is margined by the tier it reaches. `rules.maintenance_at` says what
    maintenance margin is used: "price" re-evaluates it along the way, "mark" keeps that of the current marks, "entry"
    keeps that of the entry prices, for all positions of the pool. The closing fee adds to the maintenance rate.
    For one leg within one tier this is the formula of Binance (help page b3c689c1..., cross margin, hedge mode) and
    `cross_liquidation_price`.

    Examples
    --------
    The isolated BTC long of Binance's example: 109.488 BTC from 32,481.98 with 1,535,443.01 USDT, in the tier of 2.5%.

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], ["BTC"], [0, 1], [0], [1535443.01],
    ...     [0, 1], [0], [109.488], [32481.98], [np.nan])
    >>> tiers = RateSchedule.marginal([0, 5e4, 2.5e5, 1e6], [0.004, 0.005, 0.01, 0.025], [125, 100, 50, 20])
    >>> rules = RuleBook("example", dt.date(2021, 1, 1), {"BTC": tiers})
    >>> liquidation_price(book, MarketState(np.datetime64("2021-01-01"), [31967.27], [1.0]), rules).round(2).tolist()
    [18778.73]
    """
    require_prices(book, market)
    compiled, tables = compile_book(book), compile_rules(rules, book.instruments, book)
    equity, maintenance = pool_margin(compiled, tables, market)
    if rules.maintenance_at == "entry":
        maintenance = _maintenance_at_entry(book, market, rules)
    groups = _groups(compiled, market)
    below, above = _walk(groups, equity - maintenance, compiled, tables, moving=rules.maintenance_at == "price")
    inverse = compiled.inverse[groups.instrument]
    price = _nearest(_as_price(below, inverse), _as_price(above, inverse), market.mark[groups.instrument])
    out = np.empty(len(book.quantity))
    out[compiled.leg_position] = np.repeat(price, np.diff(groups.leg_pointer))
    return out


class _Groups(NamedTuple):
    """Legs of one instrument in one pool, together; x is the mark of a linear contract, 1 / mark of an inverse one."""

    pool: IntArray
    instrument: IntArray
    asset: IntArray
    leg_pointer: IntArray
    asset_price: FloatArray
    start: FloatArray
    fixed: FloatArray
    slope: FloatArray


def _groups(compiled: CompiledBook, market: MarketState) -> _Groups:
    row, instrument, size = compiled.leg_row, compiled.leg_instrument, compiled.leg_size
    new = np.ones(len(size), dtype=np.bool_)
    new[1:] = (np.diff(row) != 0) | (np.diff(instrument) != 0)
    first = np.flatnonzero(new)
    group = np.cumsum(new) - 1
    inverse = compiled.inverse[instrument]
    unit = np.where(inverse, 1.0 / market.mark[instrument], market.mark[instrument])
    signed = np.where(inverse, -size, size)
    total = compiled.row_amount + group_sums(row, signed * unit, len(compiled.row_asset))
    slope = group_sums(group, signed, len(first))
    group_row, start = row[first], unit[first]
    asset_price = market.index[compiled.row_asset[group_row]]
    return _Groups(
        pool=compiled.row_pool[group_row],
        instrument=instrument[first],
        asset=compiled.row_asset[group_row],
        leg_pointer=np.append(first, len(size)).astype(np.int64),
        asset_price=asset_price,
        start=start,
        fixed=asset_price * (total[group_row] - slope * start),
        slope=asset_price * slope,
    )


def _walk(
    groups: _Groups, headroom: FloatArray, compiled: CompiledBook, tables: CompiledRules, *, moving: bool
) -> tuple[FloatArray, FloatArray]:
    """Where headroom vanishes below and above; with `moving` false maintenance margin stays as it is in `headroom`."""
    below, above = np.empty(len(groups.pool)), np.empty(len(groups.pool))
    walk_both(
        groups.start,
        headroom[groups.pool],
        groups.asset_price,
        groups.fixed,
        groups.slope,
        groups.leg_pointer if moving else np.zeros_like(groups.leg_pointer),
        np.abs(compiled.leg_size),
        groups.instrument,
        tables.tier_pointer,
        tables.tier_floor,
        tables.tier_rate,
        tables.tier_deduction,
        groups.asset,
        tables.haircut_pointer,
        tables.haircut_floor,
        tables.haircut_rate,
        tables.haircut_offset,
        below,
        above,
    )
    return below, above


def _as_price(x: FloatArray, inverse: BoolArray) -> FloatArray:
    return np.where(inverse, 1.0 / x, x)


def _nearest(one: FloatArray, other: FloatArray, mark: FloatArray) -> FloatArray:
    """The price nearer to the mark; NaN counts as infinitely far."""
    further = np.abs(other - mark) < np.abs(one - mark)
    return np.where(np.isnan(one) | further, other, one)


def _maintenance_at_entry(book: AccountBook, market: MarketState, rules: RuleBook) -> FloatArray:
    """Maintenance margin of each pool at the entry prices of its positions, base asset."""
    table, instrument = book.instruments, book.position_instrument
    notional = np.abs(contract_value(book.position_size, book.entry_price, book.position_inverse))
    needed = notional * rules.closing_fee
    for place in np.unique(instrument):
        legs = instrument == place
        needed[legs] += rules.schedule_of(table.symbols[place]).maintenance(notional[legs])
    return group_sums(book.position_pool, needed * market.index[book.position_asset], len(book))


def cross_liquidation_price(
    mark: ArrayLike,
    size: ArrayLike,
    equity: ArrayLike,
    maintenance: ArrayLike,
    rate: ArrayLike,
    maintenance_at: MaintenanceAt = "price",
) -> FloatArray:
    """Liquidation price of one linear position from what a venue reports of the whole account.

    LP = mark - (equity - maintenance) / (size - |size| * rate); the term with the rate falls away when maintenance
    margin is frozen ("mark" or "entry"). Source: Hyperliquid documentation, trading/liquidations ("price"); its
    replies of 2023 and those of Bitget freeze it.

    Parameters
    ----------
    mark, size
        Mark price, quote units, and signed size, units of the underlying.
    equity, maintenance
        Equity and maintenance margin of the whole account, quote units.
    rate
        Maintenance rate of the position's tier, closing fee included; unused when frozen.
    maintenance_at
        See `RuleBook.maintenance_at`.

    Returns
    -------
    FloatArray
        NaN where no positive price liquidates. Valid within the tier the position is in: over tiers use
        `liquidation_price`.

    Raises
    ------
    InputError
        A size of zero.

    Examples
    --------
    >>> round(float(cross_liquidation_price(100.0, -2.0, 60.0, 4.0, 0.02)), 6)
    127.45098
    >>> float(cross_liquidation_price(100.0, -2.0, 60.0, 4.0, 0.02, "mark"))
    128.0
    """
    signed = np.asarray(size, np.float64)
    if (signed == 0).any():
        raise InputError("must not be zero", column="size", value=0.0)
    lost = signed - np.abs(signed) * np.asarray(rate, np.float64) if maintenance_at == "price" else signed
    price = np.asarray(mark, np.float64) - (np.asarray(equity, np.float64) - np.asarray(maintenance, np.float64)) / lost
    return np.where(price > 0, price, np.nan)
