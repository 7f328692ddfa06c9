"""Paradex's portfolio margin: a scenario rule, and provisions for funding and for the fee to close."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, group_sums
from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from ..toml_section import located
from .contracts import INVERSE, LINEAR, PositionBook
from .portfolio_rule import PortfolioRule
from .portfolio_rule_file import portfolio_rule_of
from .risk_arrays import RiskArrays
from .scenario_margin import ScenarioMargin, scenario_margin

MODEL = "paradex_portfolio"
VENUE = "paradex_pm"


@dataclass(frozen=True)
class ParadexRules:
    """Paradex's portfolio margin from one date on.

    Parameters
    ----------
    scenarios
        SCAN risk and the minimum delta requirement as a portfolio rule, with their share in maintenance margin.
    funding_hours
        Hours of expected funding that are provided for.
    fee
        Taker fee provided for, fraction of the notional of perpetuals and futures.
    option_fee, option_fee_cap
        The same of options, fraction of their underlying value, and at most this fraction of their own value.
    """

    scenarios: PortfolioRule
    funding_hours: float
    fee: float
    option_fee: float
    option_fee_cap: float

    def __post_init__(self) -> None:
        for name in ("funding_hours", "fee", "option_fee", "option_fee_cap"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError("must not be negative", column=name, value=getattr(self, name))


def load_paradex_rules(at: dt.date | None = None) -> ParadexRules:
    """Paradex's portfolio margin in force on a day (UTC); None takes the newest there is."""
    return read_paradex_rules(rulebook_in_force(VENUE, at).path)


def read_paradex_rules(path: str | Path) -> ParadexRules:
    """Read and check a file of the model "paradex_portfolio".

    It has the sections of `read_portfolio_rule` and ``[provisions]``: `funding_hours`, `fee`, `option_fee` and
    `option_fee_cap`.

    Raises
    ------
    InputError
        Names the file, section and key of what is unknown, missing or wrong.

    Examples
    --------
    >>> rules = load_paradex_rules()
    >>> len(rules.scenarios.unit_rule("BTC").grid), rules.scenarios.maintenance_factor, rules.funding_hours
    (24, 0.5, 8.0)
    """
    top, venue, effective_from = read_dated(path, MODEL, "units", "requirement", "netting", "provisions")
    scenarios = portfolio_rule_of(top, venue, effective_from)
    provisions = top.sourced("provisions", "funding_hours", "fee", "option_fee", "option_fee_cap")
    names = ("funding_hours", "fee", "option_fee", "option_fee_cap")
    hours, fee, option_fee, cap = (provisions.number(name) for name in names)
    with located(provisions):
        return ParadexRules(scenarios, hours, fee, option_fee, cap)


@dataclass(frozen=True)
class ParadexMargin:
    """Portfolio margin of every pool, USD, shape (n_pools,).

    Parameters
    ----------
    scenarios
        Margin by the scenario rule: SCAN risk or the minimum delta requirement of each underlying, the greater.
    funding, fees
        Provisions.
    initial, maintenance
        Requirements: all of the scenario margin or half of it, and the provisions in full.
    """

    scenarios: ScenarioMargin
    funding: FloatArray
    fees: FloatArray
    initial: FloatArray
    maintenance: FloatArray


def paradex_margin(
    book: PositionBook, arrays: RiskArrays, rules: ParadexRules, funding_rate: ArrayLike, *, threads: int = 1
) -> ParadexMargin:
    """Paradex's portfolio margin of every pool.

    Parameters
    ----------
    book, arrays
        Pools and the risk arrays of their contracts under `rules.scenarios`.
    rules
        Figures.
    funding_rate
        Expected funding of each contract in 8 hours, fraction of its notional, paid by longs; 0 without funding.
        Shape (n_contracts,) or one number.
    threads
        Number of threads; the result does not depend on it.

    Raises
    ------
    InputError
        A held contract without a finite funding rate, and what `scenario_margin` refuses.

    Notes
    -----
    Source: https://docs.paradex.trade/risk/portfolio-margin.md. That expected funding nets within a pool and what it
    would receive counts nothing, and the form of the fee provision, are from memory.

    Examples
    --------
    Long 1 BTC of perpetual at 100,000, funding 0.01% in 8 hours, a fee of 0.03%:

    >>> from .contracts import contract_prices, contract_table
    >>> from .risk_arrays import risk_arrays
    >>> rules = load_paradex_rules()
    >>> table = contract_table(["BTC-USD-PERP"], ["BTC"], LINEAR, units=["BTC"])
    >>> arrays = risk_arrays(table, contract_prices(np.datetime64("2026-01-01"), [100_000.0]), rules.scenarios)
    >>> margin = paradex_margin(PositionBook([0, 1], [0], [1.0]), arrays, rules, 0.0001)
    >>> margin.initial.round(6).tolist(), margin.maintenance.round(6).tolist()
    ([16040.0], [8040.0])
    """
    margin = scenario_margin(book, arrays, rules.scenarios, threads=threads)
    pool, held, quantity = book.pool_of_entry, book.contract, book.quantity
    rate = np.broadcast_to(np.asarray(funding_rate, np.float64), arrays.notional.shape)[held]
    if not np.isfinite(rate).all():
        entry = int(np.argmin(np.isfinite(rate)))
        name = arrays.contracts.symbols[held[entry]]
        raise InputError("has no funding rate", row=entry, column="funding_rate", value=name)
    due = quantity * arrays.notional[held] * rate * rules.funding_hours / 8.0
    funding = np.maximum(group_sums(pool, due, len(book)), 0.0)
    fees = group_sums(pool, np.abs(quantity) * _fee(arrays, rules)[held], len(book))
    return ParadexMargin(
        margin, funding, fees, margin.initial + funding + fees, margin.maintenance + funding + fees
    )  # fmt: skip


def _fee(arrays: RiskArrays, rules: ParadexRules) -> FloatArray:
    """Fee to close one contract of each kind."""
    kind, option = arrays.contracts.kind, arrays.contracts.is_option
    future = np.where(np.isin(kind, (LINEAR, INVERSE)), rules.fee * arrays.notional, 0.0)
    capped = np.minimum(rules.option_fee * arrays.notional, rules.option_fee_cap * arrays.value)
    return np.asarray(np.where(option, capped, future))
