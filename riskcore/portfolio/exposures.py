"""What charges are levied on: measures of each pool's holdings in each risk unit, and each leg's part of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray, group_sums
from .contracts import INVERSE, LINEAR, SPOT, ContractTable, PositionBook
from .portfolio_rule import MEASURES, UnitRule
from .risk_arrays import RiskArrays


@dataclass(frozen=True)
class UnitRows:
    """Positions by pool and risk unit, in CSR form: what is margined as one row.

    Parameters
    ----------
    pool, unit
        Of each row, rows rising by pool and then unit.
    pointer
        Entries of row r are pointer[r] : pointer[r + 1], in the order of `entry`.
    entry
        Positions of the entries in the book they come from; within a row in the order of the book.

    Examples
    --------
    >>> from .contracts import contract_table
    >>> table = contract_table(["B1", "E1", "B2"], ["B", "E", "B"], LINEAR, units=["B", "E"])
    >>> rows = unit_rows(PositionBook([0, 3], [0, 1, 2], [1.0, 1.0, 1.0]), table)
    >>> rows.unit.tolist(), rows.pointer.tolist(), rows.entry.tolist()
    ([0, 1], [0, 2, 3], [0, 2, 1])
    """

    pool: IntArray
    unit: IntArray
    pointer: IntArray
    entry: IntArray

    def __len__(self) -> int:
        return len(self.pool)

    @property
    def row_of_entry(self) -> IntArray:
        """Row of each entry of the book, in the order of the book."""
        out = np.empty(len(self.entry), np.int64)
        out[self.entry] = np.repeat(np.arange(len(self)), np.diff(self.pointer))
        return out


def unit_rows(book: PositionBook, contracts: ContractTable) -> UnitRows:
    """The rows of a book."""
    book.check(contracts)
    key = book.pool_of_entry * len(contracts.units) + contracts.unit[book.contract]
    entry = np.argsort(key, kind="stable")
    found, first = np.unique(key[entry], return_index=True)
    pool, unit = np.divmod(found, len(contracts.units))
    return UnitRows(pool, unit, np.append(first, len(entry)).astype(np.int64), entry)


def leg_exposures(
    book: PositionBook, arrays: RiskArrays, rows: UnitRows, measures: Sequence[str] = MEASURES
) -> FloatArray:
    """Part of each entry in each measure of its row, shape (n_entries, len(MEASURES)); a row's measure is their sum.

    Parts may be negative: a long option that covers a short one, a short future against a long delta. Measures are
    those of `Charges`, underlying values and deltas in the base asset; those not asked for are left 0.
    """
    contracts, held, quantity = arrays.contracts, book.contract, book.quantity
    kind, size = contracts.kind[held], np.abs(quantity)
    future = (kind == LINEAR) | (kind == INVERSE)
    row = rows.row_of_entry

    def gross(wanted: BoolArray) -> FloatArray:
        return np.where(wanted, size * arrays.notional[held], 0.0)

    def delta() -> FloatArray:
        own = quantity * arrays.delta[held]
        return own * np.sign(group_sums(row, own, len(rows)))[row]

    def offset() -> FloatArray:
        own = np.where(future | (kind == SPOT), quantity * arrays.delta[held], 0.0)
        return _lesser_side(own, row, len(rows))

    part_of: dict[str, Callable[[], FloatArray]] = {
        "short_option": lambda: _net_short(book, arrays, row) * arrays.notional[held],
        "short_option_amount": lambda: _net_short(book, arrays, row) * contracts.multiplier[held],
        "delta": delta,
        "perpetual": lambda: gross(future & np.isnat(contracts.expiry[held])),
        "future": lambda: gross(future & ~np.isnat(contracts.expiry[held])),
        "offset": offset,
        "option": lambda: gross(contracts.is_option[held]),
        "contract": lambda: size,
        "option_contract": lambda: np.where(contracts.is_option[held], size, 0.0),
        "hedged": lambda: _lesser_side(quantity * arrays.delta[held], row, len(rows)),
    }
    out = np.zeros((len(held), len(MEASURES)))
    for name in measures:
        out[:, MEASURES.index(name)] = part_of[name]()
    return out


def charged_measures(rules: Sequence[UnitRule]) -> list[str]:
    """Measures on which any of the rules levies a charge."""
    rates = np.stack([one.contingencies.rates + one.minimum.rates for one in rules])
    return [name for name, charged in zip(MEASURES, np.logical_or.reduce(rates > 0, axis=0), strict=True) if charged]


def exposures(parts: FloatArray, rows: UnitRows) -> FloatArray:
    """Measures of each row from the parts of its legs, shape (n_rows, len(MEASURES)); not negative."""
    out = np.zeros((len(rows), parts.shape[1]))
    for k in np.flatnonzero(parts.any(axis=0)):
        out[:, k] = group_sums(rows.row_of_entry, np.ascontiguousarray(parts[:, k]), len(rows))
    return np.maximum(out, 0.0)


def _net_short(book: PositionBook, arrays: RiskArrays, row: IntArray) -> FloatArray:
    """Minus the quantity of each option entry where its row is net short at its strike and expiry; 0 elsewhere."""
    contracts, held = arrays.contracts, book.contract
    at = np.flatnonzero(contracts.is_option[held])
    out = np.zeros(len(held))
    if len(at):
        group = _strike_groups(arrays)
        key = row[at] * (int(group.max()) + 1) + group[held[at]]
        strike = np.unique(key, return_inverse=True)[1].ravel()
        net = group_sums(strike, book.quantity[at] * contracts.multiplier[held[at]], int(strike.max()) + 1)
        out[at] = np.where(net[strike] < 0, -book.quantity[at], 0.0)
    return out


def _strike_groups(arrays: RiskArrays) -> IntArray:
    """Which contracts are of one unit, strike and expiry, and of one right where their unit keeps those apart."""
    contracts = arrays.contracts
    nets = np.array([rule.net_rights for rule in arrays.rules])[contracts.unit]
    right = np.where(nets, 0, contracts.right)
    keys = (contracts.unit, contracts.strike, contracts.expiry.astype(np.int64), right)
    columns = np.stack([np.unique(key, return_inverse=True)[1] for key in keys], axis=1)
    return np.unique(columns, axis=0, return_inverse=True)[1].ravel().astype(np.int64)


def _lesser_side(delta: FloatArray, row: IntArray, rows: int) -> FloatArray:
    long, short = group_sums(row, np.maximum(delta, 0), rows), group_sums(row, np.maximum(-delta, 0), rows)
    lesser = np.where(long <= short, 1.0, -1.0)[row]
    return np.where(np.sign(delta) == lesser, np.abs(delta), 0.0)
