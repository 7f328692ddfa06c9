"""SPAN spreads: deltas of opposite sign used up against each other, within one commodity and between several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray
from .span_rules import LONG, SpanCommodity, SpreadCredit, SpreadLeg


@dataclass(frozen=True)
class SpreadResult:
    """What spreads and delivery cost in one commodity.

    Parameters
    ----------
    periods
        Contract periods with positions, rising.
    used, left
        Absolute deltas of each period used in spreads, and left over.
    charge
        Intra-commodity spread charge, currency.
    delivery
        Delivery charge, currency.
    """

    periods: IntArray
    used: FloatArray
    left: FloatArray
    charge: float
    delivery: float


def spread_charges(commodity: SpanCommodity, period: IntArray, delta: FloatArray) -> SpreadResult:
    """Form the spreads of one commodity in their order of priority, and charge for them and for delivery.

    Deltas net within a contract period. A spread takes as many as its scarcest leg allows, with side A long and then
    with side A short; a tier gives its nearest periods first. Numbers of spreads are not rounded.

    Examples
    --------
    Long 3 of the near tier against short 2 of the far one, 100 a spread:

    >>> from .span_arrays import SpanScan
    >>> from .span_rules import SpanTier, SpreadCharge
    >>> legs = (SpreadLeg("near", 1, "A"), SpreadLeg("far", 1, "B"))
    >>> tiers = (SpanTier("near", 202401, 202403), SpanTier("far", 202404, 202412))
    >>> commodity = SpanCommodity(SpanScan(10.0), tiers, (SpreadCharge(legs, 100.0),))
    >>> found = spread_charges(commodity, np.array([202403, 202406]), np.array([3.0, -2.0]))
    >>> found.charge, found.left.tolist()
    (200.0, [1.0, 0.0])
    """
    periods, place = np.unique(period, return_inverse=True)
    net = np.bincount(place.ravel(), weights=delta, minlength=len(periods)).astype(np.float64)
    left, charge = net.copy(), 0.0
    within = {tier.name: (periods >= tier.first) & (periods <= tier.last) for tier in commodity.tiers}
    for spread in commodity.spreads:
        for sign in (1.0, -1.0):
            wanted: dict[tuple[str, float], float] = {}
            for leg in spread.legs:
                key = (leg.of, sign if leg.side == LONG else -sign)
                wanted[key] = wanted.get(key, 0.0) + leg.ratio
            count = min(_available(left[within[of]], way) / ratio for (of, way), ratio in wanted.items())
            for (of, way), ratio in wanted.items():
                _take(left, within[of], way, count * ratio)
            charge += count * spread.charge
    used = np.abs(net) - np.abs(left)
    at = {int(one): k for k, one in enumerate(periods)}
    delivery = sum(
        used[at[one.period]] * one.in_spread + abs(left[at[one.period]]) * one.outright
        for one in commodity.delivery
        if one.period in at
    )
    return SpreadResult(periods, used, np.abs(left), charge, float(delivery))


def _available(left: FloatArray, way: float) -> float:
    return float(np.maximum(way * left, 0.0).sum())


def _take(left: FloatArray, within: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], way: float, amount: float) -> None:
    for k in np.flatnonzero(within & (way * left > 0)):
        taken = min(amount, way * left[k])
        left[k] -= way * taken
        amount -= taken


def spread_credits(
    credits: Sequence[SpreadCredit], delta: dict[str, float], price_risk: dict[str, float]
) -> dict[str, float]:
    """Credit of each commodity for deltas offset by those of others, in the order of priority; currency.

    Parameters
    ----------
    delta
        Net delta of each commodity.
    price_risk
        Weighted price risk of one delta of each commodity, currency.

    Examples
    --------
    One against two, half of the price risk of what offsets is credited:

    >>> credit = SpreadCredit((SpreadLeg("X", 1, "A"), SpreadLeg("Y", 2, "B")), 0.5)
    >>> spread_credits([credit], {"X": 10.0, "Y": -8.0}, {"X": 100.0, "Y": 40.0})
    {'X': 200.0, 'Y': 160.0}
    """
    left, found = dict(delta), dict.fromkeys(delta, 0.0)
    for credit in credits:
        for sign in (1.0, -1.0):
            count = min(_reach(leg, sign, left) for leg in credit.legs)
            for leg in credit.legs if count > 0 else ():
                taken = count * leg.ratio
                found[leg.of] += taken * price_risk[leg.of] * credit.rate
                left[leg.of] -= (sign if leg.side == LONG else -sign) * taken
    return found


def _reach(leg: SpreadLeg, sign: float, left: dict[str, float]) -> float:
    way = sign if leg.side == LONG else -sign
    return max(way * left.get(leg.of, 0.0), 0.0) / leg.ratio
