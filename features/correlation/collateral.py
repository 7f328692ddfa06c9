"""Wrong-way risk of an account: whether its coin collateral falls when its positions lose."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from ...riskcore.accounts import AccountBook, csr_pointers
from ...riskcore.arrays import FloatArray, IntArray, group_sums, require, require_shape
from ...riskcore.errors import InputError
from ...riskcore.instruments import contract_profit, contract_value
from ...riskcore.market import UNIT_INDEX, MarketHistory

COLLATERAL_FEATURES = ("collateral_correlation", "collateral_beta", "collateral_risk_share", "wrong_way_ratio")


@dataclass(frozen=True)
class SeriesWeights:
    """Change of value of some part of each pool per unit of each series' log return, in CSR form; base asset.

    Parameters
    ----------
    pointer
        Entries of pool p: pointer[p] : pointer[p + 1], in rising order of series, none zero.
    series, weight
        Price series and d(value) / d log(price).
    """

    pointer: IntArray
    series: IntArray
    weight: FloatArray

    def __len__(self) -> int:
        return len(self.pointer) - 1


def split_weights(book: AccountBook, bars: IntArray, history: MarketHistory) -> tuple[SeriesWeights, SeriesWeights]:
    """Positions and collateral of pools each seen at its own bar's open, before haircuts and margin.

    A position counts with its profit told in the base asset: the contract's value by the mark, and for one settled in a
    coin its unrealised profit by the coin's index. Collateral is the balances in coins by their index. Together they
    are the change of equity to first order.

    Parameters
    ----------
    book
        Pools, one a bar.
    bars
        Bar at whose open each pool is seen, 1 .. len(history), shape (len(book),).
    history
        Which series marks or prices what, and the prices.

    Returns
    -------
    positions, collateral
        Weights of each pool.

    Raises
    ------
    InputError
        A bar that is not there, a price that is missing then, or not one bar a pool.

    Examples
    --------
    One BTC of collateral under a long of 2 BTC settled in the base asset, at 110:

    >>> from ...riskcore.instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"], collateral=["BTC"])
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
    >>> p = np.array([[100.0], [110.0]])
    >>> history = MarketHistory(table, times, p, p, p, p, [0], [-1, 0], np.zeros((2, 1)))
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [1], [1.0], [0, 1], [0], [2.0], [100.0], [np.nan])
    >>> positions, collateral = split_weights(book, np.array([2]), history)
    >>> positions.weight.tolist(), collateral.weight.tolist()
    ([220.0], [110.0])
    """
    require_shape(bars, (len(book),), "bar")
    require((bars >= 1) & (bars <= len(history)), bars, f"needs a bar from 1 to {len(history)}", "bar")
    pool, instrument = book.position_pool, book.position_instrument
    size, inverse = book.position_size, book.position_inverse
    mark = history.close[bars[pool] - 1, history.mark_series[instrument]]
    _require_prices(mark, pool, bars)
    value = contract_value(size, mark, inverse)
    profit = contract_profit(size, book.entry_price, mark, inverse)
    index, series = _index(history, bars[pool], book.position_asset)
    _require_prices(index, pool, bars)
    coin = series != UNIT_INDEX
    positions = _gathered(
        np.concatenate((pool, pool[coin])),
        np.concatenate((history.mark_series[instrument], series[coin])),
        np.concatenate((value * index, (profit * index)[coin])),
        len(book),
    )
    holder = np.repeat(np.arange(len(book)), np.diff(book.balance_pointer))
    price, series = _index(history, bars[holder], book.balance_asset)
    _require_prices(price, holder, bars)
    coin = series != UNIT_INDEX
    return positions, _gathered(holder[coin], series[coin], (book.balance * price)[coin], len(book))


def collateral_correlation(
    positions: SeriesWeights, collateral: SeriesWeights, row: IntArray, covariance: FloatArray
) -> FloatArray:
    """How the value of coin collateral moves with the profit of the positions it secures.

    Parameters
    ----------
    positions, collateral
        Weights of the same pools.
    row
        Row of `covariance` for each pool, shape (p,).
    covariance
        Of the series' log returns, e.g. `ewma_covariance`, shape (m, n_series, n_series).

    Returns
    -------
    FloatArray
        Shape (p, 4), columns as in `COLLATERAL_FEATURES`, with c and w the weights of collateral and positions and C
        the covariance:

        * collateral correlation: c'Cw / sqrt(c'Cc w'Cw), positive where collateral falls as positions lose: wrong way;
        * collateral beta: c'Cw / w'Cw, change of the collateral for each unit of profit; 0 without coins;
        * collateral risk share: sqrt(c'Cc) / (sqrt(c'Cc) + sqrt(w'Cw)); 0 without coins, 1 without positions;
        * wrong-way ratio: sqrt((c + w)'C(c + w) / (c'Cc + w'Cw)), volatility of equity over what it were if the two
          were independent: up to sqrt(2) the wrong way, 1 without coins or positions, below 1 where one is a hedge.

        NaN where what it divides by is zero, or where a covariance it needs is not known.

    Raises
    ------
    InputError
        Shapes that disagree, a row or series that is not there.

    Examples
    --------
    A long of 300 secured by 100 of the same coin at 1%: both fall together. A short of 300: the collateral hedges.

    >>> positions = SeriesWeights(np.array([0, 1, 2]), np.array([0, 0]), np.array([300.0, -300.0]))
    >>> collateral = SeriesWeights(np.array([0, 1, 2]), np.array([0, 0]), np.array([100.0, 100.0]))
    >>> found = collateral_correlation(positions, collateral, np.array([0, 0]), np.array([[[1e-4]]]))
    >>> found.round(4).tolist()
    [[1.0, 0.3333, 0.25, 1.2649], [-1.0, -0.3333, 0.25, 0.6325]]
    """
    pools, (rows, series) = len(positions), covariance.shape[:2]
    require_shape(covariance, (rows, series, series), "covariance")
    require_shape(row, (pools,), "row")
    require_shape(collateral.pointer, (pools + 1,), "collateral")
    for name, places, count in (
        ("row", row, rows),
        ("positions.series", positions.series, series),
        ("collateral.series", collateral.series, series),
    ):
        require((places >= 0) & (places < count), places, f"is not one of {count}", name)
    out = np.full((pools, len(COLLATERAL_FEATURES)), np.nan)
    _compare(
        *(positions.pointer, positions.series, positions.weight),
        *(collateral.pointer, collateral.series, collateral.weight),
        np.ascontiguousarray(row, np.int64),
        np.ascontiguousarray(covariance, np.float64),
        out,
    )
    return out


def _index(history: MarketHistory, bars: IntArray, asset: IntArray) -> tuple[FloatArray, IntArray]:
    """Index price of each asset at each bar's open, and its series."""
    series = history.index_series[asset]
    return np.where(series == UNIT_INDEX, 1.0, history.close[bars - 1, series]), series


def _require_prices(prices: FloatArray, pool: IntArray, bars: IntArray) -> None:
    missing = np.flatnonzero(np.isnan(prices))
    if len(missing):
        row = int(pool[missing[0]])
        raise InputError("has a position or balance without a price then", row=row, column="bar", value=int(bars[row]))


def _gathered(pool: IntArray, series: IntArray, weight: FloatArray, pools: int) -> SeriesWeights:
    """One weight for each pool and series, added in the order of their size, without zeros."""
    order = np.lexsort((weight, series, pool))
    pool, series, weight = pool[order], series[order], weight[order]
    fresh = np.ones(len(pool), np.bool_)
    fresh[1:] = (np.diff(pool) != 0) | (np.diff(series) != 0)
    merged = group_sums(np.cumsum(fresh) - 1, weight, int(fresh.sum()))
    kept = merged != 0.0
    return SeriesWeights(csr_pointers(pool[fresh][kept], pools), series[fresh][kept], merged[kept])


@numba.njit(cache=True, nogil=True)
def _product(
    one_series: IntArray, one: FloatArray, other_series: IntArray, other: FloatArray, covariance: FloatArray
) -> float:
    total = 0.0
    for a in range(len(one)):
        for b in range(len(other)):
            total += one[a] * other[b] * covariance[one_series[a], other_series[b]]
    return total


@numba.njit(cache=True, nogil=True)
def _compare(
    position_pointer: IntArray,
    position_series: IntArray,
    position_weight: FloatArray,
    held_pointer: IntArray,
    held_series: IntArray,
    held_weight: FloatArray,
    row: IntArray,
    covariance: FloatArray,
    out: FloatArray,
) -> None:
    for pool in range(len(row)):
        legs = slice(position_pointer[pool], position_pointer[pool + 1])
        coins = slice(held_pointer[pool], held_pointer[pool + 1])
        w, c, now = position_weight[legs], held_weight[coins], covariance[row[pool]]
        profit = _product(position_series[legs], w, position_series[legs], w, now)
        held = _product(held_series[coins], c, held_series[coins], c, now)
        cross = _product(position_series[legs], w, held_series[coins], c, now)
        if profit > 0.0 and held > 0.0:
            out[pool, 0] = min(max(cross / (np.sqrt(profit) * np.sqrt(held)), -1.0), 1.0)
        if profit > 0.0:
            out[pool, 1] = cross / profit
        if profit + held > 0.0:
            out[pool, 2] = np.sqrt(max(held, 0.0)) / (np.sqrt(max(held, 0.0)) + np.sqrt(max(profit, 0.0)))
            out[pool, 3] = np.sqrt(max(profit + held + 2.0 * cross, 0.0) / (profit + held))
