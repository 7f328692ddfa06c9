"""The walk along one instrument's price to where a pool's headroom vanishes, compiled.

Headroom as a function of x (the price of a linear contract, the inverse of the price of an inverse one) is a broken
line: it bends where a leg enters another tier and where the collateral value of the settlement asset enters another
haircut slice, and jumps at the tiers of a cliff schedule. The walk goes from break to break: the result is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from .arrays import FloatArray, IntArray
from .margin_kernel import find_tier

DEBT = -1
"""Instead of a haircut slice: the value is negative and counts in full."""


class Curve(NamedTuple):
    """What headroom depends on while one instrument's price moves in one pool.

    The settlement asset is worth fixed + slope * x before its haircut, base asset; leg l has a notional of scale[l] * x
    in the settlement asset, whose own price is `asset_price`. Tiers are the instrument's, slices the asset's.
    """

    asset_price: float
    fixed: float
    slope: float
    scale: FloatArray
    tier_floor: FloatArray
    tier_rate: FloatArray
    tier_deduction: FloatArray
    slice_floor: FloatArray
    slice_rate: FloatArray
    slice_offset: FloatArray


@numba.njit(cache=True, nogil=True)
def walk(direction: int, start: float, headroom: float, curve: Curve, tier: IntArray) -> float:
    """The first x from `start`, downwards (-1) or upwards (+1), where headroom changes its sign; NaN if none above 0.

    `tier` is scratch, one entry a leg.
    """
    slice_ = enter(curve, tier, start)
    level, rise = line(curve, tier, slice_)
    rest = headroom - (level + rise * start)
    x, moved = start, False
    while True:
        level, rise = line(curve, tier, slice_)
        level += rest
        if moved and (level + rise * x >= 0.0) != (headroom >= 0.0):
            return x
        bend = slice_break(direction, curve, slice_)
        stop = nearest_break(direction, curve, tier, bend, x)
        if rise != 0.0:
            root = -level / rise
            if root > 0.0 and min(x, stop) <= root <= max(x, stop):
                return root
        if not 0.0 < stop < np.inf:
            return np.nan
        slice_ = cross(direction, curve, tier, slice_, bend, stop)
        x, moved = stop, True


@numba.njit(cache=True, nogil=True)
def enter(curve: Curve, tier: IntArray, x: float) -> int:
    """Set the tier of each leg at x, and return the haircut slice there."""
    for leg in range(len(tier)):
        tier[leg] = find_tier(curve.tier_floor, 0, len(curve.tier_floor), curve.scale[leg] * x)
    value = curve.fixed + curve.slope * x
    return find_tier(curve.slice_floor, 0, len(curve.slice_floor), value) if value >= 0.0 else DEBT


@numba.njit(cache=True, nogil=True)
def line(curve: Curve, tier: IntArray, slice_: int) -> tuple[float, float]:
    """Level and rise of (collateral value - maintenance) as a function of x in these tiers and this slice."""
    rate, level = 1.0, 0.0
    if slice_ != DEBT:
        rate, level = curve.slice_rate[slice_], curve.slice_offset[slice_]
    level += rate * curve.fixed
    rise = rate * curve.slope
    for leg in range(len(tier)):
        level += curve.asset_price * curve.tier_deduction[tier[leg]]
        rise -= curve.asset_price * curve.scale[leg] * curve.tier_rate[tier[leg]]
    return level, rise


@numba.njit(cache=True, nogil=True)
def tier_break(direction: int, curve: Curve, tier: int, scale: float) -> float:
    """The x at which a leg leaves its tier: 0 or inf when it does not."""
    if direction < 0:
        return float(curve.tier_floor[tier] / scale)
    return float(curve.tier_floor[tier + 1] / scale) if tier + 1 < len(curve.tier_floor) else np.inf


@numba.njit(cache=True, nogil=True)
def slice_break(direction: int, curve: Curve, slice_: int) -> float:
    """The x at which the asset's value leaves its haircut slice: 0 or inf when it does not."""
    edge = slice_ + 1 if direction * curve.slope > 0.0 else slice_
    if curve.slope == 0.0 or not 0 <= edge < len(curve.slice_floor):
        return 0.0 if direction < 0 else np.inf
    return float((curve.slice_floor[edge] - curve.fixed) / curve.slope)


@numba.njit(cache=True, nogil=True)
def nearest_break(direction: int, curve: Curve, tier: IntArray, bend: float, x: float) -> float:
    """The nearest of all breaks, never behind x."""
    ahead = direction * bend
    for leg in range(len(tier)):
        ahead = min(ahead, direction * tier_break(direction, curve, tier[leg], curve.scale[leg]))
    return direction * max(ahead, direction * x)


@numba.njit(cache=True, nogil=True)
def cross(direction: int, curve: Curve, tier: IntArray, slice_: int, bend: float, stop: float) -> int:
    """Move all that breaks at `stop` to its next tier; the haircut slice after it."""
    for leg in range(len(tier)):
        if direction * tier_break(direction, curve, tier[leg], curve.scale[leg]) <= direction * stop:
            tier[leg] += direction
    if direction * bend <= direction * stop:
        return slice_ + (1 if direction * curve.slope > 0.0 else -1)
    return slice_


@numba.njit(cache=True, nogil=True)
def walk_both(
    start: FloatArray,
    headroom: FloatArray,
    asset_price: FloatArray,
    fixed: FloatArray,
    slope: FloatArray,
    leg_pointer: IntArray,
    leg_scale: FloatArray,
    instrument: IntArray,
    tier_pointer: IntArray,
    tier_floor: FloatArray,
    tier_rate: FloatArray,
    tier_deduction: FloatArray,
    asset: IntArray,
    slice_pointer: IntArray,
    slice_floor: FloatArray,
    slice_rate: FloatArray,
    slice_offset: FloatArray,
    below: FloatArray,
    above: FloatArray,
) -> None:
    """Walk down and up from `start` for every group of legs; write where headroom vanishes, NaN where it does not."""
    scratch = np.empty(len(leg_scale), np.int64)
    for group in range(len(start)):
        legs = slice(leg_pointer[group], leg_pointer[group + 1])
        tiers = slice(tier_pointer[instrument[group]], tier_pointer[instrument[group] + 1])
        slices = slice(slice_pointer[asset[group]], slice_pointer[asset[group] + 1])
        curve = Curve(
            asset_price[group],
            fixed[group],
            slope[group],
            leg_scale[legs],
            tier_floor[tiers],
            tier_rate[tiers],
            tier_deduction[tiers],
            slice_floor[slices],
            slice_rate[slices],
            slice_offset[slices],
        )
        below[group] = walk(-1, start[group], headroom[group], curve, scratch[legs])
        above[group] = walk(1, start[group], headroom[group], curve, scratch[legs])
