"""OKX's portfolio margin: eight components of each risk unit from its positions, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, group_sums, require_shape
from ..errors import InputError
from .contracts import INVERSE, INVERSE_OPTION, SPOT, ContractPrices, ContractTable, PositionBook
from .expiry_netting import expiry_nets
from .exposures import UnitRows, charged_measures, exposures, leg_exposures, unit_rows
from .okx_charges import (
    borrowing_margin,
    currency_hedges,
    depeg_charge,
    marginal_tier_charge,
    unit_maintenance,
    unit_margin,
)
from .okx_pm_rules import OkxRules, OkxUnit
from .portfolio_rule import PortfolioRule, UnitRule
from .risk_arrays import RiskArrays, risk_arrays
from .scenario_margin import unit_losses

CURRENCIES = ("USDT", "USDC", "USD")
"""Currencies whose pegs MR9 looks at; contracts settled in coin are quoted in USD."""
PAIRS = ((0, 2), (0, 1), (1, 2))
"""Order in which hedges across them are counted."""


@dataclass(frozen=True)
class OkxMargin:
    """Portfolio margin of every pool, base asset.

    Parameters
    ----------
    rows
        Which pool and risk unit each of the following is of.
    spot_shock, decay, vega, basis, rate, extreme, minimum
        MR1 to MR7 of each row, MR7 after its tiers.
    unit
        Maintenance margin of each row: max(max(MR1, MR2, MR6) + MR3 + MR4 + MR5, MR7).
    borrowing, depeg
        MR8 and MR9 of each pool.
    maintenance, initial
        Requirements of each pool.
    """

    rows: UnitRows
    spot_shock: FloatArray
    decay: FloatArray
    vega: FloatArray
    basis: FloatArray
    rate: FloatArray
    extreme: FloatArray
    minimum: FloatArray
    unit: FloatArray
    borrowing: FloatArray
    depeg: FloatArray
    maintenance: FloatArray
    initial: FloatArray


def okx_margin(
    book: PositionBook,
    contracts: ContractTable,
    prices: ContractPrices,
    rules: OkxRules,
    *,
    borrowed: ArrayLike | None = None,
    threads: int = 1,
) -> OkxMargin:
    """OKX's portfolio margin of every pool.

    Parameters
    ----------
    book, contracts, prices
        Pools, their contracts and prices. The base asset is USD; coins that settle contracts follow their unit. Before
        2025 a risk unit is an underlying and a quote currency ("BTC-USDT"), after that an underlying ("BTC").
    rules
        Figures.
    borrowed
        Amount of each asset of `contracts` each pool borrows, shape (n_pools, n_assets); None: nothing.
    threads
        Number of threads; the result does not depend on it.

    Raises
    ------
    InputError
        A risk unit the rules do not know, loans without a tier of MR8, and what `risk_arrays` refuses.

    Notes
    -----
    MR3 adds `vega_share` of what expiries pay for each other when volatilities move together; MR4 moves the basis of
    every expiry by `basis` a year, each against the pool; MR5 shifts the rate at which options are discounted. OKX
    names these components, their formulas here are from memory.

    Examples
    --------
    Long 1 BTC of perpetual at 60,000 in 2025: a move of 12%, 24% counted by half, and 30% more for initial margin.

    >>> from .contracts import LINEAR, contract_prices, contract_table
    >>> from .okx_pm_file import load_okx_rules
    >>> table = contract_table(["BTC-USDT-SWAP"], ["BTC"], LINEAR, units=["BTC"])
    >>> margin = okx_margin(PositionBook([0, 1], [0], [1.0]), table, contract_prices(np.datetime64("2025-03-01"),
    ...                     [60_000.0]), load_okx_rules())
    >>> margin.spot_shock.round(6).tolist(), margin.extreme.round(6).tolist(), margin.initial.round(6).tolist()
    ([7200.0], [7200.0], [9360.0])
    """
    figures = [rules.unit(name) for name in contracts.units]
    run = _Run(contracts, prices, rules, np.unique(book.contract), threads)
    by_points = run.arrays(lambda one: one.spot_shock(rules.points))
    used = spot_in_use(book, by_points) if rules.uses_spot else book
    rows = unit_rows(used, contracts)
    scans = [run.scan(used, by_points), run.scan(used, run.arrays(lambda one: one.spot_shock(rules.fraction)))]
    spot = np.maximum(*scans)
    decay = run.scan(used, run.arrays(lambda one: one.decay(rules.points, rules.decay_days)))
    far = run.arrays(lambda one: one.extreme(rules.points, rules.extreme_share))
    extreme = run.scan(used, far)
    vega = rules.vega_share * _hedged_vega(used, by_points, rows, prices, figures)
    basis = _basis(used, by_points, rows, prices, figures)
    rate = _rate(used, by_points, rows, prices, rules.rate_shift)
    minimum = _minimum(used, far, rows, figures)
    unit = unit_maintenance(unit_margin(spot, decay, vega, basis, rate, extreme), minimum)
    depeg = _depeg(used, by_points, rows, prices, rules)
    loans, initial_loans = _borrowing(borrowed, contracts, prices, rules, len(book))
    units = group_sums(rows.pool, unit, len(book)) + depeg
    return OkxMargin(
        rows, spot, decay, vega, basis, rate, extreme, minimum, unit, loans, depeg,
        units + loans, rules.initial_multiple * units + initial_loans,
    )  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """What every pass over the scenarios shares."""

    contracts: ContractTable
    prices: ContractPrices
    rules: OkxRules
    held: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    threads: int

    def arrays(self, scenarios: Callable[[OkxUnit], UnitRule]) -> RiskArrays:
        units = {name: scenarios(self.rules.unit(name)) for name in self.contracts.units}
        rule = PortfolioRule(self.rules.venue, self.rules.effective_from, units)
        return risk_arrays(self.contracts, self.prices, rule, held=self.held)

    def scan(self, book: PositionBook, arrays: RiskArrays) -> FloatArray:
        return unit_losses(book, arrays, threads=self.threads).scan


def spot_in_use(book: PositionBook, arrays: RiskArrays) -> PositionBook:
    """The book with spot as far as it hedges the net delta of the derivatives in its risk unit, the rest left out.

    Source: OKX help centre, portfolio margin mode: spot in use is set by the delta of the derivatives of the unit.

    Examples
    --------
    3 BTC held against a short of 2 perpetuals count as 2:

    >>> from .contracts import LINEAR, contract_prices, contract_table
    >>> from .okx_pm_file import load_okx_rules
    >>> table = contract_table(["BTC", "BTC-USDT-SWAP"], ["BTC"] * 2, [SPOT, LINEAR], units=["BTC"])
    >>> rules = load_okx_rules()
    >>> rule = PortfolioRule("example", rules.effective_from, {"BTC": rules.unit("BTC").spot_shock(rules.points)})
    >>> arrays = risk_arrays(table, contract_prices(np.datetime64("2025-03-01"), [60_000.0] * 2), rule)
    >>> spot_in_use(PositionBook([0, 2], [0, 1], [3.0, -2.0]), arrays).quantity.tolist()
    [2.0, -2.0]
    """
    rows = unit_rows(book, arrays.contracts)
    row, delta = rows.row_of_entry, book.quantity * arrays.delta[book.contract]
    spot = arrays.contracts.kind[book.contract] == SPOT
    held, rest = (group_sums(row, np.where(part, delta, 0.0), len(rows)) for part in (spot, ~spot))
    share = np.clip(np.divide(-rest, held, out=np.zeros(len(rows)), where=held != 0), 0.0, 1.0)
    return PositionBook(book.pool_pointer, book.contract, np.where(spot, book.quantity * share[row], book.quantity))


def _hedged_vega(
    book: PositionBook, arrays: RiskArrays, rows: UnitRows, prices: ContractPrices, figures: list[OkxUnit]
) -> FloatArray:
    """What expiries pay for each other when volatilities move together, on the worse side."""
    still = np.array([one.still for one in figures])[arrays.contracts.unit[book.contract]]
    paid = []
    for later in (0, 2):
        own = book.quantity * arrays.profit[book.contract, still + later]
        nets = expiry_nets(book, arrays.contracts, prices, rows, own)
        gain, loss = (group_sums(nets.row, np.maximum(way * nets.net, 0.0), len(rows)) for way in (1.0, -1.0))
        paid.append(np.minimum(gain, loss))
    return np.maximum(*paid)


def _basis(
    book: PositionBook, arrays: RiskArrays, rows: UnitRows, prices: ContractPrices, figures: list[OkxUnit]
) -> FloatArray:
    nets = expiry_nets(book, arrays.contracts, prices, rows, book.quantity * arrays.delta[book.contract])
    annual = np.array([one.basis for one in figures])[rows.unit[nets.row]]
    return group_sums(nets.row, np.abs(nets.net) * annual * nets.years, len(rows))


def _rate(book: PositionBook, arrays: RiskArrays, rows: UnitRows, prices: ContractPrices, shift: float) -> FloatArray:
    option = arrays.contracts.is_option[book.contract]
    years = np.where(option, prices.years(arrays.contracts)[book.contract], 0.0)
    value = np.where(option, book.quantity * arrays.value[book.contract], 0.0)
    losses = [
        group_sums(rows.row_of_entry, -value * np.expm1(way * shift * years), len(rows)) for way in (-1.0, 1.0)
    ]  # fmt: skip
    return np.maximum(np.maximum(*losses), 0.0)


def _minimum(book: PositionBook, arrays: RiskArrays, rows: UnitRows, figures: list[OkxUnit]) -> FloatArray:
    measures = exposures(leg_exposures(book, arrays, rows, charged_measures(arrays.rules)), rows)
    raw = (measures * np.stack([one.charges.rates for one in figures])[rows.unit]).sum(axis=1)
    out = np.zeros(len(rows))
    for unit in np.unique(rows.unit):
        own, tiers = rows.unit == unit, figures[unit].multipliers
        out[own] = marginal_tier_charge(raw[own], tiers.caps, tiers.rates)
    return out


def _depeg(
    book: PositionBook, arrays: RiskArrays, rows: UnitRows, prices: ContractPrices, rules: OkxRules
) -> FloatArray:
    if rules.depeg is None:
        return np.zeros(len(book))
    contracts, held = arrays.contracts, book.contract
    in_coin = np.isin(contracts.kind, (INVERSE, INVERSE_OPTION, SPOT))
    named = np.array([contracts.assets[place] for place in contracts.settlement])
    currency = np.where(in_coin, "USD", named)[held]
    own = book.quantity * arrays.delta[held]
    delta = [group_sums(rows.row_of_entry, np.where(currency == one, own, 0.0), len(rows)) for one in CURRENCIES]
    hedged = currency_hedges(np.stack(delta, axis=1), PAIRS)
    # a currency without a price is not held, so nothing is hedged across it
    index = {name: price for name, price in zip(contracts.assets, prices.index.tolist(), strict=True) if price > 0}
    away = [abs(1.0 - index.get(CURRENCIES[a], 1.0) / index.get(CURRENCIES[b], 1.0)) for a, b in PAIRS]
    charge = depeg_charge(hedged, rules.depeg.caps, rules.depeg.rates, np.array(away)).sum(axis=1)
    return group_sums(rows.pool, charge, len(book))


def _borrowing(
    borrowed: ArrayLike | None, contracts: ContractTable, prices: ContractPrices, rules: OkxRules, pools: int
) -> tuple[FloatArray, FloatArray]:
    """Maintenance and initial margin of loans."""
    if borrowed is None:
        return np.zeros(pools), np.zeros(pools)
    if rules.loans is None or rules.initial_loans is None:
        raise InputError(f"the {rules.venue} rule has no tiers for loans", column="borrowed")
    amount = np.asarray(borrowed, np.float64)
    require_shape(amount, (pools, len(contracts.assets)), "borrowed")
    unpriced = (amount != 0) & ~(prices.index > 0)
    if unpriced.any():
        pool, asset = (int(place) for place in np.argwhere(unpriced)[0])
        raise InputError("a loan needs an index price", row=pool, column="borrowed", value=contracts.assets[asset])
    value = np.where(amount != 0, amount * np.where(prices.index > 0, prices.index, 0.0), 0.0)
    maintenance, initial = (
        borrowing_margin(value, tiers.caps, tiers.rates).sum(axis=1) for tiers in (rules.loans, rules.initial_loans)
    )
    return maintenance, initial
