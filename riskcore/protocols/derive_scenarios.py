"""What Derive's portfolio margin asks "what if" of: shocks to spot and volatility, and to the skew of the surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, IntArray, frozen, positions_of, require
from ..errors import InputError
from ..portfolio.scenario_grid import DOWN, SAME, UP, ScenarioGrid, VolatilityShock
from .derive_terms import Terms

FLAT, LINEAR, ABSOLUTE = 0, 1, 2
DIRECTIONS = {
    "none": (SAME, FLAT),
    "up": (UP, FLAT),
    "down": (DOWN, FLAT),
    "linear": (SAME, LINEAR),
    "abs": (SAME, ABSOLUTE),
}
"""Move of volatility and shock to the skew, by the name a scenario has in rule-books."""


@dataclass(frozen=True)
class DeriveScenarios:
    """Scenarios of a risk unit, in the venue's order.

    Parameters
    ----------
    grid
        Price move, direction of volatility and how much of the profit counts.
    skew
        FLAT (0), LINEAR (1) or ABSOLUTE (2), shape (n_scenarios,); a skew scenario leaves spot and volatility level.

    Examples
    --------
    >>> scenarios = DeriveScenarios.of([1.15, 0.5, 1.0], ["Up", "Up", "LINEAR"], [1.0, 0.2, 1.0])
    >>> scenarios.grid.move.round(2).tolist(), scenarios.grid.volatility.tolist(), scenarios.skew.tolist()
    ([0.15, -0.5, 0.0], [1, 1, 0], [0, 0, 1])
    """

    grid: ScenarioGrid
    skew: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "skew", frozen(self.skew, np.int64))
        if self.skew.shape != (len(self.grid),):
            raise InputError(f"has shape {self.skew.shape}, expected ({len(self.grid)},)", column="skew")
        require((self.skew >= FLAT) & (self.skew <= ABSOLUTE), self.skew, "must be 0, 1 or 2", "skew")
        level = (self.grid.move == 0) & (self.grid.volatility == SAME)
        require(level | (self.skew == FLAT), self.grid.move, "a skew scenario leaves spot and volatility level", "move")

    @classmethod
    def of(cls, price: ArrayLike, direction: Sequence[str], weight: ArrayLike = 1.0) -> DeriveScenarios:
        """Scenarios from price multiples (1.15: up 15%) and the names of `DIRECTIONS`, in any case."""
        multiple = np.atleast_1d(np.asarray(price, np.float64))
        rows = positions_of(tuple(DIRECTIONS), [name.lower() for name in direction], "direction")
        volatility, skew = np.array(list(DIRECTIONS.values()))[rows].reshape(-1, 2).T
        weights = np.asarray(weight, np.float64)
        weights = np.full(len(multiple), weights) if weights.ndim == 0 else weights
        return cls(ScenarioGrid(multiple - 1.0, volatility, weights), skew)

    def __len__(self) -> int:
        return len(self.grid)


@dataclass(frozen=True)
class SkewShock(Terms):
    """How far the wings of the volatility surface are raised or lowered, more the further the strike.

    With k = ln(strike / forward) (its absolute value where both wings move together) and tau years to expiry,
    volatility is multiplied by 1 + cap * k / k*, held within 1 +/- cap, where cap = base + slope * sqrt(tau) and
    k* = max(least_width, sqrt(tau) * width * (level + level_slope * sqrt(tau))).
    Source: PMRMLib_2 of derivexyz/v2-core.

    Parameters
    ----------
    linear_base, linear_slope
        Cap of the shock that raises one wing and lowers the other.
    absolute_base, absolute_slope
        Cap of the shock that raises both.
    least_width, width, level, level_slope
        Where the surface flattens out.

    Examples
    --------
    >>> shock = SkewShock(0.15, -0.05, 0.15, -0.05, 0.01, 4.0, 0.6, -0.1)
    >>> shock.factor([100.0], [50.0, 100.0, 1e6], [0.25], LINEAR).round(4).tolist()
    [0.9212, 1.0, 1.125]
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "linear_slope": (-10.0, 10.0),
        "absolute_slope": (-10.0, 10.0),
        "level_slope": (-20.0, 20.0),
    }
    linear_base: float
    linear_slope: float
    absolute_base: float
    absolute_slope: float
    least_width: float
    width: float
    level: float
    level_slope: float

    def factor(self, forward: ArrayLike, strike: ArrayLike, years: ArrayLike, skew: int) -> FloatArray:
        """What volatility is multiplied by, not below 0; arguments broadcast, `skew` is LINEAR or ABSOLUTE."""
        root = np.sqrt(np.asarray(years, np.float64))
        flat_beyond = np.maximum(self.least_width, root * self.width * (self.level + root * self.level_slope))
        require(flat_beyond > 0, np.asarray(years), "the skew shock is not defined where its width is 0", "years")
        if skew == LINEAR:
            cap, distance = self.linear_base + self.linear_slope * root, np.log(np.divide(strike, forward))
        else:
            cap, distance = self.absolute_base + self.absolute_slope * root, np.abs(np.log(np.divide(strike, forward)))
        moved = cap * distance / flat_beyond
        held = np.where(distance >= 0, np.minimum(cap, moved), np.maximum(-cap, moved))
        return np.maximum(1.0 + held, 0.0)


@dataclass(frozen=True)
class DiscountTerms(Terms):
    """Static discount of an expiry's value: base * exp(-years * (rate * rate_scale + rate_added)).

    Examples
    --------
    >>> round(float(DiscountTerms(0.95, 4.0, 0.05).factor(1.0, 0.0)), 6)
    0.903668
    """

    base: float
    rate_scale: float
    rate_added: float

    def factor(self, years: ArrayLike, rate: ArrayLike) -> FloatArray:
        """The discount where an expiry is worth something to its holder."""
        return np.asarray(self.base * np.exp(-np.asarray(years) * self._shocked(rate)))

    def inverse(self, years: ArrayLike, rate: ArrayLike) -> FloatArray:
        """The mark-up where an expiry is owed: base over the exponential, no more than undoes the rate's discount."""
        grown = self.base * np.exp(np.asarray(years) * self._shocked(rate))
        return np.asarray(np.minimum(np.exp(np.multiply(rate, years)), grown))

    def _shocked(self, rate: ArrayLike) -> FloatArray:
        return np.asarray(rate) * self.rate_scale + self.rate_added


@dataclass(frozen=True)
class BasisTerms(Terms):
    """Charge for the basis between forward and spot: (added + per_year * years) of each expiry's loss at up or down.

    `up` and `down` are multiples of spot on either side of 1.
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"up": (1.0, 3.0), "down": (0.0, 1.0)}
    up: float
    down: float
    added: float
    per_year: float


@dataclass(frozen=True)
class StressTerms:
    """Everything scenario profits are made from.

    Parameters
    ----------
    scenarios, volatility, basis
        Grid, volatility shock and basis charge.
    long
        Discount of expiries worth something.
    short, skew
        Mark-up of expiries owed and skew shock; the first version has neither.
    discounted
        Whether option values carry the rate's discount.
    """

    scenarios: DeriveScenarios
    volatility: VolatilityShock
    basis: BasisTerms
    long: DiscountTerms
    short: DiscountTerms | None = None
    skew: SkewShock | None = None
    discounted: bool = False

    def __post_init__(self) -> None:
        if self.skew is None:
            skew = self.scenarios.skew
            require(skew == FLAT, skew, "a skew scenario needs the figures of a skew shock", "skew")
