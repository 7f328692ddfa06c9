"""A pool as a vector of exposures: what its headroom gains or loses when prices move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .accounts import AccountBook, csr_entries, csr_pointers, csr_rows
from .arrays import FloatArray, IntArray, group_sums, require, require_shape
from .compiled import CompiledBook, CompiledRules, compile_book, compile_rules
from .instruments import contract_value, require_same_instruments
from .margin import require_prices
from .market import UNIT_INDEX, MarketHistory, MarketState
from .rulebook import RuleBook


@dataclass(frozen=True)
class Exposure:
    """First-order dependence of headroom on each price series, in CSR form; amounts in the base asset.

    Parameters
    ----------
    pointer
        Entries of pool p: pointer[p] : pointer[p + 1], in rising order of series.
    series, weight
        Price series, and d(equity - maintenance) / d log(price) there. For linear contracts and collateral within a
        tier and a haircut slice, headroom after relative moves R is exactly headroom + sum(weight * R).
    headroom, equity, maintenance
        Margin of each pool at the same instant.
    """

    pointer: IntArray
    series: IntArray
    weight: FloatArray
    headroom: FloatArray
    equity: FloatArray
    maintenance: FloatArray

    def __len__(self) -> int:
        return len(self.headroom)

    @property
    def pool(self) -> IntArray:
        """Pool of each entry."""
        return csr_rows(self.pointer)

    @property
    def gross(self) -> FloatArray:
        """Sum of absolute weights of each pool."""
        return group_sums(self.pool, np.abs(self.weight), len(self))

    def take(self, rows: IntArray) -> Exposure:
        """Exposure of these pools, in this order."""
        entries, pointer = csr_entries(self.pointer, rows)
        return Exposure(
            pointer,
            self.series[entries],
            self.weight[entries],
            self.headroom[rows],
            self.equity[rows],
            self.maintenance[rows],
        )


def linearise(book: AccountBook, market: MarketState, history: MarketHistory, rules: RuleBook) -> Exposure:
    """Exposure of every pool at one instant; `history` says which series marks or prices what.

    Raises
    ------
    InputError
        A price or a tier table that is missing, a book of other instruments than the history's.

    Examples
    --------
    A long of 1 BTC at 100 with 20 USDT, 10% maintenance: a 1% fall costs 1 of value and frees 0.1 of maintenance.

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
    >>> p = np.full((2, 1), 100.0)
    >>> history = MarketHistory(table, times, p, p, p, p, [0], [-1], np.zeros((2, 1)))
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [20.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})
    >>> exposure = linearise(book, history.state_at(1), history, rules)
    >>> exposure.weight.tolist(), exposure.headroom.tolist()
    ([90.0], [10.0])
    """
    require_same_instruments(book.instruments, history.instruments)
    require_prices(book, market)
    compiled = compile_book(book)
    tables = compile_rules(rules, book.instruments, book)
    return _expose(compiled, tables, history, market.mark[compiled.leg_instrument], market.index[compiled.row_asset])


def linearise_at(book: AccountBook, bars: IntArray, history: MarketHistory, rules: RuleBook) -> Exposure:
    """Exposure of pools each seen at its own bar's open: `linearise` at `history.state_at(bars[p])` for each pool p.

    Raises
    ------
    InputError
        A bar before 1 or beyond the history, a price that is missing then, a contract that has expired by then, or not
        one bar a pool.
    """
    require_same_instruments(book.instruments, history.instruments)
    require_shape(bars, (len(book),), "bar")
    require((bars >= 1) & (bars <= len(history)), bars, f"needs a bar from 1 to {len(history)}", "bar")
    seen = history.times[bars - 1] + history.step
    gone = book.instruments.expiry[book.position_instrument] <= seen[book.position_pool]
    pool_is_live = group_sums(book.position_pool, gone.astype(np.float64), len(book)) == 0
    require(pool_is_live, bars, "has a position that has expired by then", "bar")
    compiled = compile_book(book)
    tables = compile_rules(rules, book.instruments, book)
    pool = compiled.row_pool
    mark = history.close[bars[pool[compiled.leg_row]] - 1, history.mark_series[compiled.leg_instrument]]
    series = history.index_series[compiled.row_asset]
    index = np.where(series == UNIT_INDEX, 1.0, history.close[bars[pool] - 1, series])
    for prices, pools in ((mark, pool[compiled.leg_row]), (index, pool)):
        priced = np.ones(len(book), np.bool_)
        priced[pools[np.isnan(prices)]] = False
        require(priced, bars, "has a position or balance without a price then", "bar")
    return _expose(compiled, tables, history, mark, index)


def _expose(
    book: CompiledBook, tables: CompiledRules, history: MarketHistory, mark: FloatArray, index: FloatArray
) -> Exposure:
    """Exposure from the mark of each leg and the index price of each asset row."""
    instrument, size, row = book.leg_instrument, book.leg_size, book.leg_row
    inverse = book.inverse[instrument]
    value = contract_value(np.where(inverse, -size, size), mark, inverse)
    tier = tables.tiers_of(instrument, np.abs(value))
    rate = tables.tier_rate[tier]
    n_rows, n_pools = len(book.row_asset), len(book.row_pointer) - 1
    total = book.row_amount + group_sums(row, value, n_rows)
    required = group_sums(row, np.abs(value) * rate - tables.tier_deduction[tier], n_rows)
    slope, offset = _haircut_terms(tables, book.row_asset, total * index)
    # value moves with the log price one for one (linear) or against it (inverse, told in coin)
    turn = np.where(inverse, -1.0, 1.0)
    leg_weight = turn * (value * slope[row] - np.abs(value) * rate) * index[row]
    series = history.index_series[book.row_asset]
    moves = series != UNIT_INDEX
    row_weight = (total * slope - required) * index
    pool = book.row_pool
    return _merge(
        np.concatenate((pool[row], pool[moves])),
        np.concatenate((history.mark_series[instrument], series[moves])),
        np.concatenate((leg_weight, row_weight[moves])),
        group_sums(pool, total * index * slope + offset, n_pools),
        group_sums(pool, required * index, n_pools),
    )


def _haircut_terms(tables: CompiledRules, asset: IntArray, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    slope, offset = np.ones(len(asset)), np.zeros(len(asset))
    for a in np.unique(asset):
        first, last = tables.haircut_pointer[a], tables.haircut_pointer[a + 1]
        mine = (asset == a) & (value > 0)
        place = first + np.searchsorted(tables.haircut_floor[first:last], value[mine], side="right") - 1
        slope[mine], offset[mine] = tables.haircut_rate[place], tables.haircut_offset[place]
    return slope, offset


def _merge(
    pools: IntArray, series: IntArray, weights: FloatArray, equity: FloatArray, maintenance: FloatArray
) -> Exposure:
    order = np.lexsort((weights, series, pools))
    pools, series, weights = pools[order], series[order], weights[order]
    fresh = np.ones(len(pools), dtype=bool)
    fresh[1:] = (np.diff(pools) != 0) | (np.diff(series) != 0)
    merged = group_sums(np.cumsum(fresh) - 1, weights, int(fresh.sum()))
    pointer = csr_pointers(pools[fresh], len(equity))
    return Exposure(pointer, series[fresh], merged, equity - maintenance, equity, maintenance)
