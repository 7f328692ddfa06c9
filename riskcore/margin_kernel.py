"""The compiled margin pass: equity and maintenance margin of a range of slots. Its plain twin is `margin_plain`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

from .arrays import FloatArray
from .margin_layout import CAP, FLOOR, OFFSET, PRICE, RATE, WIDTH, MarginLayout, PlaceArray, SmallIntArray

NEXT = np.uint64(1)
"""Indices stay unsigned: numba checks signed ones for being negative."""
FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def njit_kernel(function: FunctionT) -> FunctionT:
    """Compile a function that is given all its arrays and makes none.

    So references need not be counted (`_nrt`). Counting those of the arrays of a layout at every call takes ten times
    as long as the arithmetic.
    """
    compiled = numba.njit(cache=True, nogil=True, _nrt=False)(function)  # type: ignore[call-overload]
    return cast(FunctionT, compiled)


@numba.njit(cache=True, nogil=True, inline="always")
def find_tier(floors: FloatArray, first: int, last: int, value: float) -> int:
    """Highest tier in [first, last) whose floor does not exceed `value`; `first` if none."""
    tier = first
    while tier + 1 < last and floors[tier + 1] <= value:
        tier += 1
    return tier


@njit_kernel
def search_band(bands: FloatArray, pointer: PlaceArray, owner: int, value: float) -> np.uint64:
    """Place of the band of `owner` that `value` is in; the first if it is below all of them."""
    band, last = pointer[owner], pointer[owner + NEXT] - WIDTH
    while band < last and bands[band + CAP] <= value:
        band += WIDTH
    return np.uint64(band)


@njit_kernel
def _first_at(sizes: FloatArray, first: np.uint64, last: np.uint64, price: float, floor: float) -> np.uint64:
    """First place in first : last, sizes rising, whose notional is not below `floor`; `last` if none."""
    while first < last:
        middle = (first + last) >> NEXT
        if sizes[middle] * price >= floor:
            last = middle
        else:
            first = middle + NEXT
    return first


@njit_kernel
def settle_tiers_of(instrument: int, layout: MarginLayout, tiers: FloatArray) -> None:
    """Set `leg_tier` and `tier_edge` of the legs of one contract to what they are at its price in `tiers`.

    Legs of a contract stand in the order of size, so each tier is a range of them, and only what lies between an edge's
    old place and its new one is touched.
    """
    edge, order = layout.tier_edge, layout.size_order
    band, last = layout.tier_pointer[instrument], layout.tier_pointer[instrument + 1]
    if band == last:
        return
    price = abs(tiers[band + PRICE])
    tier = band // WIDTH
    begin, end, old_begin = edge[tier], edge[last // WIDTH], edge[tier]
    while band < last:
        old_end, stop = edge[tier + NEXT], end
        if band + WIDTH < last:
            stop = _first_at(layout.size_sorted, begin, end, price, tiers[band + WIDTH + FLOOR])
            edge[tier + NEXT] = stop
        for place in range(begin, min(stop, old_begin)):
            layout.leg_tier[order[place]] = band
        for place in range(max(begin, old_end), stop):
            layout.leg_tier[order[place]] = band
        begin, old_begin = stop, old_end
        band += WIDTH
        tier += NEXT


@njit_kernel
def settle_tiers(layout: MarginLayout, tiers: FloatArray) -> None:
    """Settle the tiers of every contract."""
    for instrument in range(len(layout.tier_pointer) - 1):
        settle_tiers_of(instrument, layout, tiers)


@njit_kernel
def margin_pass(
    first: int,
    last: int,
    layout: MarginLayout,
    tiers: FloatArray,
    slices: FloatArray,
    equity: FloatArray,
    maintenance: FloatArray,
) -> None:
    """Write equity and maintenance margin, base asset, of the pools in slots first : last, their tiers settled.

    `tiers` and `slices` are those of the layout, `priced`: a unit of size is worth the mark of a linear contract and
    -1 / mark of an inverse one, in the settlement asset. NaN prices give NaN.
    """
    slot, end = np.uint64(first), np.uint64(last)
    row = np.uint64(layout.row_pointer[slot])
    leg = np.uint64(layout.leg_pointer[row])
    while slot < end:
        own = 0.0
        required = 0.0
        row_end = layout.row_pointer[slot + NEXT]
        while row < row_end:
            total = layout.row_amount[row]
            row_required = 0.0
            leg_end = layout.leg_pointer[row + NEXT]
            while leg < leg_end:
                band = np.uint64(layout.leg_tier[leg])
                value = layout.leg_size[leg] * tiers[band + PRICE]
                total += value
                row_required += abs(value) * tiers[band + RATE] + tiers[band + OFFSET]
                leg += NEXT
            band = np.uint64(layout.row_slice[row])
            price = slices[band + PRICE]
            value = total * price
            if value < slices[band + FLOOR] or value >= slices[band + CAP]:
                band = search_band(slices, layout.slice_pointer, layout.row_asset[row], value)
                layout.row_slice[row] = band
            own += value * slices[band + RATE] + slices[band + OFFSET]
            required += row_required * price
            row += NEXT
        pool = layout.pool[slot]
        equity[pool] = own
        maintenance[pool] = required
        slot += NEXT


@njit_kernel
def margin_of_slots(
    slots: SmallIntArray,
    layout: MarginLayout,
    tiers: FloatArray,
    slices: FloatArray,
    equity: FloatArray,
    maintenance: FloatArray,
) -> None:
    """What `margin_pass` writes, for these slots only."""
    for slot in slots:
        margin_pass(slot, slot + 1, layout, tiers, slices, equity, maintenance)
