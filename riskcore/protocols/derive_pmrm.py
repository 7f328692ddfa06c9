"""Portfolio margin of Derive: the worst of a grid of scenarios, and contingencies, in both versions.

Source: derivexyz/v2-core, PMRM with PMRMLib and PMRM_2 with PMRMLib_2; the rules in words stand in VENUES.md and in the
venue's test cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray
from ..errors import InputError
from .derive_pmrm_rules import DerivePmrm2Rules, DerivePmrmRules
from .derive_portfolio import DeriveMarket, DerivePortfolio
from .derive_stress import DeriveStress, derive_stress, naked_shorts
from .derive_terms import ConfidenceTerms


@dataclass(frozen=True)
class PmrmContingencies:
    """Static charges, USD, none negative: on the perpetual, on naked short options, and on base asset or collateral."""

    perp: float
    option: float
    collateral: float

    @property
    def total(self) -> float:
        """All three."""
        return self.perp + self.option + self.collateral


@dataclass(frozen=True)
class DerivePmrmMargin:
    """Net margins of a portfolio-margin subaccount, USD: safe at 0 and above.

    Parameters
    ----------
    initial, maintenance
        Net margin.
    cash, positions
        Cash, and mark value of everything else.
    stress
        Profit in each scenario and basis contingency.
    initial_factor, maintenance_factor
        What the worst loss was multiplied by; the initial one grows while the stablecoin is off its peg.
    maintenance_contingencies, initial_contingencies
        Static charges to both margins, and those to initial margin besides.
    confidence
        Charge to initial margin for feeds of low confidence.
    """

    initial: float
    maintenance: float
    cash: float
    positions: float
    stress: DeriveStress
    initial_factor: float
    maintenance_factor: float
    maintenance_contingencies: PmrmContingencies
    initial_contingencies: PmrmContingencies
    confidence: float

    @property
    def mark_to_market(self) -> float:
        """Value of everything held, cash included."""
        return self.cash + self.positions

    @property
    def scenario_profit(self) -> FloatArray:
        """Profit in each scenario against the mark, shape (n_scenarios,)."""
        return self.stress.profit

    @property
    def worst_scenario(self) -> int:
        """The scenario that sets the margin; n_scenarios where the basis contingency does."""
        return self.stress.worst


def derive_pmrm_margin(portfolio: DerivePortfolio, rules: DerivePmrmRules) -> DerivePmrmMargin:
    """Net margin under the first version: the static contingency is part of what the initial factor multiplies.

    Raises
    ------
    InputError
        More than one market, or collateral other than cash and the base asset.

    Examples
    --------
    A perpetual of 1 at 1505 over spot 1500: 15% of 1505 and 2% of 1500, and 1.3 times that.

    >>> from .derive_pmrm_rules import load_derive_pmrm_rules
    >>> held = DeriveMarket(spot=1500.0, perp_quantity=1.0, perp_price=1505.0)
    >>> margin = derive_pmrm_margin(DerivePortfolio(0.0, {"ETH": held}), load_derive_pmrm_rules())
    >>> round(margin.maintenance, 6), round(margin.initial, 6), margin.worst_scenario
    (-255.75, -332.475, 18)
    """
    market = portfolio.only_market()
    if portfolio.collateral.names:
        problem = "the first version takes cash and the base asset only"
        raise InputError(problem, column="collateral", value=portfolio.collateral.names[0])
    base = market.base * market.spot / portfolio.stable_price
    stress = derive_stress(market, base, rules.stress)
    shares, size = rules.contingency, abs(market.perp_quantity)
    static = PmrmContingencies(
        shares.perp * size * market.spot,
        shares.option * naked_shorts(market) * market.spot,
        shares.base * market.base * market.spot,
    )
    confidence = _confidence_charge(market, rules.confidence, (size + market.base) * market.spot)
    positions = _positions(market, stress) + base
    loss = stress.loss - static.total
    factor = rules.factors.initial + rules.peg.excess(portfolio.stable_price)
    worth = portfolio.cash + positions
    return DerivePmrmMargin(
        worth + loss * factor - confidence,
        worth + loss,
        portfolio.cash,
        positions,
        stress,
        factor,
        1.0,
        static,
        PmrmContingencies(0.0, 0.0, 0.0),
        confidence,
    )


def derive_pmrm2_margin(portfolio: DerivePortfolio, rules: DerivePmrm2Rules) -> DerivePmrmMargin:
    """Net margin under the second version.

    Raises
    ------
    InputError
        More than one market, a base asset outside collateral, or collateral the rules do not take.

    Examples
    --------
    A perpetual of 1 at 2500 over spot 3000: 0.8 times 18% of 2500, and 1.5% of 3000.

    >>> from .derive_pmrm_rules import load_derive_pmrm2_rules
    >>> held = DeriveMarket(spot=3000.0, perp_quantity=1.0, perp_price=2500.0)
    >>> round(derive_pmrm2_margin(DerivePortfolio(0.0, {"ETH": held}), load_derive_pmrm2_rules()).maintenance, 6)
    -405.0
    """
    market = portfolio.only_market()
    if market.base:
        raise InputError("the second version takes the base asset as collateral", column="base", value=market.base)
    held = portfolio.collateral
    terms = rules.collateral_of(next(iter(portfolio.markets)), held.names)
    values = held.quantity * held.price / portfolio.stable_price
    moving = float(values[[term.moves_with_spot for term in terms]].sum()) if terms else 0.0
    stress = derive_stress(market, moving, rules.stress)
    maintenance_haircuts = float((values * [term.maintenance_haircut for term in terms]).sum())
    initial_haircuts = float((values * [term.initial_haircut for term in terms]).sum())
    notional, naked = abs(market.perp_quantity) * market.spot, naked_shorts(market) * market.spot
    shares = rules.contingency
    maintenance = PmrmContingencies(
        shares.maintenance_perp * notional, shares.maintenance_option * naked, maintenance_haircuts
    )
    initial = PmrmContingencies(shares.initial_perp * notional, shares.initial_option * naked, initial_haircuts)
    confidence = _confidence_charge(market, rules.confidence, notional)
    confidence += _collateral_charge(portfolio, values, market.spot_confidence, rules.confidence)
    positions = _positions(market, stress) + float(values.sum())
    factor = rules.factors.initial + rules.peg.excess(portfolio.stable_price)
    worth = portfolio.cash + positions - maintenance.total
    return DerivePmrmMargin(
        worth + stress.loss * factor - initial.total - confidence,
        worth + stress.loss * rules.factors.maintenance,
        portfolio.cash,
        positions,
        stress,
        factor,
        rules.factors.maintenance,
        maintenance,
        initial,
        confidence,
    )


def _positions(market: DeriveMarket, stress: DeriveStress) -> float:
    return float(stress.marks.sum()) + market.perp_profit + market.perp_funding


def _confidence_charge(market: DeriveMarket, terms: ConfidenceTerms, notional: float) -> float:
    """Charge on perpetual and base, `notional`, and on the options of each expiry."""
    least = market.spot_confidence
    if market.perp_quantity:
        least = min(least, market.perp_confidence)
    confidence = np.minimum(_expiry_confidences(market), least).tolist()
    sizes = (market.per_expiry(np.abs(market.options.quantity)) * market.spot).tolist()
    each = zip(confidence, sizes, strict=True)
    return terms.charge(least, notional) + sum(terms.charge(feed, size) for feed, size in each)


def _expiry_confidences(market: DeriveMarket) -> FloatArray:
    """Least confidence of each expiry's forward, rate, surface and legs."""
    feeds = market.feeds
    least = np.minimum(np.minimum(feeds.confidence, feeds.rate_confidence), feeds.volatility_confidence)
    np.minimum.at(least, market.rows, market.options.confidence)
    return least


def _collateral_charge(
    portfolio: DerivePortfolio, values: FloatArray, spot_confidence: float, terms: ConfidenceTerms
) -> float:
    confidence = np.minimum(portfolio.collateral.confidence, spot_confidence).tolist()
    return sum(terms.charge(feed, value) for feed, value in zip(confidence, values.tolist(), strict=True))
