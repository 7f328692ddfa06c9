"""Compiled first passage along price scenarios: which paths liquidate each pool, when, and what it then owes.

The plain twin, one evaluation a state, is `passage_by_evaluation`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.margin_kernel import njit_kernel
from ..riskcore.margin_layout import MarginLayout
from ..riskcore.passage_kernel import SLACK, headroom_at, headroom_bound
from ..riskcore.price_pyramid import PyramidArrays
from .scenario_options import PricedOptions

LIVES, UNKNOWN = -1, -2
"""In place of the bar of a breach: there was none, or a price the pool needs is missing."""
STATES = 3


class ClosingCost(NamedTuple):
    """Cost of closing each leg, fraction of its notional, in the order of `CompiledBook`; that of each pool's first."""

    rate: FloatArray
    first_leg: IntArray


@njit_kernel
def _options_at(options: PricedOptions, pool: int, row: int, state: int) -> tuple[float, float]:
    """What the option legs of a pool add to its equity, and to its headroom."""
    equity, headroom = 0.0, 0.0
    for leg in range(options.pointer[pool], options.pointer[pool + 1]):
        c, size = options.contract[leg], options.size[leg]
        if size > 0.0:
            equity += size * options.held[row, state, c]
            headroom += size * options.held[row, state, c]
        else:
            equity += size * options.owed[row, state, c]
            headroom += size * (options.owed[row, state, c] + options.asked[row, state, c])
    return equity, headroom


@njit_kernel
def _options_bound(options: PricedOptions, pool: int, path: int) -> float:
    """What the option legs of a pool add to its headroom at least along a path, less the slack."""
    total, gross = 0.0, 0.0
    for leg in range(options.pointer[pool], options.pointer[pool + 1]):
        c, size = options.contract[leg], options.size[leg]
        worst = size * (options.least_held[path, c] if size > 0.0 else options.most_short[path, c])
        total += worst
        gross += abs(worst)
    return total - SLACK * gross


@njit_kernel
def _options_bound_at(options: PricedOptions, pool: int, row: int) -> float:
    """The same during one bar."""
    total, gross = 0.0, 0.0
    for leg in range(options.pointer[pool], options.pointer[pool + 1]):
        c, size, worst = options.contract[leg], options.size[leg], np.inf
        for state in range(STATES):
            held, short = options.held[row, state, c], options.owed[row, state, c] + options.asked[row, state, c]
            worst = min(worst, size * (held if size > 0.0 else short))
        total += worst
        gross += abs(worst)
    return total - SLACK * gross


@njit_kernel
def _cost_at(slot: int, layout: MarginLayout, arrays: PyramidArrays, prices: FloatArray, cost: ClosingCost) -> float:
    """Cost of closing every leg of a pool at one row of prices, base asset."""
    total = 0.0
    leg = cost.first_leg[layout.pool[slot]]
    for row in range(layout.row_pointer[slot], layout.row_pointer[slot + 1]):
        series = arrays.index_series[layout.row_asset[row]]
        index = prices[series] if series >= 0 else 1.0
        for place in range(layout.leg_pointer[row], layout.leg_pointer[row + 1]):
            i = layout.leg_instrument[place]
            mark = prices[arrays.mark_series[i]]
            value = layout.leg_size[place] / mark if layout.inverse[i] else layout.leg_size[place] * mark
            total += cost.rate[leg] * abs(value) * index
            leg += 1
    return total


@njit_kernel
def _bound_at(
    slot: int, layout: MarginLayout, arrays: PyramidArrays, options: PricedOptions, bar: int, start: int
) -> float:
    """A number that headroom does not fall below during one bar."""
    paid, before = arrays.paid[arrays.charge[bar]], arrays.paid[arrays.charge[start]]
    rest = headroom_bound(slot, layout, arrays, arrays.low[bar], arrays.high[bar], paid, paid, before)
    return float(rest + _options_bound_at(options, layout.pool[slot], bar - options.first_bar))


@njit_kernel
def _look(
    slot: int,
    layout: MarginLayout,
    arrays: PyramidArrays,
    options: PricedOptions,
    cost: ClosingCost,
    bar: int,
    start: int,
    strict: bool,
) -> tuple[int, float]:
    """0 if the bar breaches, LIVES or UNKNOWN; and the lowest equity of its states in breach, closing costs paid."""
    found, lowest = LIVES, np.inf
    paid, before = arrays.paid[arrays.charge[bar]], arrays.paid[arrays.charge[start]]
    for state in range(STATES):
        prices = arrays.low[bar] if state == 0 else (arrays.high[bar] if state == 1 else arrays.close[bar])
        equity, headroom = headroom_at(slot, layout, arrays, prices, paid, before)
        more, room = _options_at(options, layout.pool[slot], bar - options.first_bar, state)
        headroom += room
        if headroom < 0.0 or (headroom == 0.0 and not strict):
            left = equity + more - _cost_at(slot, layout, arrays, prices, cost)
            # a cost that is not known makes what is left unknown
            lowest = left if np.isnan(left) else min(lowest, left)
            found = 0
        elif np.isnan(headroom) and found != 0:
            found = UNKNOWN
    return found, lowest if found == 0 else np.nan


@njit_kernel
def _follow(
    slot: int,
    layout: MarginLayout,
    arrays: PyramidArrays,
    options: PricedOptions,
    cost: ClosingCost,
    path: int,
    horizon: int,
    strict: bool,
) -> tuple[int, float]:
    """Bar of a path, from 0, that liquidates a pool, LIVES or UNKNOWN; and what is left of its equity."""
    start = path * horizon
    bound = headroom_bound(
        slot,
        layout,
        arrays,
        arrays.block_low[path],
        arrays.block_high[path],
        arrays.block_paid_low[path],
        arrays.block_paid_high[path],
        arrays.paid[arrays.charge[start]],
    )
    if bound + _options_bound(options, layout.pool[slot], path - options.first_path) > 0.0:
        return LIVES, np.nan
    for k in range(horizon):
        if not _bound_at(slot, layout, arrays, options, start + k, start) > 0.0:
            found, left = _look(slot, layout, arrays, options, cost, start + k, start, strict)
            if found != LIVES:
                return k if found == 0 else UNKNOWN, left
    return LIVES, np.nan


@njit_kernel
def scenario_pass(
    first: int,
    last: int,
    layout: MarginLayout,
    arrays: PyramidArrays,
    options: PricedOptions,
    cost: ClosingCost,
    first_path: int,
    last_path: int,
    horizon: int,
    strict: bool,
    bar: NDArray[np.int16],
    equity: FloatArray,
) -> None:
    """Write bar and equity of the first breach of the pools in slots first : last on the paths first : last."""
    for slot in range(first, last):
        pool = layout.pool[slot]
        rows = layout.row_pointer[slot], layout.row_pointer[slot + 1]
        legs = options.pointer[pool + 1] - options.pointer[pool]
        holds = layout.leg_pointer[rows[0]] < layout.leg_pointer[rows[1]] or legs > 0
        for path in range(first_path, last_path):
            found, left = LIVES, np.nan
            if holds:
                found, left = _follow(slot, layout, arrays, options, cost, path, horizon, strict)
            bar[pool, path], equity[pool, path] = found, left
