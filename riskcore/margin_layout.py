"""A compiled book and its rules as the kernels walk them: pools of one shape together, banded tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .accounts import csr_entries
from .arrays import BoolArray, FloatArray, IntArray
from .compiled import CompiledBook, CompiledRules, order_by_group

FLOOR, CAP, RATE, OFFSET, PRICE, WIDTH = (np.uint64(k) for k in range(6))
"""A banded table is flat, WIDTH entries a band: from FLOOR to below CAP the function is RATE * x + OFFSET. PRICE is
what the contract or asset it belongs to is worth (`priced`), so that a band is all that a kernel needs to look up."""
BLOCK = 8192
"""Pools that are sorted among themselves: their results fit the first cache."""

SmallIntArray = NDArray[np.uint32]
PlaceArray = NDArray[np.uint64]


class MarginLayout(NamedTuple):
    """A book and its rules, ready to be margined again and again; made by `lay_out`.

    Pools stand in slots, sorted by their number of legs and asset rows, block by block, so that a loop over them runs
    alike from one to the next; within a pool everything is in the canonical order of `CompiledBook`, so results do not
    depend on it. Bands are told by their place in the flat table.

    Parameters
    ----------
    pool
        Pool of each slot.
    row_pointer, row_asset, row_amount, leg_pointer, leg_instrument, leg_size, inverse
        As in `CompiledBook`, by slot.
    leg_tier, row_slice
        The band each leg (asset row) was last found in, which the kernels write: one caller at a time.
    size_order, size_sorted
        Legs by instrument and absolute size, and these sizes. Notional rises with size, so the legs of a tier stand
        together.
    tier_edge
        Where the legs of each band begin in that order, and at last the number of legs; written like `leg_tier`.
    tier_pointer, tiers
        Maintenance margin, settlement asset, as a function of notional: bands of each instrument, those of instrument i
        at tier_pointer[i] : tier_pointer[i + 1].
    slice_pointer, slices
        Collateral value as a function of value, base asset: bands of each asset. The first one is debt, which counts
        in full.
    rise, drop, least_rate
        As in `CompiledRules`.
    """

    pool: SmallIntArray
    row_pointer: SmallIntArray
    row_asset: SmallIntArray
    row_amount: FloatArray
    row_slice: SmallIntArray
    leg_pointer: SmallIntArray
    leg_instrument: SmallIntArray
    leg_size: FloatArray
    leg_tier: SmallIntArray
    size_order: SmallIntArray
    size_sorted: FloatArray
    tier_edge: PlaceArray
    inverse: BoolArray
    tier_pointer: PlaceArray
    tiers: FloatArray
    slice_pointer: PlaceArray
    slices: FloatArray
    rise: FloatArray
    drop: FloatArray
    least_rate: FloatArray


def lay_out(book: CompiledBook, rules: CompiledRules) -> MarginLayout:
    """Layout of a compiled book under compiled rules.

    Examples
    --------
    >>> import datetime as dt
    >>> from .accounts import AccountBook
    >>> from .compiled import compile_book, compile_rules
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule, RuleBook
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 1], [0], [0.1], [60000.0], [np.nan])
    >>> tiers = RateSchedule.marginal([0.0, 50_000.0], [0.004, 0.005], [125.0, 100.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": tiers})
    >>> lay_out(compile_book(book), compile_rules(rules, table, book)).tiers.tolist()
    [0.0, 50000.0, 0.004, 0.0, nan, 50000.0, inf, 0.005, -50.0, nan]
    """
    legs = np.diff(book.leg_pointer[book.row_pointer])
    slots = np.lexsort((np.diff(book.row_pointer), legs, np.arange(len(legs)) // BLOCK))
    rows, row_pointer = csr_entries(book.row_pointer, slots)
    legs, leg_pointer = csr_entries(book.leg_pointer, rows)
    asset, instrument = book.row_asset[rows], book.leg_instrument[legs]
    size = np.abs(book.leg_size[legs])
    by_size = np.argsort(size)
    by_size = by_size[order_by_group(instrument[by_size], len(rules.tier_pointer) - 1)]
    tier_pointer = _places(rules.tier_pointer)
    slice_pointer = _places(rules.haircut_pointer + np.arange(len(rules.haircut_pointer)))
    debts = rules.haircut_pointer[:-1]
    return MarginLayout(
        pool=_small(slots),
        row_pointer=_small(row_pointer),
        row_asset=_small(asset),
        row_amount=book.row_amount[rows],
        row_slice=_small(slice_pointer[asset]),
        leg_pointer=_small(leg_pointer),
        leg_instrument=_small(instrument),
        leg_size=book.leg_size[legs],
        leg_tier=_small(tier_pointer[instrument]),
        size_order=_small(by_size),
        size_sorted=size[by_size],
        tier_edge=_edges(instrument, rules.tier_pointer),
        inverse=book.inverse,
        tier_pointer=tier_pointer,
        tiers=_banded(tier_pointer, rules.tier_floor, rules.tier_rate, 0.0 - rules.tier_deduction),
        slice_pointer=slice_pointer,
        slices=_banded(
            slice_pointer,
            np.insert(rules.haircut_floor, debts, -np.inf),
            np.insert(rules.haircut_rate, debts, 1.0),
            np.insert(rules.haircut_offset, debts, 0.0),
        ),
        rise=rules.rise,
        drop=rules.drop,
        least_rate=rules.least_rate,
    )


def priced(bands: FloatArray, pointer: PlaceArray, price: FloatArray) -> FloatArray:
    """A copy of a banded table with the price of each contract or asset beside its bands."""
    table = bands.reshape(-1, int(WIDTH)).copy()
    table[:, PRICE] = np.repeat(price, (np.diff(pointer) // WIDTH).astype(np.int64))
    return table.ravel()


def _small(values: IntArray | PlaceArray) -> SmallIntArray:
    """The kernels' integers: unsigned spares them the check for negative indices, 32 bits the memory traffic."""
    return values.astype(np.uint32)


def _places(pointer: IntArray) -> PlaceArray:
    return pointer.astype(np.uint64) * WIDTH


def _edges(instrument: IntArray, tier_pointer: IntArray) -> PlaceArray:
    """Every leg in the first band of its instrument: the others begin, and end, behind the last of its legs."""
    ends = np.cumsum(np.bincount(instrument, minlength=len(tier_pointer) - 1))
    edges = np.append(np.repeat(ends, np.diff(tier_pointer)), len(instrument))
    first = tier_pointer[:-1][np.diff(tier_pointer) > 0]
    edges[first] = np.append(0, edges[first[1:] - 1])
    return edges.astype(np.uint64)


def _banded(pointer: PlaceArray, floor: FloatArray, rate: FloatArray, offset: FloatArray) -> FloatArray:
    table = np.full((len(floor), int(WIDTH)), np.nan)
    table[:, FLOOR], table[:-1, CAP], table[:, RATE], table[:, OFFSET] = floor, floor[1:], rate, offset
    table[(pointer[1:][np.diff(pointer) > 0] // WIDTH - np.uint64(1)).astype(np.int64), CAP] = np.inf
    return table.ravel()
