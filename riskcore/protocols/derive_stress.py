"""Profit of a Derive risk unit in every scenario, its basis charge and its short options no long one covers.

Source: derivexyz/v2-core, PMRMLib and PMRMLib_2; the rules in words stand in VENUES.md and in the venue's test cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, frozen
from ..options.black76 import value
from .derive_options import SECONDS_A_DAY
from .derive_portfolio import DeriveMarket
from .derive_scenarios import FLAT, StressTerms


@dataclass(frozen=True)
class DeriveStress:
    """What the scenarios do to one risk unit, USD.

    Parameters
    ----------
    marks
        Mark value of each expiry, shape (n_expiries,).
    profit
        Profit, or loss below zero, against the mark in each scenario, shape (n_scenarios,).
    basis
        Basis contingency, not positive.

    Examples
    --------
    >>> import numpy as np
    >>> DeriveStress(np.zeros(0), np.array([3.0, -5.0, -4.0]), -4.5).worst
    1
    """

    marks: FloatArray
    profit: FloatArray
    basis: float

    def __post_init__(self) -> None:
        for name in ("marks", "profit"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))

    @property
    def worst(self) -> int:
        """The first scenario of the least profit; n_scenarios where none is below the basis contingency."""
        least = int(np.argmin(self.profit))
        return least if self.profit[least] < self.basis else len(self.profit)

    @property
    def loss(self) -> float:
        """The worst scenario's profit, or the basis contingency where that is less; not positive."""
        return min(float(self.profit.min()), self.basis)


def derive_stress(market: DeriveMarket, moving: float, terms: StressTerms) -> DeriveStress:
    """Profit of a market's perpetual and options, and of collateral that moves with spot, in every scenario.

    Parameters
    ----------
    market
        What is held; its base asset is not looked at.
    moving
        USD value of collateral that moves with spot.
    terms
        Scenarios and shocks.

    Examples
    --------
    A perpetual of 1 at 2000 and collateral of 500, spot up a tenth: 200 and 50.

    >>> from ..portfolio.scenario_grid import VolatilityShock
    >>> from .derive_scenarios import BasisTerms, DeriveScenarios, DiscountTerms
    >>> grid = DeriveScenarios.of([1.1, 0.9], ["up", "up"])
    >>> shock = VolatilityShock(up=0.45, down=0.3, short_power=0.3, long_power=0.13)
    >>> terms = StressTerms(grid, shock, BasisTerms(1.05, 0.95, 0.25, 0.01), DiscountTerms(0.95, 4.0, 0.05))
    >>> held = DeriveMarket(spot=2000.0, perp_quantity=1.0, perp_price=2000.0)
    >>> derive_stress(held, 500.0, terms).profit.round(6).tolist()
    [250.0, -250.0]
    """
    grid, legs = terms.scenarios.grid, market.options
    marks = _expiry_values(market, np.zeros(1), legs.volatility, terms)[0]
    shocked = _expiry_values(market, grid.move, _volatilities(market, terms), terms)
    change = (_statically_discounted(market, shocked, terms) - marks) * grid.weight[:, None]
    change = np.where(terms.scenarios.skew[:, None] == FLAT, change, -np.abs(change))
    straight = (market.perp_quantity * market.perp_price + moving) * grid.move * grid.weight
    return DeriveStress(marks, change.sum(axis=1) + straight, _basis_contingency(market, marks, terms))


def naked_shorts(market: DeriveMarket) -> float:
    """Options short beyond those held long at the same expiry and strike, calls and puts together.

    Examples
    --------
    >>> from .derive_options import ExpiryFeeds, OptionLegs
    >>> legs = OptionLegs.of([86400.0] * 3, [100.0, 100.0, 120.0], [1, -1, 1], [-3.0, 1.0, -0.5], 0.5)
    >>> naked_shorts(DeriveMarket(100.0, options=legs, feeds=ExpiryFeeds.of([86400.0], [100.0])))
    2.5
    """
    legs = market.options
    _, place = np.unique(np.column_stack((legs.seconds, legs.strike)), axis=0, return_inverse=True)
    return float(np.maximum(-np.bincount(place.ravel(), weights=legs.quantity), 0.0).sum())


def _expiry_values(market: DeriveMarket, move: FloatArray, volatility: FloatArray, terms: StressTerms) -> FloatArray:
    """Value of each expiry, (n_scenarios, n_expiries), for volatilities of each leg, by scenario or for all."""
    legs, feeds, rows = market.options, market.feeds, market.rows
    forward = (feeds.variable * (1.0 + move[:, None]) + feeds.fixed)[:, rows]
    discount = np.exp(-_rate(market) * feeds.years)[rows] if terms.discounted else 1.0
    unit = value(forward, legs.strike, legs.years, volatility, legs.right, discount)
    return market.per_expiry(legs.quantity * unit)


def _volatilities(market: DeriveMarket, terms: StressTerms) -> FloatArray:
    """Volatility of each leg in each scenario, (n_scenarios, n_legs)."""
    legs, scenarios = market.options, terms.scenarios
    days = legs.seconds / SECONDS_A_DAY
    moved = terms.volatility.shocked(legs.volatility, days, scenarios.grid.volatility[:, None])
    forward = market.feeds.forward[market.rows]
    for row in np.flatnonzero(scenarios.skew != FLAT):
        if terms.skew is not None:
            factor = terms.skew.factor(forward, legs.strike, legs.years, int(scenarios.skew[row]))
            moved[row] = legs.volatility * factor
    return moved


def _statically_discounted(market: DeriveMarket, values: FloatArray, terms: StressTerms) -> FloatArray:
    years, rate = market.feeds.years, _rate(market)
    short = 1.0 if terms.short is None else terms.short.inverse(years, rate)
    return values * np.where(values >= 0, terms.long.factor(years, rate), short)


def _basis_contingency(market: DeriveMarket, marks: FloatArray, terms: StressTerms) -> float:
    basis = terms.basis
    moves = np.array([basis.up, basis.down]) - 1.0
    change = _expiry_values(market, moves, market.options.volatility, terms) - marks
    lost = np.minimum(change.min(axis=0), 0.0)
    return float((lost * (basis.added + basis.per_year * market.feeds.years)).sum())


def _rate(market: DeriveMarket) -> FloatArray:
    return np.maximum(market.feeds.rate, 0.0)
