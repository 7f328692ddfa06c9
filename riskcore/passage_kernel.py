"""Compiled first passage: bounds over blocks of bars, exact headroom at the bars that bounds cannot clear."""

from __future__ import annotations

import numba
import numpy as np

from .arrays import BoolArray, FloatArray, IntArray
from .margin_kernel import find_tier

CENSORED, BREACHED, GAP, DATA_END = 0, 1, 2, 3
SLACK = 1e-9
"""A bound clears a block only by more than this fraction of the pool's gross value: it sums in another order."""


@numba.njit(cache=True, nogil=True, inline="always")
def _required(tiers: tuple, instrument: int, notional: float) -> float:  # type: ignore[type-arg]
    pointer, floor, rate, deduction = tiers
    tier = find_tier(floor, pointer[instrument], pointer[instrument + 1], notional)
    return notional * rate[tier] - deduction[tier]  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True, inline="always")
def _collateral(haircuts: tuple, asset: int, value: float) -> float:  # type: ignore[type-arg]
    pointer, floor, rate, offset = haircuts
    if value <= 0.0:
        return value
    part = find_tier(floor, pointer[asset], pointer[asset + 1], value)
    return value * rate[part] + offset[part]  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def headroom_at(pool, book, tiers, haircuts, mark_series, index_series, prices, funding, funding_start):  # type: ignore[no-untyped-def]
    """Equity and headroom of one pool at one row of prices, funding since the start paid."""
    row_pointer, row_asset, row_amount, leg_pointer, leg_instrument, leg_size, inverse = book
    equity = 0.0
    needed = 0.0
    for row in range(row_pointer[pool], row_pointer[pool + 1]):
        total = row_amount[row]
        required = 0.0
        for leg in range(leg_pointer[row], leg_pointer[row + 1]):
            i = leg_instrument[leg]
            size = leg_size[leg]
            price = prices[mark_series[i]]
            value = -size / price if inverse[i] else size * price
            total += value - size * (funding[i] - funding_start[i])
            required += _required(tiers, i, abs(value))
        asset = row_asset[row]
        index = prices[index_series[asset]]
        equity += _collateral(haircuts, asset, total * index)
        needed += required * index
    return equity, equity - needed


@numba.njit(cache=True, nogil=True)
def headroom_bound(  # type: ignore[no-untyped-def]
    pool, book, tiers, haircuts, monotone, mark_series, index_series, low, high, funding_low, funding_high, funding_start
):
    """A number that headroom does not fall below while every price stays within [low, high], less the slack.

    NaN where a price of the pool is NaN. Where maintenance never outgrows value (`monotone`) and the leg settles in
    the base asset, value and maintenance of a leg are taken at the same price; else each at its own worst.
    """
    row_pointer, row_asset, row_amount, leg_pointer, leg_instrument, leg_size, inverse = book
    equity = 0.0
    needed = 0.0
    gross = 0.0
    for row in range(row_pointer[pool], row_pointer[pool + 1]):
        asset = row_asset[row]
        total = row_amount[row]
        gross_row = abs(total)
        required = 0.0
        for leg in range(leg_pointer[row], leg_pointer[row + 1]):
            i = leg_instrument[leg]
            size = leg_size[leg]
            s = mark_series[i]
            worst = low[s] if size > 0.0 else high[s]
            value = -size / worst if inverse[i] else size * worst
            paid = funding_high[i] if size > 0.0 else funding_low[i]
            total += value - size * (paid - funding_start[i])
            if inverse[i]:
                largest = abs(size) / low[s]
            elif asset == 0 and monotone[i]:
                largest = abs(value)
            else:
                largest = abs(size) * high[s]
            required += _required(tiers, i, largest)
            gross_row += largest
        index_low = low[index_series[asset]]
        index_high = high[index_series[asset]]
        equity += _collateral(haircuts, asset, total * (index_low if total > 0.0 else index_high))
        needed += required * index_high
        gross += gross_row * index_high
    return equity - needed - SLACK * gross


@numba.njit(cache=True, nogil=True)
def first_passage_pass(  # type: ignore[no-untyped-def]
    first,
    last,
    book,
    tiers,
    haircuts,
    monotone,
    mark_series,
    index_series,
    level_start,
    level_bars,
    low,
    high,
    funding_low,
    funding_high,
    close,
    start,
    horizon,
    strict,
    closes_only,
    use_blocks,
    breach_bar,
    ended,
    equity_at_end,
):
    """Write, for pools first : last, the first bar in breach, how it ended and the equity found there."""
    bars = len(close)
    top = len(level_start) - 1
    for pool in range(first, last):
        at = start[pool]
        stop = at + horizon
        code = CENSORED
        if stop > bars:
            stop = bars
            code = DATA_END
        funding_start = funding_low[at] if at < bars else funding_low[bars - 1]
        breach_bar[pool] = -1
        equity_at_end[pool] = np.nan
        level = 0
        bar = at
        while bar < stop:
            if use_blocks:
                while level < top and bar % level_bars[level + 1] == 0 and bar + level_bars[level + 1] <= stop:
                    level += 1
                while bar % level_bars[level] != 0 or bar + level_bars[level] > stop:
                    level -= 1
                cleared = False
                while True:
                    row = level_start[level] + bar // level_bars[level]
                    bound = headroom_bound(
                        pool, book, tiers, haircuts, monotone, mark_series, index_series,
                        low[row], high[row], funding_low[row], funding_high[row], funding_start,
                    )  # fmt: skip
                    if bound > 0.0:
                        cleared = True
                        break
                    if level == 0:
                        break
                    level -= 1
                if cleared:
                    bar += level_bars[level]
                    continue
            for state in range(2 if closes_only else 0, 3):
                prices = low[bar] if state == 0 else (high[bar] if state == 1 else close[bar])
                equity, headroom = headroom_at(
                    pool, book, tiers, haircuts, mark_series, index_series, prices, funding_low[bar], funding_start
                )
                if headroom < 0.0 or (not strict and headroom <= 0.0):
                    code = BREACHED
                    if not equity >= equity_at_end[pool]:
                        equity_at_end[pool] = equity
                elif np.isnan(headroom) and code != BREACHED:
                    code = GAP
            if code == BREACHED or code == GAP:
                breach_bar[pool] = bar
                break
            bar += 1
        ended[pool] = code


def pack(book_arrays: tuple[IntArray | FloatArray | BoolArray, ...]) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
    """Arrays as a tuple of contiguous ones, as the kernels take them."""
    return tuple(np.ascontiguousarray(a) for a in book_arrays)
