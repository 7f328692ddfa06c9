"""Compiled first passage of pools that hold options: Black-76 at the bars that bounds cannot clear."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import FloatArray, IntArray
from ..margin_kernel import njit_kernel
from ..margin_layout import MarginLayout
from ..passage_kernel import (
    BREACHED,
    CENSORED,
    CLOSE,
    DATA_END,
    GAP,
    LOW,
    SLACK,
    headroom_at,
    headroom_bound,
    largest_level,
)
from ..price_pyramid import PyramidArrays

CALL = 1.0


class OptionLegs(NamedTuple):
    """Option legs of every pool and their contracts, as the kernel walks them.

    Parameters
    ----------
    pointer, contract, size
        Legs of pool p are pointer[p] : pointer[p + 1]; the contract and the signed units of the underlying.
    price, volatility, ratio
        Series of each contract's forward and of its volatility, and what that is multiplied by.
    strike, right, expiry_bar
        Contract terms; the bar at whose open it expires.
    add_on
        Maintenance of a short call and of a short put beyond its value: the rates of `ShortRate` in their order, shape
        (2, 4).
    bar_years
        Length of a bar, years.
    long_counts
        Whether what a long option is worth counts as equity: 1 or 0.
    """

    pointer: IntArray
    contract: IntArray
    size: FloatArray
    price: IntArray
    volatility: IntArray
    ratio: FloatArray
    strike: FloatArray
    right: FloatArray
    expiry_bar: IntArray
    add_on: FloatArray
    bar_years: float
    long_counts: float


@njit_kernel
def _exercise(price: float, strike: float, right: float) -> float:
    """What exercise pays; NaN for a NaN price, which `max` might swallow."""
    gain = right * (price - strike)
    return 0.0 if gain < 0.0 else gain


@njit_kernel
def black76(forward: float, strike: float, years: float, volatility: float, right: float) -> float:
    """Undiscounted value of one option; what exercise pays at no time or volatility."""
    deviation = volatility * math.sqrt(years)
    if deviation == 0.0:
        return _exercise(forward, strike, right)
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    near = 0.5 * math.erfc(-right * d1 / math.sqrt(2.0))
    far = 0.5 * math.erfc(-right * (d1 - deviation) / math.sqrt(2.0))
    worth = right * (forward * near - strike * far)
    return 0.0 if worth < 0.0 else worth


@njit_kernel
def short_add_on(forward: float, strike: float, right: float, worth: float, add_on: FloatArray) -> float:
    """Maintenance of a short option of one unit beyond its value."""
    rates = add_on[0] if right == CALL else add_on[1]
    out = max(right * (strike - forward), 0.0)
    return float(max(rates[0] * forward - out, rates[1] * forward, rates[2] * strike, rates[3] * worth))


@njit_kernel
def leg_headroom(legs: OptionLegs, leg: int, bar: int, prices: FloatArray) -> float:
    """What a leg adds to equity less its maintenance at the close time of a bar, alive."""
    c, size = legs.contract[leg], legs.size[leg]
    forward, volatility = prices[legs.price[c]], prices[legs.volatility[c]] * legs.ratio[c]
    years = (legs.expiry_bar[c] - bar - 1) * legs.bar_years
    worth = black76(forward, legs.strike[c], years, volatility, legs.right[c])
    if size > 0.0:
        return float(size * worth * legs.long_counts)
    return float(size * (worth + short_add_on(forward, legs.strike[c], legs.right[c], worth, legs.add_on)))


@njit_kernel
def settled(legs: OptionLegs, leg: int, pyramid: PyramidArrays) -> float:
    """What an expired leg has paid: exercise at the close before its expiry."""
    c = legs.contract[leg]
    last = pyramid.close[legs.expiry_bar[c] - 1, legs.price[c]]
    return float(legs.size[leg] * _exercise(last, legs.strike[c], legs.right[c]))


@njit_kernel
def options_at(legs: OptionLegs, pool: int, bar: int, prices: FloatArray, pyramid: PyramidArrays) -> float:
    """What the option legs of a pool add to its headroom at one row of prices of a bar."""
    total = 0.0
    for leg in range(legs.pointer[pool], legs.pointer[pool + 1]):
        if bar >= legs.expiry_bar[legs.contract[leg]]:
            total += settled(legs, leg, pyramid)
        else:
            total += leg_headroom(legs, leg, bar, prices)
    return total


@njit_kernel
def short_values_at(legs: OptionLegs, pool: int, bar: int, prices: FloatArray) -> float:
    """Maintenance beyond value of the short legs alive: what separates headroom from equity."""
    total = 0.0
    for leg in range(legs.pointer[pool], legs.pointer[pool + 1]):
        c, size = legs.contract[leg], legs.size[leg]
        if size < 0.0 and bar < legs.expiry_bar[c]:
            forward, volatility = prices[legs.price[c]], prices[legs.volatility[c]] * legs.ratio[c]
            years = (legs.expiry_bar[c] - bar - 1) * legs.bar_years
            worth = black76(forward, legs.strike[c], years, volatility, legs.right[c])
            total -= size * short_add_on(forward, legs.strike[c], legs.right[c], worth, legs.add_on)
    return total


@njit_kernel
def leg_bound(legs: OptionLegs, leg: int, first: int, last: int, low: FloatArray, high: FloatArray) -> float:
    """A number that `leg_headroom` does not fall below over bars first : last while prices stay in [low, high].

    Values rise with volatility and with time to expiry, and in the forward they rise for calls and fall for puts; what
    a short one must hold beyond its value rises with the forward for calls and peaks at the strike for puts.
    """
    c, size = legs.contract[leg], legs.size[leg]
    strike, right = legs.strike[c], legs.right[c]
    cheap, dear = low[legs.price[c]], high[legs.price[c]]
    if right != CALL:
        cheap, dear = dear, cheap
    calm, wild = low[legs.volatility[c]] * legs.ratio[c], high[legs.volatility[c]] * legs.ratio[c]
    soon = max(legs.expiry_bar[c] - last, 0) * legs.bar_years
    late = (legs.expiry_bar[c] - first - 1) * legs.bar_years
    if size > 0.0:
        return float(size * black76(cheap, strike, soon, calm, right) * legs.long_counts)
    worth = black76(dear, strike, late, wild, right)
    lowest, highest = low[legs.price[c]], high[legs.price[c]]
    at = highest if right == CALL else min(max(strike, lowest), highest)
    asked = max(
        short_add_on(at, strike, right, worth, legs.add_on), short_add_on(highest, strike, right, worth, legs.add_on)
    )
    return float(size * (worth + asked))


@njit_kernel
def options_bound(
    legs: OptionLegs, pool: int, first: int, last: int, low: FloatArray, high: FloatArray, pyramid: PyramidArrays
) -> float:
    """A number that `options_at` does not fall below over bars first : last, less the slack."""
    total, gross = 0.0, 0.0
    for leg in range(legs.pointer[pool], legs.pointer[pool + 1]):
        c = legs.contract[leg]
        if first >= legs.expiry_bar[c]:
            worst = settled(legs, leg, pyramid)
        else:
            worst = leg_bound(legs, leg, first, last, low, high)
            if last > legs.expiry_bar[c]:
                worst = min(worst, settled(legs, leg, pyramid))
        total += worst
        gross += abs(legs.size[leg]) * (high[legs.price[c]] + legs.strike[c])
    return total - SLACK * gross


@njit_kernel
def _bound_over(
    slot: int, layout: MarginLayout, legs: OptionLegs, pyramid: PyramidArrays, bar: int, level: int, start: int
) -> float:
    pool, before = layout.pool[slot], pyramid.paid[pyramid.charge[start]]
    if level == 0:
        paid, low, high = pyramid.paid[pyramid.charge[bar]], pyramid.low[bar], pyramid.high[bar]
        rest = headroom_bound(slot, layout, pyramid, low, high, paid, paid, before)
        return float(rest + options_bound(legs, pool, bar, bar + 1, low, high, pyramid))
    size = pyramid.level_bars[level]
    block = pyramid.level_start[level] + bar // size
    low, high = pyramid.block_low[block], pyramid.block_high[block]
    paid_low, paid_high = pyramid.block_paid_low[block], pyramid.block_paid_high[block]
    rest = headroom_bound(slot, layout, pyramid, low, high, paid_low, paid_high, before)
    return float(rest + options_bound(legs, pool, bar, bar + size, low, high, pyramid))


@njit_kernel
def _look(
    slot: int, layout: MarginLayout, legs: OptionLegs, pyramid: PyramidArrays, bar: int, start: int, strict: bool
) -> tuple[int, float]:
    """How a bar ends for a pool, CENSORED if it lives, and its lowest equity in breach."""
    found, lowest = CENSORED, np.inf
    pool, before = layout.pool[slot], pyramid.paid[pyramid.charge[start]]
    paid = pyramid.paid[pyramid.charge[bar]]
    for state in range(LOW, CLOSE + 1):
        prices = pyramid.low[bar] if state == LOW else (pyramid.close[bar] if state == CLOSE else pyramid.high[bar])
        equity, headroom = headroom_at(slot, layout, pyramid, prices, paid, before)
        options = options_at(legs, pool, bar, prices, pyramid)
        headroom += options
        if headroom < 0.0 or (headroom == 0.0 and not strict):
            found = BREACHED
            lowest = min(lowest, equity + options + short_values_at(legs, pool, bar, prices))
        elif np.isnan(headroom) and found != BREACHED:
            found = GAP
    return found, lowest if found == BREACHED else np.nan


@njit_kernel
def _follow(
    slot: int,
    layout: MarginLayout,
    legs: OptionLegs,
    pyramid: PyramidArrays,
    start: int,
    stop: int,
    strict: bool,
    use_blocks: bool,
) -> tuple[int, int, float]:
    """First bar from `start` to before `stop` that ends a pool (-1: none), how, and the equity found there."""
    bar, level = start, 0
    while bar < stop:
        if use_blocks:
            level = largest_level(pyramid.level_bars, level, bar, stop)
            while level >= 0 and not _bound_over(slot, layout, legs, pyramid, bar, level, start) > 0.0:
                level -= 1
            if level >= 0:
                bar += pyramid.level_bars[level]
                continue
            level = 0
        found, equity = _look(slot, layout, legs, pyramid, bar, start, strict)
        if found != CENSORED:
            return bar, found, equity
        bar += 1
    return -1, CENSORED, np.nan


@njit_kernel
def option_passage_pass(
    first: int,
    last: int,
    layout: MarginLayout,
    legs: OptionLegs,
    pyramid: PyramidArrays,
    start: IntArray,
    horizon: int,
    strict: bool,
    use_blocks: bool,
    breach_bar: IntArray,
    ended: NDArray[np.int8],
    equity_at_end: FloatArray,
) -> None:
    """Write, for the pools in slots first : last, the first bar in breach, how it ended and the equity found there."""
    bars = len(pyramid.close)
    for slot in range(first, last):
        pool = layout.pool[slot]
        rows = layout.row_pointer[slot], layout.row_pointer[slot + 1]
        held = layout.leg_pointer[rows[0]] < layout.leg_pointer[rows[1]] or legs.pointer[pool] < legs.pointer[pool + 1]
        stop = min(start[pool] + horizon, bars) if held else 0
        bar, found, equity = _follow(slot, layout, legs, pyramid, start[pool], stop, strict, use_blocks)
        if found == CENSORED and start[pool] + horizon > bars:
            found = DATA_END
        breach_bar[pool], ended[pool], equity_at_end[pool] = bar, found, equity
