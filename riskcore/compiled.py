"""A book and its rules as flat arrays, in one canonical order, for the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .accounts import AccountBook
from .arrays import BoolArray, FloatArray, IntArray
from .instruments import INVERSE, InstrumentTable
from .rulebook import NO_HAIRCUT, RateSchedule, RuleBook


@dataclass(frozen=True)
class CompiledBook:
    """Pools, the assets each holds or settles in, and the legs settling in each: two CSR levels.

    Asset rows stand in the order of assets (the base asset first), legs in the order of instrument, size and entry
    price, so that the same pool gives the same bits however its positions were listed. What does not move with prices
    is folded into `row_amount`: a linear leg adds -size * entry, an inverse one +size / entry.

    Parameters
    ----------
    row_pointer
        Asset rows of pool p: row_pointer[p] : row_pointer[p + 1].
    row_asset, row_amount
        Asset of each row and the amount that does not depend on prices, units of the asset.
    leg_pointer
        Legs of asset row r: leg_pointer[r] : leg_pointer[r + 1].
    leg_instrument, leg_size
        Instrument of each leg and quantity * multiplier (underlying units for linear, quote units for inverse).
    leg_position
        The book's position each leg came from.
    inverse
        For each instrument, whether it is an inverse contract.
    """

    row_pointer: IntArray
    row_asset: IntArray
    row_amount: FloatArray
    leg_pointer: IntArray
    leg_instrument: IntArray
    leg_size: FloatArray
    leg_position: IntArray
    inverse: BoolArray

    @property
    def row_pool(self) -> IntArray:
        """Pool of each asset row."""
        return np.repeat(np.arange(len(self.row_pointer) - 1), np.diff(self.row_pointer))

    @property
    def leg_row(self) -> IntArray:
        """Asset row of each leg."""
        return np.repeat(np.arange(len(self.row_asset)), np.diff(self.leg_pointer))


@dataclass(frozen=True)
class CompiledRules:
    """Tier and haircut tables of a rule-book, flat: those of instrument (asset) i are pointer[i] : pointer[i + 1].

    `tier_rate` includes the closing fee. Haircuts are rate * value + offset above each floor.
    """

    tier_pointer: IntArray
    tier_floor: FloatArray
    tier_rate: FloatArray
    tier_deduction: FloatArray
    tier_initial: FloatArray
    haircut_pointer: IntArray
    haircut_floor: FloatArray
    haircut_rate: FloatArray
    haircut_offset: FloatArray
    monotone: BoolArray
    """For each instrument: margin never grows faster than notional and never jumps."""

    def tiers_of(self, instrument: IntArray, notional: FloatArray) -> IntArray:
        """Row of the tier tables that each (instrument, notional) falls in."""
        tier = np.zeros(len(instrument), dtype=np.int64)
        for i in np.unique(instrument):
            first, last = self.tier_pointer[i], self.tier_pointer[i + 1]
            mine = instrument == i
            tier[mine] = first + np.searchsorted(self.tier_floor[first:last], notional[mine], side="right") - 1
        return tier


def compile_book(book: AccountBook) -> CompiledBook:
    """Lay a book out for the kernels; see `CompiledBook`.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 1], [0], [0.1], [60000.0], [np.nan])
    >>> compile_book(book).row_amount.tolist()
    [-5100.0]
    """
    table = book.instruments
    n_pools, n_assets = len(book), len(table.assets)
    position_pool = np.repeat(np.arange(n_pools), np.diff(book.position_pointer))
    balance_pool = np.repeat(np.arange(n_pools), np.diff(book.balance_pointer))
    size = book.quantity * table.multiplier[book.position_instrument]
    key = position_pool * n_assets + table.settlement[book.position_instrument]
    order = np.lexsort((book.entry_price, size, book.position_instrument, key))
    base_key = np.arange(n_pools) * n_assets
    row_key = np.unique(np.concatenate((base_key, key, balance_pool * n_assets + book.balance_asset)))
    leg_key, leg_size, instrument = key[order], size[order], book.position_instrument[order]
    inverse = np.asarray(table.kind == INVERSE)
    entry = book.entry_price[order]
    fixed = np.where(inverse[instrument], leg_size / entry, -leg_size * entry)
    amount = _sum_by(row_key, balance_pool * n_assets + book.balance_asset, book.balance, order=book.balance)
    amount = amount + _sum_by(row_key, leg_key, fixed)
    return CompiledBook(
        row_pointer=np.searchsorted(row_key, np.arange(n_pools + 1) * n_assets).astype(np.int64),
        row_asset=(row_key % n_assets).astype(np.int64),
        row_amount=amount,
        leg_pointer=np.searchsorted(leg_key, np.append(row_key, n_pools * n_assets)).astype(np.int64),
        leg_instrument=instrument.astype(np.int64),
        leg_size=leg_size,
        leg_position=order.astype(np.int64),
        inverse=inverse,
    )


def _sum_by(keys: IntArray, key: IntArray, values: FloatArray, order: FloatArray | None = None) -> FloatArray:
    """Sum of values at each key, in a fixed order."""
    place = np.searchsorted(keys, key)
    if order is not None:
        ranked = np.lexsort((order, key))
        place, values = place[ranked], values[ranked]
    return np.bincount(place, weights=values, minlength=len(keys))


def compile_rules(rules: RuleBook, table: InstrumentTable, book: AccountBook) -> CompiledRules:
    """Flatten the schedules that this book needs.

    Raises
    ------
    InputError
        A position in an instrument without a tier table, or a balance in an asset that is no collateral.
    """
    used = np.unique(book.position_instrument)
    held = np.unique(np.concatenate((book.balance_asset, table.settlement[used])))
    rate_schedules = [rules.schedule_of(table.symbols[i]) if i in used else None for i in range(len(table))]
    haircuts = [rules.haircut_of(asset, table.base) if i in held else NO_HAIRCUT for i, asset in enumerate(table.assets)]
    tiers = [s for s in rate_schedules if s is not None]
    return CompiledRules(
        tier_pointer=_pointer([0 if s is None else len(s.floors) for s in rate_schedules]),
        tier_floor=_join([s.floors for s in tiers]),
        tier_rate=_join([s.rates + rules.closing_fee for s in tiers]),
        tier_deduction=_join([s.deductions for s in tiers]),
        tier_initial=_join([1.0 / s.max_leverage for s in tiers]),
        haircut_pointer=_pointer([len(h.floors) for h in haircuts]),
        haircut_floor=_join([h.floors for h in haircuts]),
        haircut_rate=_join([h.rates for h in haircuts]),
        haircut_offset=_join([h.offsets for h in haircuts]),
        monotone=np.array([s is not None and _is_monotone(s, rules.closing_fee) for s in rate_schedules], dtype=np.bool_),
    )


def _is_monotone(schedule: RateSchedule, fee: float) -> bool:
    continuous = RateSchedule.marginal(schedule.floors, schedule.rates, schedule.max_leverage).deductions
    return bool(np.allclose(continuous, schedule.deductions, rtol=1e-9) and (schedule.rates + fee <= 1).all())


def _pointer(counts: list[int]) -> IntArray:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def _join(columns: list[FloatArray]) -> FloatArray:
    return np.concatenate(columns) if columns else np.zeros(0)
