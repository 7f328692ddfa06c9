"""Compiled first passage: bounds over blocks of bars, exact headroom at the bars that bounds cannot clear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .arrays import FloatArray, IntArray
from .margin_kernel import njit_kernel, search_band
from .margin_layout import CAP, FLOOR, OFFSET, RATE, MarginLayout
from .price_pyramid import PyramidArrays

CENSORED, BREACHED, GAP, DATA_END = 0, 1, 2, 3
LOW, CLOSE = 0, 2
SLACK = 1e-9
"""A bound clears a block only by more than this fraction of the pool's gross value: it sums in another order."""


@njit_kernel
def _maintenance(layout: MarginLayout, leg: int, notional: float) -> float:
    tiers, band = layout.tiers, np.uint64(layout.leg_tier[leg])
    if notional < tiers[band + FLOOR] or notional >= tiers[band + CAP]:
        band = search_band(tiers, layout.tier_pointer, layout.leg_instrument[leg], notional)
        layout.leg_tier[leg] = band
    return float(notional * tiers[band + RATE] + tiers[band + OFFSET])


@njit_kernel
def _collateral(layout: MarginLayout, row: int, value: float) -> float:
    slices, band = layout.slices, np.uint64(layout.row_slice[row])
    if value < slices[band + FLOOR] or value >= slices[band + CAP]:
        band = search_band(slices, layout.slice_pointer, layout.row_asset[row], value)
        layout.row_slice[row] = band
    return float(value * slices[band + RATE] + slices[band + OFFSET])


@njit_kernel
def _unit_price(layout: MarginLayout, instrument: int, price: float) -> float:
    return -1.0 / price if layout.inverse[instrument] else price


@njit_kernel
def headroom_at(
    slot: int,
    layout: MarginLayout,
    pyramid: PyramidArrays,
    prices: FloatArray,
    paid: FloatArray,
    paid_before: FloatArray,
) -> tuple[float, float]:
    """Equity and headroom of one pool at one row of prices, funding since the start paid.

    The arithmetic is that of `margin_pass`, in the same order: without funding, the same bits.
    """
    equity, required = 0.0, 0.0
    for row in range(layout.row_pointer[slot], layout.row_pointer[slot + 1]):
        total, row_required = layout.row_amount[row], 0.0
        for leg in range(layout.leg_pointer[row], layout.leg_pointer[row + 1]):
            i = layout.leg_instrument[leg]
            size = layout.leg_size[leg]
            value = size * _unit_price(layout, i, prices[pyramid.mark_series[i]])
            total += value - size * (paid[i] - paid_before[i])
            row_required += _maintenance(layout, leg, abs(value))
        series = pyramid.index_series[layout.row_asset[row]]
        index = prices[series] if series >= 0 else 1.0
        equity += _collateral(layout, row, total * index)
        required += row_required * index
    return equity, equity - required


@njit_kernel
def _leg_bound(layout: MarginLayout, leg: int, worst: float, best: float) -> float:
    """A maintenance margin of a leg that goes with its worst value and bounds its headroom, by its unit prices.

    Where notional falls with the value (a linear short, an inverse long) both are worst together. Else notional may be
    taken at the worst value if maintenance never outgrows value, upward jumps apart, or at its own largest.
    """
    i, size = layout.leg_instrument[leg], layout.leg_size[leg]
    value = size * worst
    required = _maintenance(layout, leg, abs(value))
    if value < 0.0:
        return required + float(layout.drop[i])
    if layout.rise[i] == 0.0:
        return required
    elsewhere = _maintenance(layout, leg, abs(size * best))
    return min(required + float(layout.rise[i]), elsewhere + float(layout.drop[i]))


@njit_kernel
def headroom_bound(
    slot: int,
    layout: MarginLayout,
    pyramid: PyramidArrays,
    low: FloatArray,
    high: FloatArray,
    paid_low: FloatArray,
    paid_high: FloatArray,
    paid_before: FloatArray,
) -> float:
    """A number that headroom does not fall below while every price stays within [low, high], less the slack.

    NaN where a price of the pool is NaN. Each leg is taken at its own worst price, each asset's index at its lowest or
    highest, whichever is worse.
    """
    headroom, gross = 0.0, 0.0
    for row in range(layout.row_pointer[slot], layout.row_pointer[slot + 1]):
        asset = layout.row_asset[row]
        total, required = layout.row_amount[row], 0.0
        row_gross = abs(total)
        for leg in range(layout.leg_pointer[row], layout.leg_pointer[row + 1]):
            i, size = layout.leg_instrument[leg], layout.leg_size[leg]
            s = pyramid.mark_series[i]
            worst, best = _unit_price(layout, i, low[s]), _unit_price(layout, i, high[s])
            paid = paid_high[i]
            if size < 0.0:
                worst, best, paid = best, worst, paid_low[i]
            total += size * worst - size * (paid - paid_before[i])
            required += _leg_bound(layout, leg, worst, best)
            row_gross += abs(size) * max(abs(worst), abs(best))
        series = pyramid.index_series[asset]
        cheap = low[series] if series >= 0 else 1.0
        dear = high[series] if series >= 0 else 1.0
        grows = total * layout.least_rate[asset] >= required
        headroom += _collateral(layout, row, total * (cheap if total > 0.0 else dear))
        headroom -= required * (cheap if grows else dear)
        gross += row_gross * dear
    return headroom - SLACK * gross


@njit_kernel
def _bound_over(
    slot: int, layout: MarginLayout, pyramid: PyramidArrays, bar: int, level: int, paid_before: FloatArray
) -> float:
    """Bound of headroom over the block of one level that begins with `bar`."""
    if level == 0:
        paid = pyramid.paid[pyramid.charge[bar]]
        return headroom_bound(slot, layout, pyramid, pyramid.low[bar], pyramid.high[bar], paid, paid, paid_before)
    block = pyramid.level_start[level] + bar // pyramid.level_bars[level]
    return headroom_bound(
        slot,
        layout,
        pyramid,
        pyramid.block_low[block],
        pyramid.block_high[block],
        pyramid.block_paid_low[block],
        pyramid.block_paid_high[block],
        paid_before,
    )


@njit_kernel
def largest_level(level_bars: IntArray, level: int, bar: int, stop: int) -> int:
    """The highest level that has a block beginning with `bar` and ending by `stop`, sought from `level`."""
    while level + 1 < len(level_bars) and bar % level_bars[level + 1] == 0:
        level += 1
    while bar % level_bars[level] != 0 or bar + level_bars[level] > stop:
        level -= 1
    return level


@njit_kernel
def _look(
    slot: int,
    layout: MarginLayout,
    pyramid: PyramidArrays,
    bar: int,
    paid_before: FloatArray,
    strict: bool,
    closes_only: bool,
) -> tuple[int, float]:
    """How a bar ends for a pool, CENSORED if it lives, and its lowest equity in breach."""
    found, lowest = CENSORED, np.inf
    paid = pyramid.paid[pyramid.charge[bar]]
    for state in range(CLOSE if closes_only else LOW, CLOSE + 1):
        prices = pyramid.low[bar] if state == LOW else (pyramid.close[bar] if state == CLOSE else pyramid.high[bar])
        equity, headroom = headroom_at(slot, layout, pyramid, prices, paid, paid_before)
        if headroom < 0.0 or (headroom == 0.0 and not strict):
            found, lowest = BREACHED, min(lowest, equity)
        elif np.isnan(headroom) and found != BREACHED:
            found = GAP
    return found, lowest if found == BREACHED else np.nan


@njit_kernel
def _follow(
    slot: int,
    layout: MarginLayout,
    pyramid: PyramidArrays,
    start: int,
    stop: int,
    strict: bool,
    closes_only: bool,
    use_blocks: bool,
) -> tuple[int, int, float]:
    """First bar from `start` to before `stop` that ends a pool (-1: none), how, and the equity found there."""
    bar, level = start, 0
    while bar < stop:
        paid_before = pyramid.paid[pyramid.charge[start]]
        if use_blocks:
            level = largest_level(pyramid.level_bars, level, bar, stop)
            while level >= 0 and not _bound_over(slot, layout, pyramid, bar, level, paid_before) > 0.0:
                level -= 1
            if level >= 0:
                bar += pyramid.level_bars[level]
                continue
            level = 0
        found, equity = _look(slot, layout, pyramid, bar, paid_before, strict, closes_only)
        if found != CENSORED:
            return bar, found, equity
        bar += 1
    return -1, CENSORED, np.nan


@njit_kernel
def first_passage_pass(
    first: int,
    last: int,
    layout: MarginLayout,
    pyramid: PyramidArrays,
    start: IntArray,
    horizon: int,
    strict: bool,
    closes_only: bool,
    use_blocks: bool,
    breach_bar: IntArray,
    ended: NDArray[np.int8],
    equity_at_end: FloatArray,
) -> None:
    """Write, for the pools in slots first : last, the first bar in breach, how it ended and the equity found there."""
    bars = len(pyramid.close)
    for slot in range(first, last):
        pool = layout.pool[slot]
        stop = min(start[pool] + horizon, bars)
        rows = layout.row_pointer[slot], layout.row_pointer[slot + 1]
        has_legs = layout.leg_pointer[rows[0]] < layout.leg_pointer[rows[1]]
        bar, found, equity = _follow(
            slot, layout, pyramid, start[pool], stop if has_legs else 0, strict, closes_only, use_blocks
        )
        if found == CENSORED and start[pool] + horizon > bars:
            found = DATA_END
        breach_bar[pool], ended[pool], equity_at_end[pool] = bar, found, equity
