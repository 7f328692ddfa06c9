"""The compiled margin pass: equity and maintenance margin of a range of pools. Its plain twin is `margin_plain`."""

from __future__ import annotations

import numba
import numpy as np

from .arrays import BoolArray, FloatArray, IntArray


@numba.njit(cache=True, nogil=True, inline="always")
def find_tier(floors: FloatArray, first: int, last: int, value: float) -> int:
    """Highest tier in [first, last) whose floor does not exceed `value`; `first` if none."""
    tier = first
    while tier + 1 < last and floors[tier + 1] <= value:
        tier += 1
    return tier


@numba.njit(cache=True, nogil=True)
def margin_pass(
    first: int,
    last: int,
    row_pointer: IntArray,
    row_asset: IntArray,
    row_amount: FloatArray,
    leg_pointer: IntArray,
    leg_instrument: IntArray,
    leg_size: FloatArray,
    inverse: BoolArray,
    tier_pointer: IntArray,
    tier_floor: FloatArray,
    tier_rate: FloatArray,
    tier_deduction: FloatArray,
    haircut_pointer: IntArray,
    haircut_floor: FloatArray,
    haircut_rate: FloatArray,
    haircut_offset: FloatArray,
    mark: FloatArray,
    index: FloatArray,
    tier_hint: IntArray,
    equity: FloatArray,
    maintenance: FloatArray,
) -> None:
    """Write equity and maintenance margin, base asset, of pools first : last.

    `tier_hint` holds for each leg the tier it was last found in (any valid tier to start with): most legs stay in it,
    and a look costs two comparisons instead of a search. It changes no result.
    """
    for pool in range(first, last):
        own = 0.0
        required = 0.0
        for row in range(row_pointer[pool], row_pointer[pool + 1]):
            total = row_amount[row]
            row_required = 0.0
            for leg in range(leg_pointer[row], leg_pointer[row + 1]):
                instrument = leg_instrument[leg]
                size = leg_size[leg]
                if inverse[instrument]:
                    value = -size / mark[instrument]
                else:
                    value = size * mark[instrument]
                total += value
                notional = abs(value)
                tier = tier_hint[leg]
                end = tier_pointer[instrument + 1]
                if notional < tier_floor[tier] or (tier + 1 < end and tier_floor[tier + 1] <= notional):
                    tier = find_tier(tier_floor, tier_pointer[instrument], end, notional)
                    tier_hint[leg] = tier
                row_required += notional * tier_rate[tier] - tier_deduction[tier]
            asset = row_asset[row]
            value = total * index[asset]
            if value > 0.0:
                slice_ = find_tier(haircut_floor, haircut_pointer[asset], haircut_pointer[asset + 1], value)
                value = value * haircut_rate[slice_] + haircut_offset[slice_]
            own += value
            required += row_required * index[asset]
        equity[pool] = own
        maintenance[pool] = required


def first_hints(leg_instrument: IntArray, tier_pointer: IntArray) -> IntArray:
    """Tier hints to start with: the first tier of each leg's instrument."""
    return np.ascontiguousarray(tier_pointer[leg_instrument])
