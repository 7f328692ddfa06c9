"""What margin pools are worth, what they must hold, and at which stage they stand."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .accounts import AccountBook, csr_row_of
from .arrays import BoolArray, FloatArray, IntArray, group_sums, require, require_shape
from .compiled import CompiledBook, CompiledRules, compile_book, compile_rules
from .errors import InputError
from .instruments import contract_profit, contract_value, require_live
from .margin_kernel import margin_pass, settle_tiers
from .margin_layout import MarginLayout, lay_out, priced
from .market import MarketState
from .rate_modifiers import leverage_rate
from .rulebook import RuleBook


class Stage(IntEnum):
    """How near a pool is to liquidation; later stages are worse."""

    HEALTHY = 0
    WARNED = 1
    REDUCE_ONLY = 2
    LIQUIDATION = 3
    BANKRUPT = 4


@dataclass(frozen=True)
class MarginState:
    """Margin of every pool of a book at one instant; amounts in the base asset.

    Parameters
    ----------
    equity
        Collateral value after haircuts plus unrealised profit and loss, shape (n_pools,).
    maintenance, initial
        Margin requirements, shape (n_pools,).
    stage
        `Stage` of each pool, shape (n_pools,).
    leg_notional, leg_profit, leg_maintenance, leg_initial
        The same by position, in the order of the book's positions.

    Notes
    -----
    Nothing here divides by a margin: ratios are compared by cross-multiplication.
    """

    equity: FloatArray
    maintenance: FloatArray
    initial: FloatArray
    stage: NDArray[np.int8]
    leg_notional: FloatArray
    leg_profit: FloatArray
    leg_maintenance: FloatArray
    leg_initial: FloatArray

    @property
    def headroom(self) -> FloatArray:
        """Equity above maintenance margin; a pool without any is liquidated."""
        return self.equity - self.maintenance


def evaluate(book: AccountBook, market: MarketState, rules: RuleBook, *, threads: int = 1) -> MarginState:
    """Margin of every pool.

    Parameters
    ----------
    book, market, rules
        The pools, the prices and the rules that hold.
    threads
        Number of threads; the result does not depend on it.

    Raises
    ------
    InputError
        A position without a mark or a tier table or in an expired contract, a balance without an index price or a
        haircut.

    Examples
    --------
    A long of 1 BTC from 30,000 with 2,000 USDT, marked at 29,000, in a tier that asks 0.4%:

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [2000.0], [0, 1], [0], [1.0], [30000.0], [20.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.004], [125.0])})
    >>> state = evaluate(book, MarketState(np.datetime64("2024-01-01"), [29_000.0], [1.0]), rules)
    >>> state.equity.tolist(), state.maintenance.tolist(), state.initial.tolist(), Stage(state.stage[0]).name
    ([1000.0], [116.0], [1450.0], 'HEALTHY')
    """
    require_prices(book, market)
    compiled, tables = compile_book(book), compile_rules(rules, book.instruments, book)
    equity, maintenance = pool_margin(compiled, tables, market, threads=threads)
    notional, profit, leg_maintenance, leg_initial = _split(book, market, tables)
    pool = compiled.row_pool[compiled.leg_row]
    initial = group_sums(pool, leg_initial[compiled.leg_position], len(book))
    stage = stage_of(equity, maintenance, np.diff(book.position_pointer) > 0, rules)
    return MarginState(equity, maintenance, initial, stage, notional, profit, leg_maintenance, leg_initial)


def pool_margin(
    compiled: CompiledBook, tables: CompiledRules, market: MarketState, *, threads: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Equity and maintenance margin, base asset, of each pool of a compiled book, once; see `live_margin`."""
    return live_margin(lay_out(compiled, tables), market, threads=threads)


def live_margin(layout: MarginLayout, market: MarketState, *, threads: int = 1) -> tuple[FloatArray, FloatArray]:
    """Equity and maintenance margin, base asset, of each pool: what is done again on every tick.

    A layout remembers in which tier each leg was found, which spares the next call the search and changes no result; so
    it serves one call at a time. NaN for a pool that needs a price which is NaN; `require_prices` refuses those.

    Examples
    --------
    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [2000.0], [0, 1], [0], [1.0], [30000.0], [20.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.004], [125.0])})
    >>> layout = lay_out(compile_book(book), compile_rules(rules, table, book))
    >>> marks = [[29_000.0], [28_100.0]]
    >>> [live_margin(layout, MarketState(np.datetime64("2024-01-01"), mark, [1.0])) for mark in marks]
    [(array([1000.]), array([116.])), (array([100.]), array([112.4]))]
    """
    pools = len(layout.pool)
    equity, maintenance = np.empty(pools), np.empty(pools)
    unit_price = np.where(layout.inverse, -1.0 / market.mark, market.mark)

    tiers = priced(layout.tiers, layout.tier_pointer, unit_price)
    slices = priced(layout.slices, layout.slice_pointer, market.index)
    settle_tiers(layout, tiers)

    def run(first: int, last: int) -> None:
        margin_pass(first, last, layout, tiers, slices, equity, maintenance)

    in_chunks(run, pools, threads)
    return equity, maintenance


CHUNKS_A_THREAD = 8


def in_chunks(run: Callable[[int, int], None], rows: int, threads: int) -> None:
    """Call `run(first, last)` over contiguous chunks of rows, several at a time; rows are independent of each other."""
    if threads <= 1:
        run(0, rows)
        return
    edges = np.linspace(0, rows, threads * CHUNKS_A_THREAD + 1).astype(int)
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(run, edges[:-1], edges[1:]))


def is_breached(equity: FloatArray, maintenance: FloatArray, rules: RuleBook) -> BoolArray:
    """Whether the venue's trigger is met: equity below maintenance margin, or equal to it if the rule is not strict."""
    return equity < maintenance if rules.strict_trigger else equity <= maintenance


def stage_of(
    equity: FloatArray, maintenance: FloatArray, has_positions: BoolArray, rules: RuleBook
) -> NDArray[np.int8]:
    """Stage of each pool; one without positions is healthy whatever it owes."""
    stage = np.full(len(equity), Stage.HEALTHY, dtype=np.int8)
    stage[maintenance > rules.warning_ratio * equity] = Stage.WARNED
    if rules.reduce_only_ratio is not None:
        stage[maintenance > rules.reduce_only_ratio * equity] = Stage.REDUCE_ONLY
    stage[is_breached(equity, maintenance, rules)] = Stage.LIQUIDATION
    stage[equity < 0] = Stage.BANKRUPT
    stage[~has_positions] = Stage.HEALTHY
    return stage


def require_prices(book: AccountBook, market: MarketState) -> None:
    """Raise InputError for the first position that has expired or has no mark, or balance without an index price.

    Prices of another table's length and a base asset that is not worth 1 are refused too.
    """
    table = book.instruments
    for name, prices, count in (("mark", market.mark, len(table)), ("index", market.index, len(table.assets))):
        require_shape(prices, (count,), name)
    base = market.index[:1]
    require((base == 1) | np.isnan(base), base, f"{table.base} is the base asset, worth 1", "index")
    require_live(table, book.position_instrument, market.time)
    _require_price(book, book.position_pointer, market.mark, book.position_instrument, table.symbols, "mark", market)
    _require_price(book, book.balance_pointer, market.index, book.balance_asset, table.assets, "index", market)
    _require_price(book, book.position_pointer, market.index, book.position_asset, table.assets, "index", market)


def _require_price(
    book: AccountBook,
    pointer: IntArray,
    prices: FloatArray,
    needed: IntArray,
    names: tuple[str, ...],
    kind: str,
    market: MarketState,
) -> None:
    missing = np.isnan(prices[needed])
    if missing.any():
        entry = int(np.argmax(missing))
        row = csr_row_of(pointer, entry)
        problem, column = f"has no {kind} price at {market.time}", f"account {book.account[row]}"
        raise InputError(problem, row=row, column=column, value=names[needed[entry]])


def _split(
    book: AccountBook, market: MarketState, tables: CompiledRules
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    instrument, size, inverse = book.position_instrument, book.position_size, book.position_inverse
    mark, index = market.mark[instrument], market.index[book.position_asset]
    notional = np.abs(contract_value(size, mark, inverse))
    profit = contract_profit(size, book.entry_price, mark, inverse)
    tier = tables.tiers_of(instrument, notional)
    needed = notional * tables.tier_rate[tier] - tables.tier_deduction[tier]
    initial = notional * leverage_rate(tables.tier_initial[tier], book.leverage)
    return notional * index, profit * index, needed * index, initial * index
