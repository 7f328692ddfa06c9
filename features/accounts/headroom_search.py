"""Headroom of pools under moved prices, each seen at its own instant: in scenarios, and where it vanishes on a line.

Every figure is the exact margin of the core (`headroom_at`), so tiers, haircut slices and inverse contracts count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...riskcore.accounts import AccountBook
from ...riskcore.arrays import FloatArray, IntArray, require, require_shape
from ...riskcore.compiled import compile_book, compile_rules
from ...riskcore.exposure import Exposure
from ...riskcore.instruments import require_same_instruments
from ...riskcore.margin_kernel import njit_kernel
from ...riskcore.margin_layout import MarginLayout, lay_out
from ...riskcore.market import MarketHistory
from ...riskcore.passage_kernel import headroom_at
from ...riskcore.price_pyramid import PyramidArrays
from ...riskcore.rulebook import RuleBook

LARGEST_FALL, LARGEST_RISE = 0.9999, 9.0
"""Moves beyond which no breach is looked for: a price that is all but gone, or ten times what it was."""
STEP = 0.125
"""First steps of the search, in units of the distance to first order; they grow once past twice that distance."""
GROWTH = 1.25
TOLERANCE = 1e-13
MOST_TURNS = 200


class SeenPools(NamedTuple):
    """Pools laid out for margining, and the prices each is seen at.

    Parameters
    ----------
    layout
        The book under its rules.
    columns
        Which price series marks or prices what; its other arrays are empty.
    prices
        One row an instant, shape (m, n_series).
    row
        Row of `prices` of each pool, shape (p,).
    """

    layout: MarginLayout
    columns: PyramidArrays
    prices: FloatArray
    row: IntArray


def seen_pools(book: AccountBook, bars: IntArray, history: MarketHistory, rules: RuleBook) -> SeenPools:
    """Pools each seen at its own bar's open, as `linearise_at` sees them.

    Raises
    ------
    InputError
        A bar before 1 or beyond the history, a book of other instruments than the history's, a missing tier table.
    """
    require_same_instruments(book.instruments, history.instruments)
    require_shape(bars, (len(book),), "bar")
    require((bars >= 1) & (bars <= len(history)), bars, f"needs a bar from 1 to {len(history)}", "bar")
    layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
    which, row = np.unique(bars, return_inverse=True)
    prices = np.ascontiguousarray(history.close[which - 1])
    return SeenPools(layout, _columns(history), prices, row.astype(np.int64))


def headroom_under(pools: SeenPools, moves: FloatArray) -> FloatArray:
    """Headroom of every pool after each of some relative moves of all price series.

    Parameters
    ----------
    pools
        From `seen_pools`.
    moves
        Relative moves above -1, shape (k, n_series).

    Returns
    -------
    FloatArray
        Shape (p, k), base asset; NaN where a price of the pool is missing.

    Raises
    ------
    InputError
        Another number of series, a move that is not above -1.

    Examples
    --------
    A long of 1 BTC at 100 with 20 USDT at 10% maintenance: 10 to begin with, 1 after a fall of 10%.

    >>> import datetime as dt
    >>> from ...riskcore.instruments import InstrumentTable
    >>> from ...riskcore.rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
    >>> p = np.full((2, 1), 100.0)
    >>> history = MarketHistory(table, times, p, p, p, p, [0], [-1], np.zeros((2, 1)))
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [20.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})
    >>> headroom_under(seen_pools(book, np.array([1]), history, rules), np.array([[0.0], [-0.1]])).tolist()
    [[10.0, 1.0]]
    """
    shocks = np.ascontiguousarray(moves, np.float64)
    require_shape(shocks, (len(shocks), pools.prices.shape[1]), "moves")
    require((shocks > -1.0) & np.isfinite(shocks), shocks, "must be above -1", "moves")
    out = np.empty((len(pools.row), len(shocks)))
    _scenario_pass(pools.layout, pools.columns, pools.prices, pools.row, shocks, *_scratch(pools), out)
    return out


def breach_multiple(pools: SeenPools, exposure: Exposure, direction: FloatArray) -> FloatArray:
    """How often each pool's move can be made before its headroom vanishes.

    Prices go to price * (1 + s * direction), all series of a pool together; s is followed from 0 in the direction that
    would end what the pool is in: onwards while it has headroom, backwards (s is negative) where it has none.

    Parameters
    ----------
    pools
        From `seen_pools`.
    exposure
        Of the same pools: which series each depends on, and to first order how.
    direction
        Relative move of each entry of the exposure for s = 1, shape of `exposure.weight`.

    Returns
    -------
    FloatArray
        Shape (p,): the first s at which headroom vanishes or changes its sign, exact to rounding; infinite, with the
        sign of the headroom, where it does not before a price is all but 0 or ten times what it was; NaN where a price
        or a direction is.

    Notes
    -----
    The search goes in steps of an eighth of the distance to first order, which a breach that is cured again within a
    step (at a jump of a cliff schedule) can escape; then it halves.

    Examples
    --------
    The pool of `headroom_under` is lost at 80 / 0.9, a fall of 11.1%.

    >>> import datetime as dt
    >>> from ...riskcore.exposure import linearise_at
    >>> from ...riskcore.instruments import InstrumentTable
    >>> from ...riskcore.rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
    >>> p = np.full((2, 1), 100.0)
    >>> history = MarketHistory(table, times, p, p, p, p, [0], [-1], np.zeros((2, 1)))
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [20.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])})
    >>> bars = np.array([2])
    >>> pools, exposure = seen_pools(book, bars, history, rules), linearise_at(book, bars, history, rules)
    >>> breach_multiple(pools, exposure, np.array([-0.01])).round(6).tolist()
    [11.111111]
    """
    require_shape(direction, exposure.weight.shape, "direction")
    require_shape(pools.row, (len(exposure),), "pools")
    out = np.empty(len(exposure))
    arrays = exposure.pointer, exposure.series, exposure.weight, np.ascontiguousarray(direction, np.float64)
    _breach_pass(pools.layout, pools.columns, pools.prices, pools.row, *arrays, *_scratch(pools), out)
    return out


def _columns(history: MarketHistory) -> PyramidArrays:
    numbers, places, flat = np.empty((0, 0)), np.empty(0, np.int64), np.empty((0, 0))
    return PyramidArrays(
        numbers,
        numbers,
        numbers,
        history.mark_series,
        history.index_series,
        flat,
        places,
        places,
        places,
        numbers,
        numbers,
        flat,
        flat,
    )


def _scratch(pools: SeenPools) -> tuple[FloatArray, FloatArray]:
    """A row of prices to write to, and no funding paid."""
    return np.full(pools.prices.shape[1], np.nan), np.zeros(len(pools.columns.mark_series))


@njit_kernel
def _scenario_pass(
    layout: MarginLayout,
    columns: PyramidArrays,
    prices: FloatArray,
    row: IntArray,
    moves: FloatArray,
    moved: FloatArray,
    unpaid: FloatArray,
    out: FloatArray,
) -> None:
    for slot in range(len(layout.pool)):
        pool = layout.pool[slot]
        for k in range(moves.shape[0]):
            for s in range(moves.shape[1]):
                moved[s] = prices[row[pool], s] * (1.0 + moves[k, s])
            out[pool, k] = headroom_at(slot, layout, columns, moved, unpaid, unpaid)[1]


@njit_kernel
def _headroom(
    slot: int,
    multiple: float,
    layout: MarginLayout,
    columns: PyramidArrays,
    price: FloatArray,
    series: IntArray,
    direction: FloatArray,
    moved: FloatArray,
    unpaid: FloatArray,
) -> float:
    for entry in range(len(series)):
        moved[series[entry]] = price[series[entry]] * (1.0 + multiple * direction[entry])
    return float(headroom_at(slot, layout, columns, moved, unpaid, unpaid)[1])


@njit_kernel
def _furthest(direction: FloatArray, sign: float) -> float:
    """The largest size of s before a price falls or rises as far as is looked at."""
    furthest = np.inf
    for entry in range(len(direction)):
        move = sign * direction[entry]
        if move < 0.0:
            furthest = min(furthest, -LARGEST_FALL / move)
        elif move > 0.0:
            furthest = min(furthest, LARGEST_RISE / move)
    return furthest


@njit_kernel
def _breach_pass(
    layout: MarginLayout,
    columns: PyramidArrays,
    prices: FloatArray,
    row: IntArray,
    pointer: IntArray,
    series: IntArray,
    weight: FloatArray,
    direction: FloatArray,
    moved: FloatArray,
    unpaid: FloatArray,
    out: FloatArray,
) -> None:
    for slot in range(len(layout.pool)):
        pool = layout.pool[slot]
        first, last = pointer[pool], pointer[pool + 1]
        own, way, price = series[first:last], direction[first:last], prices[row[pool]]
        start = _headroom(slot, 0.0, layout, columns, price, own, way, moved, unpaid)
        loss = 0.0
        for entry in range(first, last):
            loss -= weight[entry] * direction[entry]
        sign = 1.0 if start > 0.0 else -1.0
        furthest = _furthest(way, sign)
        if start == 0.0 or np.isnan(start) or np.isnan(loss):
            out[pool] = start + 0.0 * loss
        elif furthest == np.inf:
            out[pool] = sign * np.inf
        else:
            near = abs(start) / loss if loss > 0.0 else furthest
            out[pool] = sign * _first_breach(
                slot, start, min(near, furthest), furthest, sign, layout, columns, price, own, way, moved, unpaid
            )


@njit_kernel
def _first_breach(
    slot: int,
    start: float,
    near: float,
    furthest: float,
    sign: float,
    layout: MarginLayout,
    columns: PyramidArrays,
    price: FloatArray,
    series: IntArray,
    direction: FloatArray,
    moved: FloatArray,
    unpaid: FloatArray,
) -> float:
    """The size of s at the first change of sign of the headroom, infinite if there is none up to `furthest`."""
    below, above, low, high, step = 0.0, 0.0, start, start, STEP * near
    while (high > 0.0) == (start > 0.0):
        if above >= furthest:
            return np.inf
        below, low = above, high
        step = step * GROWTH if above > 2.0 * near else step
        above = min(above + step, furthest)
        high = _headroom(slot, sign * above, layout, columns, price, series, direction, moved, unpaid)
    turn = 0
    while above - below > TOLERANCE * above and turn < MOST_TURNS:
        # two chords, then a halving: quick where headroom is a line, sure where it jumps
        part = low / (low - high) if turn % 3 < 2 else 0.5
        middle = below + part * (above - below)
        value = _headroom(slot, sign * middle, layout, columns, price, series, direction, moved, unpaid)
        if abs(value) <= TOLERANCE * abs(start):
            return middle
        if (value > 0.0) == (start > 0.0):
            below, low = middle, value
        else:
            above, high = middle, value
        turn += 1
    return above
