"""Options held by the pools of a book, and the margin of pools that hold them beside futures and perpetuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..accounts import AccountBook
from ..arrays import FloatArray, IntArray, frozen, group_sums, require, require_pointers
from ..errors import InputError
from ..margin import MarginState, evaluate, stage_of
from ..market import MarketState
from ..rulebook import NO_HAIRCUT, RuleBook
from .option_table import OptionTable
from .short_option import ShortOptionRules


@dataclass(frozen=True)
class OptionHoldings:
    """European options of each pool of a book, told in its base asset; what was paid for them is in the balances.

    Parameters
    ----------
    contracts
        The options.
    pointer
        Positions in CSR form: those of pool p are pointer[p] : pointer[p + 1].
    contract, quantity
        Row of the contract table and signed contracts.

    Raises
    ------
    InputError
        A quantity of zero or none, an unknown contract, pointers that do not fit.

    Examples
    --------
    >>> expiry = np.array(["2024-06-28T08:00"], "datetime64[ns]")
    >>> table = OptionTable(("BTC-C",), ("BTC",), expiry, [60_000.0], [1], [0.1])
    >>> OptionHoldings(table, [0, 1, 1], [0], [-5.0]).units.tolist()
    [-0.5]
    """

    contracts: OptionTable
    pointer: IntArray
    contract: IntArray
    quantity: FloatArray

    def __post_init__(self) -> None:
        for name, kind in (("pointer", np.int64), ("contract", np.int64), ("quantity", np.float64)):
            object.__setattr__(self, name, frozen(getattr(self, name), kind))
        if self.quantity.shape != self.contract.shape:
            raise InputError(f"has shape {self.quantity.shape}, expected {self.contract.shape}", column="quantity")
        require_pointers(self.pointer, len(self.pointer) - 1, len(self.contract), "pointer")
        known = (self.contract >= 0) & (self.contract < len(self.contracts))
        require(known, self.contract, "unknown contract", "contract")
        usable = np.isfinite(self.quantity) & (self.quantity != 0)
        require(usable, self.quantity, "must be a finite number other than zero", "quantity")

    def __len__(self) -> int:
        return len(self.pointer) - 1

    @property
    def units(self) -> FloatArray:
        """Signed units of the underlying of each position."""
        return np.asarray(self.quantity * self.contracts.multiplier[self.contract])

    @property
    def pool(self) -> IntArray:
        """Pool of each position."""
        return np.repeat(np.arange(len(self)), np.diff(self.pointer))


@dataclass(frozen=True)
class OptionMargin:
    """Margin of pools that hold options; amounts in the base asset.

    Parameters
    ----------
    pools
        Margin with the options: equity, requirements and stage of each pool; legs are those of the futures.
    leg_value
        Value of each option position, signed, shape (n_positions,).
    leg_initial, leg_maintenance
        What each must hold beyond its value; 0 for long ones.
    """

    pools: MarginState
    leg_value: FloatArray
    leg_initial: FloatArray
    leg_maintenance: FloatArray


def evaluate_options(
    book: AccountBook,
    held: OptionHoldings,
    market: MarketState,
    spot: ArrayLike,
    premium: ArrayLike,
    rules: RuleBook,
    short_rules: ShortOptionRules,
    *,
    long_counts: bool = True,
) -> OptionMargin:
    """Margin of every pool, its options included, by standard (not portfolio) margin.

    Parameters
    ----------
    book, market, rules
        As in `evaluate`: balances, futures and perpetuals.
    held
        The options of each pool.
    spot, premium
        Price of the underlying and of one unit of each contract, base asset, shape (n_contracts,). Venues that settle
        options in coin ask the same of it: rates are fractions of the spot (`ShortOptionRules`).
    short_rules
        What short options must hold beyond their value.
    long_counts
        Whether what a long option is worth counts as equity.

    Raises
    ------
    InputError
        What `evaluate` refuses; an expired option, a spot or premium that is missing or negative, with the contract;
        holdings of another number of pools; a base asset with a haircut.

    Examples
    --------
    Deribit's short call at 60,000, struck at 66,000 and worth 1,200: beyond that it must hold 7.5% of the spot to keep
    and 15% less the 6,000 it is out of the money, but at least 10%, to open.

    >>> import datetime as dt
    >>> from ..instruments import InstrumentTable
    >>> from .short_option import load_short_option_rules
    >>> futures = InstrumentTable.linear_perpetuals([], base="USD")
    >>> book = AccountBook(futures, ["a"], ["m"], [""], [0, 1], [0], [9_000.0], [0, 0], [], [], [], [])
    >>> calls = OptionTable(("C",), ("BTC",), [np.datetime64("2024-06-28")], [66_000.0], [1], [1.0])
    >>> market = MarketState(np.datetime64("2024-06-01"), [], [1.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {}, base="USD")
    >>> short = OptionHoldings(calls, [0, 1], [0], [-1.0])
    >>> found = evaluate_options(
    ...     book, short, market, [60_000.0], [1_200.0], rules, load_short_option_rules("deribit_options"))
    >>> [column.round(6).tolist() for column in (found.pools.equity, found.pools.maintenance, found.pools.initial)]
    [[7800.0], [4500.0], [6000.0]]
    """
    require_options_fit(book, held, rules)
    if len(held.contracts):
        held.contracts.years_to(market.time)
    price, worth = _column(held, spot, "spot"), _column(held, premium, "premium", from_zero=True)
    units, rows = held.units, held.contract
    needs = short_rules.initial, short_rules.maintenance
    asked = [_beyond_value(held, need, price, worth, short_rules) for need in needs]
    value = units * worth[rows]
    counted = value if long_counts else np.minimum(value, 0.0)
    state = evaluate(book, market, rules)
    equity, initial, maintenance = (
        total + group_sums(held.pool, legs, len(book))
        for total, legs in zip((state.equity, state.initial, state.maintenance), (counted, *asked), strict=True)
    )
    holds = (np.diff(book.position_pointer) > 0) | (np.diff(held.pointer) > 0)
    stage = stage_of(equity, maintenance, holds, rules)
    legs = state.leg_notional, state.leg_profit, state.leg_maintenance, state.leg_initial
    return OptionMargin(MarginState(equity, maintenance, initial, stage, *legs), value, *asked)


def require_options_fit(book: AccountBook, held: OptionHoldings, rules: RuleBook) -> None:
    """Raise InputError if holdings are not of the book's pools or option values would be cut by a haircut."""
    if len(held) != len(book):
        raise InputError(f"has {len(held)} pools, the book {len(book)}", column="pointer")
    base = book.instruments.base
    if rules.haircut_of(base, base) is not NO_HAIRCUT:
        raise InputError("options need a base asset without a haircut", column="asset", value=base)


def _beyond_value(
    held: OptionHoldings,
    need: Callable[..., FloatArray],
    spot: FloatArray,
    premium: FloatArray,
    short_rules: ShortOptionRules,
) -> FloatArray:
    """What each position must hold beyond its value, base asset; rules in coin are asked in coin."""
    terms, rows = held.contracts, held.contract
    unit = spot[rows] if short_rules.settlement == "coin" else np.ones(len(rows))
    whole = need(terms.right[rows], terms.strike[rows], spot[rows], premium[rows] / unit) * unit
    return np.asarray(np.maximum(-held.units, 0.0) * (whole - premium[rows]))


def _column(held: OptionHoldings, values: ArrayLike, name: str, *, from_zero: bool = False) -> FloatArray:
    column = np.asarray(values, np.float64)
    if column.shape != (len(held.contracts),):
        raise InputError(f"has shape {column.shape}, expected ({len(held.contracts)},)", column=name)
    wrong = ~(((column >= 0) if from_zero else (column > 0)) & np.isfinite(column))
    if wrong.any():
        row = int(np.argmax(wrong))
        problem = f"{held.contracts.name[row]} has no usable {name}"
        raise InputError(problem, row=row, column=name, value=float(column[row]))
    return column
