"""Margin of Derive's standard manager (SRM): rules by position, the better of two option margins per expiry.

Source: derivexyz/v2-core, StandardManager; the rule in words stands in VENUES.md and in the venue's test cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray
from ..errors import InputError
from ..options.black76 import CALL, value
from .derive_portfolio import DeriveMarket, DerivePortfolio
from .derive_srm_rules import DeriveSrmRules


@dataclass(frozen=True)
class SrmMarketMargin:
    """What one market adds to the net margin of a subaccount, USD; requirements and charges are not positive.

    Parameters
    ----------
    perp, perp_profit
        Requirement of the perpetual, and its unsettled profit and funding.
    isolated, bounded
        Option margin of each expiry by the sum over short legs, and by the worst payoff over all strikes and 0; shape
        (n_expiries,). The better counts.
    base
        What the base asset counts for.
    oracle, depeg
        Charges for feeds of low confidence and for a stablecoin off its peg; 0 for maintenance.
    """

    perp: float
    perp_profit: float
    isolated: FloatArray
    bounded: FloatArray
    base: float
    oracle: float
    depeg: float

    @property
    def options(self) -> FloatArray:
        """Option margin of each expiry, shape (n_expiries,)."""
        return np.maximum(self.isolated, self.bounded)

    @property
    def net(self) -> float:
        """The market's part of the net margin."""
        parts = (self.perp_profit, self.base, self.perp, float(self.options.sum()), self.oracle, self.depeg)
        return float(sum(parts))


@dataclass(frozen=True)
class DeriveSrmMargin:
    """Net margins of a subaccount, USD: safe at 0 and above.

    Parameters
    ----------
    initial, maintenance
        Net margin: cash plus the parts of the markets.
    mark_to_market
        Value of everything held, cash included.
    initial_parts, maintenance_parts
        By market.
    """

    initial: float
    maintenance: float
    mark_to_market: float
    initial_parts: Mapping[str, SrmMarketMargin]
    maintenance_parts: Mapping[str, SrmMarketMargin]


def derive_srm_margin(portfolio: DerivePortfolio, rules: DeriveSrmRules) -> DeriveSrmMargin:
    """Net margin of a subaccount under the standard manager.

    Raises
    ------
    InputError
        Collateral other than cash and base assets, which this manager does not take.

    Examples
    --------
    A perpetual of 2 at 2000 needs 6.5% to open and 5% to stay; 100 of profit counts.

    >>> from .derive_srm_rules import load_derive_srm_rules
    >>> market = DeriveMarket(spot=2000.0, perp_quantity=-2.0, perp_price=2000.0, perp_profit=100.0)
    >>> margin = derive_srm_margin(DerivePortfolio(0.0, {"ETH": market}), load_derive_srm_rules())
    >>> margin.initial, margin.maintenance, margin.mark_to_market
    (-160.0, -100.0, 100.0)
    """
    if portfolio.collateral.names:
        problem = "the standard manager takes cash and base assets only"
        raise InputError(problem, column="collateral", value=portfolio.collateral.names[0])
    markets = portfolio.markets.items()
    marks = {name: _option_marks(market) for name, market in markets}
    excess = rules.depeg.excess(portfolio.stable_price)
    initial = {name: _initial(market, marks[name], rules, excess) for name, market in markets}
    maintenance = {name: _maintenance(market, marks[name], rules) for name, market in markets}
    held = [_market_value(market, marks[name], portfolio.stable_price) for name, market in markets]
    return DeriveSrmMargin(
        portfolio.cash + sum(part.net for part in initial.values()),
        portfolio.cash + sum(part.net for part in maintenance.values()),
        portfolio.cash + sum(held),
        initial,
        maintenance,
    )


def _option_marks(market: DeriveMarket) -> FloatArray:
    legs = market.options
    forward = market.feeds.forward[market.rows]
    return legs.quantity * value(forward, legs.strike, legs.years, legs.volatility, legs.right)


def _market_value(market: DeriveMarket, marks: FloatArray, stable_price: float) -> float:
    base = market.base * market.spot / stable_price
    return float(marks.sum()) + market.perp_profit + market.perp_funding + base


def _initial(market: DeriveMarket, marks: FloatArray, rules: DeriveSrmRules, excess: float) -> SrmMarketMargin:
    legs, size = market.options, abs(market.perp_quantity)
    shorts = float(np.maximum(-legs.quantity, 0.0).sum())
    return SrmMarketMargin(
        -rules.perp.initial * size * market.perp_price,
        market.perp_profit + market.perp_funding,
        market.per_expiry(_isolated_initial(market, marks, rules)),
        _bounded(market, rules.option.unpaired_initial),
        rules.base.factor * rules.base.initial_scale * market.base * market.spot,
        -_oracle_charge(market, rules),
        -excess * (shorts + size) * market.spot,
    )


def _maintenance(market: DeriveMarket, marks: FloatArray, rules: DeriveSrmRules) -> SrmMarketMargin:
    return SrmMarketMargin(
        -rules.perp.maintenance * abs(market.perp_quantity) * market.perp_price,
        market.perp_profit + market.perp_funding,
        market.per_expiry(_isolated_maintenance(market, marks, rules)),
        _bounded(market, rules.option.unpaired_maintenance),
        rules.base.factor * market.base * market.spot,
        0.0,
        0.0,
    )


def _isolated_maintenance(market: DeriveMarket, marks: FloatArray, rules: DeriveSrmRules) -> FloatArray:
    legs, terms = market.options, rules.option
    short = np.minimum(legs.quantity, 0.0) * market.spot
    put = np.minimum(terms.maintenance_put * short, terms.maintenance_put_mark * marks)
    added = np.where(legs.right == CALL, terms.maintenance_call * short, put)
    return np.where(legs.quantity < 0, marks + added, 0.0)


def _isolated_initial(market: DeriveMarket, marks: FloatArray, rules: DeriveSrmRules) -> FloatArray:
    legs, terms = market.options, rules.option
    out_of_money = np.maximum(legs.right * (legs.strike - market.spot), 0.0) / market.spot
    share = np.maximum(terms.initial_most - out_of_money, terms.initial_least)
    margin = marks + share * np.minimum(legs.quantity, 0.0) * market.spot
    least_of_put = terms.initial_over_maintenance * _isolated_maintenance(market, marks, rules)
    return np.where(legs.quantity < 0, np.where(legs.right == CALL, margin, np.minimum(margin, least_of_put)), 0.0)


def _bounded(market: DeriveMarket, unpaired: float) -> FloatArray:
    """Worst payoff of each expiry over its strikes and 0, never above 0, and the charge on calls left uncovered."""
    legs, rows = market.options, market.rows
    worst = np.zeros(len(market.feeds))
    for row in np.unique(rows):
        of = rows == row
        strike, right, quantity = legs.strike[of], legs.right[of], legs.quantity[of]
        price = np.append(strike, 0.0)[:, None]
        payoff = (np.maximum(right * (price - strike), 0.0) * quantity).sum(axis=1)
        uncovered = max(-quantity[right == CALL].sum(), 0.0)
        worst[row] = min(payoff.min(), 0.0) - unpaired * uncovered * market.feeds.forward[row]
    return worst


def _oracle_charge(market: DeriveMarket, rules: DeriveSrmRules) -> float:
    oracle, feeds, spot = rules.oracle, market.feeds, market.spot
    both = min(market.spot_confidence, market.perp_confidence)
    charge = oracle.charge(both, oracle.perp, abs(market.perp_quantity) * spot)
    charge += oracle.charge(market.spot_confidence, oracle.base, market.base * spot)
    shorts = market.per_expiry(np.maximum(-market.options.quantity, 0.0))
    least = np.minimum(np.minimum(feeds.confidence, feeds.volatility_confidence), market.spot_confidence)
    each = zip(least.tolist(), shorts.tolist(), strict=True)
    return charge + sum(oracle.charge(confidence, oracle.option, size * spot) for confidence, size in each)
