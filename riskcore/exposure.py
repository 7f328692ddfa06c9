"""A pool as a vector of exposures: what its headroom gains or loses when prices move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .accounts import AccountBook, csr_entries
from .arrays import FloatArray, IntArray
from .compiled import CompiledBook, CompiledRules, compile_book, compile_rules
from .margin import pool_margin, require_prices
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
        return np.repeat(np.arange(len(self)), np.diff(self.pointer))

    @property
    def gross(self) -> FloatArray:
        """Sum of absolute weights of each pool."""
        return np.bincount(self.pool, weights=np.abs(self.weight), minlength=len(self))

    def take(self, rows: IntArray) -> Exposure:
        """Exposure of these pools, in this order."""
        entries, pointer = csr_entries(self.pointer, rows)
        return Exposure(
            pointer, self.series[entries], self.weight[entries], self.headroom[rows], self.equity[rows], self.maintenance[rows]
        )


def linearise(book: AccountBook, market: MarketState, history: MarketHistory, rules: RuleBook) -> Exposure:
    """Exposure of every pool at one instant; `history` says which series marks or prices what.

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
    require_prices(book, market)
    compiled, tables = compile_book(book), compile_rules(rules, book.instruments, book)
    equity, maintenance = pool_margin(compiled, tables, market)
    pools, series, weights = _entries(compiled, tables, market, history)
    return _merge(pools, series, weights, equity, maintenance)


def _entries(
    book: CompiledBook, tables: CompiledRules, market: MarketState, history: MarketHistory
) -> tuple[IntArray, IntArray, FloatArray]:
    instrument, size, row = book.leg_instrument, book.leg_size, book.leg_row
    mark, inverse = market.mark[instrument], book.inverse[instrument]
    value = np.where(inverse, -size / mark, size * mark)
    tier = tables.tiers_of(instrument, np.abs(value))
    rate, deduction = tables.tier_rate[tier], tables.tier_deduction[tier]
    n_rows = len(book.row_asset)
    total = book.row_amount + np.bincount(row, weights=value, minlength=n_rows)
    required = np.bincount(row, weights=np.abs(value) * rate - deduction, minlength=n_rows)
    index = market.index[book.row_asset]
    slope = _haircut_slope(tables, book.row_asset, total * index)
    # value moves with the log price one for one (linear) or against it (inverse, told in coin)
    turn = np.where(inverse, -1.0, 1.0)
    leg_weight = turn * (value * slope[row] - np.abs(value) * rate) * index[row]
    row_weight = (total * slope - required) * index
    row_series = history.index_series[book.row_asset]
    moves = row_series != UNIT_INDEX
    return (
        np.concatenate((book.row_pool[row], book.row_pool[moves])),
        np.concatenate((history.mark_series[instrument], row_series[moves])),
        np.concatenate((leg_weight, row_weight[moves])),
    )


def _haircut_slope(tables: CompiledRules, asset: IntArray, value: FloatArray) -> FloatArray:
    slope = np.ones(len(asset))
    for a in np.unique(asset):
        first, last = tables.haircut_pointer[a], tables.haircut_pointer[a + 1]
        mine = (asset == a) & (value > 0)
        place = np.searchsorted(tables.haircut_floor[first:last], value[mine], side="right") - 1
        slope[mine] = tables.haircut_rate[first:last][place]
    return slope


def _merge(pools: IntArray, series: IntArray, weights: FloatArray, equity: FloatArray, maintenance: FloatArray) -> Exposure:
    order = np.lexsort((weights, series, pools))
    pools, series, weights = pools[order], series[order], weights[order]
    fresh = np.ones(len(pools), dtype=bool)
    fresh[1:] = (np.diff(pools) != 0) | (np.diff(series) != 0)
    merged = np.bincount(np.cumsum(fresh) - 1, weights=weights) if len(pools) else weights
    pointer = np.searchsorted(pools[fresh], np.arange(len(equity) + 1)).astype(np.int64)
    return Exposure(pointer, series[fresh], merged, equity - maintenance, equity, maintenance)
