"""What portfolio margin asks "what if" of: shocks to price and volatility, and how much of each loss counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, IntArray, frozen, require
from ..errors import InputError

DOWN, SAME, UP = -1, 0, 1


@dataclass(frozen=True)
class ScenarioGrid:
    """Scenarios of one risk unit.

    Parameters
    ----------
    move
        Price move of each scenario, fraction of the price (0.15: up 15%), above -1; shape (n_scenarios,).
    volatility
        DOWN (-1), SAME (0) or UP (1); what that means is a `VolatilityShock`.
    weight
        How much of the profit or loss counts: below 1 where a far tail is dampened, above where it is amplified; not
        negative.

    Examples
    --------
    >>> grid = ScenarioGrid.product([-0.1, 0.0, 0.1], [UP, DOWN])
    >>> len(grid), grid.move.tolist(), grid.volatility.tolist()
    (6, [-0.1, -0.1, 0.0, 0.0, 0.1, 0.1], [1, -1, 1, -1, 1, -1])
    """

    move: FloatArray
    volatility: IntArray
    weight: FloatArray

    def __post_init__(self) -> None:
        for name, kind in (("move", np.float64), ("volatility", np.int64), ("weight", np.float64)):
            object.__setattr__(self, name, frozen(getattr(self, name), kind))
        n = len(self.move)
        if n == 0 or self.volatility.shape != (n,) or self.weight.shape != (n,):
            raise InputError(
                "a grid needs at least one scenario, each with a move, volatility and weight", column="move"
            )
        require((self.move > -1) & np.isfinite(self.move), self.move, "must be above -1", "move")
        require(np.abs(self.volatility) <= 1, self.volatility, "must be -1, 0 or 1", "volatility")
        require((self.weight >= 0) & np.isfinite(self.weight), self.weight, "must not be negative", "weight")

    @classmethod
    def product(cls, moves: ArrayLike, volatilities: ArrayLike, weights: ArrayLike = 1.0) -> ScenarioGrid:
        """Every move with every volatility, moves outermost; `weights` is one number or one a move."""
        move, volatility = np.atleast_1d(moves), np.atleast_1d(volatilities)
        weight = np.repeat(np.broadcast_to(weights, move.shape), len(volatility))
        return cls(np.repeat(move, len(volatility)), np.tile(volatility, len(move)), weight)

    def __len__(self) -> int:
        return len(self.move)


@dataclass(frozen=True)
class VolatilityShock:
    """How far implied volatility moves, the more the nearer the expiry.

    A shock multiplies volatility by 1 + up * m or 1 - down * m with m = (30 / max(days, floor)) ** power. The form is
    shared by Deribit, Derive and Paradex (VENUES.md section 1).

    Parameters
    ----------
    up, down
        Size of the shock at 30 days, fraction.
    short_power, long_power
        Exponents up to 30 days and beyond.
    floor_days
        Days to expiry below which the shock grows no more; the exponent is still that of the days left. At 0 there is
        none, and an option at expiry has no shock.
    least_up
        Volatility below which an upward shock does not leave it; 0 where the venue has no such floor.
    least_factor
        Least factor of a downward shock.

    Examples
    --------
    >>> shock = VolatilityShock(up=0.45, down=0.3, short_power=0.3, long_power=0.13)
    >>> shock.factor([30.0, 7.5], [UP, DOWN]).round(6).tolist()
    [1.45, 0.545285]
    """

    up: float
    down: float
    short_power: float
    long_power: float
    floor_days: float = 1.0
    least_up: float = 0.0
    least_factor: float = 0.0

    def __post_init__(self) -> None:
        for name in ("up", "down", "short_power", "long_power", "floor_days", "least_up", "least_factor"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError("must not be negative", column=name, value=getattr(self, name))

    def factor(self, days: ArrayLike, direction: ArrayLike) -> FloatArray:
        """What volatility is multiplied by; `days` to expiry and `direction` broadcast."""
        left = np.asarray(days, np.float64)
        floored = np.maximum(left, self.floor_days)
        if (floored == 0).any():
            raise InputError("an option at expiry has no volatility shock without a floor", column="days", value=0.0)
        reach = (30.0 / floored) ** np.where(left <= 30.0, self.short_power, self.long_power)
        way = np.asarray(direction)
        down = np.maximum(1.0 - self.down * reach, self.least_factor)
        return np.where(way == UP, 1.0 + self.up * reach, np.where(way == DOWN, down, 1.0))

    def shocked(self, volatility: ArrayLike, days: ArrayLike, direction: ArrayLike) -> FloatArray:
        """Volatility after the shock."""
        moved = np.asarray(volatility, np.float64) * self.factor(days, direction)
        return np.where(np.asarray(direction) == UP, np.maximum(moved, self.least_up), moved)
