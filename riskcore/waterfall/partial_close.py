"""How much of a pool has to be closed to bring it back: the smallest part, exact over tiers and order-book levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cmp_to_key

import numpy as np

from ..arrays import FloatArray, IntArray, frozen
from ..errors import InputError


@dataclass(frozen=True)
class ClosingLeg:
    """A leg and what closing a part of it frees and costs; all amounts in the base asset.

    Parameters
    ----------
    notional
        At the mark; positive.
    floors, rates, deductions
        Maintenance schedule: a leg of notional n in tier k needs n * rates[k] - deductions[k].
    reach, cost
        Cost of closing, piecewise: what is closed between reach[k - 1] (or 0) and reach[k] costs cost[k] of its
        notional at the mark, slippage and fees together. No more than reach[-1] can be closed.

    Raises
    ------
    InputError
        A notional or reach that is not positive, columns of unequal length.

    Examples
    --------
    >>> leg = ClosingLeg(1000.0, [0.0, 500.0], [0.01, 0.02], [0.0, 5.0], [600.0, 1000.0], [0.001, 0.002])
    >>> leg.maintenance(1000.0), leg.cost_of(700.0)
    (15.0, 0.8)
    """

    notional: float
    floors: FloatArray
    rates: FloatArray
    deductions: FloatArray
    reach: FloatArray
    cost: FloatArray

    def __post_init__(self) -> None:
        for name in ("floors", "rates", "deductions", "reach", "cost"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        if not 0 < self.notional < np.inf:
            raise InputError("must be positive", column="notional", value=self.notional)
        if not len(self.floors) == len(self.rates) == len(self.deductions) or len(self.floors) == 0:
            raise InputError("floors, rates and deductions must be of equal length", column="floors")
        if len(self.reach) != len(self.cost) or not (np.diff(self.reach, prepend=0.0) > 0).all():
            raise InputError("must rise from above 0, one for each cost", column="reach")

    @property
    def closable(self) -> float:
        """Notional that can be closed."""
        return min(self.notional, float(self.reach[-1])) if len(self.reach) else 0.0

    def maintenance(self, notional: float) -> float:
        """Maintenance margin at a notional."""
        tier = int(np.searchsorted(self.floors, notional, side="right")) - 1
        return float(notional * self.rates[tier] - self.deductions[tier])

    def cost_of(self, closed: float) -> float:
        """Cost of closing this much notional, at most `closable`."""
        pieces = np.minimum(self.reach, closed) - np.minimum(np.append(0.0, self.reach[:-1]), closed)
        return float((pieces * self.cost).sum())


def remaining_share(
    legs: tuple[ClosingLeg, ...], equity: float, other_maintenance: float = 0.0, target: float = 1.0
) -> float:
    """Largest share of the legs, closed in proportion, that can stay: equity >= target * maintenance margin after.

    Parameters
    ----------
    legs
        What is closed together, each by the same share.
    equity
        Equity of the pool at the mark, base asset; the cost of closing is taken off it.
    other_maintenance
        Maintenance margin of the pool's other legs.
    target
        How many times maintenance margin equity has to be.

    Returns
    -------
    float
        In [0, 1]; 1 where nothing has to be closed, NaN where no part that can be closed is enough.

    Notes
    -----
    Headroom as a function of the remaining share is linear between the breaks of tiers and of order-book levels; the
    pieces are gone through from the top. In a cliff schedule the share is that just below the floor of the tier.

    Examples
    --------
    1,000 of notional at 2% with 15 of equity: closing x costs 0.1% of it, so 15 - 0.001 x = 0.02 (1000 - x) at 263.16.

    >>> leg = ClosingLeg(1000.0, [0.0], [0.02], [0.0], [1000.0], [0.001])
    >>> round(1000 * (1 - remaining_share((leg,), 15.0)), 2)
    263.16
    """
    if _headroom(legs, equity, other_maintenance, target, 1.0) >= 0:
        return 1.0
    breaks = _breaks(legs)
    for low, high in zip(breaks[-2::-1], breaks[:0:-1], strict=True):
        middle = 0.5 * (low + high)
        slope, start = _line(legs, equity, other_maintenance, target, middle)
        if start + slope * high >= 0:
            return float(np.nextafter(high, 0.0))
        if start + slope * low >= 0:
            return float(min(max(-start / slope, low), high))
        if _headroom(legs, equity, other_maintenance, target, low) >= 0:
            return float(low)
    return float("nan")


def _breaks(legs: tuple[ClosingLeg, ...]) -> FloatArray:
    lowest = max(1.0 - leg.closable / leg.notional for leg in legs)
    inner = [leg.floors / leg.notional for leg in legs] + [1.0 - leg.reach / leg.notional for leg in legs]
    found = np.concatenate(([lowest, 1.0], *inner))
    return np.unique(found[(found >= lowest) & (found <= 1.0)])


def _headroom(legs: tuple[ClosingLeg, ...], equity: float, other: float, target: float, share: float) -> float:
    needed = other + sum(leg.maintenance(share * leg.notional) for leg in legs)
    return equity - sum(leg.cost_of((1.0 - share) * leg.notional) for leg in legs) - target * needed


def _line(
    legs: tuple[ClosingLeg, ...], equity: float, other: float, target: float, share: float
) -> tuple[float, float]:
    """Slope and value at 0 of the line headroom follows around a share that is no break."""
    slope, start = 0.0, equity - target * other
    for leg in legs:
        tier = int(np.searchsorted(leg.floors, share * leg.notional, side="right")) - 1
        closed = (1.0 - share) * leg.notional
        piece = min(int(np.searchsorted(leg.reach, closed)), len(leg.reach) - 1)
        slope += leg.notional * (leg.cost[piece] - target * leg.rates[tier])
        start += target * leg.deductions[tier] - leg.cost_of(closed) - leg.cost[piece] * (leg.notional - closed)
    return float(slope), float(start)


def step_down_share(leg: ClosingLeg) -> float:
    """Share that stays when a leg is closed down to the cap of the next lower tier; NaN in the lowest.

    Examples
    --------
    >>> leg = ClosingLeg(1000.0, [0.0, 500.0], [0.01, 0.02], [0.0, 5.0], [1000.0], [0.0])
    >>> round(step_down_share(leg), 12)
    0.5
    """
    tier = int(np.searchsorted(leg.floors, leg.notional, side="right")) - 1
    return float(np.nextafter(leg.floors[tier] / leg.notional, 0.0)) if tier else float("nan")


def by_risk(legs: tuple[ClosingLeg, ...]) -> IntArray:
    """Order of legs by the maintenance margin closing them frees for each unit of loss, the most first.

    Compared by cross-multiplication, so a leg that closes for nothing comes first; equals keep their order, and a leg
    that cannot be closed at all comes last.

    Examples
    --------
    >>> dear = ClosingLeg(1000.0, [0.0], [0.02], [0.0], [1000.0], [0.004])
    >>> free = ClosingLeg(1000.0, [0.0], [0.01], [0.0], [1000.0], [0.0])
    >>> by_risk((dear, free)).tolist()
    [1, 0]
    """
    freed = [leg.maintenance(leg.notional) - leg.maintenance(leg.notional - leg.closable) for leg in legs]
    lost = [leg.cost_of(leg.closable) for leg in legs]

    def compare(one: int, other: int) -> int:
        if (legs[one].closable > 0) != (legs[other].closable > 0):
            return -1 if legs[one].closable > 0 else 1
        left, right = freed[one] * lost[other], freed[other] * lost[one]
        return (left < right) - (left > right) or (freed[one] < freed[other]) - (freed[one] > freed[other])

    return np.array(sorted(range(len(legs)), key=cmp_to_key(compare)), dtype=np.int64)


def riskiest_first(equity: FloatArray, maintenance: FloatArray) -> IntArray:
    """Order of pools by equity / maintenance margin, the lowest first, by cross-multiplication.

    Ties: the larger maintenance margin first; where both have none, the lower equity. Source: dYdX v4 (VENUES.md
    section 1).

    Examples
    --------
    >>> riskiest_first(np.array([5.0, -1.0, 10.0, -3.0]), np.array([10.0, 0.0, 20.0, 0.0])).tolist()
    [3, 1, 2, 0]
    """

    def compare(one: int, other: int) -> int:
        left, right = float(equity[one] * maintenance[other]), float(equity[other] * maintenance[one])
        if maintenance[one] == 0 and maintenance[other] == 0:
            left, right = float(equity[one]), float(equity[other])
        larger = int(maintenance[one] < maintenance[other]) - int(maintenance[one] > maintenance[other])
        return int(left > right) - int(left < right) or larger

    return np.array(sorted(range(len(equity)), key=cmp_to_key(compare)), dtype=np.int64)
