"""The compiled margin pass: equity and maintenance margin of a range of slots. Its plain twin is `margin_plain`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from .arrays import FloatArray, IntArray
from .margin_layout import CAP, FLOOR, OFFSET, RATE, MarginLayout, SmallIntArray

NEXT = np.uint64(1)
"""Indices stay unsigned: numba checks signed ones for being negative."""
Index = int | np.unsignedinteger[Any]
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
def search_band(bands: FloatArray, first: int, last: int, value: float) -> int:
    """Row of the band that `value` is in, among rows first : last; the first if it is below all of them."""
    band = first
    while band + 1 < last and bands[band, CAP] <= value:
        band += 1
    return band


@njit_kernel
def banded(bands: FloatArray, pointer: IntArray, owner: Index, hints: SmallIntArray, at: Index, value: float) -> float:
    """The banded function of `owner` at `value`, looked for first in band hints[at], which is then set to where it was.

    NaN gives NaN.
    """
    band = hints[at]
    if value < bands[band, FLOOR] or value >= bands[band, CAP]:
        band = np.uint32(search_band(bands, pointer[owner], pointer[owner + 1], value))
        hints[at] = band
    return float(value * bands[band, RATE] + bands[band, OFFSET])


@njit_kernel
def margin_pass(
    first: int,
    last: int,
    layout: MarginLayout,
    unit_price: FloatArray,
    index: FloatArray,
    equity: FloatArray,
    maintenance: FloatArray,
) -> None:
    """Write equity and maintenance margin, base asset, of the pools in slots first : last.

    `unit_price` is what one unit of size is worth in the settlement asset: the mark of a linear contract, -1 / mark of
    an inverse one. NaN prices give NaN.
    """
    # Arrays are taken out of the tuple once: in the loop each look would count a reference.
    row_pointer, leg_pointer = layout.row_pointer, layout.leg_pointer
    row_asset, row_amount, row_slice = layout.row_asset, layout.row_amount, layout.row_slice
    leg_instrument, leg_size, leg_tier = layout.leg_instrument, layout.leg_size, layout.leg_tier
    tier_pointer, tiers, slice_pointer, slices = layout.tier_pointer, layout.tiers, layout.slice_pointer, layout.slices
    pools = layout.pool
    slot, end = np.uint64(first), np.uint64(last)
    row = np.uint64(row_pointer[slot])
    leg = np.uint64(leg_pointer[row])
    while slot < end:
        own = 0.0
        required = 0.0
        row_end = row_pointer[slot + NEXT]
        while row < row_end:
            total = row_amount[row]
            row_required = 0.0
            leg_end = leg_pointer[row + NEXT]
            while leg < leg_end:
                instrument = leg_instrument[leg]
                value = leg_size[leg] * unit_price[instrument]
                total += value
                row_required += banded(tiers, tier_pointer, instrument, leg_tier, leg, abs(value))
                leg += NEXT
            asset = row_asset[row]
            price = index[asset]
            own += banded(slices, slice_pointer, asset, row_slice, row, total * price)
            required += row_required * price
            row += NEXT
        pool = pools[slot]
        equity[pool] = own
        maintenance[pool] = required
        slot += NEXT
