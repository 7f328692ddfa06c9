"""What a Derive (Lyra v2) subaccount holds, and the prices it is valued with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray, require
from ..errors import InputError
from .derive_options import ExpiryFeeds, OptionLegs, freeze_columns, not_negative, positive, shares


@dataclass(frozen=True)
class CollateralHoldings:
    """Assets held beside cash, as PMRM_2 takes them, shape (n_assets,) each.

    Parameters
    ----------
    names
        As in the rules.
    quantity
        Not negative: Derive lends cash only.
    price, confidence
        USD price and the confidence of its feed, in [0, 1].
    """

    names: tuple[str, ...]
    quantity: FloatArray
    price: FloatArray
    confidence: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        freeze_columns(self, "quantity", "price", "confidence")
        if len(self.names) != len(self.quantity):
            raise InputError(f"has {len(self.names)} names for {len(self.quantity)} holdings", column="names")
        require(not_negative(self.quantity), self.quantity, "collateral must not be negative", "quantity")
        require(positive(self.price), self.price, "must be positive", "price")
        require(shares(self.confidence), self.confidence, "must be in [0, 1]", "confidence")

    @classmethod
    def none(cls) -> CollateralHoldings:
        """No collateral but cash."""
        return cls((), np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class DeriveMarket:
    """Spot, perpetual, base asset and options of one underlying.

    Parameters
    ----------
    spot, spot_confidence
        USD index, positive, and the confidence of its feed.
    perp_quantity, perp_price, perp_confidence
        Signed position, its mark price (positive where there is a position) and that feed's confidence.
    perp_profit, perp_funding
        Unsettled profit and funding of the perpetual, USD.
    base
        Quantity of the base asset, for SRM and the first PMRM; PMRM_2 takes it as collateral.
    options, feeds
        Legs, and a feed for every expiry among them.

    Raises
    ------
    InputError
        A spot that is not positive, a perpetual without a price, an option whose expiry has no feed.
    """

    spot: float
    spot_confidence: float = 1.0
    perp_quantity: float = 0.0
    perp_price: float = 0.0
    perp_confidence: float = 1.0
    perp_profit: float = 0.0
    perp_funding: float = 0.0
    base: float = 0.0
    options: OptionLegs = field(default_factory=OptionLegs.none)
    feeds: ExpiryFeeds = field(default_factory=ExpiryFeeds.none)

    def __post_init__(self) -> None:
        for name in ("spot", "perp_price"):
            needed = name == "spot" or self.perp_quantity != 0
            if needed and not 0 < getattr(self, name) < np.inf:
                raise InputError("must be positive", column=name, value=getattr(self, name))
        for name in ("perp_quantity", "perp_profit", "perp_funding"):
            if not np.isfinite(getattr(self, name)):
                raise InputError("must be finite", column=name, value=getattr(self, name))
        if not 0 <= self.base < np.inf:
            raise InputError("must not be negative: Derive lends cash only", column="base", value=self.base)
        for name in ("spot_confidence", "perp_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError("must be in [0, 1]", column=name, value=getattr(self, name))
        self.feeds.rows_of(self.options.seconds)

    @property
    def rows(self) -> IntArray:
        """Row of the feed of each leg."""
        return self.feeds.rows_of(self.options.seconds)

    def per_expiry(self, values: FloatArray) -> FloatArray:
        """Sums of a figure of each leg, (..., n_legs), over the legs of each expiry, (..., n_expiries)."""
        rows = self.rows
        order = np.argsort(rows, kind="stable")
        held, starts = np.unique(rows[order], return_index=True)
        sums = np.zeros((*values.shape[:-1], len(self.feeds)))
        if len(held):
            sums[..., held] = np.add.reduceat(values[..., order], starts, axis=-1)
        return sums


@dataclass(frozen=True)
class DerivePortfolio:
    """A subaccount: cash and what it holds in each market.

    Parameters
    ----------
    cash
        USDC, negative where borrowed.
    markets
        By name of the underlying.
    stable_price
        USD price of USDC, positive.
    collateral
        Assets besides, for PMRM_2.

    Examples
    --------
    >>> portfolio = DerivePortfolio(1000.0, {"ETH": DeriveMarket(2000.0, base=1.5)})
    >>> portfolio.only_market().base, portfolio.scaled(0.5).only_market().base
    (1.5, 0.75)
    """

    cash: float
    markets: Mapping[str, DeriveMarket]
    stable_price: float = 1.0
    collateral: CollateralHoldings = field(default_factory=CollateralHoldings.none)

    def __post_init__(self) -> None:
        object.__setattr__(self, "markets", MappingProxyType(dict(self.markets)))
        if not np.isfinite(self.cash):
            raise InputError("must be finite", column="cash", value=self.cash)
        if not 0 < self.stable_price < np.inf:
            raise InputError("must be positive", column="stable_price", value=self.stable_price)

    def only_market(self) -> DeriveMarket:
        """The one market of a portfolio-margin subaccount; InputError where there are none or several."""
        if len(self.markets) != 1:
            problem = "portfolio margin takes exactly one market"
            raise InputError(problem, column="markets", value=", ".join(self.markets))
        return next(iter(self.markets.values()))

    def scaled(self, share: float) -> DerivePortfolio:
        """The subaccount with this share of everything, cash included: what a partial liquidation takes or leaves."""
        markets = {name: _scaled(market, share) for name, market in self.markets.items()}
        collateral = replace(self.collateral, quantity=self.collateral.quantity * share)
        return replace(self, cash=self.cash * share, markets=markets, collateral=collateral)


def _scaled(market: DeriveMarket, share: float) -> DeriveMarket:
    owned = ("perp_quantity", "perp_profit", "perp_funding", "base")
    sizes: dict[str, Any] = {name: getattr(market, name) * share for name in owned}
    return replace(market, options=replace(market.options, quantity=market.options.quantity * share), **sizes)
