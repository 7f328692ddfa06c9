"""SPAN parameters of combined commodities: tiers, spread and delivery charges, credits, short option minimum."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import InputError
from .span_arrays import SpanScan

LONG, SHORT = "A", "B"
"""Sides of a spread: legs on the same side have deltas of one sign, which sign is open."""
GROSS, LARGER = "gross", "max"
"""Short option minimum on all short options, or on the more numerous of short calls and short puts."""
NORMAL, SCAN_RANGE, SCAN_RANGE_CAP = "normal", "scan_range", "scan_range_cap"
"""Weighted price risk of one delta: price risk by net delta, the scan range, or the first capped by the second."""


@dataclass(frozen=True)
class SpanTier:
    """A run of contract periods, such as 202406 : 202412, both included."""

    name: str
    first: int
    last: int

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise InputError("ends before it begins", column=f"tier {self.name}", value=self.last)


@dataclass(frozen=True)
class SpreadLeg:
    """One leg of a spread: which tier (or commodity) it takes deltas from, how many a spread, on which side."""

    of: str
    ratio: float
    side: str

    def __post_init__(self) -> None:
        if not 0 < self.ratio < math.inf:
            raise InputError("must be positive", column=f"leg {self.of} ratio", value=self.ratio)
        if self.side not in (LONG, SHORT):
            raise InputError('must be "A" or "B"', column=f"leg {self.of} side", value=self.side)


@dataclass(frozen=True)
class SpreadCharge:
    """A charge, currency, for each spread formed between tiers of one commodity."""

    legs: tuple[SpreadLeg, ...]
    charge: float

    def __post_init__(self) -> None:
        _require_two_sides(self.legs)
        _require_range("charge", self.charge, math.inf)


@dataclass(frozen=True)
class DeliveryCharge:
    """Charges, currency per delta, in one contract period near delivery: for deltas in spreads, and for the rest."""

    period: int
    in_spread: float
    outright: float

    def __post_init__(self) -> None:
        _require_range("in_spread", self.in_spread, math.inf)
        _require_range("outright", self.outright, math.inf)


@dataclass(frozen=True)
class SpanCommodity:
    """A combined commodity: what SPAN scans as one.

    Parameters
    ----------
    scan
        How far its price and volatility are moved.
    tiers, spreads
        Contract periods in tiers, and charges for spreads between them in the order of priority.
    delivery
        Charges near delivery.
    short_option_minimum, short_option_method
        Currency per short option contract, and whether it counts GROSS or LARGER.
    price_risk, scan_range
        How a delta's price risk for credits is found, and the scan range of one delta, currency, where that needs it.
    limit_option_value
        Whether option value beyond the commodity's own risk is kept from paying for other commodities.
    """

    scan: SpanScan
    tiers: tuple[SpanTier, ...] = ()
    spreads: tuple[SpreadCharge, ...] = ()
    delivery: tuple[DeliveryCharge, ...] = ()
    short_option_minimum: float = 0.0
    short_option_method: str = GROSS
    price_risk: str = NORMAL
    scan_range: float = math.inf
    limit_option_value: bool = False

    def __post_init__(self) -> None:
        names = [tier.name for tier in self.tiers]
        for row, tier in enumerate(self.tiers):
            if tier.name in names[:row]:
                raise InputError("is listed twice", row=row, column="tiers", value=tier.name)
            if any(tier.first <= other.last and other.first <= tier.last for other in self.tiers[:row]):
                raise InputError("overlaps another tier", row=row, column="tiers", value=tier.name)
        for row, spread in enumerate(self.spreads):
            for leg in spread.legs:
                if leg.of not in names:
                    raise InputError("is not a tier of the commodity", row=row, column="spreads", value=leg.of)
        _require_range("short_option_minimum", self.short_option_minimum, math.inf)
        if self.short_option_method not in (GROSS, LARGER):
            raise InputError('must be "gross" or "max"', column="short_option_method", value=self.short_option_method)
        if self.price_risk not in (NORMAL, SCAN_RANGE, SCAN_RANGE_CAP):
            raise InputError("is not a method of price risk", column="price_risk", value=self.price_risk)
        if not self.scan_range > 0 or (self.price_risk != NORMAL and self.scan_range == math.inf):
            raise InputError("must be positive, and given for this price risk", column="scan_range")


@dataclass(frozen=True)
class SpreadCredit:
    """A credit for deltas of several commodities that offset: a share of the price risk of the deltas used.

    `rate` is a fraction in [0, 1]; `legs` name commodities.
    """

    legs: tuple[SpreadLeg, ...]
    rate: float

    def __post_init__(self) -> None:
        _require_two_sides(self.legs)
        if len({leg.of for leg in self.legs}) < len(self.legs):
            raise InputError("names a commodity twice", column="legs")
        _require_range("rate", self.rate, 1.0)


@dataclass(frozen=True)
class SpanRules:
    """SPAN parameters of a clearing house from one date on.

    Parameters
    ----------
    venue, effective_from
        Whose, and the first day they held.
    commodities
        Combined commodities by name.
    credits
        Inter-commodity credits in the order of priority.
    initial_ratio
        Initial requirement as a multiple of the maintenance risk.
    sources
        Where the figures come from, by what they are.
    """

    venue: str
    effective_from: dt.date
    commodities: Mapping[str, SpanCommodity]
    credits: tuple[SpreadCredit, ...] = ()
    initial_ratio: float = 1.0
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.commodities:
            raise InputError("needs at least one combined commodity", column="commodities")
        for row, credit in enumerate(self.credits):
            for leg in credit.legs:
                if leg.of not in self.commodities:
                    raise InputError("is not a combined commodity", row=row, column="credits", value=leg.of)
        if not 1 <= self.initial_ratio < math.inf:
            raise InputError("must be at least 1", column="initial_ratio", value=self.initial_ratio)


def _require_two_sides(legs: tuple[SpreadLeg, ...]) -> None:
    if {leg.side for leg in legs} != {LONG, SHORT}:
        raise InputError("a spread needs legs on both sides", column="legs")


def _require_range(name: str, value: float, high: float) -> None:
    if not (0 <= value <= high and math.isfinite(value)):
        raise InputError(f"must be in [0, {high:g}]", column=name, value=value)
