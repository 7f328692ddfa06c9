"""A book and its rules as flat arrays, in one canonical order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .accounts import AccountBook, csr_row_of, csr_rows
from .arrays import BoolArray, FloatArray, IntArray, group_sums
from .errors import InputError
from .instruments import INVERSE, InstrumentTable
from .rulebook import NO_HAIRCUT, HaircutSchedule, RateSchedule, RuleBook

ScheduleT = TypeVar("ScheduleT", RateSchedule, HaircutSchedule)


@dataclass(frozen=True)
class CompiledBook:
    """Pools, the assets each holds or settles in, and the legs settling in each: two CSR levels.

    Asset rows stand in the order of assets (the base asset first), legs in the order of instrument, size, entry price
    and leverage, so that the same pool gives the same bits however its positions were listed. What does not move with
    prices is folded into `row_amount`: a linear leg adds -size * entry, an inverse one +size / entry.

    Parameters
    ----------
    row_pointer
        Asset rows of pool p: row_pointer[p] : row_pointer[p + 1]. Every pool has a row of the base asset.
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
        return csr_rows(self.row_pointer)

    @property
    def leg_row(self) -> IntArray:
        """Asset row of each leg."""
        return csr_rows(self.leg_pointer)


@dataclass(frozen=True)
class CompiledRules:
    """Tier and haircut tables of a rule-book, flat: those of instrument (asset) i are pointer[i] : pointer[i + 1].

    `tier_rate` includes the closing fee. Haircuts are rate * value + offset above each floor. An instrument that no
    position of the book refers to has no tiers.

    Parameters
    ----------
    rise
        For each instrument the sum of the upward jumps of maintenance margin, settlement asset: between notionals
        a < b it grows by at most (b - a) * (least haircut rate of the settlement asset) + rise. 0 for a marginal
        schedule, inf where a tier's rate is above that haircut rate.
    drop
        For each instrument the most by which maintenance margin falls as notional grows; 0 for any sane schedule.
    least_rate
        Least haircut rate of each asset.
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
    rise: FloatArray
    drop: FloatArray
    least_rate: FloatArray

    def tiers_of(self, instrument: IntArray, notional: FloatArray) -> IntArray:
        """Row of the tier tables that each (instrument, notional) falls in."""
        order = order_by_group(instrument, len(self.tier_pointer) - 1)
        edges = np.searchsorted(instrument[order], np.arange(len(self.tier_pointer)))
        tier = np.empty(len(instrument), dtype=np.int64)
        for i in np.flatnonzero(np.diff(edges)):
            first, last = self.tier_pointer[i], self.tier_pointer[i + 1]
            mine = order[edges[i] : edges[i + 1]]
            tier[mine] = first + np.searchsorted(self.tier_floor[first:last], notional[mine], side="right") - 1
        return tier


def compile_book(book: AccountBook) -> CompiledBook:
    """Lay a book out in canonical order; see `CompiledBook`.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 1], [0], [0.1], [60000.0], [np.nan])
    >>> compile_book(book).row_amount.tolist()
    [-5100.0]
    """
    table = book.instruments
    n_pools, n_assets = len(book), len(table.assets)
    size, leg_key = book.position_size, book.position_pool * n_assets + book.position_asset
    order = _ordered(leg_key * len(table) + book.position_instrument, size, book.entry_price, book.leverage)
    balance_key = book.balance_pool * n_assets + book.balance_asset
    held = _ordered(balance_key, book.balance)
    leg_key, size, instrument, entry = (
        leg_key[order],
        size[order],
        book.position_instrument[order],
        book.entry_price[order],
    )
    row_key = _distinct(np.arange(n_pools) * n_assets, balance_key[held], leg_key)
    inverse = np.asarray(table.kind == INVERSE)
    fixed = np.where(inverse[instrument], size / entry, -size * entry)
    return CompiledBook(
        row_pointer=np.searchsorted(row_key, np.arange(n_pools + 1) * n_assets).astype(np.int64),
        row_asset=(row_key % n_assets).astype(np.int64),
        row_amount=_sum_by(row_key, balance_key[held], book.balance[held]) + _sum_by(row_key, leg_key, fixed),
        leg_pointer=np.searchsorted(leg_key, np.append(row_key, n_pools * n_assets)).astype(np.int64),
        leg_instrument=instrument,
        leg_size=size,
        leg_position=order,
        inverse=inverse,
    )


def order_by_group(group: IntArray, groups: int) -> IntArray:
    """Stable order by group number; as the smallest integers that hold it, which numpy sorts by radix.

    Examples
    --------
    >>> order_by_group(np.array([2, 0, 2, 1]), 3).tolist()
    [1, 3, 0, 2]
    """
    return np.argsort(group.astype(np.min_scalar_type(groups)), kind="stable")


def _ordered(key: IntArray, *ties: FloatArray) -> IntArray:
    """Order by key, then by `ties` in turn: these are sorted only where keys are equal, which is rare."""
    order = np.argsort(key, kind="stable")
    same = np.diff(key[order]) == 0
    tied = np.zeros(len(key), dtype=np.bool_)
    tied[1:] |= same
    tied[:-1] |= same
    among = order[tied]
    order[tied] = among[np.lexsort((*(tie[among] for tie in reversed(ties)), key[among]))]
    return order


def _distinct(*keys: IntArray) -> IntArray:
    merged = np.sort(np.concatenate(keys), kind="stable")
    fresh = np.ones(len(merged), dtype=np.bool_)
    fresh[1:] = np.diff(merged) != 0
    return merged[fresh]


def _sum_by(keys: IntArray, key: IntArray, values: FloatArray) -> FloatArray:
    """Sum of values at each of `keys`, added in the order given."""
    return group_sums(np.searchsorted(keys, key), values, len(keys))


def compile_rules(rules: RuleBook, table: InstrumentTable, book: AccountBook) -> CompiledRules:
    """Flatten the schedules that this book needs.

    Raises
    ------
    InputError
        A position in an instrument without a tier table, or a balance in an asset that is no collateral.
    """
    schedules, haircuts = _schedules(rules, table, book), _haircuts(rules, table, book)
    tiers = [s for s in schedules if s is not None]
    least = np.array([h.rates.min() for h in haircuts])
    jumps = np.array([_jumps(s, rules.closing_fee) for s in schedules]).reshape(-1, 3)
    return CompiledRules(
        tier_pointer=_pointer([0 if s is None else len(s.floors) for s in schedules]),
        tier_floor=_join([s.floors for s in tiers]),
        tier_rate=_join([s.rates + rules.closing_fee for s in tiers]),
        tier_deduction=_join([s.deductions for s in tiers]),
        tier_initial=_join([1.0 / s.max_leverage for s in tiers]),
        haircut_pointer=_pointer([len(h.floors) for h in haircuts]),
        haircut_floor=_join([h.floors for h in haircuts]),
        haircut_rate=_join([h.rates for h in haircuts]),
        haircut_offset=_join([h.offsets for h in haircuts]),
        rise=np.where(jumps[:, 2] <= least[table.settlement], jumps[:, 0], np.inf),
        drop=jumps[:, 1],
        least_rate=least,
    )


def _schedules(rules: RuleBook, table: InstrumentTable, book: AccountBook) -> list[RateSchedule | None]:
    out: list[RateSchedule | None] = [None] * len(table)
    for i in np.flatnonzero(np.bincount(book.position_instrument, minlength=len(table))):
        try:
            out[i] = by_value(rules.schedule_of(table.symbols[i]), "symbol", table.symbols[i])
        except InputError as error:
            row = csr_row_of(book.position_pointer, int(np.argmax(book.position_instrument == i)))
            raise InputError(error.problem, row=row, column=error.column, value=error.value) from None
    return out


def _haircuts(rules: RuleBook, table: InstrumentTable, book: AccountBook) -> list[HaircutSchedule]:
    out, settled = [NO_HAIRCUT] * len(table.assets), table.settlement[book.position_instrument]
    for pointer, asset in ((book.position_pointer, settled), (book.balance_pointer, book.balance_asset)):
        for a in np.flatnonzero(np.bincount(asset, minlength=len(out))):
            try:
                out[a] = by_value(rules.haircut_of(table.assets[a], table.base), "asset", table.assets[a])
            except InputError as error:
                row = csr_row_of(pointer, int(np.argmax(asset == a)))
                raise InputError(error.problem, row=row, column=error.column, value=error.value) from None
    return out


def by_value(schedule: ScheduleT, column: str, name: str) -> ScheduleT:
    """The schedule itself; one that counts amounts has no value before it is priced, so it raises InputError."""
    if schedule.unit != "value":
        raise InputError("its tiers count amounts: price them first with `priced_rules`", column=column, value=name)
    return schedule


def _jumps(schedule: RateSchedule | None, fee: float) -> tuple[float, float, float]:
    """Sum of upward jumps of maintenance margin, its largest fall as notional grows, and the highest rate."""
    if schedule is None:
        return 0.0, 0.0, 0.0
    floors, rates, deductions = schedule.floors[1:], schedule.rates + fee, schedule.deductions
    before, after = floors * rates[:-1] - deductions[:-1], floors * rates[1:] - deductions[1:]
    jump = np.where(np.abs(after - before) <= 1e-12 * floors, 0.0, after - before)
    fall = np.maximum.accumulate(before) - np.where(jump == 0.0, before, after)
    return float(np.maximum(jump, 0.0).sum()), float(fall.max(initial=0.0)), float(rates.max())


def _pointer(counts: list[int]) -> IntArray:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def _join(columns: list[FloatArray]) -> FloatArray:
    return np.concatenate(columns) if columns else np.zeros(0)
