"""Margin rates that grow smoothly with size: exact functions where a tier table would only approximate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .accounts import AccountBook
from .arrays import FloatArray
from .dated_files import read_dated, rulebook_in_force
from .errors import InputError
from .instruments import contract_value
from .leg_margin import restate
from .margin import MarginState, evaluate
from .market import MarketState
from .rate_modifiers import leverage_rate
from .rulebook import RateSchedule, RuleBook
from .rulebook_file import SECTIONS, rulebook_of
from .toml_section import Section, located

MODEL = "size_rates"


@dataclass(frozen=True)
class SizeRate:
    """Margin rate as a function of size: base + slope * size, or max(base, factor * sqrt(size - shift)).

    Parameters
    ----------
    base
        Rate of a vanishing position, fraction of notional, in (0, 1].
    slope
        What is added for each unit of size (Deribit futures).
    factor, shift
        Square-root premium above a size (FTX, Paradex); 0 turns it off.
    limit
        Highest rate; 1 is the whole notional.

    Examples
    --------
    Deribit's own example: 2% and 0.5% more for each 100 BTC, a position of 350 BTC.

    >>> rate = SizeRate(0.02, slope=0.00005)
    >>> float(rate.rate(350.0).round(9)), float(rate.margin(350.0, 1.0).round(9))
    (0.0375, 13.125)
    """

    base: float
    slope: float = 0.0
    factor: float = 0.0
    shift: float = 0.0
    limit: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in (("base", 0.0, 1.0), ("limit", self.base, 1.0)):
            if not low <= getattr(self, name) <= high or getattr(self, name) == 0:
                raise InputError(f"must be above 0 and in [{low:g}, 1]", column=name, value=getattr(self, name))
        for name in ("slope", "factor", "shift"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError("must not be negative", column=name, value=getattr(self, name))

    def rate(self, size: ArrayLike) -> FloatArray:
        """Rate at each size, in the unit of size the rate is told in."""
        held = np.abs(np.asarray(size, np.float64))
        root = self.factor * np.sqrt(np.maximum(held - self.shift, 0.0))
        return np.minimum(np.maximum(self.base + self.slope * held, root), self.limit)

    def margin(self, size: ArrayLike, value: ArrayLike) -> FloatArray:
        """Margin of positions worth `value` a unit of size."""
        return self.rate(size) * np.abs(np.asarray(size, np.float64)) * np.asarray(value, np.float64)


@dataclass(frozen=True)
class SizeRateRules:
    """A rule-book of smooth rates; size is the notional of a contract in its settlement asset.

    Parameters
    ----------
    rules
        Collateral, trigger and stages, and a flat schedule of each contract at its base rate: a lower bound of margin.
    initial, maintenance
        Rates by the contract's name in `rules.schedules`.
    """

    rules: RuleBook
    initial: Mapping[str, SizeRate]
    maintenance: Mapping[str, SizeRate]

    def __post_init__(self) -> None:
        if not self.initial.keys() == self.maintenance.keys() == self.rules.schedules.keys():
            raise InputError("initial, maintenance and schedules must name the same contracts", column="initial")
        for name, rate in self.maintenance.items():
            if rate.base > self.initial[name].base:
                raise InputError("maintenance is above the initial base rate", column=name, value=rate.base)


def evaluate_by_size(book: AccountBook, market: MarketState, rules: SizeRateRules) -> MarginState:
    """Margin of every pool under smooth rates; errors are those of `evaluate`. The closing fee adds to maintenance.

    Examples
    --------
    >>> from .instruments import INVERSE, InstrumentTable
    >>> table = InstrumentTable(("BTC-PERPETUAL",), [INVERSE], [10.0], [0], ("BTC",))
    >>> book = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [3.0], [0, 1], [0], [1e5], [1e4], [np.nan])
    >>> market = MarketState(np.datetime64("2019-08-01"), [10_000.0], [1.0])
    >>> rules = load_size_rates("deribit_futures", dt.date(2019, 8, 1))
    >>> state = evaluate_by_size(book, market, rules)
    >>> state.initial.round(9).tolist(), state.maintenance.round(9).tolist()
    ([2.5], [2.0])
    """
    state = evaluate(book, market, rules.rules)
    table, instrument = book.instruments, book.position_instrument
    notional = np.abs(contract_value(book.position_size, market.mark[instrument], book.position_inverse))
    required, asked = np.zeros(len(notional)), np.zeros(len(notional))
    for i in np.unique(instrument):
        mine = instrument == i
        name = rules.rules.aliases.get(table.symbols[i], table.symbols[i])
        required[mine] = rules.maintenance[name].rate(notional[mine]) + rules.rules.closing_fee
        asked[mine] = leverage_rate(rules.initial[name].rate(notional[mine]), book.leverage[mine])
    value = notional * market.index[book.position_asset]
    return restate(state, book, rules.rules, leg_maintenance=required * value, leg_initial=asked * value)


def load_size_rates(venue: str, at: dt.date | None = None) -> SizeRateRules:
    """The smooth rates of a venue in force on a day; None takes the newest there are.

    Examples
    --------
    >>> load_size_rates("deribit_futures").maintenance["BTC-PERPETUAL"].slope
    5e-05
    """
    return read_size_rates(rulebook_in_force(venue, at, MODEL).path)


def read_size_rates(path: str | Path) -> SizeRateRules:
    """Read and check a file of `model = "size_rates"`: the sections of a tiered one, `[rates]` in place of `[tiers]`.

    Raises
    ------
    InputError
        Names the file, section and key of what is unknown, missing or wrong.
    """
    kept = {name: keys for name, keys in SECTIONS.items() if name not in ("tiers", "generic")}
    top, venue, effective_from = read_dated(path, MODEL, "base", "rates", *kept)
    rates = top.sourced("rates", "contracts")
    contracts = rates.part("contracts")
    initial: dict[str, SizeRate] = {}
    maintenance: dict[str, SizeRate] = {}
    for name in contracts.values:
        contract = contracts.part(name)
        contract.allow("initial", "maintenance")
        initial[name], maintenance[name] = _rate(contract, "initial"), _rate(contract, "maintenance")
    if not initial:
        raise rates.error("needs at least one contract", "contracts")
    floors = {
        name: RateSchedule.cliff([0.0], [rate.base], [1.0 / initial[name].base]) for name, rate in maintenance.items()
    }
    with located(top):
        return SizeRateRules(rulebook_of(top, venue, effective_from, floors), initial, maintenance)


def _rate(contract: Section, key: str) -> SizeRate:
    part = contract.part(key)
    part.allow("base", "slope", "factor", "shift", "limit")
    optional = {name: part.get(name, float) for name in ("slope", "factor", "shift", "limit") if name in part.values}
    with located(part):
        return SizeRate(part.get("base", float), **optional)
